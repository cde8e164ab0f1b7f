"""The evidence pack as a container: read strictly, written in exactly one way. Stage 9, pure.

A pack is a folder, or a zip file in the one form that `write` gives: stored, sorted by name, no
dates, no comments, no extra fields. `read` parses that form only and then compares the bytes with
what `write` would have made of the contents, so there is nothing in a pack that nobody looked at:
no second file of one name, no bytes between members, no compression and so no bomb. Trusts nothing
and verifies nothing of what the files say; that is `audit.verifier.verify`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from registry.log.core.errors import VerificationError

FORMAT: Final = "kyodaku/evidence/v1"
MAX_FILES: Final = 256
MAX_FILE_BYTES: Final = 2**20
MAX_PACK_BYTES: Final = 2**24

# Every name that a pack may hold. ASCII, lower case, one level of folders: the same on any system.
_NAME: Final = re.compile(
    r"(pack|grant|curation|manifest)\.json|text\.(ja|en)\.txt|(token|status|status-as-of)\.jws"
    r"|worker\.pub|(run|delivery)\.dsse\.json|approvals/[a-z_]{1,20}-per_[0-9a-f]{20}\.json"
    r"|entries/(0|[1-9][0-9]{0,15})\.json|proofs/(0|[1-9][0-9]{0,15})\.tlog-proof"
)
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
# 1980-01-01 00:00, the first instant of the format: a pack has no date of its own.
_DATE: Final = 0x21


def write(files: Mapping[str, bytes]) -> bytes:
    """The zip file of these files; the same files always give the same bytes.

    Raises `VerificationError("malformed")` for a name or size that a pack cannot have.
    """
    _check(files)
    body, directory = bytearray(), bytearray()
    for name, data in sorted(files.items()):
        ascii_name = name.encode("ascii")
        common = (20, 0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(ascii_name), 0)
        directory += _CENTRAL.pack(_CENTRAL_MAGIC, 20, *common, 0, 0, 0, 0, len(body)) + ascii_name
        body += _LOCAL.pack(_LOCAL_MAGIC, *common) + ascii_name + data
    count = len(files)
    end = _END.pack(_END_MAGIC, 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def read(data: bytes) -> dict[str, bytes]:
    """The files of a zipped pack. Raises `VerificationError("malformed")`.

    (1) not larger than a pack may be; (2) members one after the other from the first byte, each
    stored, each name once; (3) names and sizes are those of a pack; (4) the whole file is, byte for
    byte, what `write` makes of them.
    """
    if len(data) > MAX_PACK_BYTES:  # (1)
        raise _malformed(f"larger than {MAX_PACK_BYTES} bytes")
    files: dict[str, bytes] = {}
    position = 0
    while data[position : position + 4] == _LOCAL_MAGIC:  # (2)
        name, content, position = _member(data, position)
        if name in files:
            raise _malformed(f"{name} twice")
        if len(files) >= MAX_FILES:
            raise _malformed(f"more than {MAX_FILES} files")
        files[name] = content
    _check(files)  # (3)
    if write(files) != data:  # (4)
        raise _malformed("not in the form of a pack; unpack it and give the folder")
    return files


def _member(data: bytes, start: int) -> tuple[str, bytes, int]:
    header = data[start : start + _LOCAL.size]
    if len(header) < _LOCAL.size:
        raise _malformed("cut short")
    (_, _, _, method, _, _, _, packed, size, name_length, extra) = _LOCAL.unpack(header)
    if method != 0 or packed != size or extra != 0:
        raise _malformed("a compressed or decorated member")
    begin = start + _LOCAL.size + name_length
    name, content = data[start + _LOCAL.size : begin], data[begin : begin + size]
    if len(content) != size or not name.isascii():
        raise _malformed("cut short, or a name that is not ASCII")
    return name.decode("ascii"), content, begin + size


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of an unpacked pack: regular files only, two levels, nothing else beside them.

    Raises `VerificationError("malformed")`; `OSError` when the folder cannot be read.
    """
    files: dict[str, bytes] = {}
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        _check_name(name)
        if path.is_symlink() or not path.is_file():
            raise _malformed(f"{name} is not a regular file")
        if len(files) >= MAX_FILES:
            raise _malformed(f"more than {MAX_FILES} files")
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
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from sorted(path.iterdir())
        else:
            yield path


def _check(files: Mapping[str, bytes]) -> None:
    if not files or len(files) > MAX_FILES:
        raise _malformed(f"a pack has 1 to {MAX_FILES} files")
    for name, data in files.items():
        _check_name(name)
        if len(data) > MAX_FILE_BYTES:
            raise _malformed(f"{name} is larger than {MAX_FILE_BYTES} bytes")
    if sum(map(len, files.values())) > MAX_PACK_BYTES:
        raise _malformed(f"larger than {MAX_PACK_BYTES} bytes")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _malformed(f"{name[:80]!r} is no file of a pack")


def _malformed(detail: str) -> VerificationError:
    return VerificationError("malformed", detail)
