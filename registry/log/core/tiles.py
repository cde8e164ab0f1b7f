"""Tiles: the tree cut into static pieces of 256 hashes, and entry bundles beside them.

Ground floor, pure. Tiles are a cache of the entries: whoever changes one can only make proofs fail.
Source: C2SP tlog-tiles.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from registry.log.core import merkle
from registry.log.core.errors import VerificationError

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_ENTRY_BYTES: Final = 65_535
_FULL: Final = WIDTH * merkle.HASH_BYTES
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<n>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<w>[0-9]{1,3}))?"
)

TileReader = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Tile:
    """Hashes number n*256 to n*256 + width of a tile level; `data` is width * 32 bytes."""

    level: int
    n: int
    data: bytes

    @property
    def width(self) -> int:
        """The number of hashes, 1 to 256; 256 is a full tile."""
        return len(self.data) // merkle.HASH_BYTES


def tile_path(level: int, n: int, width: int) -> str:
    """Return "tile/<L>/<N>[.p/<W>]"; the suffix is there for partial tiles only."""
    if not 0 <= level <= 63:
        raise ValueError("tile levels go from 0 to 63")
    return f"tile/{level}/{_numbered(n, width)}"


def entries_path(n: int, width: int) -> str:
    """Return "tile/entries/<N>[.p/<W>]"."""
    return f"tile/entries/{_numbered(n, width)}"


def parse_path(path: str) -> tuple[int | None, int, int]:
    """Return (level, n, width) of a tile path; level None means an entry bundle.

    Raises VerificationError `bad_tile_path` for every other spelling.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise VerificationError("bad_tile_path", path)
    level = None if match["level"] == "entries" else int(match["level"])
    n = int(match["n"].replace("x", "").replace("/", ""))
    width = int(match["w"] or WIDTH)
    in_range = (level is None or level <= 63) and 1 <= width <= WIDTH
    if not in_range or path != _spelled(level, n, width):
        raise VerificationError("bad_tile_path", path)
    return level, n, width


def spans(size: int) -> list[tuple[int, int, int]]:
    """Return (level, n, width) of every tile of a tree of `size` leaves, lowest level first."""
    found: list[tuple[int, int, int]] = []
    level = 0
    while size:
        found += [(level, n, WIDTH) for n in range(size // WIDTH)]
        if size % WIDTH:
            found.append((level, size // WIDTH, size % WIDTH))
        size //= WIDTH
        level += 1
    return found


def spans_since(old: int, new: int) -> list[tuple[int, int, int]]:
    """Return (level, n, width) of the tiles that a tree of `new` leaves has and `old` had not."""
    found: list[tuple[int, int, int]] = []
    level = 0
    while new:
        found += [(level, n, WIDTH) for n in range(old // WIDTH, new // WIDTH)]
        if new % WIDTH and new != old:
            found.append((level, new // WIDTH, new % WIDTH))
        old, new, level = old // WIDTH, new // WIDTH, level + 1
    return found


def extend(old_size: int, leaf_hashes: Sequence[bytes], read: TileReader) -> list[Tile]:
    """Return every tile that appending these leaves creates or widens.

    `read(level, n)` gives the present data of a partial tile (at least its present width). "A
    partial tile ... MUST NOT be hashed into a tile at the level above."
    """
    changed: list[Tile] = []
    start, level, hashes = old_size, 0, list(leaf_hashes)
    while hashes:
        first, kept = divmod(start, WIDTH)
        before = read(level, first)[: kept * merkle.HASH_BYTES] if kept else b""
        data = before + b"".join(hashes)
        pieces = [data[i : i + _FULL] for i in range(0, len(data), _FULL)]
        changed += [Tile(level, first + i, piece) for i, piece in enumerate(pieces)]
        hashes = [merkle.root_hash(split(piece)) for piece in pieces if len(piece) == _FULL]
        start, level = first, level + 1
    return changed


def split(data: bytes) -> list[bytes]:
    """Cut tile data into 32-byte hashes; raises VerificationError `bad_tile`."""
    size = merkle.HASH_BYTES
    if not data or len(data) % size or len(data) > _FULL:
        raise VerificationError("bad_tile", f"{len(data)} bytes are not 1 to 256 hashes")
    return [data[i : i + size] for i in range(0, len(data), size)]


class TileNodes:
    """A node source over tiles: each tile is read once, inner nodes are hashed as needed."""

    def __init__(self, read: TileReader) -> None:
        self._read = read
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def data(self, level: int, n: int) -> bytes:
        """Return a whole tile's data; a `TileReader` that reads each tile once."""
        return b"".join(self._tile(level, n))

    def __call__(self, level: int, index: int) -> bytes:
        """Return the complete subtree hash at (level, index); `bad_tile` if its tile is short."""
        tile_level, inner = divmod(level, HEIGHT)
        n, first = divmod(index << inner, WIDTH)
        hashes = self._tile(tile_level, n)[first : first + (1 << inner)]
        if len(hashes) != 1 << inner:
            raise VerificationError("bad_tile", f"tile {tile_level}/{n} is too short")
        return merkle.root_hash(hashes)

    def leaf(self, index: int) -> bytes:
        """Return the leaf hash at `index`; `bad_tile` if its tile is short."""
        n, place = divmod(index, WIDTH)
        hashes = self._tile(0, n)
        if place >= len(hashes):
            raise VerificationError("bad_tile", f"tile 0/{n} is too short")
        return hashes[place]

    def _tile(self, level: int, n: int) -> list[bytes]:
        if (level, n) not in self._tiles:
            self._tiles[level, n] = split(self._read(level, n))
        return self._tiles[level, n]


def bundle(entries: Iterable[bytes]) -> bytes:
    """Return "sequences of big-endian uint16 length-prefixed log entries"."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        parts += (struct.pack(">H", len(entry)), entry)
    return b"".join(parts)


def parse_bundle(data: bytes) -> list[bytes]:
    """Return the 1 to 256 entries of a bundle; raises VerificationError `bad_bundle`."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise VerificationError("bad_bundle", "an entry runs over the end")
        entries.append(data[at + 2 : end])
        at = end
    if not 1 <= len(entries) <= WIDTH:
        raise VerificationError("bad_bundle", "a bundle has 1 to 256 entries")
    return entries


def _spelled(level: int | None, n: int, width: int) -> str:
    return entries_path(n, width) if level is None else tile_path(level, n, width)


def _numbered(n: int, width: int) -> str:
    """tlog-tiles: "index 1234067 will be encoded as x001/x234/067"."""
    if n < 0 or not 1 <= width <= WIDTH:
        raise ValueError("a tile has n >= 0 and 1 to 256 hashes")
    text = f"{n % 1000:03d}"
    while n >= 1000:
        n //= 1000
        text = f"x{n % 1000:03d}/{text}"
    return text if width == WIDTH else f"{text}.p/{width}"
