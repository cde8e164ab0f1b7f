"""What kind of file somebody's bytes really are: by their content, never by their name.

Stage 5, pure: bytes in, words out. Reads lengths only after checking them and raises nothing. It
tells what a decoder would hide: more than eight bits a channel (cut off without a word), a second
file behind the picture, and formats that a photographer would like to know the name of.

Sources: JPEG markers ITU-T T.81 B.1, PNG chunks W3C PNG third edition 5, RIFF RFC 9649, ISO base
media brands ISO/IEC 14496-12 4.3, TIFF 6.0, DNG 1.7 (tag 50706), ZIP APPNOTE 4.3.16.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from typing import Final

from training.core import containers

# What a name may end in, by the kind that the content has.
SUFFIXES: Final = {
    "jpeg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "png": frozenset({".png"}),
    "webp": frozenset({".webp"}),
    "tiff": frozenset({".tif", ".tiff"}),
}
_STARTS: Final = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"8BPS", "photoshop"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"\xff\x0a", "jpeg-xl"),
    (b"\0\0\0\x0cJXL ", "jpeg-xl"),
    (b"\0\0\0\x0cjP  ", "jpeg-2000"),
    (b"BM", "bmp"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "archive"),
    (b"Rar!", "archive"),
    (b"7z\xbc\xaf", "archive"),
    (b"\x1f\x8b", "archive"),
    (b"<svg", "svg"),
    (b"<?xml", "svg"),
)
_BRANDS: Final = {
    b"heic": "heic",
    b"heix": "heic",
    b"heim": "heic",
    b"heis": "heic",
    b"hevc": "heic",
    b"mif1": "heic",
    b"msf1": "heic",
    b"avif": "avif",
    b"avis": "avif",
    b"crx ": "raw",
}
# How programs, pages and archives begin; a picture has no business to go on like this.
_FOREIGN: Final = (
    *(b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ"),
    *(b"%PDF", b"%!PS", b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"#!", b"<"),
)
_PDF_WITHIN: Final = 1024  # readers look for its header this far
_BITS_TAG: Final = 258
_DNG_TAG: Final = 50706


def kind(data: bytes) -> str:
    """A word for the format: `jpeg`, `png`, `webp`, `tiff`, `heic`, `raw`, …, or `` for none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video")
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "raw" if data[8:10] == b"CR" or _tag(data, _DNG_TAG) else "tiff"
    return next((name for start, name in _STARTS if data.startswith(start)), "")


def bits(data: bytes) -> int:
    """Bits of a channel as the file states them; 8 where it states none."""
    found = kind(data)
    if found == "png" and len(data) > 24:
        return max(data[24], 8)  # fewer are a palette or a bitmap, which lose nothing
    if found == "jpeg":
        return next((body[0] for mark, body in _segments(data) if mark in _FRAMES and body), 8)
    if found == "tiff":
        raw = _tag(data, _BITS_TAG)
        order = "<" if data[:2] == b"II" else ">"
        whole = raw[: len(raw) // 2 * 2]
        stated: tuple[int, ...] = struct.unpack(f"{order}{len(whole) // 2}H", whole)
        return max((*stated, 8))
    return 8


def second_file(data: bytes) -> str:
    """A word for another file inside or behind the picture; `` for none.

    Cameras and telephones append previews and short films, which no reader of another format would
    open; those are no second file and are dropped with everything else that is no pixel.
    """
    if zipfile.is_zipfile(io.BytesIO(data)):
        return "archive"
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return "pdf"
    behind = tail(data)[:4096].lstrip(b"\0\r\n\t ")
    return "foreign" if behind.startswith(_FOREIGN) else ""


def tail(data: bytes) -> bytes:
    """What follows the end of the picture; empty where its format has no end, or it is cut off."""
    end = {"jpeg": _jpeg_end, "png": _png_end, "webp": _webp_end}.get(kind(data), len)(data)
    return data[end:]


def suits(suffix: str, data: bytes) -> bool:
    """Whether a name's ending (`.jpg`) is one for this content."""
    return suffix.lower() in SUFFIXES.get(kind(data), frozenset())


# --- where a picture ends -------------------------------------------------------------------------

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# No stuffed byte, fill byte, restart or start of image: those go on with no length behind them.
_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)


def _jpeg_end(data: bytes) -> int:
    """After the first end-of-image marker that is not inside a segment."""
    place = 2
    while found := _MARKER.search(data, place):
        place = found.start()
        if data[place + 1] == 0xD9:
            return place + 2
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if length < 2:
            break
        place += 2 + length
    return len(data)


def _png_end(data: bytes) -> int:
    place = 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        name, place = data[place + 4 : place + 8], place + 12 + size
        if name == b"IEND":
            return min(place, len(data))
    return len(data)


def _webp_end(data: bytes) -> int:
    size = int.from_bytes(data[4:8], "little")
    return min(8 + size + (size & 1), len(data))


# --- small things ---------------------------------------------------------------------------------


def _segments(data: bytes) -> list[tuple[int, bytes]]:
    try:
        return list(containers.segments(data))
    except (containers.Broken, struct.error):
        return []


def _tag(data: bytes, tag: int) -> bytes:
    try:
        return containers.directory(data, frozenset({tag})).get(tag, b"")
    except (containers.Broken, struct.error):
        return b""
