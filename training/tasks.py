"""Celery's part: wake somebody. A message carries an id at most, and the row decides.

A message that is forged, doubled, late or lost does no harm: the agent finds no job or a held lock,
sealing twice gives the same LoRA, and the sweep finds whatever a lost message left.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from registry.core import dpop
from registry.core.ids import is_id
from registry.core.refusals import Refusal
from registry.models import SeenProof
from training.core import pods
from training.models import Lora, TrainingJob
from training.runners import NotWoken, Runner, by_pod, by_process, by_queue
from training.services import drift, jobs, probes, sealing, templates
from training.services.engine import engine_open
from training.worker import agent
from training.worker.client import Unreachable

log = logging.getLogger(__name__)


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


# Acknowledged before it runs: a run outlasts every broker's patience (30 minutes in RabbitMQ, an
# hour in Redis), and what a killed worker had begun, its row tells.
@shared_task(name=by_queue.NUDGE, ignore_result=True, acks_late=False)
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


@cache
def runner() -> Runner:
    """How this registry gets workers to look (`KYODAKU_RUNNER`); one as long as we live."""
    if settings.RUNNER == "process":
        return by_process.ByProcess(local_worker(), Path(settings.WORKER_DIR) / "worker.log")
    if settings.RUNNER == "kubernetes":
        return by_pod.ByPod(
            by_pod.Cluster(settings.KUBERNETES_API, Path(settings.KUBERNETES_ACCOUNT)),
            pods.read_pod(Path(str(settings.KUBERNETES_POD)).read_text(encoding="utf-8")),
            registry_url=settings.PUBLIC_URL,
            runtime_s=jobs.MAX_RUNTIME_S,
        )
    return by_queue.ByQueue()


@shared_task(name="training.wake", ignore_result=True)
def wake() -> int:
    """Have the runner get somebody to look, if anything waits. A failure is logged and repeated."""
    try:
        return runner().wake(jobs.waiting())
    except NotWoken as error:
        log.warning("nobody woken, the sweep tries again: %s", error)
        return 0


def wake_worker() -> None:
    """Have somebody look at the queue soon; the sweep does it otherwise.

    Only Celery's own nudge is sent from here: processes and pods are a worker's to start, not the
    web's.
    """
    if settings.RUNNER == "celery":
        wake()
    else:
        _send(wake)


def wake_sealer(job_id: str) -> None:
    """Have a finished job sealed soon; the sweep does it otherwise."""
    _send(seal_lora, job_id)


def _send(task: Any, *args: str) -> None:
    """Send a message that nothing depends on: with the broker away, the sweep finds the row."""
    try:
        task.apply_async(args, expires=by_queue.LIFE_S)
    except OperationalError as error:
        log.warning("not sent, the sweep finds it: %s (%s)", task.name, error)


@shared_task(name="training.seal_lora", ignore_result=True)
def seal_lora(job_id: str) -> str:
    """Seal what a finished job made."""
    job = TrainingJob.objects.filter(pk=job_id).first() if is_id(job_id, "job") else None
    if job is None:
        return "unknown"
    sealed = sealing.lora_seal(job=job)
    if isinstance(sealed, Refusal):
        return sealed.code
    _probe(sealed)
    return sealed.pk


def _probe(lora: Lora) -> None:
    """Measure what it draws. What fails here is tried again by the sweep; nothing is delivered."""
    opened = engine_open()
    found = (
        opened if isinstance(opened, Refusal) else probes.outputs_probe(lora=lora, engine=opened)
    )
    if isinstance(found, Refusal):
        log.warning("outputs of %s not measured: %s %s", lora.pk, found.code, found.detail)


@shared_task(name="training.probe_outputs", ignore_result=True)
def probe_outputs(lora_id: str) -> None:
    """Measure what a sealed LoRA draws, where that was not done at once."""
    lora = Lora.objects.filter(pk=lora_id).first() if is_id(lora_id, "lor") else None
    if lora is not None:
        _probe(lora)


@shared_task(name="training.sweep", ignore_result=True)
def sweep() -> dict[str, int]:
    """Reap silent workers, freeze what lost its grant, seal and wake what a lost message left."""
    outcomes = jobs.sweep_leases()
    outcomes["frozen"] = sealing.lora_freeze_sweep() + drift.lora_licence_sweep()
    # A proof older than this is refused by its time alone, so its id need not be remembered.
    forgotten = timezone.now() - timedelta(seconds=3 * dpop.MAX_SKEW_S)
    SeenProof.objects.filter(seen_at__lt=forgotten).delete()
    outcomes["erased"] = templates.template_erase_sweep()
    for job in TrainingJob.objects.filter(state=TrainingJob.State.FINALISING):
        wake_sealer(job.pk)
    unseen = Lora.objects.filter(state=Lora.State.SEALED, probe=None, job__grant__state="active")
    for lora in unseen:
        _send(probe_outputs, lora.pk)
    wake()
    return outcomes
