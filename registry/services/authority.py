"""Who else speaks for a talent: guardians, the estate, and agencies that contradict each other.

Before stage 1. Each record says by which proof, checked by whom and when. What a change means for
grants that exist is done by `registry.services.sweep`, at once and again every day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from registry import selectors
from registry.core import parties as rules
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.models import (
    Estate,
    Guardianship,
    Organisation,
    Person,
    Representation,
    RepresentationClaim,
    Talent,
)
from registry.services import parties
from registry.services.contacts import notice_give
from registry.services.review import talent_review


@dataclass(frozen=True)
class Proof:
    """A document that somebody looked at. `sha256` (hex) of its bytes; the bytes stay outside."""

    kind: str
    sha256: str
    checked_by: str
    checked_on: date


@transaction.atomic
def guardian_begin(
    *,
    talent: Talent,
    person: Person,
    begun_on: date,
    proof: Proof,
    custodians: int = 1,
    relation: str = "",
    at: datetime | None = None,
) -> Guardianship:
    """A guardian speaks for a minor from a day on; `custodians`: how many the proof names.

    Raises `ValueError`: nobody is their own guardian; the kind of proof is unknown.
    """
    if talent.person_id == person.id:
        raise ValueError("nobody is their own guardian")
    if proof.kind not in rules.GUARDIAN_PROOFS:
        raise ValueError(f"not a proof of guardianship: {proof.kind}")
    row = Guardianship.objects.create(
        talent=talent,
        person=person,
        begun_on=begun_on,
        relation=relation,
        custodians=custodians,
        proof_kind=proof.kind,
        proof_sha256=proof.sha256,
        checked_by=proof.checked_by,
        checked_on=proof.checked_on,
    )
    append("guardian.appointed", _logged(row, proof), at=at)
    return row


@transaction.atomic
def guardian_end(
    *, guardianship: Guardianship, ended_on: date, at: datetime | None = None
) -> Refusal | None:
    """The last day of a guardianship; `wrong_state`: it has ended already."""
    rows = Guardianship.objects.filter(id=guardianship.id, ended_on__isnull=True)
    if rows.update(ended_on=ended_on) != 1:
        return Refusal("wrong_state", "ended already")
    append(
        "guardian.ended",
        {"guardian_id": guardianship.id, "talent_id": guardianship.talent_id},
        at=at,
    )
    talent_review(talent=guardianship.talent, at=at or timezone.now())
    return None


@transaction.atomic
def estate_open(
    *,
    talent: Talent,
    person: Person,
    begun_on: date,
    proof: Proof,
    at: datetime | None = None,
) -> Estate:
    """Somebody speaks for a talent who has died, by a will, by law or by a court's order (A37).

    Raises `ValueError` for another chain, a proof without digest, or the talent as their own heir.
    """
    if proof.kind not in rules.ESTATE_CHAINS:
        raise ValueError(f"not a chain of authority: {proof.kind}")
    if talent.person_id == person.id or len(proof.sha256) != 64:
        raise ValueError("an estate needs another person and the digest of its proof")
    row = Estate.objects.create(
        talent=talent,
        person=person,
        chain=proof.kind,
        proof_sha256=proof.sha256,
        checked_by=proof.checked_by,
        checked_on=proof.checked_on,
        begun_on=begun_on,
    )
    append("estate.opened", _logged(row, proof), at=at)
    return row


@transaction.atomic
def estate_close(*, estate: Estate, ended_on: date, at: datetime | None = None) -> Refusal | None:
    """The last day of an estate's authority; `wrong_state`: it has ended already."""
    rows = Estate.objects.filter(id=estate.id, ended_on__isnull=True)
    if rows.update(ended_on=ended_on) != 1:
        return Refusal("wrong_state", "ended already")
    append("estate.closed", {"estate_id": estate.id, "talent_id": estate.talent_id}, at=at)
    talent_review(talent=estate.talent, at=at or timezone.now())
    return None


def _logged(row: Guardianship | Estate, proof: Proof) -> Mapping[str, Any]:
    kind = "guardian_id" if isinstance(row, Guardianship) else "estate_id"
    return {
        kind: row.id,
        "talent_id": row.talent_id,
        "party_id": row.person_id,
        "proof": proof.kind,
        "proof_sha256": proof.sha256,
    }


@transaction.atomic
def claim_file(
    *,
    talent: Talent,
    agency: Organisation,
    by: Person,
    begun_on: date,
    proof_sha256: str,
    at: datetime | None = None,
) -> RepresentationClaim | Refusal:
    """A second agency says that it represents the talent: from now on nobody can approve (A18).

    Only an approver of a verified agency files one. `wrong_state`: nobody else represents her then,
    or the claim stands already. Raises `PermissionDenied` for anybody else.
    """
    at = at or timezone.now()
    day = jst_day(at)
    if not selectors.organisations_of(by, "sign").filter(id=agency.id, kind="agency").exists():
        raise PermissionDenied
    if selectors.identity_of(agency, day) is None:
        return Refusal("requester_unverified", agency.id)
    other = selectors.representations_on(talent, max(day, begun_on)).exclude(agency=agency).first()
    if other is None:
        return Refusal("wrong_state", "no other agency represents this talent")
    try:
        with transaction.atomic():
            row = RepresentationClaim.objects.create(
                talent=talent,
                agency=agency,
                against=other,
                filed_by=by,
                filed_at=at,
                begun_on=begun_on,
                proof_sha256=proof_sha256,
            )
    except IntegrityError:
        return Refusal("wrong_state", "this claim stands already")
    append("representation.claimed", _claim_data(row), at=at)
    notice_give(person_id=talent.person_id, kind="claim_filed", subject=row.id, due_on=day)
    return row


def _claim_data(row: RepresentationClaim) -> dict[str, str]:
    return {
        "claim_id": row.id,
        "talent_id": row.talent_id,
        "agency": row.agency_id,
        "against": row.against_id,
        "state": row.state,
    }


@transaction.atomic
def claim_answer(
    *, claim: RepresentationClaim, by: Person, agrees: bool, at: datetime | None = None
) -> Refusal | None:
    """The talent says whether the claiming agency is hers. Nobody says it in her place.

    It counts once an operator has recorded the proof. None: it is noted.
    """
    at = at or timezone.now()
    row = _open(claim)
    if row is None:
        return Refusal("wrong_state", "settled already")
    if by.id not in _own_voices(row.talent, jst_day(at)):
        return Refusal("representation_disputed", "only the talent says which agency is hers")
    row.talent_agrees, row.talent_said_at = agrees, at
    row.save(update_fields=["talent_agrees", "talent_said_at"])
    _settle(row, at)
    return None


def _own_voices(talent: Talent, day: date) -> set[str]:
    """The talent; the estate once she has died."""
    if talent.died_on is not None and talent.died_on <= day:
        return {row.person_id for row in selectors.estates_on(talent, day)}
    return {talent.person_id}


@transaction.atomic
def claim_prove(
    *, claim: RepresentationClaim, operator: str, proof_sha256: str, at: datetime | None = None
) -> Refusal | None:
    """An operator records the document that settles the claim. None: it is noted."""
    at = at or timezone.now()
    row = _open(claim)
    if row is None:
        return Refusal("wrong_state", "settled already")
    row.settling_sha256, row.proved_by, row.proved_at = proof_sha256, operator, at
    row.save(update_fields=["settling_sha256", "proved_by", "proved_at"])
    _settle(row, at)
    return None


def _open(claim: RepresentationClaim) -> RepresentationClaim | None:
    rows = RepresentationClaim.objects.select_for_update(of=("self",)).filter(
        id=claim.id, state="open"
    )
    return rows.select_related("talent", "agency", "against").first()


def _settle(row: RepresentationClaim, at: datetime) -> None:
    """With both halves it is settled. Upheld: the other agency's time ended the day before."""
    if row.talent_agrees is None or row.proved_at is None:
        return
    row.state = "upheld" if row.talent_agrees else "rejected"
    row.settled_at = at
    row.save(update_fields=["state", "settled_at"])
    append("representation.settled", _claim_data(row), at=at)
    if not row.talent_agrees:
        return
    begin = max(row.begun_on, row.against.period.lower + timedelta(days=1))
    clashing = Representation.objects.filter(talent=row.talent, exclusive=True)
    for other in clashing.filter(Q(period__contains=begin)).exclude(agency=row.agency):
        parties.representation_end(representation=other, ended_on=begin - timedelta(days=1), at=at)
    begun = parties.representation_begin(
        talent=row.talent, agency=row.agency, begun_on=begin, at=at
    )
    if isinstance(begun, Refusal):
        raise RuntimeError(f"claim {row.id} cannot be entered: {begun.detail}")
