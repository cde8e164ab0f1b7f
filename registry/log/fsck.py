"""Check the whole stored log against itself: entries, lookups, tiles, checkpoints, stamps, outbox.

Trusts only the pinned verifier keys: the tree is recomputed from the entries' payloads, and the
first row that differs is named. Memory stays small; time grows with the log. What a consistent
rewrite of everything hides, a checkpoint that somebody else kept shows (`against`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from cryptography import x509
from django.db import connection

from registry.log import models, origins, subjects
from registry.log.append import timestamp
from registry.log.core import canonical, checkpoint, merkle, tiles
from registry.log.core import timestamp as rfc3161
from registry.log.core.checkpoint import Checkpoint, verify_checkpoint
from registry.log.core.errors import VerificationError

CHUNK: Final = 4_096
# The clocks of the machines that append differ by less; a statement is not held up for longer.
CLOCKS_MS: Final = 60_000
# Between asking an authority and its answer, by two machines' clocks.
STAMP_S: Final = 600


def check(
    vkeys: Sequence[str],
    *,
    against: Mapping[str, str] | None = None,
    tsa_roots: Sequence[x509.Certificate] = (),
) -> int:
    """Verify the stored log and return its size.

    (1) indices are contiguous and each row says what its payload says; (2) every tile is what the
    payloads hash to, and there is no other tile; (3) every checkpoint names the one before it, has
    the root of its size, and its note verifies and was signed when the row says; only the newest
    may still be unsigned (see `require_signed`); (4) the newest covers all entries; (5) what waits
    in the outbox is what `append` writes; (6) each checkpoint of `against` (name: note) is one of
    this very log's; (7) every entry is found by what it names, and nothing else is; (8) every time
    stamp is over the note of its checkpoint, leads to one of `tsa_roots`, and says the row's time.

    Raises VerificationError `fsck_entry`, `fsck_tile`, `fsck_checkpoint`, `fsck_subject`,
    `fsck_outbox`, `fsck_against`, `fsck_timestamp` naming the first row. Call it in
    `replay.snapshot()` while the sequencer runs.
    """
    tree = merkle.CompactRange()
    edge: dict[tuple[int, int], bytes] = {}
    recorded, held = _Recorded(vkeys), _Held(vkeys, against or {})
    named: list[int] = []
    hashes = _leaf_hashes(named)
    while leaves := list(islice(hashes, CHUNK)):  # (1)
        changed = tiles.extend(tree.size, leaves, lambda level, n: edge[level, n])
        _compare_full_tiles(changed, edge)  # (2)
        for leaf in leaves:
            tree.append(leaf)
            recorded.compare(tree)  # (3)
            held.compare(tree)  # (6)
    _compare_tiles(tiles.Tile(level, n, data) for (level, n), data in edge.items())  # (2)
    _refuse_other_tiles(tree.size)
    recorded.finish(tree.size)  # (4)
    held.finish(tree.size)  # (6)
    subjects.check_total(sum(named))  # (7)
    _check_outbox()  # (5)
    _check_timestamps(tsa_roots)  # (8)
    return tree.size


class _Recorded:
    """Walks the recorded checkpoints in order of size, beside the growing tree."""

    def __init__(self, vkeys: Sequence[str]) -> None:
        self._pins = origins.Pins(vkeys)
        self._rows = _checkpoint_rows()
        self._next = next(self._rows, None)
        self._last = 0
        self._unsigned: int | None = None

    def compare(self, tree: merkle.CompactRange) -> None:
        row = self._next
        if row is None or row.size != tree.size:
            return
        if row.previous != self._last:
            raise _checkpoint(row.size, f"the one before is {row.previous}, not {self._last}")
        if bytes(row.root) != tree.root():
            raise _checkpoint(row.size, f"entries {self._last} to {row.size - 1} give another root")
        self._compare_note(row)
        self._last, self._next = row.size, next(self._rows, None)

    def _compare_note(self, row: models.Checkpoint) -> None:
        if not row.note:
            self._unsigned = self._unsigned or row.size
            return
        if self._unsigned is not None:
            raise _checkpoint(self._unsigned, f"not signed, and {row.size} after it is")
        try:
            signed = verify_checkpoint(row.note, self._pins.at(row.size))
        except VerificationError as error:
            raise _checkpoint(row.size, str(error)) from error
        if signed != Checkpoint(signed.origin, row.size, bytes(row.root)):
            raise _checkpoint(row.size, "its note says something else")
        if row.at.timestamp() not in _stamps(row.note, signed.origin):
            raise _checkpoint(row.size, "signed at another time than it says")

    def finish(self, size: int) -> None:
        if self._next is not None:
            raise _checkpoint(self._next.size, f"the entries end at {size}")
        if self._last != size:
            raise VerificationError("fsck_checkpoint", f"no checkpoint covers entry {size - 1}")


def _checkpoint(size: int, why: str) -> VerificationError:
    return VerificationError("fsck_checkpoint", f"checkpoint {size}: {why}")


def _stamps(note: str, origin: str) -> set[int]:
    """The seconds in the log's own cosignatures, which were verified."""
    lines = checkpoint.parse_note(note)[1]
    stamped = [line for line in lines if line.name == origin and len(line.signature) > 64]
    return {int.from_bytes(line.signature[:8], "big") for line in stamped}


def require_signed(timeout_s: float) -> None:
    """Wait until every checkpoint is signed: a root is committed first, and one that stays without
    a signature is told, never passed over. Raises VerificationError `fsck_checkpoint`.
    """
    deadline = time.monotonic() + timeout_s
    while row := models.Checkpoint.objects.filter(note="").order_by("size").first():
        if time.monotonic() > deadline:
            raise _checkpoint(row.size, "not signed; start the sequencer and check again")
        time.sleep(0.1)


class _Held:
    """Checkpoints that others kept: the tree must have their root at their size."""

    def __init__(self, vkeys: Sequence[str], notes: Mapping[str, str]) -> None:
        self._open: dict[int, list[tuple[str, bytes]]] = {}
        for name, note in notes.items():
            try:
                head = verify_checkpoint(note, vkeys)
            except VerificationError as error:
                raise VerificationError("fsck_against", f"{name}: {error}") from error
            self._open.setdefault(head.size, []).append((name, head.root))

    def compare(self, tree: merkle.CompactRange) -> None:
        for name, root in self._open.pop(tree.size, ()):
            if root != tree.root():
                raise VerificationError(
                    "fsck_against",
                    f"{name}: at {tree.size} entries it has another root; this log was forked",
                )

    def finish(self, size: int) -> None:
        for known, names in sorted(self._open.items()):
            if known:  # the empty tree is a prefix of every log
                raise VerificationError(
                    "fsck_against",
                    f"{names[0][0]}: it has {known} entries, this log {size}; it was rolled back",
                )


def _checkpoint_rows() -> Iterator[models.Checkpoint]:
    """Page by key: an abandoned server-side cursor would outlive the check that failed."""
    last = -1
    while page := list(models.Checkpoint.objects.filter(size__gt=last).order_by("size")[:CHUNK]):
        yield from page
        last = page[-1].size


def _leaf_hashes(named: list[int]) -> Iterator[bytes]:
    index = 0
    while page := list(models.Entry.objects.filter(index__gte=index).order_by("index")[:CHUNK]):
        for row in page:
            if row.index != index:
                raise VerificationError("fsck_entry", f"entry {index} is missing")
            yield _leaf_hash(row)
            index += 1
        named.append(subjects.check_page(page))  # (7)


def _leaf_hash(row: models.Entry) -> bytes:
    payload = bytes(row.payload)
    leaf = merkle.leaf_hash(payload)
    if leaf != bytes(row.leaf_hash):
        raise VerificationError("fsck_entry", f"entry {row.index}: payload and leaf hash differ")
    event = _event("fsck_entry", f"entry {row.index}", payload)
    columns = {"event_id": event["id"], "event_type": event["type"], "at": event["at"]}
    stored = {"event_id": row.event_id, "event_type": row.event_type, "at": timestamp(row.at)}
    for name, value in columns.items():
        if stored[name] != value:
            raise VerificationError("fsck_entry", f"entry {row.index}: {name} and payload differ")
    return leaf


def _event(code: str, name: str, payload: bytes) -> dict[str, Any]:
    """The event in a payload, as `append` writes it."""
    try:
        event: dict[str, Any] = canonical.loads(payload)
        if not {"v", "id", "type", "at"} <= set(event) or canonical.dumps(event) != payload:
            raise VerificationError(code, f"{name}: not an event as it is appended")
    except (VerificationError, TypeError, ValueError) as error:
        raise VerificationError(code, f"{name}: {error}") from error
    return event


def _compare_full_tiles(changed: Iterable[tiles.Tile], edge: dict[tuple[int, int], bytes]) -> None:
    """Compare the tiles that are now full; keep the partial ones in `edge` for later."""
    full: list[tiles.Tile] = []
    for tile in changed:
        if tile.width == tiles.WIDTH:
            edge.pop((tile.level, tile.n), None)
            full.append(tile)
        else:
            edge[tile.level, tile.n] = tile.data
    _compare_tiles(full)


def _compare_tiles(expected: Iterable[tiles.Tile]) -> None:
    for tile in expected:
        name = f"tile {tile.level}/{tile.n}"
        row = models.Tile.objects.filter(level=tile.level, n=tile.n).first()
        if row is None:
            raise VerificationError("fsck_tile", f"{name} is missing")
        if bytes(row.data) != tile.data:
            raise VerificationError("fsck_tile", f"{name}: {_where(tile, bytes(row.data))}")
        if row.width != tile.width:
            raise VerificationError("fsck_tile", f"{name}: its width is {tile.width}")


def _where(tile: tiles.Tile, found: bytes) -> str:
    """The first hash that differs, and what it is the hash of."""
    if len(found) != len(tile.data):
        return f"{len(found)} bytes, not {len(tile.data)}"
    byte = next(i for i, (a, b) in enumerate(zip(tile.data, found, strict=True)) if a != b)
    place = tile.n * tiles.WIDTH + byte // merkle.HASH_BYTES
    of = f"entry {place}" if tile.level == 0 else f"tile {tile.level - 1}/{place}"
    return f"hash {place % tiles.WIDTH} is not that of {of}"


def _refuse_other_tiles(size: int) -> None:
    expected = {(level, n) for level, n, _width in tiles.spans(size)}
    for place in models.Tile.objects.order_by("level", "n").values_list("level", "n"):
        if place not in expected:
            raise VerificationError("fsck_tile", f"tile {place[0]}/{place[1]}: no entries below")


def _check_outbox() -> None:
    """An event that waits has its own id, once, and was written when id, row and place say."""
    highest, before = _last_seq(), 0
    for row in models.Outbox.objects.order_by("seq").iterator():
        name = f"outbox row {row.seq} ({row})"
        event = _event("fsck_outbox", name, bytes(row.payload))
        written = int(row.created.timestamp() * 1000)
        if event["id"] != str(row):
            raise VerificationError("fsck_outbox", f"{name}: id and payload differ")
        if models.Entry.objects.filter(event_id=event["id"]).exists():
            raise VerificationError("fsck_outbox", f"{name}: this event has an index already")
        if row.id.int >> 80 != written:  # RFC 9562, 5.7: the first 48 bits are milliseconds
            raise VerificationError("fsck_outbox", f"{name}: created at another time than its id")
        if row.seq > highest or written < before - CLOCKS_MS:
            raise VerificationError("fsck_outbox", f"{name}: out of the order of writing")
        before = max(before, written)


def _check_timestamps(roots: Sequence[x509.Certificate]) -> None:
    """An authority's own time binds note and moment; who was asked is only a label."""
    for row in models.Timestamp.objects.order_by("size", "authority").iterator():
        name = f"time stamp {row.size}/{row.authority}"
        stamped = models.Checkpoint.objects.filter(size=row.size).first()
        if stamped is None:
            raise VerificationError("fsck_timestamp", f"{name}: there is no such checkpoint")
        try:
            at = rfc3161.verify(bytes(row.response), stamped.note, roots)
        except VerificationError as error:
            raise VerificationError("fsck_timestamp", f"{name}: {error.detail}") from error
        if abs((row.at - at).total_seconds()) > STAMP_S:
            raise VerificationError("fsck_timestamp", f"{name}: stamped at {at.isoformat()}")


def _last_seq() -> int:
    """The last number that the outbox gave out. Nothing binds a place closer than by its time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence('log_outbox', 'seq')"
            "::regclass), 0)"
        )
        return int(cursor.fetchone()[0])
