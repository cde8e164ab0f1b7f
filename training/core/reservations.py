"""What a file itself says about AI training, and who it says made it: read before it is stripped.

Stage 5, pure: the bytes of an upload in, statements out. Read are PLUS `plus:DataMining` (IPTC
Photo Metadata 2023.1), TDMRep `tdm:reservation` (W3C community report, May 2024), the training and
data mining assertion of CAWG 1.1 and of C2PA before it, and the creator in EXIF, IPTC and XMP.

Combined as IETF AIPREF does: the most restrictive statement wins, and "unknown" is a value. CAWG:
constrained without more information is a no. Nothing here is authenticated, and a no needs no
signature to count: that is why the C2PA manifest is only read, by the few lines below, and not
verified. A yes in a file lifts nothing; only the holder's approval does.
"""

from __future__ import annotations

import json
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat

import cbor2

from registry.core.rights import RESERVATIONS
from training.core import containers
from training.core.containers import Broken, Packets

MAX_ELEMENTS: Final = 20_000
MAX_DEPTH: Final = 64
MAX_ASSERTION: Final = 256 * 1024
MAX_BOXES: Final = 4096
MAX_NAMES: Final = 20
MAX_NAME: Final = 200

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PLUS: Final = "http://ns.useplus.org/ldf/xmp/1.0/"
_TDM: Final = "//www.w3.org/ns/tdmrep"
_CREATORS: Final = frozenset(
    {
        "http://purl.org/dc/elements/1.1/ creator",
        "http://ns.adobe.com/tiff/1.0/ Artist",
        _PLUS + " ImageCreatorName",
    }
)
_OWNERS: Final = frozenset(
    {
        "http://purl.org/dc/elements/1.1/ rights",
        "http://ns.adobe.com/xap/1.0/rights/ Owner",
        _PLUS + " CopyrightOwnerName",
    }
)
# What a use of pixels to train a generative model falls under; inference is another thing.
_ENTRIES: Final = frozenset(
    f"{who}.{what}"
    for who in ("cawg", "c2pa")
    for what in ("data_mining", "ai_training", "ai_generative_training")
)
_TRAINING: Final = ("cawg.training-mining", "c2pa.training-mining")
_METADATA: Final = ("stds.iptc", "c2pa.metadata", "cawg.metadata")


@dataclass(frozen=True)
class Statement:
    """One statement about training: where it stands, what it says there, what that comes to."""

    source: str
    value: str
    state: str


@dataclass(frozen=True)
class Found:
    """Everything that a file says. `creators` made it, `owners` are its copyright notices.

    `stripped`: it carries no metadata at all, or only the digest of some that was taken out.
    """

    statements: tuple[Statement, ...]
    creators: tuple[str, ...]
    owners: tuple[str, ...]
    stripped: bool

    @property
    def state(self) -> str:
        """The most restrictive statement; `unknown` when nothing was said."""
        return combine(statement.state for statement in self.statements)

    def to_payload(self) -> dict[str, Any]:
        """The JSON object kept beside the picture."""
        return {
            "state": self.state,
            "statements": [dict(vars(item)) for item in self.statements],
            "creators": list(self.creators),
            "owners": list(self.owners),
            "stripped": self.stripped,
        }


def combine(states: Iterable[str]) -> str:
    """The most restrictive of them, in the order of `RESERVATIONS`."""
    return max(states, key=RESERVATIONS.index, default="unknown")


def read(data: bytes) -> Found:
    """Everything that an upload says about training and its maker. Raises nothing for any bytes."""
    found = containers.packets(data)
    told = _Told()
    if found.broken:
        told.unreadable("container")
    for packet in found.xmp:
        told.take("xmp", _xmp, packet)
    for packet in found.exif:
        told.take("exif", _exif, packet)
    for packet in found.iptc:
        told.take("iptc", _iptc, packet)
    for packet in found.jumbf:
        told.take("c2pa", _jumbf, packet)
    for name, text in found.texts:
        told.text(name, text)
    return Found(
        statements=tuple(dict.fromkeys(told.statements)),
        creators=_names(told.creators),
        owners=_names(told.owners),
        stripped=_stripped(found),
    )


def same_maker(found: Mapping[str, Any], names: Iterable[str]) -> bool | None:
    """Whether the maker named in a file (`Found.to_payload`) is one of `names`; None: unnamed.

    Compared without case, width, spaces and punctuation; a name inside a longer text counts
    ("Photo: Charlie Chatani"), so that a credit line fits.
    """
    stated = [_bare(text) for text in (found.get("creators") or found.get("owners") or ())]
    known = [name for name in map(_bare, names) if len(name) > 1]
    if not any(stated):
        return None
    return any(name in text or text in name for text in stated if text for name in known)


def _bare(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in plain if sign.isalnum())


def _names(found: Iterable[str]) -> tuple[str, ...]:
    clean = (" ".join("".join(c for c in n if c.isprintable()).split()) for n in found)
    return tuple(dict.fromkeys(name[:MAX_NAME] for name in clean if name))[:MAX_NAMES]


def _stripped(found: Packets) -> bool:
    return found.empty or (found.iptc_digest and not found.iptc)


class _Told:
    """Collects what the parsers find; what one of them cannot read counts as unreadable."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.creators: list[str] = []
        self.owners: list[str] = []

    def take(self, source: str, parser: Any, packet: bytes) -> None:
        """Run one parser over one packet."""
        if len(packet) > containers.MAX_PACKET:
            self.unreadable(source)
            return
        try:
            parser(packet, self)
        except (*_UNREADABLE,):
            self.unreadable(source)

    def say(self, source: str, value: str, state: str) -> None:
        """One statement about training."""
        self.statements.append(Statement(source, value[:MAX_NAME], state))

    def unreadable(self, source: str) -> None:
        """A packet that nobody could read may hold a no."""
        self.say(source, "", "unreadable")

    def text(self, name: str, raw: bytes) -> None:
        """A plain text with a name, as PNG and TIFF have them."""
        if name.casefold() in ("author", "artist", "xpauthor"):
            self.creators.append(_decoded(raw, wide=name == "XPAuthor"))
        elif name.casefold() == "copyright":
            self.owners.append(_decoded(raw))


_UNREADABLE: Final = (
    Broken,
    expat.ExpatError,
    cbor2.CBORDecodeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
)


# --- XMP ------------------------------------------------------------------------------------------


def _xmp(packet: bytes, told: _Told) -> None:
    for name, value in _properties(packet):
        if name == _PLUS + " DataMining":
            told.say("plus", value, _plus(value))
        elif _TDM in name and name.endswith(" reservation"):
            told.say("tdmrep", value, _tdm(value))
        elif name in _CREATORS:
            told.creators.append(value)
        elif name in _OWNERS:
            told.owners.append(value)


def _plus(value: str) -> str:
    """A word of the PLUS data-mining vocabulary; an unknown word is none that we could obey."""
    word = value.rpartition("/")[2].upper().removeprefix("DMI-")
    if word in ("", "UNSPECIFIED"):
        return "unknown"
    if word == "ALLOWED":
        return "allowed"
    if word.startswith("PROHIBITED-SEE"):
        return "constrained"
    return "notAllowed" if word.startswith("PROHIBITED") else "unreadable"


def _tdm(value: str) -> str:
    """TDMRep: 1 is reserved, 0 is not; "other values" are an error of the protocol."""
    return {"1": "notAllowed", "0": "allowed"}.get(value.strip(), "unreadable")


def _properties(packet: bytes) -> list[tuple[str, str]]:
    """Every property of an XMP packet with each of its values, names as `namespace local`.

    No document type: entities are how a small packet becomes a large one. Raises `Broken` and
    `ExpatError`.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    reading = _Reading()
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.characters
    parser.StartDoctypeDeclHandler = reading.document_type
    parser.Parse(packet.strip(b" \t\r\n\0"), True)
    return reading.found


class _Reading:
    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._seen = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._seen += 1
        self._path.append(name)
        if self._seen > MAX_ELEMENTS or len(self._path) > MAX_DEPTH:
            raise Broken("too many elements")
        self._text.clear()
        for key, value in attributes.items():
            # `rdf:resource` is the value of the property that it stands on.
            self.found.append((self._owner() if key == _RDF + " resource" else key, value))

    def end(self, name: str) -> None:
        value = "".join(self._text).strip()
        if value:
            self.found.append((self._owner(), value))
        self._text.clear()
        self._path.pop()

    def characters(self, text: str) -> None:
        self._text.append(text)

    def document_type(self, *_: object) -> None:
        raise Broken("a document type")

    def _owner(self) -> str:
        """The property to which a value belongs, through containers (`rdf:Seq`, `rdf:li`)."""
        return next((name for name in reversed(self._path) if not name.startswith(_RDF)), "")


# --- EXIF, IPTC -----------------------------------------------------------------------------------


def _exif(packet: bytes, told: _Told) -> None:
    for tag, raw in containers.directory(packet).items():
        if tag in containers.TEXT_TAGS:
            told.text(containers.TEXT_TAGS[tag], raw)


def _iptc(packet: bytes, told: _Told) -> None:
    """IIM data sets of record 2: by-line 80, copyright notice 116 (IPTC-NAA IIM 4.2)."""
    place = 0
    while place + 5 <= len(packet):
        if packet[place] != 0x1C:
            if not any(packet[place:]):  # padding
                return
            raise Broken("IPTC")
        record, number = packet[place + 1], packet[place + 2]
        size = int.from_bytes(packet[place + 3 : place + 5], "big")
        place += 5
        if size > 0x7FFF or place + size > len(packet):
            raise Broken("IPTC length")
        if record == 2 and number == 80:
            told.creators.append(_decoded(packet[place : place + size]))
        elif record == 2 and number == 116:
            told.owners.append(_decoded(packet[place : place + size]))
        place += size


def _decoded(raw: bytes, *, wide: bool = False) -> str:
    """Text of unknown encoding: UTF-8, else what Japanese cameras write, else Latin-1."""
    if wide:
        return raw.decode("utf-16-le", "replace").strip("\0 ")
    raw = raw.strip(b"\0 ")
    for encoding in ("utf-8", "cp932"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


# --- C2PA -----------------------------------------------------------------------------------------


def _jumbf(packet: bytes, told: _Told) -> None:
    """Every assertion of every manifest in a store, ingredients included: any no is a no."""
    for label, kind, body in _assertions(packet):
        if label.startswith(_TRAINING):
            for entry, value in _content(kind, body)["entries"].items():
                if entry in _ENTRIES:
                    told.say(entry, str(value.get("use")), _cawg(value))
        elif label.startswith(_METADATA):
            _metadata(_content(kind, body), told)


def _cawg(value: Mapping[str, Any]) -> str:
    use = value.get("use")
    if use == "constrained":
        return "constrained" if value.get("constraint_info") else "notAllowed"
    return {"allowed": "allowed", "notAllowed": "notAllowed"}.get(str(use), "unreadable")


def _metadata(values: Mapping[str, Any], told: _Told) -> None:
    """JSON-LD of the metadata assertions, as far as it concerns us."""
    mining = values.get("plus:DataMining")
    if mining is not None:
        told.say("plus", str(mining), _plus(str(mining)))
    for name in values.get("dc:creator") or ():
        told.creators.append(str(name))


def _content(kind: bytes, body: bytes) -> Any:
    if len(body) > MAX_ASSERTION:
        raise Broken("assertion size")
    if kind == b"cbor":
        return cbor2.loads(body)
    if kind == b"json":
        return json.loads(body)
    raise Broken("assertion of another form")


def _assertions(packet: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Label, content type and content of each labelled box (ISO/IEC 19566-5 5.1, A.2)."""
    open_: list[tuple[int, int, str]] = [(0, len(packet), "")]
    for _ in range(MAX_BOXES):
        if not open_:
            return
        place, end, label = open_.pop()
        if place == end:
            continue
        kind, start, stop = _box(packet, place, end)
        if kind == b"jumd":
            label = _label(packet[start:stop])
        open_.append((stop, end, label))
        if kind == b"jumb":
            open_.append((start, stop, ""))
        elif kind == b"brob":
            # A compressed manifest: what is inside we have not read.
            raise Broken("a compressed box")
        elif kind in (b"cbor", b"json"):
            yield label, kind, packet[start:stop]
    raise Broken("too many boxes")


def _box(packet: bytes, place: int, end: int) -> tuple[bytes, int, int]:
    """A box's type and where its content begins and ends. Raises `Broken`."""
    size = int.from_bytes(packet[place : place + 4], "big")
    kind, head = packet[place + 4 : place + 8], 8
    if size == 1:
        size, head = int.from_bytes(packet[place + 8 : place + 16], "big"), 16
    elif size == 0:
        size = end - place
    if len(kind) < 4 or size < head or place + size > end:
        raise Broken("box length")
    return kind, place + head, place + size


def _label(description: bytes) -> str:
    """The label in a description box: UUID (16), toggles (1), label to the next zero byte."""
    if len(description) < 17:
        raise Broken("description box")
    if not description[16] & 0x02:
        return ""
    return description[17:].partition(b"\0")[0].decode("utf-8", "replace")
