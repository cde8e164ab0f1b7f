"""Check the whole stored log against itself: entries, tiles, checkpoints.

Trusts only the pinned verifier keys: the tree is recomputed from the entries' payloads, and the
first row that differs is named. Memory stays small; time grows with the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from registry.log import models, subjects
from registry.log.core import canonical, merkle, tiles
from registry.log.core.checkpoint import Checkpoint, verify_checkpoint
from registry.log.core.errors import VerificationError

CHUNK: Final = 4_096


def check(vkeys: Sequence[str]) -> int:
    """Verify the stored log and return its size.

    (1) indices are contiguous and each row says what its payload says; (2) every tile is what the
    payloads hash to, and there is no other tile; (3) every checkpoint has the root of its size,
    and its note, if it is signed already, verifies; (4) the newest checkpoint covers all entries;
    (5) every entry is found by what it names, and nothing else is. Raises VerificationError
    `fsck_entry`, `fsck_tile`, `fsck_checkpoint`, `fsck_subject` naming the first row.
    """
    tree = merkle.CompactRange()
    edge: dict[tuple[int, int], bytes] = {}
    recorded = _Recorded(vkeys)
    named: list[int] = []
    hashes = _leaf_hashes(named)
    while leaves := list(islice(hashes, CHUNK)):  # (1)
        changed = tiles.extend(tree.size, leaves, lambda level, n: edge[level, n])
        _compare_full_tiles(changed, edge)  # (2)
        for leaf in leaves:
            tree.append(leaf)
            recorded.compare(tree)  # (3)
    _compare_tiles(tiles.Tile(level, n, data) for (level, n), data in edge.items())  # (2)
    _refuse_other_tiles(tree.size)
    recorded.finish(tree.size)  # (4)
    subjects.check_total(sum(named))  # (5)
    return tree.size


class _Recorded:
    """Walks the recorded checkpoints in order of size, beside the growing tree."""

    def __init__(self, vkeys: Sequence[str]) -> None:
        self._vkeys = vkeys
        self._rows = _checkpoint_rows()
        self._next = next(self._rows, None)
        self._last = 0

    def compare(self, tree: merkle.CompactRange) -> None:
        row = self._next
        if row is None or row.size != tree.size:
            return
        if bytes(row.root) != tree.root():
            raise VerificationError("fsck_checkpoint", f"checkpoint {row.size}: another root")
        if row.note:
            self._compare_note(row)
        self._last, self._next = row.size, next(self._rows, None)

    def _compare_note(self, row: models.Checkpoint) -> None:
        try:
            signed = verify_checkpoint(row.note, self._vkeys)
        except VerificationError as error:
            raise VerificationError("fsck_checkpoint", f"checkpoint {row.size}: {error}") from error
        if signed != Checkpoint(signed.origin, row.size, bytes(row.root)):
            raise VerificationError(
                "fsck_checkpoint", f"checkpoint {row.size}: its note says something else"
            )

    def finish(self, size: int) -> None:
        if self._next is not None:
            raise VerificationError(
                "fsck_checkpoint", f"checkpoint {self._next.size}: the entries end at {size}"
            )
        if self._last != size:
            raise VerificationError("fsck_checkpoint", f"no checkpoint covers entry {size - 1}")


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
        named.append(subjects.check_page(page))  # (5)


def _leaf_hash(row: models.Entry) -> bytes:
    payload = bytes(row.payload)
    leaf = merkle.leaf_hash(payload)
    if leaf != bytes(row.leaf_hash):
        raise VerificationError("fsck_entry", f"entry {row.index}: payload and leaf hash differ")
    event = canonical.loads(payload)
    if (event["id"], event["type"]) != (row.event_id, row.event_type):
        raise VerificationError("fsck_entry", f"entry {row.index}: row and payload differ")
    return leaf


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
        row = models.Tile.objects.filter(level=tile.level, n=tile.n).first()
        if row is None:
            raise VerificationError("fsck_tile", f"tile {tile.level}/{tile.n} is missing")
        if bytes(row.data) != tile.data or row.width != tile.width:
            raise VerificationError("fsck_tile", f"tile {tile.level}/{tile.n}: other hashes")


def _refuse_other_tiles(size: int) -> None:
    expected = {(level, n) for level, n, _width in tiles.spans(size)}
    for place in models.Tile.objects.order_by("level", "n").values_list("level", "n"):
        if place not in expected:
            raise VerificationError("fsck_tile", f"tile {place[0]}/{place[1]}: no entries below")
