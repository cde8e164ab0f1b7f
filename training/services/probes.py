"""Measuring what a sealed LoRA draws, and holding back what looks like somebody who was not asked.

Between stages 7 and 8. `training.core.probes` decides; the engine measures; this opens the sealed
samples in memory and keeps the report. Nothing is delivered before it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.log import append
from training.core.curation import Measurement, Profile
from training.core.curation_alike import region_distance
from training.core.pictures import Picture
from training.core.probes import RESPECTS, ProbeReport, Respect, Sample, judge
from training.engines.base import FaceEngine, Rgb, Vector, similarity
from training.engines.measure import Person, measure
from training.engines.survey import Template, pixels
from training.models import Lora, OutputProbe
from training.services import curation, samples, templates
from training.services.faults import grant_code
from training.services.outputs import base_samples_context, samples_context

RELEASED: Final = "released"
UPHELD: Final = "upheld"
MAX_REASON: Final = 2000
_NOTHING: Final = Picture(b"", 0, 0, "", "", "", ())  # a measurement of pixels alone


@dataclass(frozen=True)
class _Known:
    """Who and what the samples are held against."""

    hers: dict[str, Template]
    others: dict[str, Template]
    pictures: list[Measurement]


def outputs_probe(
    *, lora: Lora, engine: FaceEngine, at: datetime | None = None
) -> OutputProbe | Refusal:
    """Measure a LoRA's samples and keep the report. Doing it twice returns the same row.

    (1) its grant holds; (2) the samples open (else `image_unreadable`), and those of the base model
    alone; (3) the templates of its talents and of everybody else who signed, and the data set's
    pictures; (4) faces, clothes and places of each; (5) judged, kept, `output.probed` logged.
    """
    at = at or timezone.now()
    known = OutputProbe.objects.filter(lora=lora).first()
    if known is not None:
        return known
    # (1)
    code = grant_code(lora.job.grant, at)
    if code is not None:
        return Refusal(code, lora.pk)
    # (2)
    drawn = _cells(lora, lora.samples_object, samples_context(lora.job_id))
    before = _cells(lora, lora.base_samples_object, base_samples_context(lora.job_id))
    if isinstance(drawn, Refusal):
        return drawn
    if isinstance(before, Refusal):
        return before
    # (3)
    around = _known(lora, engine, look=bool(drawn))
    if isinstance(around, Refusal):
        return around
    # (4)
    samples = _samples(drawn, before, around, engine)
    # (5)
    report = judge(
        samples,
        sorted(around.hers),
        engine.profile,
        engine=engine.id,
        engine_digest=engine.digest,
        compared=len(around.others),
    )
    return _keep(lora, report, sorted({who for item in samples for who in item.others}), at)


def _cells(lora: Lora, digest: str, context: str) -> list[Rgb] | Refusal:
    """The pictures of a sealed sheet of samples, in the order of their seeds; none for no sheet."""
    if not digest:
        return []
    dataset = lora.job.dataset
    sheet = samples.sheet_open(dataset, digest, context)
    if isinstance(sheet, Refusal):
        return sheet
    return [np.ascontiguousarray(cell) for cell in samples.cells(dataset, sheet)]


def _known(lora: Lora, engine: FaceEngine, *, look: bool) -> _Known | Refusal:
    dataset = lora.job.dataset
    hers = curation.templates_of(dataset, engine)
    if isinstance(hers, Refusal):
        return hers
    if not look:
        return _Known(hers, {}, [])
    others: dict[str, Template] = {}
    for row in templates.enrolled(without=list(hers)):
        found = templates.template_open(row, engine)
        if isinstance(found, Refusal) and found.code == "engine_altered":
            # Made by an engine of before: made again from her references, never left out.
            again = curation.templates_of(row.dataset, engine)
            found = again if isinstance(again, Refusal) else again[row.talent_id]
        if isinstance(found, Template):
            others[row.talent_id] = found
        elif found.code != "key_unavailable":  # withdrawn meanwhile: she is nobody's to compare
            return found
    plain = curation.dataset_pictures(dataset)
    if isinstance(plain, Refusal):
        return plain
    people = {who: Person(item.centroid, item.spots) for who, item in hers.items()}
    return _Known(hers, others, [_measured(pixels(item), people, engine) for item in plain])


def _measured(rgb: Rgb, people: dict[str, Person], engine: FaceEngine) -> Measurement:
    return measure("", _NOTHING, rgb, engine.faces(rgb), people, engine.scene)


def _samples(
    drawn: Sequence[Rgb], before: Sequence[Rgb], known: _Known, engine: FaceEngine
) -> list[Sample]:
    people = {who: Person(item.centroid, item.spots) for who, item in known.hers.items()}
    profile = engine.profile
    found = []
    for number, rgb in enumerate(drawn):
        faces = engine.faces(rgb)
        shown = measure("", _NOTHING, rgb, faces, people, engine.scene)
        alone = before[number] if number < len(before) else None
        again: tuple[Respect, ...] = ()
        base: dict[str, int] | None = None
        if alone is not None:
            seen = engine.faces(alone)
            base = _likeness([face.embedding for face in seen], known.hers)
            bare = measure("", _NOTHING, alone, seen, people, engine.scene)
            again = _repeats(bare, known.pictures, profile)
        vectors = [face.embedding for face in faces]
        others = _likeness(vectors, known.others)
        found.append(
            Sample(
                likeness=_likeness(vectors, known.hers),
                before=base,
                others=tuple(sorted(who for who, like in others.items() if like >= profile.weak)),
                seen=tuple(respect for respect in RESPECTS if _region(shown, respect)[0]),
                repeats=_repeats(shown, known.pictures, profile),
                repeated_before=again,
            )
        )
    return found


def _likeness(vectors: Sequence[Vector], people: dict[str, Template]) -> dict[str, int]:
    """How like each person the most similar face is, in permille; empty for no face."""
    if not vectors:
        return {}
    return {
        who: max(round(similarity(vector, item.centroid) * 1000) for vector in vectors)
        for who, item in people.items()
    }


def _region(item: Measurement, respect: Respect) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if respect == "outfit":
        return item.outfit, item.outfit_map
    return item.background, item.background_map


def _repeats(
    shown: Measurement, pictures: Sequence[Measurement], profile: Profile
) -> tuple[Respect, ...]:
    """In which respects a sample is one of the data set's pictures once more."""
    cuts = {"outfit": profile.same_outfit, "background": profile.same_background}
    return tuple(
        respect
        for respect in RESPECTS
        if _region(shown, respect)[0] and _nearest(shown, pictures, respect) <= cuts[respect]
    )


def _nearest(shown: Measurement, pictures: Sequence[Measurement], respect: Respect) -> float:
    regions = [_region(item, respect) for item in (shown, *pictures)]
    regions = [region for region in regions if region[0]]
    if len(regions) < 2:
        return float("inf")
    histograms = np.array([colours for colours, _ in regions], dtype=np.int64)
    maps = [found for _, found in regions]
    whole = np.array(maps if all(maps) else [() for _ in maps], dtype=np.int64)
    return float(region_distance(histograms, whole)[0, 1:].min())


def _keep(
    lora: Lora, report: ProbeReport, resembles: list[str], at: datetime
) -> OutputProbe | Refusal:
    with transaction.atomic():
        Lora.objects.select_for_update().get(pk=lora.pk)
        known = OutputProbe.objects.filter(lora=lora).first()
        if known is not None:  # somebody else measured it meanwhile
            return known
        digest, held = report.digest(), report.held
        data = {"lora_id": lora.pk, "report_digest": digest, "held": bool(held)}
        return OutputProbe.objects.create(
            lora=lora,
            report=report.to_payload(),
            report_digest=digest,
            held=held,
            resembles=resembles,
            event=append.append("output.probed", data, at=at),
            created_at=at,
        )


def delivery_refusal(lora: Lora) -> Refusal | None:
    """Why a LoRA is not delivered yet: `probes_missing`, `lookalike_hold` or `samples_missing`."""
    probe = OutputProbe.objects.filter(lora=lora).first()
    if probe is None:
        return Refusal("probes_missing", lora.pk)
    if probe.held and probe.decision != RELEASED:
        return Refusal(probe.held, lora.pk)
    return None


def held() -> QuerySet[OutputProbe]:
    """The operators' queue: what nobody has looked at, oldest first."""
    rows = OutputProbe.objects.exclude(held="").filter(decision="")
    return rows.select_related("lora__job__request").order_by("created_at")


@transaction.atomic
def probe_settle(
    *, probe: OutputProbe, by: User, release: bool, reason: str, at: datetime | None = None
) -> Refusal | None:
    """An operator has looked at what is held back: set it free, or keep it back for good.

    Raises `PermissionDenied` for anybody but the platform's operators. `wrong_state` when it was
    settled already or is not held; `malformed` without a reason.
    """
    if not (by.is_active and by.is_staff):
        raise PermissionDenied
    reason = reason.strip()[:MAX_REASON]
    if not reason:
        return Refusal("malformed", "a reason")
    decision, at = RELEASED if release else UPHELD, at or timezone.now()
    rows = OutputProbe.objects.exclude(held="").filter(pk=probe.pk, decision="")
    done = rows.update(decision=decision, decided_by=by, reason=reason, decided_at=at)
    if not done:
        return Refusal("wrong_state", "not held, or looked at already")
    data = {"lora_id": probe.lora_id, "report_digest": probe.report_digest}
    if release:
        event = append.append("output.released", data, at=at)
    else:
        event = append.append("output.upheld", data, at=at)
    OutputProbe.objects.filter(pk=probe.pk).update(decided_event=event)
    probe.refresh_from_db()
    return None
