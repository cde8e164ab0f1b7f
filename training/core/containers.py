"""Finds the metadata packets inside an uploaded picture, before they are stripped.

Stage 5, pure: bytes in, packets out. Trusts nothing about the bytes; reads lengths only after
checking them, never recurses, and stops at fixed bounds. What it cannot follow it says (`broken`):
a packet that nobody could read may hold a refusal.

Sources: JPEG segments ITU-T T.81 B.1.1 and JUMBF in APP11 (ISO/IEC 19566-5), PNG chunks (W3C PNG
third edition 5.3), RIFF chunks of WebP (RFC 9649), TIFF 6.0 directories.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MAX_PACKET: Final = 8 * 1024 * 1024
MAX_PARTS: Final = 4096
MAX_TAGS: Final = 512

_EXIF: Final = b"Exif\0\0"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE: Final = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP: Final = b"Photoshop 3.0\0"
_JUMBF: Final = b"JP"

_TIFF_WIDTHS: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 13: 4}
TAG_ARTIST, TAG_COPYRIGHT, TAG_XP_AUTHOR = 0x013B, 0x8298, 0x9C9D
_TAG_XMP, _TAG_IPTC, _TAG_PHOTOSHOP, _TAG_C2PA = 700, 33723, 34377, 0xCD41


class Broken(ValueError):
    """The container does not say what it must."""


@dataclass
class Packets:
    """What was found: raw packets by kind. `texts` are plain name/value texts of PNG."""

    xmp: list[bytes] = field(default_factory=list)
    exif: list[bytes] = field(default_factory=list)
    iptc: list[bytes] = field(default_factory=list)
    jumbf: list[bytes] = field(default_factory=list)
    texts: list[tuple[str, bytes]] = field(default_factory=list)
    # A digest of IPTC data that is not there any more: somebody took it out.
    iptc_digest: bool = False
    broken: bool = False

    @property
    def empty(self) -> bool:
        """Whether the file carries no metadata of any kind."""
        return not (self.xmp or self.exif or self.iptc or self.jumbf or self.texts)


def packets(data: bytes) -> Packets:
    """Every metadata packet of a JPEG, PNG, WebP or TIFF file; raises nothing."""
    found = Packets()
    try:
        if data[:2] == b"\xff\xd8":
            _jpeg(data, found)
        elif data[:8] == b"\x89PNG\r\n\x1a\n":
            _png(data, found)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            _webp(data, found)
        elif data[:4] in (b"II*\0", b"MM\0*"):
            _tiff(data, found)
        else:
            found.broken = True
    except (Broken, struct.error, zlib.error):
        found.broken = True
    return found


# --- JPEG -----------------------------------------------------------------------------------------


def _jpeg(data: bytes, found: Packets) -> None:
    parts: dict[tuple[bytes, int], list[tuple[int, bytes]]] = {}
    more: dict[bytes, list[tuple[int, bytes]]] = {}
    for marker, body in segments(data):
        if marker == 0xE1 and body.startswith(_EXIF):
            found.exif.append(body[len(_EXIF) :])
        elif marker == 0xE1 and body.startswith(_XMP):
            found.xmp.append(body[len(_XMP) :])
        elif marker == 0xE1 and body.startswith(_XMP_MORE):
            rest = body[len(_XMP_MORE) :]
            more.setdefault(rest[:32], []).append((struct.unpack(">I", rest[36:40])[0], rest[40:]))
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            _photoshop(body[len(_PHOTOSHOP) :], found)
        elif marker == 0xEB and body.startswith(_JUMBF):
            instance, sequence = struct.unpack(">HI", body[2:8])
            # Box header and instance number together: one box cut into segments of 64 KiB.
            parts.setdefault((body[8:16], instance), []).append((sequence, body[8:]))
    found.xmp += [b"".join(text for _, text in sorted(pieces)) for pieces in more.values()]
    for pieces in parts.values():
        ordered = [box for _, box in sorted(pieces)]
        found.jumbf.append(ordered[0] + b"".join(box[8:] for box in ordered[1:]))


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment up to the first scan."""
    place = 2
    for _ in range(MAX_PARTS):
        if place + 2 > len(data) or data[place] != 0xFF:
            raise Broken("no marker")
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker in (0xDA, 0xD9):
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            place += 2
            continue
        length = struct.unpack_from(">H", data, place + 2)[0]
        if length < 2 or place + 2 + length > len(data):
            raise Broken("segment length")
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length
    raise Broken("too many segments")


def _photoshop(data: bytes, found: Packets) -> None:
    """Image resource blocks: IPTC in 0x0404, the digest of IPTC in 0x0425."""
    place = 0
    for _ in range(MAX_PARTS):
        if place + 12 > len(data):
            return
        if data[place : place + 4] != b"8BIM":
            raise Broken("image resource")
        number = struct.unpack_from(">H", data, place + 4)[0]
        place += 6
        place += (data[place] + 2) & ~1  # a counted name, padded to even
        size = struct.unpack_from(">I", data, place)[0]
        place += 4
        if place + size > len(data):
            raise Broken("image resource length")
        if number == 0x0404:
            found.iptc.append(data[place : place + size])
        found.iptc_digest = found.iptc_digest or number == 0x0425
        place += (size + 1) & ~1


# --- PNG, WebP ------------------------------------------------------------------------------------


def _png(data: bytes, found: Packets) -> None:
    place = 8
    for _ in range(MAX_PARTS):
        if place + 12 > len(data):
            raise Broken("no end of the picture")
        size = struct.unpack_from(">I", data, place)[0]
        kind = data[place + 4 : place + 8]
        if place + 12 + size > len(data):
            raise Broken("chunk length")
        body = data[place + 8 : place + 8 + size]
        if kind == b"IEND":
            return
        _png_chunk(kind, body, found)
        place += 12 + size
    raise Broken("too many chunks")


def _png_chunk(kind: bytes, body: bytes, found: Packets) -> None:
    if kind == b"eXIf":
        found.exif.append(body)
    elif kind == b"caBX":
        found.jumbf.append(body)
    elif kind in (b"iTXt", b"tEXt", b"zTXt"):
        name, text = _png_text(kind, body)
        if name == "XML:com.adobe.xmp":
            found.xmp.append(text)
        else:
            found.texts.append((name, text))


def _png_text(kind: bytes, body: bytes) -> tuple[str, bytes]:
    name, separator, rest = body.partition(b"\0")
    if not separator:
        raise Broken("text chunk")
    packed = kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\x01"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return name.decode("latin-1"), _inflated(rest) if packed else rest


def _inflated(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(data, MAX_PACKET)
    if unpacking.unconsumed_tail:
        raise Broken("a packet that grows without end")
    return text


def _webp(data: bytes, found: Packets) -> None:
    place = 12
    for _ in range(MAX_PARTS):
        if place + 8 > len(data):
            return
        kind = data[place : place + 4]
        size = struct.unpack_from("<I", data, place + 4)[0]
        if place + 8 + size > len(data):
            raise Broken("chunk length")
        body = data[place + 8 : place + 8 + size]
        if kind == b"EXIF":
            found.exif.append(body.removeprefix(_EXIF))
        elif kind == b"XMP ":
            found.xmp.append(body)
        elif kind == b"C2PA":
            found.jumbf.append(body)
        place += 8 + size + (size & 1)
    raise Broken("too many chunks")


# --- TIFF, and EXIF which has its form ------------------------------------------------------------


def _tiff(data: bytes, found: Packets) -> None:
    # The directory itself is the EXIF packet; copying a whole TIFF for it would be waste.
    tags = directory(data)
    kept = {tag: raw for tag, raw in tags.items() if tag in TEXT_TAGS}
    found.texts += [(TEXT_TAGS[tag], raw) for tag, raw in kept.items()]
    for tag, target in ((_TAG_XMP, found.xmp), (_TAG_IPTC, found.iptc), (_TAG_C2PA, found.jumbf)):
        if tag in tags:
            target.append(tags[tag])
    if _TAG_PHOTOSHOP in tags:
        _photoshop(tags[_TAG_PHOTOSHOP], found)


TEXT_TAGS: Final = {
    TAG_ARTIST: "Author",
    TAG_COPYRIGHT: "Copyright",
    TAG_XP_AUTHOR: "XPAuthor",
}


def directory(data: bytes, wanted: frozenset[int] | None = None) -> dict[int, bytes]:
    """The first directory of a TIFF or EXIF block: tag to raw bytes. Raises `Broken`.

    `wanted` are the tags to read; by default those that say something of makers and rights.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise Broken("byte order")
    place = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, place)[0]
    if count > MAX_TAGS:
        raise Broken("too many tags")
    found: dict[int, bytes] = {}
    for number in range(count):
        entry = place + 2 + 12 * number
        tag, kind, amount = struct.unpack_from(order + "HHI", data, entry)
        size = _TIFF_WIDTHS.get(kind, 1) * amount
        start = entry + 8 if size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
        if tag in (_WANTED if wanted is None else wanted):
            if size > MAX_PACKET or start + size > len(data):
                raise Broken("tag outside the file")
            found[tag] = data[start : start + size]
    return found


_WANTED: Final = frozenset(TEXT_TAGS) | {_TAG_XMP, _TAG_IPTC, _TAG_PHOTOSHOP, _TAG_C2PA}
