"""The lease: may the next step be taken? Fed by the agent's lines, asked between any two steps.

Trusts signed status lists and its own monotonic clock. The wall clock is read once per list, to
learn its age; after that no change of the wall clock can make a list young again. Silence is never
consent: without a fresh list the answer turns into `status_stale` by itself.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any, Final

from registry.core import refusals, status_list
from registry.core.trust import TrustRoot
from registry.log.core.errors import Error, VerificationError

MAX_LINE: Final = 1_000_000


class Stopped(Error):
    """The run must end now and leave nothing; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Interrupted(Error):
    """The machine asks for the run to pause: write a checkpoint, resume later."""


class TrainingFailed(Error):
    """The run cannot succeed (for instance, its loss is not a number)."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Lease:
    """One run's permission to go on. Thread safe: the feed writes, the training loop reads."""

    def __init__(
        self,
        trust: TrustRoot,
        *,
        uri: str,
        index: int,
        ends_at: datetime,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._trust, self._uri, self._index = trust, uri, index
        self._monotonic, self._now = monotonic, now
        self._lock = threading.Lock()
        self._stop: str | None = None
        self._issued: datetime | None = None
        self._fresh_until = float("-inf")
        self._ends = monotonic() + (ends_at - now()).total_seconds()
        self.closed = threading.Event()

    def renew(self, status_token: str) -> bool:
        """Take a newer list; `False` for one that does not verify or is not newer.

        A bad list is not an order to stop, or anybody could stop a run; it just does not renew, so
        the lease runs out. A list that says "no" is final, whatever comes later.
        """
        at = self._now()
        try:
            listed = status_list.verify(status_token, self._trust, uri=self._uri, at=at)
        except VerificationError:
            return False
        with self._lock:
            if self._issued is not None and listed.issued_at <= self._issued:
                return False
            age = max(0.0, (at - listed.issued_at).total_seconds())
            self._issued = listed.issued_at
            self._fresh_until = self._monotonic() + self._trust.status_max_age_s - age
            self._stop = self._stop or listed.code(self._index)
        return True

    def stop(self, code: str) -> None:
        """Stop with `code`; the first reason stays. An unknown word counts as `worker_stopped`."""
        known = code.partition(":")[0] in refusals.CODES
        with self._lock:
            self._stop = self._stop or (code if known else "worker_stopped")

    def code(self) -> str | None:
        """Why the next step may not be taken; `None` when it may.

        (1) a stop was ordered or a list said no; (2) the run's or the grant's time is over;
        (3) the newest list is too old.
        """
        with self._lock:
            # (1)
            if self._stop is not None:
                return self._stop
            at = self._monotonic()
            # (2)
            if at >= self._ends:
                return "expired"
            # (3)
            return "status_stale" if at >= self._fresh_until else None


def lines(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a line stream until its end. Raises `ValueError` for anything else."""
    while True:
        line = stream.readline(MAX_LINE)
        if not line:
            return
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError("a JSON object per line")
        yield value


def follow(stream: IO[bytes], lease: Lease) -> None:
    """Feed the lease from the agent's lines; its end, or nonsense on it, stops the run."""
    try:
        for message in lines(stream):
            if "stop" in message:
                lease.stop(str(message["stop"]))
            if isinstance(message.get("status_list"), str):
                lease.renew(message["status_list"])
        lease.stop("worker_stopped")
    except (ValueError, OSError):
        lease.stop("malformed")
    finally:
        lease.closed.set()
