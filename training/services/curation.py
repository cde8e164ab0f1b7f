"""Curation of a data set: survey, points taken on, sealing.

Stage 5, second half. `training.core.curation` decides; the engine measures; this opens the sealed
pictures in memory, keeps the report, and asks the registry to make the grant out of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry import selectors as registry
from registry.core.refusals import Refusal
from registry.core.rights import Sheet
from registry.log import append
from registry.models import Grant, Lane, Person, Talent, TrainingRequest
from registry.services import identity, requests, vault
from training.core import curation
from training.core.curation import Acceptance, Report
from training.core.pictures import Picture as Plain
from training.engines import survey as surveying
from training.engines.base import FaceEngine, similarity
from training.models import Dataset, Picture, ReferencePicture
from training.services import rights, templates
from training.services.datasets import dataset_manifest, opened, reference_context

Progress = Callable[[int, int], None]


def dataset_survey(
    *, dataset: Dataset, engine: FaceEngine, progress: Progress | None = None
) -> Report | Refusal:
    """Measure every picture against each talent's references and keep the report.

    Refusals: `wrong_state` once sealed, `no_references`, and what opening a picture may refuse.
    The report's pictures are named `p001` … in the order of their positions.
    """
    if dataset.state == Dataset.State.SEALED:
        return Refusal("wrong_state", "the data set is sealed")
    rows = list(dataset.pictures.filter(accepted=True))
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.id)
    if isinstance(key, Refusal):
        return key
    people = templates_of(dataset, engine)
    if isinstance(people, Refusal):
        return people
    plain = _plain_pictures(dataset, rows, key)
    if isinstance(plain, Refusal):
        return plain
    out = _plain_pictures(dataset, _refused(dataset), key)
    if isinstance(out, Refusal):
        return out
    for talent in dataset.request.talents.filter(pk__in=[w for w in people if people[w].young]):
        _ask_for_a_document(dataset, talent, people[talent.pk], engine)
    told = _Told(dataset, progress)
    seen = rights.bystanders_of(dataset)
    report = surveying.survey(plain, people, engine, progress=told, bystanders=seen, refused=out)
    return _keep(dataset, rows, report)


def _refused(dataset: Dataset) -> list[Picture]:
    """What a party left out in an offer of less: it must not come back, itself or in disguise."""
    lanes = Lane.objects.filter(grant__request=dataset.request, offer__isnull=False)
    named = {pk for lane in lanes for pk in (lane.offer or {})["left_out"]}
    return list(dataset.pictures.filter(pk__in=named))


@dataclasses.dataclass
class _Told:
    """Writes how far the survey is where the page can see it, and passes it on."""

    dataset: Dataset
    progress: Progress | None

    def __call__(self, done: int, total: int) -> None:
        Dataset.objects.filter(pk=self.dataset.pk).update(surveyed=done)
        if self.progress is not None:
            self.progress(done, total)


def templates_of(dataset: Dataset, engine: FaceEngine) -> dict[str, surveying.Template] | Refusal:
    """Each talent's template, made from her references and kept sealed.

    The references agree among themselves, and no two talents are one person.
    """
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    if isinstance(key, Refusal):
        return key
    found: dict[str, surveying.Template] = {}
    for talent in dataset.request.talents.order_by("pk"):
        template = _template(dataset, talent, key, engine)
        if isinstance(template, Refusal):
            return template
        found[talent.pk] = template
    return surveying.distinct(found) or found


def _template(
    dataset: Dataset, talent: Talent, key: bytes, engine: FaceEngine
) -> surveying.Template | Refusal:
    """The stored one, if this engine made it of these very references; else a new one."""
    rows = list(dataset.references.filter(talent=talent))
    stored = dataset.templates.filter(talent=talent).first()
    if stored is not None:
        known = templates.template_open(stored, engine)
        if isinstance(known, surveying.Template) and _made_of(known, rows):
            return known
    pictures = []
    for row in rows:
        data = opened(row.object_digest, key, context=reference_context(dataset))
        if isinstance(data, Refusal):
            return data
        pictures.append(_plain(data))
    made = surveying.enrol(pictures, engine)
    if not isinstance(made, Refusal):
        templates.template_keep(
            dataset=dataset, talent=talent, template=made, key=key, engine=engine
        )
    return made


def _ask_for_a_document(
    dataset: Dataset, talent: Talent, template: surveying.Template, engine: FaceEngine
) -> None:
    """Raise the age alarm (A24), where these references are known to show her.

    Whoever asks chose them: a stranger's child must not stop a talent's other cases. Her own case
    stops either way, `_age_refusals`.
    """
    for row in templates.enrolled():
        if row.talent_id != talent.pk or row.dataset_id == dataset.pk:
            continue
        confirmed = templates.template_open(row, engine)
        if isinstance(confirmed, Refusal):
            continue
        alike = similarity(confirmed.centroid, template.centroid) * 1000
        if alike >= engine.profile.match:
            # Refused where a document has proven her age, or the alarm stands: both are fine here.
            identity.age_doubt(talent=talent, source="curation")
            return


def _age_refusals(row: Dataset, report: Report) -> list[Refusal]:
    """References that look younger than they may: nobody is asked to sign before a document."""
    if not any(finding.code == "apparent_minor" for finding in report.findings):
        return []
    asked = row.request.talents.order_by("pk")
    return [Refusal("age_unproven", t.pk) for t in asked if not identity.age_is_proven(t)]


def _made_of(template: surveying.Template, rows: Sequence[ReferencePicture]) -> bool:
    return template.pictures == tuple(sorted(row.file_sha256 for row in rows))


def _plain(data: bytes) -> Plain:
    """A reference as the engine takes it; its hashes play no part in a template."""
    return Plain(data, 0, 0, "", "", "", ())


def dataset_pictures(dataset: Dataset) -> list[Plain] | Refusal:
    """A data set's accepted pictures, opened in memory."""
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    if isinstance(key, Refusal):
        return key
    return _plain_pictures(dataset, list(dataset.pictures.filter(accepted=True)), key)


def _plain_pictures(dataset: Dataset, rows: Sequence[Picture], key: bytes) -> list[Plain] | Refusal:
    plain = []
    for row in rows:
        data = opened(row.object_digest, key, context=dataset.id)
        if isinstance(data, Refusal):
            return data
        plain.append(Plain(data, row.width, row.height, row.file_sha256, "", row.pixel_sha256, ()))
    return plain


def _keep(dataset: Dataset, rows: Sequence[Picture], report: Report) -> Report | Refusal:
    """Keep the report if the set is still the one that was measured, else `wrong_state`."""
    with transaction.atomic():
        now = Dataset.objects.select_for_update().get(pk=dataset.pk)
        present = list(now.pictures.filter(accepted=True).values_list("pk", flat=True))
        if now.state == Dataset.State.SEALED or present != [row.pk for row in rows]:
            return Refusal("wrong_state", "the pictures changed during the survey")
        now.state = Dataset.State.CURATED
        now.curation = curation.to_json(report)
        now.acceptances = []
        now.surveyed = len(rows)
        now.save()
        _mark(rows, report)
    dataset.refresh_from_db()
    return report


def _mark(rows: Sequence[Picture], report: Report) -> None:
    """Each picture's own advice and face box beside it, for the pages and the trainer's crop."""
    for row, record in zip(rows, report.pictures, strict=True):
        row.advice = sorted({f.code for f in report.findings if record.id in f.pictures})
        row.box = _box(record)
        row.save(update_fields=["advice", "box"])


def _box(record: curation.PictureRecord) -> list[int] | None:
    """The best-banded upright face, cut to the picture; none where nothing is left of it."""
    bands = ("match", "weak", "unlike")
    faces = [f for f in record.faces if f.band in bands and f.turn == 0]
    if not faces:
        return None
    left, top, right, bottom = min(faces, key=lambda face: bands.index(face.band)).box
    box = [max(0, left), max(0, top), min(record.width, right), min(record.height, bottom)]
    return box if box[0] < box[2] and box[1] < box[3] else None


def advice_accept(
    *, dataset: Dataset, code: str, reason: str, by: Person, picture: str = ""
) -> Acceptance | Refusal:
    """Take on one point of the report with a reason. `curation_blocked` where nobody may.

    The reason becomes part of what people sign. `picture` names one picture of the report. Whose
    face it is, is never decided by whoever asks: `self_approval` for a review point.
    """
    acceptance = Acceptance(code, reason.strip(), by.pk, picture)
    with transaction.atomic():
        row = Dataset.objects.select_for_update().get(pk=dataset.pk)
        if row.state != Dataset.State.CURATED or row.curation is None:
            return Refusal("wrong_state", row.state)
        kinds = {f["kind"] for f in row.curation["findings"] if f["code"] == code}
        if not acceptance.reason or not kinds & {"soft", "review"}:
            return Refusal("curation_blocked", code)
        asks = registry.organisations_of(by).filter(pk=row.request.requester_id).exists()
        if "review" in kinds and asks:
            return Refusal("self_approval", code)
        kept = [a for a in row.acceptances if (a["code"], a["picture"]) != (code, picture)]
        row.acceptances = [*kept, dataclasses.asdict(acceptance)]
        row.save(update_fields=["acceptances"])
    dataset.refresh_from_db()
    return acceptance


def dataset_seal(*, dataset: Dataset, at: datetime | None = None) -> Grant | list[Refusal]:
    """Seal the set and let the registry ask for approvals of exactly it.

    (1) curated, and the report describes these very pictures; (2) nobody's age is in doubt and
    `curation.decide` lets it through; (3) the Merkle root over the pictures; (4) the registry makes
    the grant; (5) sealed, logged. All or nothing. Refusals are logged as `dataset.refused`.
    """
    at = at or timezone.now()
    with transaction.atomic():
        # The request first, as everybody locks it who changes the two.
        TrainingRequest.objects.select_for_update(no_key=True).get(pk=dataset.request_id)
        rows = Dataset.objects.select_for_update(of=("self",)).select_related("request")
        row = rows.get(pk=dataset.pk)
        answer = _seal(row, at)
        if isinstance(answer, list):
            transaction.set_rollback(True)
    if isinstance(answer, list):
        _log_refused(row, answer, at)
    dataset.refresh_from_db()
    return answer


def _seal(row: Dataset, at: datetime) -> Grant | list[Refusal]:
    # (1)
    if row.state != Dataset.State.CURATED or row.curation is None:
        return [Refusal("wrong_state", row.state)]
    report = report_of(row.curation)
    pictures = list(row.pictures.filter(accepted=True))
    if [p.file_sha256 for p in report.pictures] != [p.file_sha256 for p in pictures]:
        return [Refusal("curation_mismatch", "the report is about other pictures")]
    # (2)
    unproven = _age_refusals(row, report)
    if unproven:
        return unproven
    decided = curation.decide(report, [Acceptance(**a) for a in row.acceptances])
    if isinstance(decided, list):
        return decided
    # (3)
    manifest = dataset_manifest(row)
    digest = decided.digest.hex()
    sheet = rights.sheet_of(row, decided.report)
    # (4)
    grant = requests.request_seal_dataset(
        request=row.request,
        dataset_root=manifest.root(),
        count=manifest.count,
        bytes=manifest.total_bytes,
        curation_digest=digest,
        rights=sheet,
        pictures=[picture.pk for picture in pictures],
        at=at,
    )
    if isinstance(grant, list):
        return grant
    # (5)
    row.state, row.sealed_at = Dataset.State.SEALED, at
    row.root, row.count, row.bytes = manifest.root(), manifest.count, manifest.total_bytes
    row.curation, row.curation_digest = curation.to_json(decided.report), digest
    row.rights = sheet.to_payload()
    row.sealed_event = append.append("dataset.sealed", _sealed_data(row, grant, sheet), at=at)
    row.save()
    return grant


def _sealed_data(row: Dataset, grant: Grant, sheet: Sheet) -> dict[str, Any]:
    return {
        "dataset_id": row.id,
        "request_id": row.request_id,
        "grant_id": grant.pk,
        "dataset_root": row.root,
        "count": row.count,
        "curation_digest": row.curation_digest,
        "rights_digest": sheet.digest(),
    }


def _log_refused(row: Dataset, refusals: Sequence[Refusal], at: datetime) -> None:
    with transaction.atomic():
        codes = sorted({refusal.code for refusal in refusals})
        data = {"dataset_id": row.id, "request_id": row.request_id, "codes": codes}
        append.append("dataset.refused", data, at=at)


def report_of(payload: dict[str, Any]) -> Report:
    """The stored report, parsed back. Raises `TypeError` or `KeyError` when it is none."""
    return Report(
        profile=curation.Profile(**payload["profile"]),
        references=_references(payload["references"]),
        pictures=tuple(_record(item) for item in payload["pictures"]),
        groups=tuple(
            curation.Group(item["respect"], tuple(item["pictures"])) for item in payload["groups"]
        ),
        findings=tuple(
            curation.Finding(**{**item, "pictures": tuple(item["pictures"])})
            for item in payload["findings"]
        ),
        acceptances=tuple(Acceptance(**item) for item in payload["acceptances"]),
        format=payload["format"],
        others=tuple(_references(item) for item in payload["others"]),
        scenery=payload["scenery"],
    )


def _references(item: dict[str, Any]) -> curation.References:
    return curation.References(**{**item, "pictures": tuple(item["pictures"])})


def _record(item: dict[str, Any]) -> curation.PictureRecord:
    faces = tuple(
        curation.FaceRecord(**{**face, "box": tuple(face["box"])}) for face in item["faces"]
    )
    return curation.PictureRecord(**{**item, "faces": faces})
