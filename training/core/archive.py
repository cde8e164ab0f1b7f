"""A zip file in exactly one form: stored, sorted by name, no dates, no comments, no extra fields.

The container of evidence packs and of deliveries. The same files always give the same bytes, and
what `read` takes has no byte that nobody looked at. Trusts nothing; says nothing of what the files
mean. Source: PKWARE APPNOTE 4.3 (local file header, central directory, end record); no ZIP64.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from registry.log.core.errors import VerificationError

LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
END: Final = struct.Struct("<4sHHHHIIH")
LOCAL_MAGIC, _CENTRAL_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
# 1980-01-01 00:00, the first instant of the format: an archive has no date of its own.
_DATE: Final = 0x21
MAX_BYTES: Final = 2**31 - 2**20  # what one AES-GCM call takes, with room for the directory
MAX_FILES: Final = 1024
MAX_NAME: Final = 255
MAX_ARCHIVE: Final = MAX_BYTES + 2**20


def write(files: Mapping[str, bytes]) -> bytes:
    """The zip file of these files. Raises `VerificationError("malformed")` for one that is too
    large for the format, or has a name that is not ASCII or longer than 255 characters.
    """
    return b"".join(_pieces(files))


def _pieces(files: Mapping[str, bytes]) -> Iterator[bytes]:
    if not 0 < len(files) <= MAX_FILES or sum(map(len, files.values())) > MAX_BYTES:
        raise malformed("too many files, too much in them, or none")
    directory, length = bytearray(), 0
    for name, data in sorted(files.items()):
        if not name.isascii() or len(name) > MAX_NAME:
            raise malformed("a name that is too long or not ASCII")
        ascii_name = name.encode("ascii")
        common = (20, 0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(ascii_name), 0)
        directory += _CENTRAL.pack(_CENTRAL_MAGIC, 20, *common, 0, 0, 0, 0, length) + ascii_name
        yield from (LOCAL.pack(LOCAL_MAGIC, *common), ascii_name, data)
        length += LOCAL.size + len(ascii_name) + len(data)
    count = len(files)
    yield bytes(directory)
    yield END.pack(END_MAGIC, 0, 0, count, count, len(directory), length, 0)


def read(data: bytes, check: Callable[[Mapping[str, bytes]], None]) -> dict[str, bytes]:
    """The files of an archive. Raises `VerificationError("malformed")`.

    (1) members one after the other from the first byte, each stored, each name once; (2) `check`,
    the caller's rules of names and sizes; (3) the whole file is byte for byte what `write` makes.
    What is read takes as much memory as the archive, and no second copy of it is made.
    """
    if len(data) > MAX_ARCHIVE:
        raise malformed(f"larger than {MAX_ARCHIVE} bytes")
    files: dict[str, bytes] = {}
    position = 0
    while data[position : position + 4] == LOCAL_MAGIC:  # (1)
        name, content, position = _member(data, position)
        if name in files:
            raise malformed(f"{name[:80]!r} twice")
        if len(files) >= MAX_FILES:
            raise malformed(f"more than {MAX_FILES} files")
        files[name] = content
    check(files)  # (2)
    position = 0
    for piece in _pieces(files):  # (3)
        if not data.startswith(piece, position):
            raise malformed("not in our own form")
        position += len(piece)
    if position != len(data):
        raise malformed("not in our own form")
    return files


def _member(data: bytes, start: int) -> tuple[str, bytes, int]:
    header = data[start : start + LOCAL.size]
    if len(header) < LOCAL.size:
        raise malformed("cut short")
    (_, _, _, method, _, _, _, packed, size, name_length, extra) = LOCAL.unpack(header)
    if method != 0 or packed != size or extra != 0:
        raise malformed("a compressed or decorated member")
    begin = start + LOCAL.size + name_length
    name, content = data[start + LOCAL.size : begin], data[begin : begin + size]
    if len(content) != size or not name.isascii():
        raise malformed("cut short, or a name that is not ASCII")
    return name.decode("ascii"), content, begin + size


def malformed(detail: str) -> VerificationError:
    """The one error of containers."""
    return VerificationError("malformed", detail)
