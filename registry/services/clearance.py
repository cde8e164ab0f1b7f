"""Stage 2, who must sign: finds everybody whom `registry.core.clearance` asks for.

Reads people, representations, holders and mandates as of a moment; decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from registry import selectors
from registry.core import approvals, clearance, grants
from registry.core import requests as rules
from registry.core import rights as rights_core
from registry.core.clearance import Clearances, Seat, Signer
from registry.core.grants import Party
from registry.core.parties import Speaker, roles_with
from registry.core.refusals import Refusal
from registry.core.rights import Sheet
from registry.core.terms import Terms
from registry.models import (
    Lane,
    Mandate,
    Organisation,
    Person,
    RightsHolder,
    Talent,
    TrainingRequest,
    Work,
)
from registry.services import catalogue, conflicts

Works = Mapping[str, Mapping[str, Sequence[Signer]]]


@dataclass(frozen=True)
class Case:
    """Everybody who must sign, and what the grant says about the photographs."""

    parties: tuple[Party, ...]
    clearances: Clearances


def case_of(request: TrainingRequest, sheet: Sheet, at: datetime) -> Case | list[Refusal]:
    """The parties of a case in the order in which pages show them, or every reason why not.

    (1) the sheet itself holds; (2) everybody concerned is found; (3) each has a key.
    """
    day = rules.jst_day(at)
    talents = list(request.talents.select_related("person").order_by("id"))
    # Nobody can be asked about a work that no operator has confirmed.
    confirmed = _works(request, sheet, day)
    # (1)
    refusals = rights_core.decide(
        sheet,
        talents=[talent.id for talent in talents],
        works={work: frozenset(holders) for work, holders in confirmed.items()},
        exposure=Terms.from_payload(request.terms).exposure,
    )
    if refusals:
        return refusals
    # (2)
    likeness = [seat for talent in talents for seat in _seats_for(request, talent, day)]
    holders = {row.key: signers_of(row, day) for row in _holders(sheet)}
    found = clearance.who_must_sign(
        sheet,
        likeness=likeness,
        holders=holders,
        works=confirmed,
        requester=request.submitted_by_id,
    )
    # (3)
    parties = [item if isinstance(item, Refusal) else _party(item, at) for item in found]
    refusals = [item for item in parties if isinstance(item, Refusal)]
    if refusals:
        return refusals
    return Case(
        tuple(item for item in parties if isinstance(item, Party)),
        clearance.clearances(
            sheet, holders=holders, works=confirmed, requester=request.submitted_by_id
        ),
    )


def _seats_for(request: TrainingRequest, talent: Talent, day: date) -> list[Seat | Refusal]:
    """The seats of everybody who speaks for a talent, as of a day."""
    return [
        item if isinstance(item, Refusal) else _seat(request, talent, item)
        for item in selectors.speakers_for(talent, day)
    ]


def _seat(request: TrainingRequest, talent: Talent, speaker: Speaker) -> Seat | Refusal:
    """The seat of a speaker; for an agency, of an approver who, with their company, asked nothing
    (R02)."""
    if not speaker.agency_id:
        return Seat(speaker.person_id, speaker.by, talent.id, speaker.authority)
    agency = Organisation.objects.get(id=speaker.agency_id)
    for person in selectors.officers_of(agency):
        if conflicts.conflict(request, person, "agency_officer") is None:
            return Seat(person.id, "agency_officer", talent.id, speaker.authority)
    return Refusal("approval_missing:agency_officer", agency.id)


def _holders(sheet: Sheet) -> QuerySet[RightsHolder]:
    keys = {row.holder for row in sheet.pictures}
    return RightsHolder.objects.filter(Q(person__in=keys) | Q(organisation__in=keys))


def _works(
    request: TrainingRequest, sheet: Sheet, day: date
) -> dict[str, dict[str, tuple[Signer, ...]]]:
    """Who may sign for each holder of each confirmed work; nobody of the side that asks."""
    ids = {use.work for row in sheet.pictures for use in row.works}
    rows = Work.objects.filter(id__in=ids, confirmed_at__isnull=False)
    return {
        work.id: {
            holder.key: tuple(
                signer
                for signer in signers_of(holder, day)
                if conflicts.conflict(request, _person(signer.person), "work_rights") is None
            )
            for holder in work.holders.all()
        }
        for work in rows.prefetch_related("holders")
    }


def signers_of(holder: RightsHolder, day: date) -> tuple[Signer, ...]:
    """Who may sign for a holder on a day, those with a key first.

    A person for themselves; an organisation through the holder of a mandate, then through its
    officers; a committee through its one mandate and nobody else.
    """
    if holder.organisation is None:
        return (Signer(holder.key),)
    found = [Signer(m.person_id, m.id) for m in _mandates(day).filter(holder=holder)]
    if holder.organisation.kind != "committee" and not holder.members.exists():
        found += [Signer(p.id, seat) for p, seat in _officers(holder.organisation)]
    keyed = {s.person: selectors.credentials_of(_person(s.person)).exists() for s in found}
    return tuple(sorted(found, key=lambda signer: not keyed[signer.person]))


def _mandates(day: date) -> QuerySet[Mandate]:
    rows = Mandate.objects.filter(begun_on__lte=day).order_by("id")
    return rows.filter(Q(ended_on__isnull=True) | Q(ended_on__gte=day))


def _officers(organisation: Organisation) -> list[tuple[Person, str]]:
    seats = selectors.seats_on(rules.jst_day(timezone.now()))
    seats = seats.filter(organisation=organisation, role__in=roles_with("sign"))
    return [(seat.person, seat.id) for seat in seats.select_related("person").order_by("id")]


def _person(person_id: str) -> Person:
    return Person.objects.get(id=person_id)


def stands(lane: Lane, day: date) -> bool:
    """Whether the power behind a holder's lane is still there: the mandate, or the office."""
    if not lane.authority:
        return True
    if lane.authority.startswith("man_"):
        return _mandates(day).filter(id=lane.authority, person=lane.person_id).exists()
    seats = selectors.seats_on(day).filter(id=lane.authority, person=lane.person_id)
    return seats.filter(role__in=roles_with("sign")).exists()


def _party(seat: Seat, at: datetime) -> Party | Refusal:
    """A party with the keys that count in this mode; `not_enrolled` without any."""
    person = Person.objects.filter(id=seat.person).first()
    keys = [] if person is None else selectors.signing_keys(person, at)
    if settings.KYODAKU_MODE != "test":
        keys = [key for key in keys if key.assurance != approvals.TEST_ASSURANCE]
    if not keys:
        return Refusal("not_enrolled", f"{seat.by} {seat.person}")
    soft = any(key.assurance == approvals.TEST_ASSURANCE for key in keys)
    return Party(
        party_id=seat.person,
        by=seat.by,
        subject=seat.subject,
        keys=tuple(key.thumbprint for key in keys),
        assurance=approvals.TEST_ASSURANCE if soft else approvals.PASSKEY_ASSURANCE,
        authority=seat.authority,
    )


def machine_lanes(request: TrainingRequest, at: datetime) -> list[dict[str, Any]]:
    """What is checked and signed by nobody, as lanes: the licence of the base model.

    The floor above adds its own: the tools' models and the curation report.
    """
    terms = Terms.from_payload(request.terms)
    base = catalogue.as_core(request.base_model, request.licensee, at=at)
    refusals = grants.base_licence_refusals((base,), terms)
    return [machine_lane("base_licence", refusals[0] if refusals else None)]


def machine_lane(kind: str, refusal: Refusal | None, *, open_: bool = False) -> dict[str, Any]:
    """One machine lane: `kind`, `state` ∈ {ok, open, blocked}, and the refusal that blocks it."""
    state = "blocked" if refusal else "open" if open_ else "ok"
    return {"kind": kind, "state": state, "refusal": refusal}
