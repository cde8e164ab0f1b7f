"""What a found file is held against, kept ready in memory: all artefact ids, all lineage sketches.

Beside stage 9. Both only grow: deliveries and LoRAs are never deleted. Each question reads the rows
that are new since the last one; where the database has more or fewer than were read, everything is
read again. A process that has just begun answers its first question more slowly.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from training.core import fingerprint
from training.core.fingerprint import Sketches
from training.core.watermark_code import ID_BYTES, Codebook, Key
from training.core.weights import Float32
from training.models import Delivery, Lora

# A transaction that began earlier may be seen later: rows of this long ago are asked for again.
_OVERLAP: Final = timedelta(hours=1)
_lock = threading.Lock()


@dataclass
class _Book:
    """The codewords of one key epoch, and the time of the newest row that was read."""

    words: Codebook
    newest: datetime | None = None


@dataclass
class _Kept:
    """What this process has read."""

    books: dict[Key, _Book] = field(default_factory=dict)
    sketches: Sketches = field(default_factory=Sketches)
    newest_sketch: datetime | None = None


_kept = _Kept()


def artefact(number: int) -> bytes:
    """An artefact id as its six bytes."""
    return number.to_bytes(ID_BYTES, "big")


def book(key: Key) -> Codebook:
    """The codewords of every artefact id that was ever delivered under this epoch's key."""
    delivered = Delivery.objects.filter(epoch=int(key.epoch))
    with _lock:
        kept = _kept.books.setdefault(key, _Book(Codebook(key)))
        for _ in range(2):
            rows = delivered.order_by("created_at")
            if kept.newest is not None:
                rows = rows.filter(created_at__gte=kept.newest - _OVERLAP)
            pairs = list(rows.values_list("artefact_id", "created_at"))
            kept.words.add(artefact(number) for number, _ in pairs)
            kept.newest = pairs[-1][1] if pairs else kept.newest
            if len(kept.words) == delivered.count():
                break
            kept = _kept.books[key] = _Book(Codebook(key))
        return kept.words


def nearest(query: Float32, count: int) -> list[tuple[str, float]]:
    """The LoRAs whose content is nearest to a sketch: id and cosine, the nearest first."""
    with _lock:
        for _ in range(2):
            rows = Lora.objects.order_by("created_at")
            if _kept.newest_sketch is not None:
                rows = rows.filter(created_at__gte=_kept.newest_sketch - _OVERLAP)
            found = list(rows.values_list("pk", "sketch", "created_at"))
            _kept.sketches.add((pk, fingerprint.unpack(bytes(sketch))) for pk, sketch, _ in found)
            _kept.newest_sketch = found[-1][2] if found else _kept.newest_sketch
            if len(_kept.sketches) == Lora.objects.count():
                break
            _kept.sketches, _kept.newest_sketch = Sketches(), None
        return _kept.sketches.nearest(query, count)
