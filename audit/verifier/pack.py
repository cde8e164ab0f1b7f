"""The evidence pack as a container: read strictly, written in exactly one way. Stage 9, pure.

A pack is a folder, or a zip file. `write` gives one form: stored, sorted by name, no dates, no
comments, no extra fields. `read` takes that form, or the plain zip of another writer (people unpack
and pack again), as long as there is nothing in it that nobody looked at: no second file of one
name, nothing before, between or after the members, no size beyond a pack's. Trusts nothing and
verifies nothing of what the files say; that is `audit.verifier.verify`.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from registry.log.core.errors import VerificationError
from training.core import archive
from training.core.archive import END, END_MAGIC, LOCAL, malformed

FORMAT: Final = "kyodaku/evidence/v1"
MAX_FILES: Final = 256
MAX_FILE_BYTES: Final = 2**20
MAX_PACK_BYTES: Final = 2**24

# Every name that a pack may hold. ASCII, lower case, one level of folders: the same on any system.
_NAME: Final = re.compile(
    r"(pack|grant|curation|rights|manifest)\.json|text\.(ja|en|ja-easy)\.txt|(token|status|status-as-of)\.jws"
    r"|worker\.pub|(run|delivery)\.dsse\.json|approvals/[a-z_]{1,20}-per_[0-9a-f]{20}\.json"
    r"|entries/(0|[1-9][0-9]{0,15})\.json|proofs/(0|[1-9][0-9]{0,15})\.tlog-proof"
)
_FOLDERS: Final = ("approvals/", "entries/", "proofs/")
_MOST_EXTRA: Final = 64  # bytes of dates and owners, as the usual writers add them
# What the standard library raises for a zip that is none.
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    ValueError,
    struct.error,
    zlib.error,
)


def write(files: Mapping[str, bytes]) -> bytes:
    """The zip file of these files; the same files always give the same bytes.

    Raises `VerificationError("malformed")` for a name or size that a pack cannot have.
    """
    _check(files)
    return archive.write(files)


def read(data: bytes) -> dict[str, bytes]:
    """The files of a zipped pack. Raises `VerificationError("malformed")`.

    (1) not larger than a pack may be; (2) in our form: members one after the other from the first
    byte, each stored, each name once, and the whole file byte for byte what `write` makes of them;
    (3) or a plain zip of another writer; (4) but not our form with a few bytes changed in it.
    """
    if len(data) > MAX_PACK_BYTES:  # (1)
        raise malformed(f"larger than {MAX_PACK_BYTES} bytes")
    try:
        return archive.read(data, _check)  # (2)
    except VerificationError:
        files = _other_writer(data)  # (3)
    own = write(files)
    if len(own) == len(data):  # (4) Another writer differs in every header, damage in a place.
        differing = sum(a != b for a, b in zip(own, data, strict=True))
        if differing < 2 * len(files):
            raise malformed("changed in its zip headers")
    return files


def _other_writer(data: bytes) -> dict[str, bytes]:
    """The files of a plain zip: contiguous members from the first byte, nothing after the end."""
    if data[-END.size :][:4] != END_MAGIC:
        raise malformed("no plain zip: something follows its end")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            members = sorted(opened.infolist(), key=lambda m: m.header_offset)
            _check_layout(members, opened.start_dir)
            named = [m for m in members if not m.filename.endswith("/")]
            files = {m.filename: _content(opened, m) for m in named}
    except _UNREADABLE as error:
        raise malformed(f"no plain zip: {type(error).__name__}") from error
    _check(files)
    return files


def _check_layout(members: list[zipfile.ZipInfo], end: int) -> None:
    """Each name once, and no room for anything in a folder, in the directory or between members."""
    if not 0 < len(members) <= MAX_FILES + len(_FOLDERS):
        raise malformed(f"more than {MAX_FILES} files, or none")
    if len({m.filename for m in members}) != len(members):
        raise malformed("a name twice")
    folders = [m for m in members if m.filename.endswith("/")]
    if any(m.filename not in _FOLDERS or m.compress_size for m in folders):
        raise malformed("a folder that a pack does not have, or with content of its own")
    if any(m.comment or len(m.extra) > _MOST_EXTRA for m in members):
        raise malformed("a comment, or more about a file than its dates")
    if sum(m.file_size for m in members) > MAX_PACK_BYTES:
        raise malformed(f"larger than {MAX_PACK_BYTES} bytes")
    # Behind its data a member may have a descriptor (16 bytes) and, before it, an extra field.
    starts = [*(m.header_offset for m in members), end]
    for member, (start, following) in zip(members, itertools.pairwise(starts), strict=True):
        least = LOCAL.size + len(member.filename.encode()) + member.compress_size
        if not 0 <= following - start - least <= _MOST_EXTRA:
            raise malformed("bytes between the members")
    if starts[0] != 0:
        raise malformed("bytes before the first member")


def _content(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """One member, no longer than it may be, whatever it says of itself; its CRC is checked."""
    if member.file_size > MAX_FILE_BYTES or member.flag_bits & 1:
        raise malformed(f"{member.filename[:80]!r} is too large or encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise malformed(f"{member.filename[:80]!r} is packed in another way than deflate")
    with opened.open(member) as file:
        return file.read(MAX_FILE_BYTES + 1)


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of an unpacked pack: regular files only, two levels, nothing else beside them.

    Raises `VerificationError("malformed")`; `OSError` when the folder cannot be read.
    """
    files: dict[str, bytes] = {}
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        _check_name(name)
        if path.is_symlink() or not path.is_file():
            raise malformed(f"{name} is not a regular file")
        if len(files) >= MAX_FILES:
            raise malformed(f"more than {MAX_FILES} files")
        with path.open("rb") as file:
            files[name] = file.read(MAX_FILE_BYTES + 1)
    _check(files)
    return files


def load(path: Path) -> dict[str, bytes]:
    """A pack from a folder or a zip file. Raises as `read` and `read_folder` do."""
    if path.is_dir():
        return read_folder(path)
    with path.open("rb") as file:
        return read(file.read(MAX_PACK_BYTES + 1))


def _walk(folder: Path) -> Iterable[Path]:
    for path in _listed(folder):
        if path.is_dir() and not path.is_symlink():
            yield from _listed(path)
        else:
            yield path


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; not the names of millions of files."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in itertools.islice(entries, MAX_FILES + 1)]
    if len(names) > MAX_FILES:
        raise malformed(f"more than {MAX_FILES} files")
    return [folder / name for name in sorted(names)]


def _check(files: Mapping[str, bytes]) -> None:
    if not files or len(files) > MAX_FILES:
        raise malformed(f"a pack has 1 to {MAX_FILES} files")
    for name, data in files.items():
        _check_name(name)
        if len(data) > MAX_FILE_BYTES:
            raise malformed(f"{name} is larger than {MAX_FILE_BYTES} bytes")
    if sum(map(len, files.values())) > MAX_PACK_BYTES:
        raise malformed(f"larger than {MAX_PACK_BYTES} bytes")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise malformed(f"{name[:80]!r} is no file of a pack")
