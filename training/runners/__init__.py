"""Runners: how a worker comes to look at the queue, behind one interface.

Not a stage. A runner gets somebody to look; it gives nobody a job. Whoever looks claims over HTTP
with a worker's keys, and the row decides. So a runner may be called twice, late or never: a doubled
call wakes one worker for one row, and the sweep calls again for what a lost one left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Waiting:
    """A queued row, as a runner sees it: enough to name a process after, and no authority."""

    job_id: str
    attempt: int


class NotWoken(Exception):
    """Nobody could be woken: broker, cluster or program out of reach. The sweep tries again."""


class Runner(Protocol):
    """One way to have workers look."""

    def wake(self, waiting: Sequence[Waiting]) -> int:
        """Have somebody look for these rows, oldest first; how many were newly woken.

        Raises `NotWoken`.
        """
