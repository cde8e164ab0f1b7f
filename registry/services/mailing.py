"""Sending what is queued, one message a person, and keeping what became of each. Stage 2.

A crash between sending and noting it sends one twice, which harms nobody; the other order would
lose it. What fails is seen on the case's page, and the lane says that nobody was reached.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import cases
from registry.core import letters as rules
from registry.models import Letter, Person
from registry.services import answers, links

logger = logging.getLogger(__name__)
BATCH: Final = 100


def letters_send(*, at: datetime | None = None) -> dict[str, int]:
    """Send what is due, one message a person; how many rows are sent, failed, dropped, put off."""
    at = at or timezone.now()
    due = Letter.objects.filter(state=Letter.State.QUEUED, send_after__lte=at)
    people = list(due.order_by("person_id").values_list("person_id", flat=True).distinct()[:BATCH])
    told = {"sent": 0, "failed": 0, "dropped": 0, "queued": 0}
    for person_id in people:
        for state, count in _send_to(person_id, at).items():
            told[state] += count
    return told


@transaction.atomic
def _send_to(person_id: str, at: datetime) -> dict[str, int]:
    """(1) take what is due; (2) drop what is answered; (3) say the rest in one message."""
    # (1)
    rows = list(
        Letter.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(person=person_id, state=Letter.State.QUEUED, send_after__lte=at)
        .select_related("person__user", "request", "lane__grant")
        .order_by("created_at", "id")
    )
    # (2)
    stale = [row for row in rows if _answered(row)]
    left = [row for row in rows if row not in stale]
    told = {"dropped": _settle(stale, "dropped", at=at)}
    if not left:
        return told
    # (3)
    person = left[0].person
    address = selectors.address_of(person)
    if not address:
        return told | _without_address(person, left, at)
    return told | _by_mail(person, address, left, at)


def _answered(row: Letter) -> bool:
    waits = row.lane is None or (
        row.lane.state in cases.PENDING and row.lane.grant.state == "asking"
    )
    return row.kind in ("asked", "reminder") and not waits


def _without_address(person: Person, rows: Sequence[Letter], at: datetime) -> dict[str, int]:
    """Somebody who can sign in finds it on their own page; nobody else is told by anything."""
    if person.user_id is not None:
        return {"sent": _settle(rows, "sent", at=at, channel=Letter.Channel.PORTAL)}
    failed = _settle(rows, "failed", at=at, error="no_address")
    _unreachable(rows, at)
    return {"failed": failed}


def _by_mail(person: Person, address: str, rows: Sequence[Letter], at: datetime) -> dict[str, int]:
    link, code = links.link_make(person=person, at=at)
    days = [row.request.sign_by for row in rows if row.request is not None]
    text = rules.text(
        rows[-1].kind,
        count=len({row.request_id for row in rows if row.request_id}),
        day=timezone.localdate(min(days)).isoformat() if days else "",
        address=settings.PUBLIC_URL,
        link=link,
        code=code,
    )
    message = EmailMessage(text.subject, text.body, settings.DEFAULT_FROM_EMAIL, [address])
    try:
        get_connection().send_messages([message])
    except smtplib.SMTPRecipientsRefused:
        failed = _settle(rows, "failed", at=at, error="rejected")
        _unreachable(rows, at)
        return {"failed": failed}
    except (OSError, smtplib.SMTPException) as error:
        # The address stays out of the application's log.
        logger.warning("mail to %s not handed over: %s", person.id, type(error).__name__)
        return _put_off(rows, at)
    return {"sent": _settle(rows, "sent", at=at)}


def _put_off(rows: Sequence[Letter], at: datetime) -> dict[str, int]:
    gone = [row for row in rows if row.attempts + 1 >= rules.MAX_ATTEMPTS]
    for row in rows:
        row.attempts += 1
        row.send_after = rules.not_at_night(rules.retry_at(row.attempts, at))
        row.save(update_fields=["attempts", "send_after"])
    failed = _settle(gone, "failed", at=at, error="undeliverable")
    _unreachable(gone, at)
    return {"failed": failed, "queued": len(rows) - failed}


def _settle(
    rows: Sequence[Letter],
    state: str,
    *,
    at: datetime,
    error: str = "",
    channel: str = Letter.Channel.EMAIL,
) -> int:
    found = Letter.objects.filter(id__in=[row.id for row in rows], state=Letter.State.QUEUED)
    return found.update(state=state, error=error, channel=channel, done_at=at)


def _unreachable(rows: Sequence[Letter], at: datetime) -> None:
    for row in rows:
        if row.lane is not None:
            answers.lane_unreachable(lane=row.lane, at=at)
