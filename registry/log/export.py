"""Static export: the log as files that anybody can mirror and check without asking us.

C2SP tlog-tiles. Tiles are written before the checkpoint that needs them, each file under another
name first and then renamed, so a reader never sees half a file or a checkpoint without its tiles.
"""

import os
from pathlib import Path

from registry.log import anchors, rows, selectors
from registry.log.core import checkpoint as checkpoints
from registry.log.core import merkle, tiles
from registry.log.core.errors import VerificationError


def export(folder: Path, *, full: bool = False) -> int:
    """Write what the newest signed checkpoint needs and the folder lacks; return its size.

    What is already there is known from the folder's own checkpoint; `full` writes everything anew.
    Returns 0 while nothing is signed. Raises VerificationError `log_rolled_back` rather than put a
    smaller checkpoint in the place of a larger one: it may be the only trace of what was lost.
    """
    newest = selectors.latest_checkpoint()
    if newest is None:
        return 0
    note = exported_note(folder)
    if note == newest.note and not full:
        return newest.size
    old = _size_of(note)
    if old > newest.size:
        raise VerificationError(
            "log_rolled_back",
            f"the exported checkpoint has {old} entries, this database signed {newest.size}. "
            + anchors.ROLLED_BACK_ADVICE,
        )
    if full:
        old = 0
    folders: set[Path] = set()
    for level, n, width in tiles.spans_since(old, newest.size):
        data = selectors.read_tile(level, n)[: width * merkle.HASH_BYTES]
        folders.add(_write(folder / tiles.tile_path(level, n, width), data))
        if level == 0:
            folders.add(_write(folder / tiles.entries_path(n, width), bundle(n, width)))
    for written in folders:
        _sync_folder(written)  # the names of the tiles, too, before the checkpoint that needs them
    # A crash here: tiles without a checkpoint, which nobody asks for. The next pass goes on.
    _write(folder / "checkpoint", newest.note.encode())
    return newest.size


def exported_note(folder: Path) -> str:
    """Return the exported checkpoint, unverified; empty if nothing was exported yet."""
    try:
        return (folder / "checkpoint").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _size_of(note: str) -> int:
    return checkpoints.parse_body(checkpoints.parse_note(note)[0]).size if note else 0


def bundle(n: int, width: int) -> bytes:
    """Return the entry bundle of `width` entries from n * 256, read from the rows."""
    first = n * tiles.WIDTH
    stored = rows.read_entries(first, first + width)
    if len(stored) != width:
        raise VerificationError("fsck_entry", f"not every entry from {first} is there")
    return tiles.bundle(payload for _index, _hash, payload in stored)


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path.parent


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
