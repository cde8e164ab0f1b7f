"""Ending a job that must not go on: one compare-and-set, one log entry, whoever asks for it.

Serves stages 4 and 6. A job ends once: whoever loses the race changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from registry.core import grants as grants_core
from registry.core import refusals, status_list
from registry.core.refusals import Refusal
from registry.log import append
from registry.models import Grant, Token
from training.models import TrainingJob

State = TrainingJob.State
LIVE = (State.QUEUED, State.CLAIMED, State.TRAINING, State.FINALISING)
HELD = (State.CLAIMED, State.TRAINING)
_TOKEN_CODES = {
    status_list.REVOKED: "revoked",
    status_list.PAUSED: "paused",
    status_list.WITHDRAWN: "withdrawn",
}
_GRANT_CODES = {
    "withdrawn": "withdrawn",
    "paused": "paused",
    "expired": "expired",
    "superseded": "approval_replaced",
    "revoked": "revoked",
    "refused": "approval_refused",
    "closed_out": "expired",
}
_EVENTS = {
    State.REFUSED: "run.refused",
    State.STOPPED: "run.stopped",
    State.FAILED: "run.failed",
}


def grant_code(grant: Grant, at: datetime) -> str | None:
    """Why nothing may be done under this grant at `at`; `None` when it holds."""
    if grant.state != "active":
        return _GRANT_CODES.get(grant.state, "revoked")
    return "expired" if at >= ends_at(grant) else None


def ends_at(grant: Grant) -> datetime:
    """The end of the grant's term."""
    return grants_core.Grant.from_payload(grant.payload).terms.ends_at()


def stop_code(job: TrainingJob, at: datetime) -> str | None:
    """Why this job must stop: its token's status, its grant's state and term, or an order."""
    token = Token.objects.filter(pk=job.token_jti).first()
    if token is not None and token.status != status_list.VALID:
        return _TOKEN_CODES[token.status]
    grant = Grant.objects.get(pk=job.grant_id)
    return grant_code(grant, at) or job.stop_code or None


def _is_code(code: str) -> bool:
    """A code of the catalogue, with a capacity after the colon at most: a worker may have sent it,
    and nothing of a worker's words goes into the log."""
    kind, _, party = code.partition(":")
    return kind in refusals.CODES and (not party or party in grants_core.CAPACITIES)


def job_end(
    job: TrainingJob,
    state: State,
    refusal: Refusal,
    *,
    at: datetime,
    out_of: Sequence[str],
    fence: int | None = None,
    report: Mapping[str, Any] | None = None,
) -> bool:
    """Move a job into `refused`, `stopped` or `failed`; `False` when it was not in `out_of`.

    Call it inside `transaction.atomic`. The log entry holds ids, the code and counts only.
    """
    code = refusal.code if _is_code(refusal.code) else "training_failed"
    found = TrainingJob.objects.filter(pk=job.pk, state__in=out_of)
    if fence is not None:
        found = found.filter(fence=fence)
    changed = found.update(
        state=state,
        refusal_code=code,
        reason=refusal.detail[:300],
        stop_report=None if report is None else dict(report),
        lease_until=None,
        finished_at=at,
    )
    if not changed:
        return False
    data = {"job_id": job.pk, "code": code, "attempt": job.attempt, **(report or {})}
    event = append.append(_EVENTS[state], data, at=at)
    TrainingJob.objects.filter(pk=job.pk).update(ended_event=event)
    job.refresh_from_db()
    return True
