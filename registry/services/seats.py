"""Leaving an organisation: the role ends, its API keys close, open work is handed over (R21).

Beside stage 1. What somebody signed while they might stays signed.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from registry import selectors
from registry.core.cases import REQUEST_STATES
from registry.core.parties import roles_with
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.models import ApiKey, HandOver, Membership, Person, RequestDraft, TrainingRequest
from registry.services.contacts import notice_give

_OPEN = tuple(state for state, onward in REQUEST_STATES.items() if onward)


@transaction.atomic
def membership_end(
    *, membership: Membership, ended_on: date | None = None, at: datetime | None = None
) -> list[HandOver] | Refusal:
    """The last day of a role, today if none is given; returns the work that waits for others.

    (1) the role ends; (2) without another role, the person's API keys of this
    organisation are revoked; (3) without another role that may ask, open requests wait for a
    colleague, who is told. A day to come is carried out by `registry.services.sweep`.
    """
    at = at or timezone.now()
    day = jst_day(at)
    row = Membership.objects.select_for_update().get(id=membership.id)
    if not row.active:
        return Refusal("wrong_state", "left already")
    row.ended_on = ended_on or day
    row.active = row.ended_on > day
    row.save(update_fields=["ended_on", "active"])
    return [] if row.active else _left(row, at)


def _left(row: Membership, at: datetime) -> list[HandOver]:
    # (1)
    append(
        "member.left",
        {
            "member_id": row.id,
            "party_id": row.person_id,
            "organisation": row.organisation_id,
            "role": row.role,
        },
        at=at,
    )
    seats = selectors.seats_on(jst_day(at)).filter(
        person=row.person_id, organisation=row.organisation_id
    )
    # (2)
    if not seats.exists():
        keys = ApiKey.objects.filter(
            person=row.person_id, organisation=row.organisation_id, revoked_at=None
        )
        keys.update(revoked_at=at)
    # (3)
    if seats.filter(role__in=roles_with("ask")).exists():
        return []
    return _orphaned(row, at)


def _orphaned(row: Membership, at: datetime) -> list[HandOver]:
    """The requests that nobody else has in hand: filed by, or last taken over by, who left."""
    made = []
    open_ = TrainingRequest.objects.filter(requester=row.organisation_id, state__in=_OPEN)
    for request in open_.order_by("id"):
        if in_charge(request) != row.person_id:
            continue
        made.append(_wait(row, at, request=request))
    for draft in _drafts(row).order_by("id"):
        made.append(_wait(row, at, draft=draft))
    return made


def _drafts(row: Membership) -> QuerySet[RequestDraft]:
    """What was typed in this organisation's name; without a name, by somebody of no other house."""
    own = RequestDraft.objects.filter(person=row.person_id)
    own = own.exclude(hand_overs__taken_at__isnull=True, hand_overs__isnull=False)
    named = Q(data__requester__contains=[row.organisation_id])
    if not selectors.organisations_of(row.person, "ask").exists():
        named |= Q(data__requester__isnull=True) | Q(data__requester__in=([], [""]))
    return own.filter(named)


def _wait(row: Membership, at: datetime, **what: Any) -> HandOver:
    made = HandOver.objects.create(
        organisation=row.organisation, left_by=row.person, since=at, **what
    )
    for colleague in takers(row.organisation_id, at):
        notice_give(person_id=colleague, kind="hand_over", subject=made.id, due_on=jst_day(at))
    return made


def in_charge(request: TrainingRequest) -> str:
    """The id of whoever has a request in hand; empty while it waits for somebody."""
    last = request.hand_overs.order_by("-since", "-id").first()
    return request.submitted_by_id if last is None else last.taken_by_id or ""


def takers(organisation_id: str, at: datetime) -> list[str]:
    """The people who may take work of this organisation over."""
    seats = selectors.seats_on(jst_day(at)).filter(organisation=organisation_id)
    found = seats.filter(role__in=roles_with("ask")).values_list("person_id", flat=True)
    return sorted(set(found))


@transaction.atomic
def hand_over_take(
    *, hand_over: HandOver, by: Person, at: datetime | None = None
) -> HandOver | Refusal:
    """A colleague takes over a request or a draft: it counts as theirs, also against them (R02).

    `wrong_state`: somebody was faster. Raises `PermissionDenied` for people who may not ask.
    """
    at = at or timezone.now()
    row = HandOver.objects.get(id=hand_over.id)
    if by.id not in takers(row.organisation_id or "", at):
        raise PermissionDenied
    free = HandOver.objects.filter(id=row.id, taken_at=None)
    if free.update(taken_by=by, taken_at=at) != 1:
        return Refusal("wrong_state", "taken already")
    RequestDraft.objects.filter(id=row.draft_id).update(person=by)
    row.refresh_from_db()
    return row


def seats_close(*, at: datetime) -> int:
    """Carry out the ends that have come; returns how many."""
    due = Membership.objects.filter(active=True, ended_on__lt=jst_day(at))
    return sum(_close(pk, at) for pk in due.values_list("id", flat=True))


@transaction.atomic
def _close(membership_id: str, at: datetime) -> bool:
    rows = Membership.objects.filter(id=membership_id, active=True, ended_on__lt=jst_day(at))
    if rows.update(active=False) != 1:
        return False
    _left(Membership.objects.select_related("person").get(id=membership_id), at)
    return True
