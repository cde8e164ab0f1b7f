"""How a run ends: finished, stopped, refused, failed. What a worker says is checked, then kept.

Stage 6. Trusts a worker to have trained (its signed statement says what) and not to say why it was
stopped: the code is the registry's own. After a withdrawal nothing can be handed in any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.core import refusals
from registry.core.refusals import Refusal
from registry.core.vault import unseal
from registry.log import append
from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from registry.models import Grant
from registry.services import keyring, vault
from training.core import provenance, weights
from training.models import TrainingJob, Worker
from training.services.faults import HELD, State, job_end, stop_code
from training.services.gate import facts_of
from training.services.jobs import recipe_of, requeue
from training.services.objects import object_store

_COUNTS = ("files", "bytes", "left")


def master_context(job_id: str) -> str:
    """Bound into the sealed master: one job's cannot be handed in for another's."""
    return f"master/{job_id}"


def run_finished(
    *,
    worker: Worker,
    job: TrainingJob,
    fence: int,
    master: bytes,
    statement: Mapping[str, Any],
    samples: bytes = b"",
    base_samples: bytes = b"",
    at: datetime | None = None,
) -> TrainingJob | Refusal:
    """Take in a finished run: the sealed master and the statement that the worker signed.

    `samples` is the sealed grid of sample pictures, by which outputs are approved, `base_samples`
    the same seeds drawn by the base model alone; kept as they are, opened to be shown and measured.

    (1) the worker still holds the job and it is in training; (2) neither token nor grant was ended;
    (3) the master opens under the data set's key and is a weights file; (4) the statement is signed
    by the worker and about exactly this master, grant, base, pictures and recipe; (5) countersigned
    and kept, `run.finished` logged, in one transaction with (1) and (2).
    """
    at = at or timezone.now()
    with transaction.atomic():
        row = _held(worker, job, fence, at)
        if isinstance(row, Refusal):
            return row
        # (3)
        plain = _opened_master(row, master)
        if isinstance(plain, Refusal):
            return plain
        # (4)
        try:
            digest = weights.tensor_sha256(plain)
            weights.read(plain)
            signed = _check_statement(row, worker, statement, digest)
        except VerificationError as error:
            code = error.code if error.code in refusals.CODES else "malformed"
            return Refusal(code, f"{error.code}: {error.detail}")
        # (5)
        return _finish(
            row, (master, samples, base_samples), digest, _countersigned(statement, signed), at
        )


def _held(worker: Worker, job: TrainingJob, fence: int, at: datetime) -> TrainingJob | Refusal:
    # The grant's row is locked as well: a withdrawal happens before this or after, never during.
    grant = Grant.objects.select_for_update().get(pk=job.grant_id)
    row = (
        TrainingJob.objects.select_for_update(of=("self",))
        .select_related("request__base_model", "dataset")
        .filter(pk=job.pk, worker=worker, fence=fence, state=State.TRAINING)
        .first()
    )
    # (1)
    if row is None:
        return Refusal("lease_lost", job.pk)
    row.grant = grant
    # (2)
    code = stop_code(row, at)
    return row if code is None else Refusal(code, job.pk)


def _opened_master(job: TrainingJob, master: bytes) -> bytes | Refusal:
    key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
    if isinstance(key, Refusal):
        return key
    try:
        return unseal(master, key, context=master_context(job.pk))
    except VerificationError as error:
        return Refusal(error.code, error.detail)


def _check_statement(
    job: TrainingJob, worker: Worker, statement: Mapping[str, Any], digest: str
) -> bytes:
    """The payload of the envelope, when the worker signed it and it tells what the rows tell."""
    payload = envelope.verify(
        statement,
        {worker.jkt: bytes(worker.public_raw)},
        payload_type=provenance.PAYLOAD_TYPE,
        threshold=1,
    )
    # One signature, the worker's: what nobody checks would go into evidence packs for ever.
    if [row["keyid"] for row in statement["signatures"]] != [worker.jkt]:
        raise VerificationError("malformed", "signatures beside the worker's")
    body = canonical.loads(payload)
    facts = facts_of(job)
    if isinstance(facts, Refusal):
        raise VerificationError(facts.code, facts.detail)
    told = provenance.verify_statement(body, build_type=provenance.RUN, subject_sha256=digest)
    run = body["predicate"]["runDetails"]
    recipe = canonical.dumps(recipe_of(job.request))
    same = (
        told.grant_digest == job.grant.digest
        and told.dependencies["base-model"] == facts.base_sha256
        and told.dependencies["dataset-root"] == facts.dataset_root
        and canonical.dumps(told.parameters.get("recipe")) == recipe
        and run["metadata"]["invocationId"] == job.pk
        and run["builder"]["id"] == f"urn:kyodaku:worker:{worker.pk}"
    )
    if not same:
        raise VerificationError("malformed", "the statement is about another run")
    return payload


def _countersigned(statement: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """The worker's own signature first, the registry's beside it."""
    ours = envelope.sign(provenance.PAYLOAD_TYPE, payload, [keyring.provenance_signer()])
    return {**ours, "signatures": [*statement["signatures"], *ours["signatures"]]}


def _finish(
    job: TrainingJob,
    made: tuple[bytes, bytes, bytes],
    digest: str,
    statement: dict[str, Any],
    at: datetime,
) -> TrainingJob:
    master, samples, base_samples = made
    data = {
        "job_id": job.pk,
        "worker_id": job.worker_id,
        "tensor_sha256": digest,
        "run_statement_sha256": statement_sha256(statement),
    }
    event = append.append("run.finished", data, at=at)
    job.state, job.finished_at, job.ended_event = State.FINALISING, at, event
    job.step, job.lease_until = job.steps_total, None
    job.result = {
        "master_object": object_store(master),
        "tensor_sha256": digest,
        "run_statement": statement,
        "samples_object": object_store(samples) if samples else "",
        "base_samples_object": object_store(base_samples) if base_samples else "",
    }
    job.save()
    return job


def statement_sha256(statement: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a statement's signed payload: how log entries and deliveries name it."""
    return hashlib.sha256(canonical.unb64(statement["payload"])).hexdigest()


def run_stopped(
    *,
    worker: Worker,
    job: TrainingJob,
    fence: int,
    report: Mapping[str, Any],
    at: datetime | None = None,
) -> TrainingJob | Refusal:
    """A worker says that it stopped and wiped. `lease_lost` when it does not hold the job.

    With no reason on this side the worker stopped by itself (its machine, its clock, its network);
    the job is then queued again while attempts are left.
    """
    at = at or timezone.now()
    with transaction.atomic():
        row = _reported(worker, job, fence)
        if isinstance(row, Refusal):
            return row
        code = stop_code(row, at)
        kept = _report(report)
        if code is None and requeue(row):
            append.append("run.failed", _failed_data(row, "worker_stopped", again=True), at=at)
        else:
            stopped = Refusal(code or "worker_stopped", "wiped")
            job_end(row, State.STOPPED, stopped, at=at, out_of=HELD, report=kept)
        row.refresh_from_db()
    return row


def _report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Counts only, whatever was sent: nothing of a worker's words goes into the log."""
    wiped = report.get("wiped")
    counts = {name: _count(wiped.get(name)) for name in _COUNTS} if isinstance(wiped, dict) else {}
    return {"step": _count(report.get("step")), "wiped": counts}


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**53 else 0


def run_refused(
    *,
    worker: Worker,
    job: TrainingJob,
    fence: int,
    code: str,
    detail: str = "",
    at: datetime | None = None,
) -> TrainingJob | Refusal:
    """The worker's trainer refused what it was given; its code is kept when it is one of ours."""
    return _ended_by_worker(worker, job, fence, State.REFUSED, Refusal(code, detail), at)


def run_failed(
    *,
    worker: Worker,
    job: TrainingJob,
    fence: int,
    code: str,
    detail: str = "",
    at: datetime | None = None,
) -> TrainingJob | Refusal:
    """The run broke. `worker_stopped` is tried again while attempts are left; the rest is not."""
    at = at or timezone.now()
    with transaction.atomic():
        row = _reported(worker, job, fence)
        if isinstance(row, Refusal):
            return row
        if code == "worker_stopped" and stop_code(row, at) is None and requeue(row):
            append.append("run.failed", _failed_data(row, code, again=True), at=at)
            row.refresh_from_db()
            return row
    return _ended_by_worker(worker, job, fence, State.FAILED, Refusal(code, detail), at)


def _failed_data(row: TrainingJob, code: str, *, again: bool) -> dict[str, Any]:
    return {"job_id": row.pk, "code": code, "attempt": row.attempt, "again": again}


def _ended_by_worker(
    worker: Worker,
    job: TrainingJob,
    fence: int,
    state: TrainingJob.State,
    refusal: Refusal,
    at: datetime | None,
) -> TrainingJob | Refusal:
    at = at or timezone.now()
    with transaction.atomic():
        row = _reported(worker, job, fence)
        if isinstance(row, Refusal):
            return row
        code = stop_code(row, at)
        if code is not None and state != State.REFUSED:
            state, refusal = State.STOPPED, Refusal(code, refusal.detail)
        job_end(row, state, refusal, at=at, out_of=HELD)
    return row


def _reported(worker: Worker, job: TrainingJob, fence: int) -> TrainingJob | Refusal:
    row = (
        TrainingJob.objects.select_for_update(of=("self",))
        .filter(pk=job.pk, worker=worker, fence=fence, state__in=HELD)
        .first()
    )
    return row if row is not None else Refusal("lease_lost", job.pk)
