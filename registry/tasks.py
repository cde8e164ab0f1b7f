"""Celery's part in the registry: what happens because time passes. The rows decide, as ever."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from registry.log import timestamps
from registry.services import drift, grants, letters, mailing, sweep, throttle


@shared_task(name="registry.authority_sweep", ignore_result=True)
def authority_sweep() -> None:
    """Pause what no longer rests on anybody's authority, and carry out what has come due."""
    sweep.authority_sweep()


@shared_task(name="registry.expire_grants", ignore_result=True)
def expire_grants() -> None:
    """End the grants whose term is over."""
    grants.grants_expire()


@shared_task(name="registry.stamp_log", ignore_result=True)
def stamp_log() -> None:
    """Have the log's newest checkpoint time-stamped, once a day."""
    timestamps.stamp(at=timezone.now())


@shared_task(name="registry.licence_sweep", ignore_result=True)
def licence_sweep() -> None:
    """Hold the grants that their base model's licence no longer covers."""
    drift.licence_sweep()


@shared_task(name="registry.send_letters", ignore_result=True)
def send_letters() -> None:
    """Queue the reminders that are due, then send what is due."""
    letters.reminders_queue()
    mailing.letters_send()


@shared_task(name="registry.sweep_throttles", ignore_result=True)
def sweep_throttles() -> None:
    """Delete the counters whose window is over."""
    throttle.sweep(at=timezone.now())
