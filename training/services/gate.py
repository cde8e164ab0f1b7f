"""The gate as the registry keeps it: no redeemed token, no data key; no data key, no pixels.

Stages 4 and 6. Trusts the database for what is queued and the token for nothing that does not
verify. The worker's trainer checks everything again by itself; what only this side can do is spend
the token once and release the key to one worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log import append
from registry.log.append import timestamp
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.services import keyring, tokens, vault
from training.core import curation, gate
from training.core.gate import Admission, Facts
from training.models import JobPoint, TrainingJob, Worker
from training.services.datasets import dataset_manifest
from training.services.faults import HELD, State, job_end, stop_code
from training.services.jobs import audience_of, run_of
from training.services.objects import object_exists

MAX_POINTS = 500


@dataclass(frozen=True)
class Release:
    """What a redeemed token gives: the data key, sealed to the worker, and a fresh status list."""

    sealed_key: bytes = field(repr=False)
    status_list: str = field(repr=False)
    lease_until: datetime
    admission: Admission


@dataclass(frozen=True)
class Lease:
    """The answer to a renewal. With a `stop_code` the worker must stop within one step."""

    status_list: str = field(repr=False)
    lease_until: datetime
    stop_code: str | None


def redeem(
    *, worker: Worker, job: TrainingJob, token: str, fence: int, at: datetime | None = None
) -> Release | Refusal:
    """Spend a token and release the data key to the worker that holds the job.

    (1) the worker holds the job, with this fence; (2) the token verifies whole, for this pool, this
    job and this worker's key, against a status list made now; (3) the gate: its pictures, report,
    base and recipe are the job's own, recomputed; (4) every object is there; (5) the token is spent
    in one statement, which nobody can do twice; (6) the key still exists; (7) the job moves from
    claimed to training, and `run.admitted` is logged, in the same transaction.
    """
    at = at or timezone.now()
    # (1)
    held = _held(worker, job, fence)
    if isinstance(held, Refusal):
        return held
    listed = tokens.status_list_issue(at=at)
    # (2) (3) (4)
    admitted = _admitted(worker, held, token, listed, at)
    if isinstance(admitted, Refusal):
        return _refused(held, admitted, at)
    # (5) (6) (7)
    released = _spend(worker, held, token, admitted, listed, at)
    # A crash here, after the commit: the token is spent and the run counts, but no key went out.
    return _refused(held, released, at) if isinstance(released, Refusal) else released


def _held(worker: Worker, job: TrainingJob, fence: int) -> TrainingJob | Refusal:
    row = TrainingJob.objects.select_related("request", "grant", "dataset").get(pk=job.pk)
    # Not its state: a token that is shown again for a run under way is told that it was spent.
    if row.worker_id != worker.pk or row.fence != fence:
        return Refusal("lease_lost", row.pk)
    return row


def _admitted(
    worker: Worker, job: TrainingJob, token: str, listed: str, at: datetime
) -> Admission | Refusal:
    facts = facts_of(job)
    if isinstance(facts, Refusal):
        return facts
    try:
        return gate.admit(
            token,
            facts,
            trust=keyring.trust_root(),
            audience=audience_of(worker),
            jkt=worker.jkt,
            status_token=listed,
            at=at,
        )
    except VerificationError as error:
        return Refusal(error.code, error.detail)


def facts_of(job: TrainingJob) -> Facts | Refusal:
    """What the job would really use, recomputed from its rows; objects must be there."""
    try:
        manifest = dataset_manifest(job.dataset)
        run = run_of(job.request)
    except ValueError as error:
        return Refusal("dataset_mismatch", str(error))
    missing = [item.object for item in manifest.items if not object_exists(item.object)]
    if missing:
        return Refusal("image_unavailable", missing[0])
    report: Mapping[str, Any] = job.dataset.curation or {}
    return Facts(
        job_id=job.pk,
        base_sha256=job.request.base_model.sha256,
        dataset_root=manifest.root(),
        dataset_count=manifest.count,
        curation_digest=canonical.digest(curation.FORMAT, report).hex(),
        run=run,
    )


class _Lost(Exception):
    """Rolls a redemption back, so that a refused one spends nothing."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def _spend(
    worker: Worker,
    job: TrainingJob,
    token: str,
    admitted: Admission,
    listed: str,
    at: datetime,
) -> Release | Refusal:
    try:
        with transaction.atomic():
            return _spent(worker, job, token, admitted, listed, at)
    except _Lost as lost:
        return lost.refusal


def _spent(
    worker: Worker,
    job: TrainingJob,
    token: str,
    admitted: Admission,
    listed: str,
    at: datetime,
) -> Release:
    # (5)
    redeemed = tokens.token_redeem(jti=admitted.jti, jkt=worker.jkt, at=at)
    if isinstance(redeemed, Refusal):
        raise _Lost(redeemed)
    # (6)
    key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
    if isinstance(key, Refusal):
        raise _Lost(key)
    # (7)
    until = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
    event = append.append("run.admitted", _admitted_data(worker, job, admitted), at=at)
    changed = TrainingJob.objects.filter(
        pk=job.pk, worker=worker, fence=job.fence, state=State.CLAIMED
    ).update(
        state=State.TRAINING,
        token_jti=admitted.jti,
        lease_until=until,
        admission={"token": token, "status_list": listed, "at": timestamp(at)},
        admitted_event=event,
    )
    if not changed:
        raise _Lost(Refusal("lease_lost", job.pk))
    sealed = vault_core.release(
        key, bytes(worker.hpke_public), jti=admitted.jti, grant_digest=admitted.grant_digest
    )
    return Release(sealed, listed, until, admitted)


def _admitted_data(worker: Worker, job: TrainingJob, admitted: Admission) -> dict[str, Any]:
    return {
        "job_id": job.pk,
        "worker_id": worker.pk,
        "jti": admitted.jti,
        "grant_digest": admitted.grant_digest,
        "dataset_root": admitted.dataset_root,
        "base_sha256": admitted.base_sha256,
    }


def _refused(job: TrainingJob, refusal: Refusal, at: datetime) -> Refusal:
    """A run that never began ends here; one that is under way is not touched by a second try."""
    if refusal.code != "lease_lost":
        with transaction.atomic():
            job_end(job, State.REFUSED, refusal, at=at, out_of=(State.CLAIMED,), fence=job.fence)
    return refusal


def lease_renew(
    *,
    worker: Worker,
    job: TrainingJob,
    fence: int,
    step: int = 0,
    points: list[tuple[int, float]] | None = None,
    at: datetime | None = None,
) -> Lease | Refusal:
    """Extend a lease and say whether the run may go on.

    `lease_lost` for another worker, an older fence, or a job that is over: stop and wipe. Progress
    is kept for the page; `run.started` is logged with the first step.
    """
    at = at or timezone.now()
    with transaction.atomic():
        held = TrainingJob.objects.select_for_update().filter(
            pk=job.pk, worker=worker, fence=fence, state__in=HELD
        )
        row = held.first()
        if row is None:
            return Refusal("lease_lost", job.pk)
        code = stop_code(row, at)
        row.lease_until = at + timedelta(seconds=settings.LEASE_SECONDS)
        row.stop_code = code or row.stop_code
        if row.state == State.TRAINING:
            _progress(row, step, points or [], at)
        row.save()
    # After the commit of whatever withdrew it, so that the list says what the code says.
    return Lease(tokens.status_list_issue(at=at), row.lease_until, code)


def _progress(row: TrainingJob, step: int, points: list[tuple[int, float]], at: datetime) -> None:
    row.step = max(row.step, min(step, row.steps_total))
    if step > 0 and row.started_at is None:
        row.started_at = at
        append.append("run.started", {"job_id": row.pk, "worker_id": row.worker_id}, at=at)
    fresh = [
        JobPoint(job=row, step=number, loss=loss)
        for number, loss in points[:MAX_POINTS]
        if 0 < number <= row.steps_total
    ]
    JobPoint.objects.bulk_create(fresh, ignore_conflicts=True)
