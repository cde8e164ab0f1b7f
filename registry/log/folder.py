"""Check an exported folder, ours or a mirror, against the stored log. Names the first file.

C2SP tlog-tiles. The folder is trusted for nothing: its checkpoint must be signed by the pinned
keys, and everything that this checkpoint needs must be there, byte for byte as the tables give it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from registry.log import export, models, selectors
from registry.log.core import merkle, tiles
from registry.log.core.checkpoint import verify_checkpoint
from registry.log.core.errors import VerificationError

CHECKPOINT: Final = "checkpoint"


def check(folder: Path, vkeys: Sequence[str]) -> int:
    """Compare the folder with the stored log; returns the size of its checkpoint.

    (1) its checkpoint is signed; (2) it is one of this log's, not of a longer or another one;
    (3) every tile and bundle of that size is there with the log's bytes; (4) every other file under
    `tile/` is a tile or bundle of an earlier size, with the log's bytes. Raises VerificationError
    `fsck_export` naming the file; OSError when the folder cannot be read.
    """
    if not (folder / CHECKPOINT).is_file():
        raise _wrong(CHECKPOINT, "is missing")
    try:
        head = verify_checkpoint(export.exported_note(folder), vkeys)  # (1)
    except (VerificationError, UnicodeDecodeError) as error:
        raise _wrong(CHECKPOINT, str(error)) from error
    stored = models.Entry.objects.count()
    if head.size > stored:  # (2)
        raise _wrong(CHECKPOINT, f"{head.size} entries, this log has {stored}: it was rolled back")
    if merkle.root_from_nodes(head.size, tiles.TileNodes(selectors.read_tile)) != head.root:
        raise _wrong(CHECKPOINT, f"another root at {head.size}: this log was forked")
    needed = set()
    for level, n, width in tiles.spans(head.size):  # (3)
        needed |= set(_names(level, n, width))
    for name in sorted(needed | set(_present(folder))):  # (4)
        _compare(folder, name, head.size)
    return head.size


def entries(folder: Path, vkeys: Sequence[str]) -> list[bytes]:
    """Return every entry of an exported folder, oldest first, whatever this database holds.

    (1) the checkpoint is signed; (2) its bundles are there, with as many entries; (3) the entries
    give its root. Raises VerificationError `fsck_export`; OSError when a file cannot be read.
    """
    try:
        head = verify_checkpoint(export.exported_note(folder), vkeys)  # (1)
    except (VerificationError, UnicodeDecodeError) as error:
        raise _wrong(CHECKPOINT, str(error)) from error
    found: list[bytes] = []
    while len(found) < head.size:  # (2)
        width = min(tiles.WIDTH, head.size - len(found))
        name = tiles.entries_path(len(found) // tiles.WIDTH, width)
        found += tiles.parse_bundle((folder / name).read_bytes())
    root = merkle.MerkleTree(merkle.leaf_hash(entry) for entry in found).root()
    if len(found) != head.size or root != head.root:  # (3)
        raise _wrong(CHECKPOINT, "the entries do not give its root")
    return found


def _names(level: int, n: int, width: int) -> Iterator[str]:
    yield tiles.tile_path(level, n, width)
    if level == 0:
        yield tiles.entries_path(n, width)


def _present(folder: Path) -> Iterator[str]:
    """Every file under `tile/`, but those still being written under another name."""
    for path in (folder / "tile").rglob("*"):
        if path.is_symlink() or (path.is_file() and not path.name.startswith(".")):
            yield path.relative_to(folder).as_posix()


def _compare(folder: Path, name: str, size: int) -> None:
    try:
        level, n, width = tiles.parse_path(name)
    except VerificationError as error:
        raise _wrong(name, "no tile has this name") from error
    unit = tiles.WIDTH ** (level or 0)
    if (n * tiles.WIDTH + width) * unit > size:
        raise _wrong(name, f"beyond the {size} entries of the checkpoint")
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise _wrong(name, "is missing")
    if level is None:
        expected = export.bundle(n, width)
    else:
        expected = selectors.read_tile(level, n)[: width * merkle.HASH_BYTES]
    if path.read_bytes() != expected:
        raise _wrong(name, "other bytes than the log's")


def _wrong(name: str, why: str) -> VerificationError:
    return VerificationError("fsck_export", f"{name}: {why}")
