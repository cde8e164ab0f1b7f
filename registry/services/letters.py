"""What people are told: a row is queued in the transaction of what it tells. Stage 2.

`registry.services.mailing` sends it. At most two reminders a person and lane, never at night.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry.core import cases
from registry.core import letters as rules
from registry.core.refusals import Refusal
from registry.models import Grant, Lane, Letter, Person, TrainingRequest


def letter_queue(
    *, person: Person, kind: str, request: TrainingRequest | None, lane: Lane | None, at: datetime
) -> Letter:
    """Put one message in the queue; never before eight in the morning, never after nine at night.

    Raises `KeyError` for a kind without words.
    """
    if kind not in rules.KINDS:
        raise KeyError(kind)
    return Letter.objects.create(
        person=person,
        kind=kind,
        request=request,
        lane=lane,
        created_at=at,
        send_after=rules.not_at_night(at),
    )


def tell_lanes(grant: Grant, *, at: datetime) -> None:
    """Everybody who is asked, once."""
    told = set()
    for lane in Lane.objects.filter(grant=grant, state="asked").order_by("id"):
        if lane.person_id not in told:
            told.add(lane.person_id)
            letter_queue(person=lane.person, kind="asked", request=grant.request, lane=lane, at=at)


def tell_requester(request: TrainingRequest, *, at: datetime) -> None:
    """Whoever filed the request: a change was asked for."""
    letter_queue(person=request.submitted_by, kind="returned", request=request, lane=None, at=at)


@transaction.atomic
def remind(*, lanes: Iterable[Lane], at: datetime | None = None) -> list[Lane]:
    """Remind those who have not answered and may still be reminded; returns whom.

    Never more than twice in all, never twice within a day, whoever presses.
    """
    at = at or timezone.now()
    return [lane for lane in lanes if _remind(lane, at)]


def _remind(lane: Lane, at: datetime) -> bool:
    rows = Lane.objects.select_for_update(of=("self",)).select_related("grant__request")
    row = rows.get(id=lane.id)
    request = row.grant.request
    allowed = rules.may_remind(
        reminders=row.reminders, last_told=_told(row), sign_by=request.sign_by, at=at
    )
    if not (allowed and row.state in cases.PENDING and row.grant.state == "asking"):
        return False
    Lane.objects.filter(id=row.id).update(reminders=row.reminders + 1, reminded_at=at)
    letter_queue(person=row.person, kind="reminder", request=request, lane=row, at=at)
    return True


def _told(lane: Lane) -> datetime:
    return lane.reminded_at or lane.asked_at or lane.grant.created_at


def reminders_queue(*, at: datetime | None = None) -> list[Lane]:
    """Queue what is due by itself: once half-way, once two days before the deadline."""
    at = at or timezone.now()
    waiting = Lane.objects.filter(
        state__in=cases.PENDING, grant__state="asking", reminders__lt=rules.MAX_REMINDERS
    ).select_related("grant__request")
    due = [
        lane
        for lane in waiting
        if rules.reminder_due(
            asked_at=lane.asked_at or lane.grant.created_at,
            sign_by=lane.grant.request.sign_by,
            reminders=lane.reminders,
            last_told=_told(lane),
            at=at,
        )
    ]
    return remind(lanes=due, at=at)


def undelivered(request: TrainingRequest) -> QuerySet[Letter]:
    """The messages of a case that reached nobody, newest first."""
    return request.letters.filter(state=Letter.State.FAILED).select_related("person", "lane")


@transaction.atomic
def letter_again(*, letter: Letter, at: datetime | None = None) -> Refusal | None:
    """Try a failed message again, once its address has been put right."""
    at = at or timezone.now()
    rows = Letter.objects.filter(id=letter.id, state=Letter.State.FAILED)
    done = rows.update(
        state=Letter.State.QUEUED, error="", attempts=0, send_after=rules.not_at_night(at)
    )
    return None if done else Refusal("wrong_state", letter.state)
