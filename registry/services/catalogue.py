"""The licence catalogue: record a model, revise its facts, and say what a base allows today.

Stages 1 to 4 ask it. `registry.core.licences` decides; this reads the newest revisions of a record
and of everything inside it. Whoever records a model answers for what they read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from registry.core import licence_words, licences
from registry.core.grants import BaseModel
from registry.core.licences import Amount, Declared, Effective, Facts, Part
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Terms
from registry.log.append import append
from registry.models import (
    LicenceRegistration,
    LicenseeDeclaration,
    ModelPart,
    ModelRecord,
    ModelRevision,
    Organisation,
    Person,
)

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# A figure declared longer ago says nothing about today's size.
DECLARATION_DAYS: Final = 400

# (record, role): what is inside a model.
Inside = Sequence[tuple[ModelRecord, str]]


def text_sha256(licence_text: str) -> str:
    """The hash by which a licence's text is named; empty for no text."""
    return hashlib.sha256(licence_text.encode()).hexdigest() if licence_text else ""


@transaction.atomic
def model_record(
    *,
    name: str,
    facts: Facts,
    kind: str = "base",
    sha256: str = "",
    files: Sequence[Mapping[str, str]] = (),
    inside: Inside = (),
    licence_text: str = "",
    air_id: str = "",
    seed_key: str = "",
    by: Person | None = None,
    at: datetime | None = None,
) -> ModelRecord:
    """Record a model with the first revision of its licence facts.

    `sha256` names its bytes (a file's, or `base_digest` of a folder); without it the record is a
    template. Raises `ValueError` for facts that do not hold as such, a malformed digest, a digest
    that is recorded already, or a text that is not the one whose hash the facts name.
    """
    digests = [sha256, *(item["sha256"] for item in files)]
    if not all(_SHA256.fullmatch(digest) for digest in digests if digest) or not name.strip():
        raise ValueError("a model has a name, and digests of 64 lower-case hex digits")
    if sha256 and ModelRecord.objects.filter(sha256=sha256).exists():
        raise ValueError("this model is recorded already: a change is a revision")
    if kind not in licences.KINDS:
        raise ValueError(f"kind: none of {', '.join(licences.KINDS)}")
    record = ModelRecord.objects.create(
        name=name.strip(),
        kind=kind,
        sha256=sha256,
        files=[dict(item) for item in files],
        air_id=air_id,
        seed_key=seed_key,
    )
    revision = ModelRevision(record=record, number=1, recorded_by=by)
    what = {"kind": kind, "sha256": sha256}
    _store(revision, facts, inside, licence_text, event="model.recorded", what=what, at=at)
    return record


@transaction.atomic
def model_revise(
    *,
    record: ModelRecord,
    facts: Facts,
    inside: Inside | None = None,
    licence_text: str = "",
    by: Person | None = None,
    at: datetime | None = None,
) -> ModelRevision:
    """Record that the facts changed, or were mis-stated: a new revision beside the old ones.

    `inside` None keeps the parts. Raises `ValueError` as `model_record` does, and when a model
    would be inside itself. What grants this ends is for `registry.services.drift`, in the same
    transaction: callers use `drift.model_revise`.
    """
    ModelRecord.objects.select_for_update().get(pk=record.pk)
    last = record.current
    if inside is None:
        inside = [(row.part, row.role) for row in last.parts.select_related("part")]
    if any(record.pk in {row.pk for row in _closure(part)} for part, _ in inside):
        raise ValueError("a model cannot be a part of itself")
    revision = ModelRevision(record=record, number=last.number + 1, recorded_by=by)
    what = {"previous": last.id}
    _store(revision, facts, inside, licence_text, event="model.revised", what=what, at=at)
    return revision


def _store(
    revision: ModelRevision,
    facts: Facts,
    inside: Inside,
    licence_text: str,
    *,
    event: str,
    what: Mapping[str, Any],
    at: datetime | None,
) -> None:
    """Write a revision, once and for ever, with its log entry."""
    at = at or timezone.now()
    problems = facts.problems()
    if licence_text and facts.licence_sha256 != text_sha256(licence_text):
        problems.append("licence_sha256 is not the hash of the text given")
    problems += [f"role: “{role}”" for _, role in inside if role not in licences.ROLES]
    if problems:
        raise ValueError("; ".join(problems))
    revision.facts, revision.facts_sha256 = facts.to_payload(), facts.digest()
    revision.licence_text, revision.recorded_at = licence_text, at
    data = {
        "model_id": revision.record_id,
        "revision_id": revision.id,
        "number": revision.number,
        "facts_sha256": revision.facts_sha256,
        "licence_sha256": facts.licence_sha256,
        "commercial": facts.commercial,
        "read_on": facts.read_on,
        "parts": sorted({part.id for part, _ in inside}),
        **what,
    }
    revision.event = append(event, data, at=at)
    revision.save(force_insert=True)
    ModelPart.objects.bulk_create(
        ModelPart(revision=revision, part=part, role=role) for part, role in inside
    )


# --- what a base allows ---------------------------------------------------------------------------


def parts_of(
    record: ModelRecord,
    *,
    instead: ModelRevision | None = None,
    newest: Mapping[str, ModelRevision] | None = None,
) -> list[Part]:
    """The record and everything inside it, by their newest revisions.

    `instead` stands in for its record's newest revision: what if that one counted? `newest` maps
    ids of records to newest revisions that somebody has read already.
    """
    known = {**(newest or {}), **({} if instead is None else {instead.record_id: instead})}
    found: list[Part] = []
    todo, seen = [(record, "base")], {record.pk}
    while todo:
        row, role = todo.pop()
        revision = known.get(row.pk) or row.current
        found.append(Part(row.name, revision.id, revision.core(), role))
        for part in revision.parts.all():
            if part.part_id not in seen:
                seen.add(part.part_id)
                todo.append((part.part, part.role))
    return found


def _closure(record: ModelRecord) -> list[ModelRecord]:
    """A record and everything that is inside it today."""
    found, todo = {record.pk: record}, [record]
    while todo:
        for part in todo.pop().current.parts.select_related("part"):
            if part.part_id not in found:
                found[part.part_id] = part.part
                todo.append(part.part)
    return list(found.values())


def bases_with(record: ModelRecord) -> list[ModelRecord]:
    """Every record that is this one or has it inside, by today's revisions."""
    found, todo = {record.pk: record}, [record]
    while todo:
        for row in ModelPart.objects.filter(part=todo.pop()).select_related("revision__record"):
            outer = row.revision.record
            if outer.pk not in found and row.revision_id == outer.current.pk:
                found[outer.pk] = outer
                todo.append(outer)
    return list(found.values())


def effective(record: ModelRecord, *, instead: ModelRevision | None = None) -> Effective:
    """What the record and everything inside it allow together."""
    return licences.combine(parts_of(record, instead=instead))


@dataclass(frozen=True)
class Overview:
    """One record in a list: its newest revision, and what the whole allows."""

    record: ModelRecord
    revision: ModelRevision
    whole: Effective


def overview() -> list[Overview]:
    """Every record that is not retired, by name, in a fixed number of queries."""
    rows = ModelRevision.objects.order_by("record_id", "-number").distinct("record_id")
    newest = {
        row.record_id: row for row in rows.select_related("record").prefetch_related("parts__part")
    }
    shown = [row for row in newest.values() if row.record.retired_at is None]
    shown.sort(key=lambda row: (row.record.name.casefold(), row.record_id))
    return [
        Overview(row.record, row, licences.combine(parts_of(row.record, newest=newest)))
        for row in shown
    ]


def base_choices(locale: str) -> list[tuple[str, str]]:
    """The bases that a request can name, as (id, label): the label says in words whether commercial
    use is possible, so that nobody picks a base that will be refused."""
    words = licence_words.COMMERCIAL
    return [
        (row.record.id, f"{row.record.name} - {licence_words.word(words, _word(row), locale)}")
        for row in overview()
        if row.record.kind == "base" and row.record.sha256
    ]


def _word(row: Overview) -> str:
    """What nobody has confirmed reads as unknown."""
    return "unknown" if row.whole.conditions.unreviewed else row.whole.commercial


def as_core(
    record: ModelRecord,
    licensee: Organisation,
    *,
    at: datetime,
    instead: ModelRevision | None = None,
) -> BaseModel:
    """The base as a grant for this licensee names it. A retired record, a record of anything but a
    base, and one without a digest allow no commercial use."""
    whole = effective(record, instead=instead)
    stands_in = instead is not None and instead.record_id == record.pk
    revision = instead if stands_in and instead is not None else record.current
    facts = revision.core()
    usable = record.retired_at is None and record.kind == "base" and bool(record.sha256)
    return BaseModel(
        sha256=record.sha256,
        name=record.name,
        licence_id=facts.licence_id,
        licence_sha256=facts.licence_sha256,
        commercial=usable and whole.may_be_commercial,
        revision=revision.id,
        parts_sha256=whole.parts_sha256,
        conditions=whole.conditions,
        declared=licences.asked(whole.conditions, declared_by(licensee, at=at)),
    )


def reasons(
    record: ModelRecord, terms: Terms, licensee: Organisation, *, at: datetime
) -> list[Refusal]:
    """The licences' refusals, each naming the model whose facts gave it: the base or a part."""
    now = as_core(record, licensee, at=at)
    found = licences.reasons(parts_of(record), terms, now.declared)
    return [reason.refusal for reason in found]


def tool_refusal(sha256: str) -> Refusal | None:
    """Why a tool's model may not be used where consents count; None when it may.

    Nothing about a tool may be unknown, since everything that is sold passes through it: its record
    allows commercial use without a condition, a person or we ourselves read it, and it does not
    forbid biometrics, which is what a face model does.
    """
    record = ModelRecord.objects.filter(sha256=sha256).first() if sha256 else None
    if record is None:
        return Refusal("tool_licence", "no record with this digest")
    whole = effective(record)
    asks = whole.conditions
    if record.retired_at is not None or whole.commercial != "yes" or asks.unreviewed:
        return Refusal("tool_licence", f"{record.name}: commercial {whole.commercial}")
    barred = {"no_derivatives", "share_alike"} & set(asks.derivative_terms)
    if asks.registration or barred or "biometric_ban" in asks.field_of_use:
        return Refusal("tool_licence", f"{record.name}: conditions")
    return None


# --- what a licensee says for the licences' sake --------------------------------------------------


def declared_by(licensee: Organisation, *, at: datetime) -> Declared:
    """What counts today of what a licensee declared: the newest figure of each kind, if it is not
    too old, and the registrations that have not ended."""
    day = jst_day(at)
    newest: dict[tuple[str, str], LicenseeDeclaration] = {}
    rows = LicenseeDeclaration.objects.filter(organisation=licensee, declared_on__lte=day)
    for row in rows.order_by("declared_on", "created_at", "id"):
        newest[row.measure, row.currency] = row
    oldest = day - timedelta(days=DECLARATION_DAYS)
    return Declared(
        amounts=tuple(
            Amount(row.measure, row.below, row.currency, row.declared_on.isoformat())
            for row in newest.values()
            if row.declared_on >= oldest
        ),
        registrations=tuple(
            LicenceRegistration.objects.filter(organisation=licensee, ended_on=None)
            .order_by("licence_id")
            .values_list("licence_id", flat=True)
        ),
    )


@transaction.atomic
def licensee_declare(
    *,
    organisation: Organisation,
    measure: str,
    below: int,
    currency: str = "",
    on: date | None = None,
    by: Person | None = None,
    at: datetime | None = None,
) -> LicenseeDeclaration:
    """Record that a licensee stays below a round figure; 0 takes an earlier figure back.

    Raises `ValueError` for a measure that is none, or revenue without its currency.
    """
    at = at or timezone.now()
    if measure not in licences.MEASURES or below < 0 or (measure == "revenue") != bool(currency):
        raise ValueError("revenue with its currency, or monthly_users; a figure of 0 or more")
    row = LicenseeDeclaration.objects.create(
        organisation=organisation,
        measure=measure,
        currency=currency,
        below=below,
        declared_on=on or jst_day(at),
        declared_by=by,
    )
    data = {"organisation_id": organisation.id, "declaration_id": row.id, "measure": measure}
    append("licensee.declared", data, at=at)
    return row


@transaction.atomic
def licence_register(
    *,
    organisation: Organisation,
    licence_id: str,
    number: str,
    on: date | None = None,
    at: datetime | None = None,
) -> LicenceRegistration:
    """Record a registration with a model's maker; the same licence again replaces the number."""
    at = at or timezone.now()
    if not licence_id.strip() or not number.strip():
        raise ValueError("a registration has a licence and a number")
    day = on or jst_day(at)
    rows = LicenceRegistration.objects.filter(organisation=organisation, licence_id=licence_id)
    rows.filter(ended_on=None).update(ended_on=day)
    row = LicenceRegistration.objects.create(
        organisation=organisation, licence_id=licence_id, number=number, registered_on=day
    )
    data = {"organisation_id": organisation.id, "registration_id": row.id}
    append("licensee.registered", {**data, "licence_id": licence_id}, at=at)
    return row
