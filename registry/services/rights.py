"""Rights holders, their mandates, and the works that pictures show: the records behind a clearance.

Before stage 1. A requester may propose a work; who holds it is confirmed by an operator, never by
the person who wants to use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.core.rights import WORK_KINDS
from registry.core.terms import Problem
from registry.log.append import append
from registry.models import Mandate, Organisation, Person, RightsHolder, Work


def holder_of(
    *, person: Person | None = None, organisation: Organisation | None = None
) -> RightsHolder:
    """The holder's row of a person or an organisation. Raises `ValueError` unless one is given."""
    if (person is None) == (organisation is None):
        raise ValueError("a holder is a person or an organisation")
    row, _ = RightsHolder.objects.get_or_create(person=person, organisation=organisation)
    return row


def committee_form(*, organisation: Organisation, members: Sequence[Organisation]) -> RightsHolder:
    """A production committee of these companies; it signs through one delegate."""
    row = holder_of(organisation=organisation)
    row.members.set(members)
    return row


@transaction.atomic
def mandate_give(
    *,
    holder: RightsHolder,
    person: Person,
    proof_sha256: str,
    begun_on: date,
    ended_on: date | None = None,
    at: datetime | None = None,
) -> Mandate | Refusal:
    """Let one person sign for a holder; `wrong_state` while somebody else's mandate is open."""
    try:
        with transaction.atomic():
            row = Mandate.objects.create(
                holder=holder,
                person=person,
                begun_on=begun_on,
                ended_on=ended_on,
                proof_sha256=proof_sha256,
            )
    except IntegrityError:
        return Refusal("wrong_state", "another mandate of this holder is open")
    append(
        "mandate.given",
        {
            "mandate_id": row.id,
            "holder": holder.key,
            "party_id": person.id,
            "proof_sha256": proof_sha256,
        },
        at=at or timezone.now(),
    )
    return row


@transaction.atomic
def mandate_end(*, mandate: Mandate, ended_on: date, at: datetime | None = None) -> Mandate:
    """The last day of a mandate. What was signed under it stands; nothing new is."""
    row = Mandate.objects.select_for_update().get(pk=mandate.pk)
    row.ended_on = ended_on
    row.save(update_fields=["ended_on"])
    append(
        "mandate.ended", {"mandate_id": row.id, "holder": row.holder.key}, at=at or timezone.now()
    )
    return row


def work_propose(*, by: Person, kind: str, title: str, title_en: str = "") -> Work | Problem:
    """Name a character, costume or work that is not on record; it clears nothing yet."""
    title = " ".join(title.split())
    if kind not in WORK_KINDS or not title:
        return Problem("work", "種類と題名を入れてください。", "Give a kind and a title.")
    found = Work.objects.filter(kind=kind, title=title).order_by("created_at", "id").first()
    return found or Work.objects.create(
        kind=kind, title=title[:200], title_en=title_en[:200], proposed_by=by
    )


@transaction.atomic
def work_confirm(
    *, work: Work, holders: Sequence[RightsHolder], by: Person, at: datetime | None = None
) -> Work | Refusal:
    """An operator records who holds a work, all of whom must approve its pictures from now on.

    Raises `PermissionDenied` for anybody who does not operate the registry. `uncleared_work`
    without holders; `self_approval` for whoever proposed it.
    """
    if by.user is None or not by.user.is_staff:
        raise PermissionDenied
    if not holders:
        return Refusal("uncleared_work", "a work has at least one holder")
    if work.proposed_by_id == by.pk:
        return Refusal("self_approval", "proposed by the same person")
    at = at or timezone.now()
    work.holders.set(holders)
    work.confirmed_at = at
    work.save(update_fields=["confirmed_at"])
    data = {"work_id": work.id, "kind": work.kind, "holders": sorted(h.key for h in holders)}
    append("work.confirmed", data, at=at)
    return work
