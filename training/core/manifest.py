"""The list of pictures that people sign for, and its Merkle root.

Stages 4 to 6, pure. Trusts nothing in a manifest: it is not signed. What is signed is the root in
the grant, and `verify_items` recomputes it from the very bytes that are then trained on.

A leaf is the canonical JSON of a picture's two hashes and its size in pixels; the tree is RFC 6962.
The object digest, the length and the face box are left out of the leaf: they say where the bytes
lie and how they are cropped, not which picture it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from registry.log.core import canonical, merkle
from registry.log.core.errors import VerificationError

FORMAT: Final = "kyodaku/manifest/v1"
MAX_ITEMS: Final = 10_000
MAX_SIDE: Final = 16_000
MAX_BYTES: Final = 2**30
_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_DATASET: Final = re.compile(r"dst_[0-9a-f]{20}")
_MEMBERS: Final = frozenset(
    {"object", "file_sha256", "pixel_sha256", "width", "height", "bytes", "box"}
)

Box = tuple[int, int, int, int]


def is_digest(value: object) -> bool:
    """Whether `value` is a SHA-256 in lower-case hex: the only thing ever used as a file's name."""
    return isinstance(value, str) and _HEX64.fullmatch(value) is not None


# Members may only be appended, with a default; anything else needs "kyodaku/manifest/v2".
@dataclass(frozen=True)
class Item:
    """One picture. Digests are lower-case hex, sizes pixels and bytes of the plain picture.

    `object` is the SHA-256 of the encrypted object; `box` the talent's face as left, top, right,
    bottom in pixels, where one was found.
    """

    object: str
    file_sha256: str
    pixel_sha256: str
    width: int
    height: int
    bytes: int
    box: Box | None = None

    def to_payload(self) -> dict[str, Any]:
        """The JSON object in a manifest."""
        return {**vars(self), "box": None if self.box is None else list(self.box)}

    @classmethod
    def from_payload(cls, payload: Any) -> Item:
        """Parse strictly. Raises `VerificationError("malformed")`."""
        if not isinstance(payload, dict) or set(payload) != _MEMBERS:
            raise VerificationError("malformed", "manifest item members")
        digests = (payload["object"], payload["file_sha256"], payload["pixel_sha256"])
        if not all(map(is_digest, digests)):
            raise VerificationError("malformed", "manifest item digests")
        _size(payload["width"], MAX_SIDE)
        _size(payload["height"], MAX_SIDE)
        _size(payload["bytes"], MAX_BYTES)
        return cls(**{**payload, "box": _box(payload)})


@dataclass(frozen=True)
class Manifest:
    """The pictures of one data set, sorted by the hash of the plain picture.

    Raises `ValueError` when a picture is listed twice, or none.
    """

    dataset_id: str
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.items, key=lambda item: item.file_sha256))
        if not ordered or len({item.file_sha256 for item in ordered}) != len(ordered):
            raise ValueError("a data set has pictures, each of them once")
        object.__setattr__(self, "items", ordered)

    @property
    def count(self) -> int:
        """How many pictures."""
        return len(self.items)

    @property
    def total_bytes(self) -> int:
        """The plain pictures' bytes together."""
        return sum(item.bytes for item in self.items)

    def root(self) -> str:
        """RFC 6962 root over the leaves, hex: `dataset.root` of the grant."""
        return merkle.root_hash(
            [merkle.leaf_hash(leaf_bytes(item.file_sha256, item)) for item in self.items]
        ).hex()

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that workers fetch and evidence packs hold."""
        return {
            "format": FORMAT,
            "dataset_id": self.dataset_id,
            "items": [item.to_payload() for item in self.items],
        }

    @classmethod
    def from_payload(cls, payload: Any) -> Manifest:
        """Parse strictly. Raises `VerificationError("malformed")`."""
        if not isinstance(payload, dict) or set(payload) != {"format", "dataset_id", "items"}:
            raise VerificationError("malformed", "manifest members")
        dataset_id, rows = payload["dataset_id"], payload["items"]
        if payload["format"] != FORMAT or not isinstance(dataset_id, str):
            raise VerificationError("malformed", "manifest format")
        if not _DATASET.fullmatch(dataset_id):
            raise VerificationError("malformed", "data set id")
        if not isinstance(rows, list) or len(rows) > MAX_ITEMS:
            raise VerificationError("malformed", "manifest items")
        try:
            manifest = cls(dataset_id, tuple(Item.from_payload(row) for row in rows))
        except ValueError as error:
            raise VerificationError("malformed", str(error)) from error
        # One spelling: the order is part of the form.
        if manifest.to_payload() != payload:
            raise VerificationError("malformed", "manifest order")
        return manifest


def leaf_bytes(file_sha256: str, item: Item) -> bytes:
    """The leaf of a picture whose bytes have this hash and that is otherwise as `item` says."""
    return canonical.dumps(
        {
            "file_sha256": file_sha256,
            "pixel_sha256": item.pixel_sha256,
            "width": item.width,
            "height": item.height,
        }
    )


def verify_items(manifest: Manifest, plaintexts: Mapping[str, bytes]) -> str:
    """Recompute the root from the decrypted bytes, by object digest; returns it (hex).

    The caller compares it with the root that people signed. Only `file_sha256` can be recomputed
    from a compressed picture; the other members of a leaf are covered by the root. Raises
    `VerificationError`: `image_unavailable` for an object that is not there, `dataset_mismatch`
    for bytes with another hash and for bytes that the manifest does not name.
    """
    leaves = []
    for item in manifest.items:
        plain = plaintexts.get(item.object)
        if plain is None:
            raise VerificationError("image_unavailable", item.object)
        found = hashlib.sha256(plain).hexdigest()
        if found != item.file_sha256 or len(plain) != item.bytes:
            raise VerificationError("dataset_mismatch", item.object)
        leaves.append(merkle.leaf_hash(leaf_bytes(found, item)))
    if len(plaintexts) != len(manifest.items):
        raise VerificationError("dataset_mismatch", "pictures beside the manifest")
    return merkle.root_hash(leaves).hex()


def _size(value: object, most: int) -> None:
    if type(value) is not int or not 0 < value <= most:
        raise VerificationError("malformed", "manifest item size")


def _box(payload: Mapping[str, Any]) -> Box | None:
    edges = payload["box"]
    if edges is None:
        return None
    if not isinstance(edges, list) or len(edges) != 4 or any(type(e) is not int for e in edges):
        raise VerificationError("malformed", "face box")
    left, top, right, bottom = edges
    if not (0 <= left < right <= payload["width"] and 0 <= top < bottom <= payload["height"]):
        raise VerificationError("malformed", "face box outside its picture")
    return left, top, right, bottom
