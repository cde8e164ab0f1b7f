"""A second reader of an exported log, written from the C2SP texts alone: none of our log's code.

tlog-tiles, tlog-checkpoint, signed-note, RFC 6962. It fetches from a folder as a client does
over HTTP, and knows only the folder, the log's name and its Ed25519 public key.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def mth(hashes: list[bytes]) -> bytes:
    """RFC 6962 2.1: split at the largest power of two smaller than n."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node(mth(hashes[:k]), mth(hashes[k:]))


class Reader:
    """The folder of one log. Raises AssertionError or FileNotFoundError for whatever is wrong."""

    def __init__(self, folder: Path, origin: str, public: bytes) -> None:
        self.folder, self.origin = folder, origin
        self.key = Ed25519PublicKey.from_public_bytes(public)
        material = origin.encode() + b"\n\x01" + public
        self.key_id = hashlib.sha256(material).digest()[:4]

    def checkpoint(self) -> tuple[int, bytes]:
        """Size and root, after the signature of the log's own key verified."""
        return self.opened((self.folder / "checkpoint").read_text(encoding="utf-8"))

    def opened(self, note: str) -> tuple[int, bytes]:
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        signed = False
        for line in signatures.splitlines():
            dash, name, blob = line.split(" ")
            raw = base64.b64decode(blob)
            assert dash == "\u2014"
            if (name, raw[:4]) == (self.origin, self.key_id):
                self.key.verify(raw[4:], text.encode())
                signed = True
        assert signed
        origin, size, root, rest = text.split("\n")
        assert (origin, rest) == (self.origin, "")
        return int(size), base64.b64decode(root)

    def path(self, kind: str, n: int, width: int) -> Path:
        parts = [f"{n % 1000:03d}"]
        while n := n // 1000:
            parts.insert(0, f"x{n % 1000:03d}")
        name = "/".join(parts) + (f".p/{width}" if width < 256 else "")
        return self.folder / "tile" / kind / name

    def tile(self, level: int, n: int, width: int) -> list[bytes]:
        data = self.path(str(level), n, width).read_bytes()
        assert len(data) == 32 * width
        return [data[i : i + 32] for i in range(0, len(data), 32)]

    def bundle(self, n: int, width: int) -> list[bytes]:
        data, entries = self.path("entries", n, width).read_bytes(), []
        while data:
            (length,) = struct.unpack(">H", data[:2])
            entries.append(data[2 : 2 + length])
            assert len(entries[-1]) == length
            data = data[2 + length :]
        assert len(entries) == width
        return entries

    def widths(self, level: int, size: int) -> Iterator[tuple[int, int]]:
        """(n, width) of each tile of a level: floor(s / 256**l) hashes, cut into 256."""
        count = size // 256**level
        yield from ((n, min(256, count - 256 * n)) for n in range((count + 255) // 256))

    def levels(self, size: int) -> Iterator[int]:
        level = 0
        while size // 256**level:
            yield level
            level += 1

    def check_size(self, size: int, root: bytes) -> None:
        """Every tile of this size is there, each is the hash of the one below, and they have the
        root. The bundles hash to the tiles of level 0."""
        below: dict[int, bytes] = {}
        for level in self.levels(size):
            hashes: dict[int, bytes] = {}
            for n, width in self.widths(level, size):
                tile = self.tile(level, n, width)
                if level:
                    assert tile == [below[256 * n + i] for i in range(width)]
                else:
                    bundle = self.bundle(n, width)
                    assert tile == [hashlib.sha256(b"\x00" + e).digest() for e in bundle]
                if width == 256:
                    hashes[n] = mth(tile)
            below = hashes
        assert self.range(0, size, size) == root

    def range(self, start: int, end: int, size: int) -> bytes:
        """MTH(D[start:end]) of the tree of `size`, from its tiles; a range that RFC 6962 asks."""
        length = end - start
        level = 0
        while length % 256 == 0 and length > 256 and start % 256 ** (level + 1) == 0:
            length, level = length // 256, level + 1
        if length <= 256 and start % 256**level == 0:
            first = start // 256**level
            n, inner = divmod(first, 256)
            if inner + length <= 256 and (inner, length) != (0, 256):
                whole = size // 256**level
                width = min(256, whole - 256 * n)
                if inner + length <= width:
                    return mth(self.tile(level, n, width)[inner : inner + length])
            if (inner, length) == (0, 256):
                return mth(self.tile(level, n, 256))
        k = 1
        while k * 2 < end - start:
            k *= 2
        return node(self.range(start, start + k, size), self.range(start + k, end, size))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """PATH(m, D[n]) by the recursive definition of RFC 6962 2.1.1."""
        return self._path(index, 0, size, size)

    def _path(self, m: int, start: int, end: int, size: int) -> list[bytes]:
        if end - start == 1:
            return []
        k = 1
        while k * 2 < end - start:
            k *= 2
        if m < k:
            return [*self._path(m, start, start + k, size), self.range(start + k, end, size)]
        return [*self._path(m - k, start + k, end, size), self.range(start, start + k, size)]

    def consistency(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[n]) by the recursive definition of RFC 6962 2.1.2."""
        return [] if m == n else self._subproof(m, 0, n, n, whole=True)

    def _subproof(self, m: int, start: int, end: int, size: int, *, whole: bool) -> list[bytes]:
        if m == end - start:
            return [] if whole else [self.range(start, end, size)]
        k = 1
        while k * 2 < end - start:
            k *= 2
        if m <= k:
            left = self._subproof(m, start, start + k, size, whole=whole)
            return [*left, self.range(start + k, end, size)]
        right = self._subproof(m - k, start + k, end, size, whole=False)
        return [*right, self.range(start, start + k, size)]


def root_of_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an audit path leads to, by RFC 6962 2.1.1 read backwards."""
    if size == 1:
        assert not path
        return leaf
    k = 1
    while k * 2 < size:
        k *= 2
    if index < k:
        return node(root_of_path(leaf, index, k, path[:-1]), path[-1])
    return node(path[-1], root_of_path(leaf, index - k, size - k, path[:-1]))


def roots_of_consistency(
    m: int, n: int, proof: list[bytes], old_root: bytes, *, whole: bool = True
) -> tuple[bytes, bytes]:
    """(old, new) root that a consistency proof leads to, by RFC 6962 2.1.2 read backwards."""
    if m == n:
        found = old_root if whole else proof[0]
        assert len(proof) == (0 if whole else 1)
        return found, found
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        old, left = roots_of_consistency(m, k, proof[:-1], old_root, whole=whole)
        return old, node(left, proof[-1])
    old, right = roots_of_consistency(m - k, n - k, proof[:-1], old_root, whole=False)
    return node(proof[-1], old), node(proof[-1], right)
