"""A paused grant goes on: everybody who speaks for the talent today confirms it with a key.

Between stages 2 and 4. Never automatic: that a cause is gone lets people confirm and does nothing
else. What is signed names the grant and what it was paused for; a session alone resumes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import authority as rules
from registry.core.approvals import Approval
from registry.core.parties import Speaker
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.models import Challenge, Confirmation, Grant, GrantHold, Person
from registry.services import assertions, grants
from registry.services.conflicts import conflict
from registry.services.parties import challenge_take

CONFIRM_WITHIN: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Voice:
    """Somebody who must confirm, and whether they have."""

    subject: str
    by: str
    authority: str
    person_id: str
    agency_id: str
    confirmed: bool


def voices(grant: Grant, *, at: datetime) -> list[Voice | Refusal]:
    """Who must confirm before the grant goes on, or why nobody can; empty when it needs nobody."""
    holds = _holds(grant)
    if not holds:
        return []
    since = max(hold.placed_at for hold in holds)
    given = {
        # An agency speaks through any of its officers; everybody else for themselves alone: one
        # heir's key is not the other's.
        (row.subject, row.by, row.authority, "" if row.by == "agency_officer" else row.person_id)
        for row in Confirmation.objects.filter(grant=grant, confirmed_at__gte=since)
    }
    return [
        item if isinstance(item, Refusal) else _voice(item.subject, item.speaker, given)
        for item in rules.wanted(selectors.standings_of(grant, jst_day(at)))
    ]


def _voice(subject: str, speaker: Speaker, given: set[tuple[str, str, str, str]]) -> Voice:
    authority = "" if speaker.authority == "self" else speaker.authority
    return Voice(
        subject=subject,
        by=speaker.by,
        authority=authority,
        person_id=speaker.person_id,
        agency_id=speaker.agency_id,
        confirmed=(subject, speaker.by, authority, speaker.person_id) in given,
    )


def _holds(grant: Grant) -> list[GrantHold]:
    open_ = GrantHold.objects.filter(grant=grant, lifted_at=None, reason__in=rules.REASONS)
    return list(open_.order_by("reason", "ref"))


def voices_of(person: Person, grant: Grant, *, at: datetime) -> list[Voice] | Refusal:
    """What this person may still confirm: (1) nothing bars the talents; (2) they speak for somebody
    today; (3) they did not ask for it themselves."""
    found = voices(grant, at=at)
    # (1)
    for item in found:
        if isinstance(item, Refusal):
            return item
    # (2)
    signing = set(selectors.organisations_of(person, "sign").values_list("id", flat=True))
    open_ = [item for item in found if isinstance(item, Voice) and not item.confirmed]
    mine = [item for item in open_ if item.person_id == person.id or item.agency_id in signing]
    if not mine:
        return Refusal("wrong_state", "nothing waits for this person's confirmation")
    # (3)
    for item in mine:
        refusal = conflict(grant.request, person, item.by)
        if refusal is not None:
            return refusal
    return mine


@transaction.atomic
def confirm_begin(
    *, person: Person, grant: Grant, at: datetime | None = None
) -> dict[str, Any] | Refusal:
    """`{challenge_id, options}` for `navigator.credentials.get`, or why not."""
    at = at or timezone.now()
    row = grants.lock(grant.id)
    mine = voices_of(person, row, at=at)
    if isinstance(mine, Refusal):
        return mine
    challenge = Challenge(
        person=person,
        purpose=Challenge.Purpose.CONFIRM,
        grant=row,
        by=mine[0].by,
        expires_at=at + CONFIRM_WITHIN,
    )
    return assertions.asked(challenge, _value(row, challenge), at)


def _value(grant: Grant, challenge: Challenge) -> bytes:
    holds = [(hold.reason, hold.ref) for hold in _holds(grant)]
    return rules.challenge(grant.digest, holds, nonce=challenge.id)


@transaction.atomic
def confirm_finish(
    *, person: Person, challenge_id: str, response: Mapping[str, Any], at: datetime | None = None
) -> Confirmation | Refusal:
    """Verify and store a confirmation; the last one lets the grant go on.

    (1) the challenge is this person's, fresh and unused, and says what holds the grant now; (2) the
    person may still confirm; (3) the assertion verifies, by a key of this person that may sign; (4)
    it is stored with its event; (5) when nobody is missing, every hold of authority is lifted.
    """
    at = at or timezone.now()
    # (1)
    challenge = challenge_take(person, challenge_id, Challenge.Purpose.CONFIRM, at)
    if challenge is None or challenge.grant_id is None:
        return Refusal("challenge_unknown", challenge_id)
    grant = grants.lock(challenge.grant_id)
    if bytes(challenge.value) != _value(grant, challenge):
        return Refusal("challenge_unknown", "something else holds the grant by now")
    # (2)
    mine = voices_of(person, grant, at=at)
    if isinstance(mine, Refusal):
        return mine
    # (3)
    checked = assertions.answered(challenge, response, at, prefix="cnf")
    if isinstance(checked, Refusal):
        return checked
    # (4)
    rows = [_store(grant, person, voice, checked, at) for voice in mine]
    # (5)
    if all(isinstance(item, Voice) and item.confirmed for item in voices(grant, at=at)):
        _go_on(grant, person, at)
    return rows[0]


def _store(
    grant: Grant, person: Person, voice: Voice, assertion: Approval, at: datetime
) -> Confirmation:
    event = append(
        "grant.confirmed",
        {
            "grant_id": grant.id,
            "grant_digest": grant.digest,
            "party_id": person.id,
            "by": voice.by,
            "talent_id": voice.subject,
            "authority": voice.authority,
            "challenge": assertion.grant_digest,
            "assertion_sha256": assertion.digest().hex(),
        },
        at=at,
    )
    return Confirmation.objects.create(
        grant=grant,
        person=person,
        by=voice.by,
        subject=voice.subject,
        authority=voice.authority,
        payload=assertion.to_payload(),
        confirmed_at=at,
        event=event,
    )


def _go_on(grant: Grant, person: Person, at: datetime) -> None:
    """These people stand in the place of the signers from here; only then the holds are lifted."""
    holds = _holds(grant)
    since = max(hold.placed_at for hold in holds)
    Confirmation.objects.filter(
        grant=grant, confirmed_at__gte=since, counted_at__isnull=True
    ).update(counted_at=at)
    for hold in holds:
        done = grants.grant_resume(
            grant_id=grant.id, reason=hold.reason, ref=hold.ref, by=person, at=at
        )
        if not done:
            raise RuntimeError(f"grant {grant.id} changed under its lock")
