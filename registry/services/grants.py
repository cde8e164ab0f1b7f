"""How a grant changes state: by compare-and-set, with its tokens, in one transaction with the log.

Between stages 2 and 4. Every function locks the request's row first, the grant's after it and its
tokens last, so that a withdrawal never waits in a circle with a redemption, or with the requester
who seals new pictures or queues a run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import transaction
from django.utils import timezone

from registry.core import cases as rules
from registry.core import holds, status_list
from registry.core.grants import Grant as CoreGrant
from registry.log.append import append
from registry.models import Grant, GrantHold, Person, Token, TrainingRequest
from registry.services import lanes

# What the tokens of a grant say once it is in a state. 3, withdrawn, wins over everything.
TOKEN_STATUS: Final = {
    "returned": status_list.REVOKED,
    "active": status_list.VALID,
    "paused": status_list.PAUSED,
    "refused": status_list.REVOKED,
    "revoked": status_list.REVOKED,
    "superseded": status_list.REVOKED,
    "expired": status_list.REVOKED,
    "closed_out": status_list.REVOKED,
    "withdrawn": status_list.WITHDRAWN,
}


def lock(grant_id: str) -> Grant:
    """The grant's row and its request's, locked until the transaction ends.

    Raises `Grant.DoesNotExist`.
    """
    request_id = Grant.objects.values_list("request_id", flat=True).get(id=grant_id)
    TrainingRequest.objects.select_for_update(no_key=True).get(id=request_id)
    return Grant.objects.select_for_update(of=("self",)).select_related("request").get(id=grant_id)


def move(grant: Grant, state: str, *, at: datetime) -> bool:
    """Set the state if the rules allow it from the present one; tokens and open lanes follow.

    Returns False, having changed nothing, when they do not or somebody was faster.
    """
    if not rules.may_move(rules.GRANT_STATES, grant.state, state):
        return False
    ended = None if rules.GRANT_STATES[state] else at
    rows = Grant.objects.filter(id=grant.id, state=grant.state)
    if rows.update(state=state, ended_at=ended) != 1:
        return False
    grant.state, grant.ended_at = state, ended
    _follow(grant)
    if ended is not None:
        lanes.close(grant, at=at)
    return True


def _follow(grant: Grant) -> None:
    """Pausing and resuming touch only tokens that hold or are paused; an end touches all."""
    tokens = Token.objects.filter(grant=grant).exclude(status=status_list.WITHDRAWN)
    if grant.state in rules.LIVE_GRANT:
        tokens = tokens.exclude(status=status_list.REVOKED)
    tokens.update(status=TOKEN_STATUS[grant.state])


def request_move(request: TrainingRequest, state: str) -> bool:
    """Set a request's state by compare-and-set."""
    if not rules.may_move(rules.REQUEST_STATES, request.state, state):
        return False
    rows = TrainingRequest.objects.filter(id=request.id, state=request.state)
    if rows.update(state=state, updated_at=timezone.now()) != 1:
        return False
    request.state = state
    return True


def log_end(grant: Grant, *, at: datetime) -> str:
    """Tell the log how a grant ended."""
    return append(
        "grant.ended",
        {"grant_id": grant.id, "grant_digest": grant.digest, "state": grant.state},
        at=at,
    )


@transaction.atomic
def grant_pause(*, grant_id: str, reason: str, at: datetime, ref: str = "") -> bool:
    """Hold a grant for a cause: its tokens are suspended, running jobs stop.

    `reason` is a word of `registry.core.holds`, `ref` the id of what caused it. A paused grant
    takes further causes, also of the same word: what lifts one does not lift the other. False,
    having changed nothing, when it neither holds nor is paused, or is held for this already.
    Raises `ValueError` for an unknown word.
    """
    if reason not in holds.REASONS:
        raise ValueError(f"not a reason to pause: {reason}")
    grant = lock(grant_id)
    open_ = GrantHold.objects.filter(grant=grant, lifted_at=None)
    if open_.filter(reason=reason, ref=ref).exists():
        return False
    if grant.state != "paused" and not move(grant, "paused", at=at):
        return False
    GrantHold.objects.create(grant=grant, reason=reason, ref=ref, placed_at=at)
    append("grant.paused", {**_named(grant), "reason": reason}, at=at)
    return True


@transaction.atomic
def grant_resume(
    *, grant_id: str, reason: str, by: Person | None, at: datetime, ref: str | None = None
) -> bool:
    """Lift one cause; the grant holds again when it was the last. Always somebody's decision.

    The caller has made sure that the cause is gone. Without `ref` every cause of this word is. `by`
    is None for an operator without a person of the registry. False, having changed nothing, when
    the grant is not held for this.
    """
    grant = lock(grant_id)
    open_ = GrantHold.objects.filter(grant=grant, lifted_at=None)
    these = open_.filter(reason=reason) if ref is None else open_.filter(reason=reason, ref=ref)
    if grant.state != "paused" or these.update(lifted_at=at, lifted_by=by) == 0:
        return False
    if not open_.exists() and not move(grant, "active", at=at):
        raise RuntimeError(f"grant {grant.id} changed under its lock")
    append("grant.resumed", {**_named(grant), "reason": reason, "state": grant.state}, at=at)
    return True


def _named(grant: Grant) -> dict[str, str]:
    return {"grant_id": grant.id, "grant_digest": grant.digest}


@transaction.atomic
def grant_revoke(*, grant: Grant, at: datetime | None = None) -> bool:
    """End a grant for cause: a breach, a forged declaration."""
    at = at or timezone.now()
    row = lock(grant.id)
    if not move(row, "revoked", at=at):
        return False
    request_move(row.request, "closed")
    log_end(row, at=at)
    return True


def grants_expire(*, at: datetime | None = None) -> list[str]:
    """End every grant whose term, or whose time to sign, is over; returns their ids."""
    at = at or timezone.now()
    live = Grant.objects.filter(state__in=rules.LIVE_GRANT).select_related("request")
    return [grant.id for grant in live if _is_over(grant, at) and _expire(grant.id, at)]


def _is_over(grant: Grant, at: datetime) -> bool:
    unsigned = grant.state in ("asking", "returned") and at >= grant.request.sign_by
    return unsigned or at >= CoreGrant.from_payload(grant.payload).terms.ends_at()


@transaction.atomic
def _expire(grant_id: str, at: datetime) -> bool:
    grant = lock(grant_id)
    if not _is_over(grant, at) or not move(grant, "expired", at=at):
        return False
    request_move(grant.request, "closed")
    log_end(grant, at=at)
    return True
