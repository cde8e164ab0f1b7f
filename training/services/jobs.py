"""Jobs: queued once the grant holds, claimed by one worker at a time.

Stage 4, first half. The row is the queue and the truth; a message only wakes somebody. A claim is
one compare-and-set that raises the fence, so that whoever held the job before has lost it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.core.tokens import RunRequest
from registry.log import append
from registry.models import Grant, Lane, TrainingRequest
from registry.services import tokens
from training.models import Dataset, TrainingJob, Worker
from training.runners import Waiting
from training.services.faults import HELD, State, grant_code, job_end, stop_code
from training.trainer.config import Recipe

MAX_ATTEMPTS: Final = 3
MAX_RUNTIME_S: Final = 4 * 3600


def waiting() -> list[Waiting]:
    """The rows that wait for a worker, oldest first."""
    rows = TrainingJob.objects.filter(state=State.QUEUED).order_by("created_at")
    return [Waiting(pk, attempt) for pk, attempt in rows.values_list("pk", "attempt")]


def recipe_of(request: TrainingRequest) -> dict[str, Any]:
    """The request's recipe with every knob set. Raises `ValueError` for one out of its range."""
    return Recipe.from_dict(request.recipe).to_dict()


def run_of(request: TrainingRequest) -> RunRequest:
    """The run that a request asks for. Raises `ValueError` for a recipe out of its ranges."""
    recipe = Recipe.from_dict(request.recipe)
    return RunRequest(
        method=recipe.method,
        rank=recipe.rank,
        steps=recipe.steps,
        resolution=recipe.resolution,
        max_runtime_s=MAX_RUNTIME_S,
        output_policy=recipe.output_policy,
    )


def audience_of(worker: Worker) -> str:
    """The `aud` of tokens for this worker: its pool."""
    return f"pool:{worker.pool}"


def job_create(
    *, request: TrainingRequest, at: datetime | None = None
) -> TrainingJob | list[Refusal]:
    """Queue one run under the request's grant.

    (1) the data set is sealed; (2) the grant is made, by everybody; (3) it is about this data set;
    (4) the recipe is one; (5) a run is left beside those already queued. Refusals are logged.
    """
    at = at or timezone.now()
    with transaction.atomic():
        TrainingRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        answer = _create(request, at)
        if isinstance(answer, list):
            codes = sorted({refusal.code for refusal in answer})
            append.append("run.refused", {"request_id": request.pk, "codes": codes}, at=at)
    return answer


def _create(request: TrainingRequest, at: datetime) -> TrainingJob | list[Refusal]:
    # (1)
    dataset = Dataset.objects.filter(request=request, state=Dataset.State.SEALED).first()
    if dataset is None:
        return [Refusal("dataset_open")]
    # (2)
    grant = Grant.objects.filter(request=request).order_by("-created_at").first()
    refusals = _not_made(grant, at)
    if grant is None or refusals:
        return refusals
    # (3)
    if grant.payload["dataset"]["root"] != dataset.root:
        return [Refusal("dataset_mismatch", "the grant is about other pictures")]
    # (4)
    try:
        run = run_of(request)
    except ValueError as error:
        return [Refusal("recipe_exceeds", str(error))]
    # (5)
    waiting = TrainingJob.objects.filter(grant=grant, state__in=(State.QUEUED, State.CLAIMED))
    if grant.runs_used + waiting.count() >= grant.payload["max_runs"]:
        return [Refusal("slots_used", f"{grant.runs_used} used, {waiting.count()} waiting")]
    job = TrainingJob.objects.create(
        request=request, grant=grant, dataset=dataset, steps_total=run.steps
    )
    data = {"job_id": job.pk, "request_id": request.pk, "grant_id": grant.pk}
    job.queued_event = append.append("run.queued", data, at=at)
    job.save(update_fields=["queued_event"])
    return job


def _not_made(grant: Grant | None, at: datetime) -> list[Refusal]:
    """Who has not approved yet, or why the grant does not hold."""
    if grant is None:
        return [Refusal("no_token", "no grant")]
    if grant.state == "asking":
        lanes = grant.lanes.order_by("by")
        codes = {Lane.State.REFUSED: "approval_refused"}
        return [
            Refusal(f"{codes.get(Lane.State(lane.state), 'approval_missing')}:{lane.by}")
            for lane in lanes
            if lane.state != Lane.State.SIGNED
        ] or [Refusal("wrong_state", grant.state)]
    code = grant_code(grant, at)
    return [] if code is None else [Refusal(code)]


def job_claim(
    *, worker: Worker, at: datetime | None = None
) -> tuple[TrainingJob, str] | Refusal | None:
    """Give the oldest waiting job to this worker, with a token for its key and its pool.

    `None` when nothing waits. A refusal to mint ends the job, logged as `run.refused`.
    """
    at = at or timezone.now()
    job = _claimed(worker, at)
    if job is None:
        return None
    # A crash here leaves a claim without a token; its lease runs out and the job is queued again.
    minted = tokens.token_mint(
        grant=job.grant,
        job_id=job.pk,
        jkt=worker.jkt,
        run=run_of(job.request),
        audience=audience_of(worker),
        at=at,
    )
    if isinstance(minted, list):
        _refuse(job, minted[0], at)
        return minted[0]
    # Minting waits for the log; the lease counts from now.
    job.token_jti, job.lease_until = minted.pk, _lease_from(timezone.now())
    TrainingJob.objects.filter(pk=job.pk, fence=job.fence, state=State.CLAIMED).update(
        token_jti=job.token_jti, lease_until=job.lease_until
    )
    return job, minted.text


def _claimed(worker: Worker, at: datetime) -> TrainingJob | None:
    with transaction.atomic():
        job = (
            TrainingJob.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("grant", "request", "dataset")
            .filter(state=State.QUEUED)
            .order_by("created_at")
            .first()
        )
        if job is None:
            return None
        TrainingJob.objects.filter(pk=job.pk, state=State.QUEUED).update(
            state=State.CLAIMED,
            worker=worker,
            fence=F("fence") + 1,
            attempt=F("attempt") + 1,
            lease_until=_lease_from(at),
            token_jti="",
            admission=None,
        )
        job.refresh_from_db()
    return job


def _refuse(job: TrainingJob, refusal: Refusal, at: datetime) -> None:
    with transaction.atomic():
        job_end(job, State.REFUSED, refusal, at=at, out_of=(State.CLAIMED,), fence=job.fence)


def _lease_from(at: datetime) -> datetime:
    return at + timedelta(seconds=settings.LEASE_SECONDS)


def sweep_leases(*, at: datetime | None = None) -> dict[str, int]:
    """Reap jobs whose worker went silent, and queued jobs whose grant ended; counts by outcome.

    A withdrawn job is `stopped` even when its worker never reported; any other is queued again, at
    most `MAX_ATTEMPTS` times in all.
    """
    at = at or timezone.now()
    outcomes = {"requeued": 0, "failed": 0, "stopped": 0, "refused": 0}
    expired = TrainingJob.objects.filter(state__in=HELD, lease_until__lt=at)
    for pk in expired.values_list("pk", flat=True):
        outcome = _reap(pk, at)
        if outcome is not None:
            outcomes[outcome] += 1
    for job in TrainingJob.objects.filter(state=State.QUEUED).select_related("grant"):
        outcomes["refused"] += _refuse_ended(job, at)
    return outcomes


def _reap(pk: str, at: datetime) -> str | None:
    with transaction.atomic():
        job = TrainingJob.objects.select_for_update().get(pk=pk)
        if job.state not in HELD or job.lease_until is None or job.lease_until >= at:
            return None  # it was renewed or ended meanwhile
        code = stop_code(job, at)
        if code is not None:
            job_end(job, State.STOPPED, Refusal(code, "no report"), at=at, out_of=HELD)
            return "stopped"
        if requeue(job):
            return "requeued"
        job_end(job, State.FAILED, Refusal("worker_stopped", "silent"), at=at, out_of=HELD)
        return "failed"


def requeue(job: TrainingJob) -> bool:
    """Put a held job back into the queue; `False` when its attempts are used up."""
    if job.attempt >= MAX_ATTEMPTS:
        return False
    # The fence stays as it is: the next claim raises it, and until then nobody holds the job.
    return bool(
        TrainingJob.objects.filter(pk=job.pk, state__in=HELD, fence=job.fence).update(
            state=State.QUEUED, worker=None, lease_until=None, step=0
        )
    )


def _refuse_ended(job: TrainingJob, at: datetime) -> bool:
    code = grant_code(job.grant, at)
    if code is None:
        return False
    with transaction.atomic():
        return job_end(job, State.REFUSED, Refusal(code), at=at, out_of=(State.QUEUED,))
