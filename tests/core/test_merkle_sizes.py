"""Every size up to 300: each proof verifies, each change to it fails, and pymerkle agrees.

Not sampled where all of them can be walked; the changes are drawn.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.log.core import merkle
from registry.log.core.errors import VerificationError

LAST = 300
ENTRIES = [b"entry %d" % n for n in range(LAST)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
TREE = merkle.MerkleTree(LEAVES)
ROOTS = [TREE.root(size) for size in range(LAST + 1)]
SIZES = st.integers(1, LAST)


@cache
def peer() -> Any:
    """pymerkle's tree of the same entries."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        tree.append_entry(entry)
    return tree


def test_every_leaf_of_every_size_is_proved():
    for size in range(1, LAST + 1):
        for index in range(size):
            proof = TREE.inclusion_proof(index, size)
            merkle.verify_inclusion(index, size, LEAVES[index], proof, ROOTS[size])


def test_every_size_is_proved_to_begin_every_larger_one():
    for new in range(1, LAST + 1):
        for old in range(1, new + 1):
            proof = TREE.consistency_proof(old, new)
            merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


def test_no_proof_serves_for_another_size_or_index():
    for size in range(2, LAST + 1):
        index = (size * 7) % size
        proof = TREE.inclusion_proof(index, size)
        for other in (size - 1, size + 1):
            if other <= LAST:
                fails(merkle.verify_inclusion, index, other, LEAVES[index], proof, ROOTS[other])
        beside = (index + 1) % size
        fails(merkle.verify_inclusion, beside, size, LEAVES[index], proof, ROOTS[size])
        fails(merkle.verify_inclusion, index, size, LEAVES[beside], proof, ROOTS[size])


def fails(check: Any, *arguments: Any) -> None:
    with pytest.raises(VerificationError):
        check(*arguments)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def spoilt(draw: Any, proof: list[bytes]) -> list[bytes]:
    """One change: a bit, a hash left out, doubled, added, or two in each other's place."""
    proof = list(proof)
    kind = draw(st.sampled_from(["bit", "out", "twice", "more", "order"]))
    if not proof or kind == "more":
        return [*proof, draw(st.binary(min_size=32, max_size=32))]
    at = draw(st.integers(0, len(proof) - 1))
    if kind == "bit":
        proof[at] = flipped(proof[at], draw(st.integers(0, 255)))
    elif kind == "out":
        del proof[at]
    elif kind == "twice":
        proof.insert(at, proof[at])
    else:
        other = draw(st.integers(0, len(proof) - 1))
        proof[at], proof[other] = proof[other], proof[at]
    return proof


@settings(max_examples=400, deadline=None)
@given(SIZES, st.data())
def test_any_change_to_a_path_or_its_leaf_or_root_fails(size, data):
    index = data.draw(st.integers(0, size - 1))
    honest = TREE.inclusion_proof(index, size)
    changed = spoilt(data.draw, honest)
    if changed != honest:
        fails(merkle.verify_inclusion, index, size, LEAVES[index], changed, ROOTS[size])
    bit = data.draw(st.integers(0, 255))
    fails(merkle.verify_inclusion, index, size, flipped(LEAVES[index], bit), honest, ROOTS[size])
    fails(merkle.verify_inclusion, index, size, LEAVES[index], honest, flipped(ROOTS[size], bit))


@settings(max_examples=400, deadline=None)
@given(SIZES, SIZES, st.data())
def test_any_change_to_a_consistency_proof_or_its_roots_fails(a, b, data):
    old, new = sorted((a, b))
    honest = TREE.consistency_proof(old, new)
    changed = spoilt(data.draw, honest)
    if changed != honest:
        fails(merkle.verify_consistency, old, new, ROOTS[old], ROOTS[new], changed)
    bit = data.draw(st.integers(0, 255))
    fails(merkle.verify_consistency, old, new, flipped(ROOTS[old], bit), ROOTS[new], honest)
    fails(merkle.verify_consistency, old, new, ROOTS[old], flipped(ROOTS[new], bit), honest)
    if old != new:
        fails(merkle.verify_consistency, old, new, ROOTS[new], ROOTS[old], honest)


def test_pymerkle_has_the_root_of_every_size():
    for size in range(1, LAST + 1):
        assert peer().get_root(size) == ROOTS[size]


def test_pymerkle_takes_our_paths_and_we_take_theirs():
    """Each side's verifier on the other side's proof, for every size and leaves across it."""
    for size in range(1, LAST + 1):
        for index in {0, size // 3, size // 2, size - 1}:
            theirs = peer().prove_inclusion(index + 1, size)
            path = list(theirs.path[1:])
            assert theirs.path[0] == LEAVES[index]
            assert path == TREE.inclusion_proof(index, size)
            merkle.verify_inclusion(index, size, LEAVES[index], path, ROOTS[size])
            pymerkle.verify_inclusion(LEAVES[index], ROOTS[size], theirs)
