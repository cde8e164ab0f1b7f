"""Reading the log: entries, checkpoints and the proofs that connect them.

Proofs are built from tile rows and are not checked here: whoever receives one verifies it, and a
wrong tile can only give a proof that fails.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import QuerySet

from registry.log import models, rows
from registry.log.core import canonical, merkle, subjects, tiles
from registry.log.core.tlog_proof import TlogProof, format_proof

_POLL_SECONDS: Final = 0.02
_CHUNK: Final = 1000


def latest_checkpoint() -> models.Checkpoint | None:
    """Return the newest signed checkpoint, or None while nothing is signed."""
    return models.Checkpoint.objects.exclude(note="").order_by("-size").first()


def entry_by_event(event_id: str) -> models.Entry | None:
    """Return the entry of an event, or None while it waits in the outbox or never was."""
    return models.Entry.objects.filter(event_id=event_id).first()


def unknown_events(event_ids: Sequence[str]) -> set[str]:
    """Return those of these ids that no entry and no waiting event of this database has."""
    unknown = set(event_ids)
    for start in range(0, len(event_ids), _CHUNK):
        some = event_ids[start : start + _CHUNK]
        found = models.Entry.objects.filter(event_id__in=some).values_list("event_id", flat=True)
        unknown.difference_update(found)
    waiting = (canonical.loads(bytes(row.payload))["id"] for row in models.Outbox.objects.all())
    return unknown.difference(waiting)


def entries_about(*words: str) -> QuerySet[models.Entry]:
    """Return the entries that name every one of these ids or digests, by index, in no order.

    Found by the lookup table, not by reading entries. A text that is no such word (`core.subjects`:
    16 to 128 characters of an id or digest) is named by none. Entries that are not yet under a
    signed checkpoint are among them.
    """
    found = models.Entry.objects.all()
    for word in words:
        named = models.Subject.objects.filter(word=word).values("index")
        found = found.filter(index__in=named)
    return found


def waiting_about(*words: str) -> list[dict[str, Any]]:
    """Return the events in the outbox that name every one of these words, oldest first.

    The outbox is short by design, so it is read.
    """
    events = [canonical.loads(bytes(row.payload)) for row in models.Outbox.objects.order_by("seq")]
    return [event for event in events if set(words) <= set(subjects.words_of(event))]


def read_tile(level: int, n: int) -> bytes:
    """Return the data of a tile row at its present width; LookupError if there is none."""
    data = rows.read_tile(level, n)
    if data is None:
        raise LookupError(f"no tile {level}/{n}")
    return data


def inclusion(index: int, size: int | None = None) -> list[bytes]:
    """Return the audit path of entry `index` in the tree of `size`, by default the newest signed.

    Raises LookupError while nothing is signed, ValueError if the tree does not hold the index.
    """
    size = _newest().size if size is None else size
    return merkle.inclusion_proof(index, size, tiles.TileNodes(read_tile))


def consistency(old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of `old` leaves is a prefix of that of `new`."""
    return merkle.consistency_proof(old, new, tiles.TileNodes(read_tile))


def tlog_proof(index: int, *, extra: bytes | None = None) -> str:
    """Return the `.tlog-proof` file of entry `index` under the newest signed checkpoint."""
    newest = _newest()
    hashes = tuple(inclusion(index, newest.size))
    return format_proof(TlogProof(index=index, hashes=hashes, note=newest.note, extra=extra))


def wait_for(event_id: str, timeout_s: float) -> models.Entry:
    """Wait until the event is under a signed checkpoint and return its entry.

    Raises TimeoutError: the event is then still safe in the outbox, only not yet provable. Call it
    after the commit, since nobody can sequence what is not committed.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        entry, newest = entry_by_event(event_id), latest_checkpoint()
        if entry is not None and newest is not None and entry.index < newest.size:
            return entry
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{event_id} is under no signed checkpoint after {timeout_s} s")
        time.sleep(_POLL_SECONDS)


def _newest() -> models.Checkpoint:
    newest = latest_checkpoint()
    if newest is None:
        raise LookupError("the log has no signed checkpoint yet")
    return newest
