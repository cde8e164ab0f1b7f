"""The Celery runner: a message wakes a worker on a GPU machine that listens to the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celery import current_app
from kombu.exceptions import OperationalError

from training.runners import NotWoken, Waiting

QUEUE: Final = "gpu"
NUDGE: Final = "training.nudge_worker"
# The sweep sends one every few seconds while something waits; what a busy worker never took must
# not pile up for hours.
LIFE_S: Final = 600


class ByQueue:
    """Sends one nudge without arguments, whatever waits: its taker works until nothing does."""

    def wake(self, waiting: Sequence[Waiting]) -> int:
        """Send it, when something waits."""
        if not waiting:
            return 0
        try:
            current_app.send_task(NUDGE, queue=QUEUE, expires=LIFE_S, ignore_result=True)
        except OperationalError as error:
            raise NotWoken(f"broker: {error}") from error
        return 1
