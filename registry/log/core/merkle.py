"""RFC 6962 / RFC 9162 Merkle trees over SHA-256: hashes, roots, proofs.

Ground floor, pure. Proofs are made from a *node source*: a function (level, index) -> 32 bytes that
answers for complete subtrees of 2**level leaves, whether from memory or from tiles. `verify_*`
trusts only the root it is given.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from registry.log.core.errors import VerificationError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

NodeSource = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962 2.1: "MTH({d(0)}) = SHA-256(0x00 || d(0))"."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 2.1: "MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))"."""
    return sha256(b"\x01" + left + right).digest()


def root_hash(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash over leaf hashes; of no leaves, SHA-256 of the empty string."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
    return level[0]


class CompactRange:
    """The right edge of a tree: enough to append leaves and know the root, O(log n) memory.

    `nodes` are the roots of the complete subtrees that make up `size`, largest first.
    """

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.nodes = list(nodes)
        if len(self.nodes) != size.bit_count():
            raise ValueError("a compact range has one node per set bit of its size")

    def append(self, leaf: bytes) -> None:
        """Append one 32-byte leaf hash."""
        index, node = self.size, leaf
        while index & 1:
            node = sha256(b"\x01" + self.nodes.pop() + node).digest()
            index >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root hash at the present size."""
        if not self.nodes:
            return EMPTY_ROOT
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = node_hash(left, node)
        return node


class MerkleTree:
    """A whole tree in memory: every complete node of every level, 64 bytes of hash per leaf."""

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaf_hashes:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Append one 32-byte leaf hash and return its index."""
        levels = self._levels
        row = levels[0]
        first = index = len(row)
        row.append(leaf)
        level = 0
        while index & 1:
            leaf = sha256(b"\x01" + row[index - 1] + leaf).digest()
            index >>= 1
            level += 1
            if level == len(levels):
                levels.append([])
            row = levels[level]
            row.append(leaf)
        return first

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree of leaves [index << level, index+1 << level)."""
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """Return the root at `size`, by default the present one."""
        return root_from_nodes(self._checked(size), self.node)

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the audit path of leaf `index` in the tree of `size` leaves."""
        return inclusion_proof(index, self._checked(size), self.node)

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `old` leaves is a prefix of that of `new`."""
        return consistency_proof(old, self._checked(new), self.node)

    def _checked(self, size: int | None) -> int:
        size = len(self) if size is None else size
        if not 0 <= size <= len(self):
            raise ValueError(f"size {size} is not within this tree of {len(self)}")
        return size


def edge_nodes(size: int) -> list[tuple[int, int]]:
    """Return (level, index) of the complete subtrees that make up `size`, largest first."""
    return [
        (level, (size >> level) - 1)
        for level in range(size.bit_length() - 1, -1, -1)
        if size >> level & 1
    ]


def root_from_nodes(size: int, node: NodeSource) -> bytes:
    """Return the root of the tree of `size` leaves from its complete subtrees."""
    return CompactRange(size, (node(*position) for position in edge_nodes(size))).root()


def inclusion_proof(index: int, size: int, node: NodeSource) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962 2.1.1, from the leaf's sibling up.

    Raises ValueError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"index {index} is not in a tree of {size}")
    return _path(0, index, size, node)


def consistency_proof(old: int, new: int, node: NodeSource) -> list[bytes]:
    """Return PROOF(old, D[new]) of RFC 6962 2.1.2; empty for old = new.

    Raises ValueError unless 0 < old <= new.
    """
    if not 0 < old <= new:
        raise ValueError(f"there is no proof from size {old} to {new}")
    if old == new:
        return []
    level = (old & -old).bit_length() - 1
    index = (old >> level) - 1
    # "the client already has it": the old root itself is left out when `old` is a power of two
    seed = [] if index == 0 else [node(level, index)]
    return seed + _path(level, index, new, node)


def _path(level: int, index: int, size: int, node: NodeSource) -> list[bytes]:
    """Return the siblings of node (level, index) on its way to the root of `size` leaves."""
    path: list[bytes] = []
    while 1 << level < size:
        complete = size >> level
        sibling = index ^ 1
        if sibling < complete:
            path.append(node(level, sibling))
        elif sibling == complete and size & ((1 << level) - 1):
            path.append(_ragged(level, size, node))
        level += 1
        index >>= 1
    return path


def _ragged(level: int, size: int, node: NodeSource) -> bytes:
    """Return the root of the leaves beyond the last complete subtree of `level`."""
    rest = [p for p in edge_nodes(size) if p[0] < level]
    root = node(*rest.pop())
    while rest:
        root = node_hash(node(*rest.pop()), root)
    return root


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Verify an audit path by RFC 9162 2.1.3.2; `leaf` is the leaf's hash.

    Raises VerificationError `bad_inclusion_proof`.
    """
    _require_hashes("bad_inclusion_proof", leaf, root, *proof)
    if not 0 <= index < size:
        raise VerificationError("bad_inclusion_proof", f"index {index} not in a tree of {size}")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise VerificationError("bad_inclusion_proof", "proof too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or r != root:
        raise VerificationError("bad_inclusion_proof", "path does not lead to the root")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Verify by RFC 9162 2.1.4.2 that the tree of `old` leaves is a prefix of that of `new`.

    Refuses old = 0: everything is consistent with nothing, so such a proof proves nothing.
    Raises VerificationError `bad_consistency_proof`.
    """
    _require_hashes("bad_consistency_proof", old_root, new_root, *proof)
    if not 0 < old <= new:
        raise VerificationError("bad_consistency_proof", f"nothing to prove from {old} to {new}")
    if old == new:
        if proof or old_root != new_root:
            raise VerificationError("bad_consistency_proof", "roots differ or proof not empty")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if _fold_consistency(old, new, path) != (old_root, new_root):
        raise VerificationError("bad_consistency_proof", "path does not lead to both roots")


def _fold_consistency(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Steps 4 to 7 of RFC 9162 2.1.4.2: return the (old, new) root that the path leads to."""
    if not path:
        raise VerificationError("bad_consistency_proof", "proof too short")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise VerificationError("bad_consistency_proof", "proof too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise VerificationError("bad_consistency_proof", "proof too short")
    return fr, sr


def _require_hashes(code: str, *hashes: bytes) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise VerificationError(code, "every hash has 32 bytes")
