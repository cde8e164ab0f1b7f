"""Wiping a job's folder: overwrite, truncate, unlink, report what is left.

Honest limit: on flash and copy-on-write storage an overwrite may leave the old blocks. What lies
there is ciphertext whose key a withdrawal destroys; samples and unsealed weights are the exception,
which is why they are overwritten as well and why a worker's disk should be encrypted.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Wiped:
    """Files and bytes removed, and files that could not be."""

    files: int
    bytes: int
    left: int


def wipe(folder: Path, *, keep: Iterable[str] = ()) -> Wiped:
    """Destroy everything under `folder` except the files named in `keep` at its top."""
    kept = {folder / name for name in keep}
    count = total = left = 0
    for path in sorted(folder.rglob("*"), reverse=True):  # children before their folders
        if path in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            left += not _removed(path.rmdir)
            continue
        size = path.lstat().st_size
        if _removed(partial(shred, path)):
            count, total = count + 1, total + size
        else:
            left += 1
    return Wiped(count, total, left)


def shred(path: Path) -> None:
    """Overwrite one file with zeros down to the disk, then unlink it. Links are only unlinked."""
    if path.is_file() and not path.is_symlink():
        size = path.stat().st_size
        with path.open("r+b", buffering=0) as stream:
            for start in range(0, size, _CHUNK):
                stream.write(bytes(min(_CHUNK, size - start)))
            os.fsync(stream.fileno())
            stream.truncate(0)
    path.unlink()


def write_atomic(path: Path, data: bytes) -> None:
    """Write so that `path` holds either the old bytes or all of the new ones, at any crash."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _removed(action: Callable[[], None]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True
