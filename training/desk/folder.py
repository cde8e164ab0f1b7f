"""Reads a folder of pictures, entry by entry: what is no picture is refused by name.

Stage 5. Trusts nothing in the folder: links and devices are not followed, names are not believed,
and one bad file stops none of the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.core.refusals import Refusal
from training.core import filekinds
from training.core.pictures import Limits, Picture, normalise

# What file managers leave behind in every folder.
LEFT_BEHIND: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".gitkeep"})
MAX_ENTRIES: Final = 1000


@dataclass(frozen=True)
class Entry:
    """One entry of a folder: its name, and the picture or why there is none."""

    name: str
    made: Picture | Refusal


def read_folder(
    folder: Path, limits: Limits | None = None, told: Callable[[int, int], None] | None = None
) -> list[Entry]:
    """Every entry of a folder in the order of their names, without going into folders.

    Refusals of an entry: `file_not_plain`, `image_extension`, and those of `pictures.normalise`.
    `told(done, total)` is called after each. Raises OSError when the folder itself cannot be read,
    or holds more than a thousand entries.
    """
    names = sorted(name for name in os.listdir(folder) if name.lower() not in LEFT_BEHIND)
    if len(names) > MAX_ENTRIES:
        raise OSError(f"{folder.name} holds more than {MAX_ENTRIES} entries")
    limits = limits or Limits()
    found = []
    for number, name in enumerate(names, 1):
        found.append(Entry(name, _read(folder / name, limits)))
        if told is not None:
            told(number, len(names))
    return found


def _read(path: Path, limits: Limits) -> Picture | Refusal:
    data = _bytes(path, limits)
    if isinstance(data, Refusal):
        return data
    made = normalise(data, limits)
    if isinstance(made, Picture) and not filekinds.suits(path.suffix, data):
        return Refusal("image_extension", f"{path.suffix or '-'}: {filekinds.kind(data)}")
    return made


def _bytes(path: Path, limits: Limits) -> bytes | Refusal:
    """The content of an ordinary file; opened so that a link or a pipe is neither read nor waited
    for, whatever it became since the folder was listed."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        kind = "link" if path.is_symlink() else type(error).__name__
        return Refusal("file_not_plain", kind)
    about = os.fstat(opened)
    if not stat.S_ISREG(about.st_mode):
        os.close(opened)
        return Refusal("file_not_plain", "no file")
    with os.fdopen(opened, "rb") as file:
        if about.st_size > limits.max_bytes:
            return Refusal("image_too_large", f"{about.st_size} bytes, at most {limits.max_bytes}")
        return file.read(limits.max_bytes + 1)
