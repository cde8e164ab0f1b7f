"""What a found file is held against, kept ready in memory: all artefact ids, all sketches.

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
class _Loras:
    """Both sketches of every LoRA, and the time of the newest row that was read."""

    content: Sketches = field(default_factory=Sketches)
    factors: Sketches = field(default_factory=Sketches)
    newest: datetime | None = None


@dataclass
class _Kept:
    """What this process has read."""

    books: dict[Key, _Book] = field(default_factory=dict)
    loras: _Loras = field(default_factory=_Loras)


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
        return _loras().content.nearest(query, count)


def nearest_factors(query: Float32, count: int) -> list[tuple[str, float]]:
    """The same by the factors that are delivered (`fingerprint.factor_sketch`)."""
    with _lock:
        return _loras().factors.nearest(query, count)


def _loras() -> _Loras:
    kept = _kept.loras
    for _ in range(2):
        rows = Lora.objects.order_by("created_at")
        if kept.newest is not None:
            rows = rows.filter(created_at__gte=kept.newest - _OVERLAP)
        found = list(rows.values_list("pk", "sketch", "factor_sketch", "created_at"))
        kept.content.add((pk, _vector(content)) for pk, content, _, _ in found)
        kept.factors.add((pk, _vector(factors)) for pk, _, factors, _ in found if len(factors))
        kept.newest = found[-1][3] if found else kept.newest
        if len(kept.content) == Lora.objects.count():
            break
        kept = _kept.loras = _Loras()
    return kept


def _vector(packed: bytes | memoryview) -> Float32:
    return fingerprint.unpack(bytes(packed))
