"""Celery's part: wake somebody. A message carries an id at most, and the row decides.

A message that is forged, doubled, late or lost does no harm: the agent finds no job or a held lock,
sealing twice gives the same LoRA, and the sweep finds whatever a lost message left.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from registry.core import dpop
from registry.core.ids import is_id
from registry.core.refusals import Refusal
from registry.models import SeenProof
from training.models import TrainingJob
from training.services import drift, jobs, sealing
from training.worker import agent
from training.worker.client import Unreachable

log = logging.getLogger(__name__)
GPU_QUEUE = "gpu"


def local_worker() -> agent.Config:
    """The worker on this machine, as `manage.py enrol_worker` set it up."""
    home = Path(settings.WORKER_DIR)
    return agent.Config(
        registry_url=settings.PUBLIC_URL,
        keys_dir=home / "keys",
        work_dir=home / "jobs",
        trust=home / "trust.json",
        bases=tuple(settings.BASES_DIR),
    )


@shared_task(name="training.nudge_worker", ignore_result=True)
def nudge_worker() -> str:
    """Let this machine's worker take jobs until none waits."""
    outcome = "nothing"
    while True:
        try:
            done = agent.run_once(local_worker())
        except Unreachable as error:
            log.warning("registry unreachable: %s", error)
            return "registry_unreachable"
        if done is None:
            return outcome
        if isinstance(done, Refusal):
            log.warning("claim refused: %s", done.code)
            return done.code
        outcome = done.code or done.state
        log.info("job %s: %s", done.job_id, outcome)


def wake_worker() -> None:
    """Nudge the workers of this registry's own machines; others look by themselves."""
    nudge_worker.apply_async(queue=GPU_QUEUE)


def wake_sealer(job_id: str) -> None:
    """Have a finished job sealed soon; the sweep does it otherwise."""
    seal_lora.delay(job_id)


@shared_task(name="training.seal_lora", ignore_result=True)
def seal_lora(job_id: str) -> str:
    """Seal what a finished job made."""
    job = TrainingJob.objects.filter(pk=job_id).first() if is_id(job_id, "job") else None
    if job is None:
        return "unknown"
    sealed = sealing.lora_seal(job=job)
    return sealed.code if isinstance(sealed, Refusal) else sealed.pk


@shared_task(name="training.sweep", ignore_result=True)
def sweep() -> dict[str, int]:
    """Reap silent workers, freeze what lost its grant, seal and wake what a lost message left."""
    outcomes = jobs.sweep_leases()
    outcomes["frozen"] = sealing.lora_freeze_sweep() + drift.lora_licence_sweep()
    # A proof older than this is refused by its time alone, so its id need not be remembered.
    forgotten = timezone.now() - timedelta(seconds=3 * dpop.MAX_SKEW_S)
    SeenProof.objects.filter(seen_at__lt=forgotten).delete()
    for job in TrainingJob.objects.filter(state=TrainingJob.State.FINALISING):
        wake_sealer(job.pk)
    if TrainingJob.objects.filter(state=TrainingJob.State.QUEUED).exists():
        wake_worker()
    return outcomes
