"""RFC 6962 trees: the public vectors, a plain oracle, and every mutation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.log.core import merkle
from tests.conformance import suites, vectors

LEAVES = [merkle.leaf_hash(f"entry {n}".encode()) for n in range(300)]
TREE = merkle.MerkleTree(LEAVES)
SIZES = st.integers(1, 300)


def mth(leaves):
    """RFC 6962 2.1 word for word, over leaf hashes: k is the largest power of two below n."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.node_hash(mth(leaves[:k]), mth(leaves[k:]))


def path(m, leaves):
    """RFC 6962 2.1.1 word for word."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, known):
    """RFC 6962 2.1.2 word for word."""
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m <= k:
        return [*subproof(m, leaves[:k], known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def included(*claim) -> bool:
    return suites.accepts(merkle.verify_inclusion, *claim)


def consistent(*claim) -> bool:
    return suites.accepts(merkle.verify_consistency, *claim)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.skipif(bool(vectors.missing("merkle")), reason=vectors.missing("merkle"))
def test_every_public_vector_gets_its_verdict():
    result = suites.merkle_proofs()
    assert (result.passed, result.total, result.deviations, result.failures) == (196, 196, {}, ())
    assert list(result.adapted) == [suites.DONT_CARE]


def test_the_known_roots_of_the_certificate_transparency_test_tree():
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    hashes = [merkle.leaf_hash(bytes.fromhex(text)) for text in entries]
    assert merkle.root_hash([]).hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert merkle.root_hash(hashes[:1]).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert merkle.root_hash(hashes).hex() == (
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"
    )


def test_all_four_ways_to_a_root_agree_for_every_size():
    edge = merkle.CompactRange()
    for size in range(len(LEAVES) + 1):
        root = mth(LEAVES[:size])
        assert merkle.root_hash(LEAVES[:size]) == root
        assert edge.root() == root
        assert TREE.root(size) == root
        if size < len(LEAVES):
            edge.append(LEAVES[size])


@given(SIZES, st.data())
def test_a_compact_range_resumes_where_it_was_left(size, data):
    split = data.draw(st.integers(0, size))
    nodes = [TREE.node(*place) for place in merkle.edge_nodes(split)]
    edge = merkle.CompactRange(split, nodes)
    for leaf in LEAVES[split:size]:
        edge.append(leaf)
    assert edge.root() == TREE.root(size)


def test_a_compact_range_with_another_number_of_nodes_is_refused():
    with pytest.raises(ValueError, match="one node per set bit"):
        merkle.CompactRange(3, [LEAVES[0]])


def test_every_leaf_of_every_small_size_has_the_path_of_the_rfc_and_verifies():
    for size in range(1, 34):
        root = TREE.root(size)
        for index in range(size):
            proof = TREE.inclusion_proof(index, size)
            assert proof == path(index, LEAVES[:size])
            merkle.verify_inclusion(index, size, LEAVES[index], proof, root)


def test_every_pair_of_small_sizes_has_the_proof_of_the_rfc_and_verifies():
    for new in range(1, 34):
        for old in range(1, new + 1):
            proof = TREE.consistency_proof(old, new)
            assert proof == subproof(old, LEAVES[:new], True)
            merkle.verify_consistency(old, new, TREE.root(old), TREE.root(new), proof)


@given(SIZES, st.data())
def test_any_change_to_an_inclusion_proof_makes_it_fail(size, data):
    index = data.draw(st.integers(0, size - 1))
    proof, root, leaf = TREE.inclusion_proof(index, size), TREE.root(size), LEAVES[index]
    bit, at = data.draw(st.integers(0, 255)), data.draw(st.integers(0, max(len(proof) - 1, 0)))
    assert included(index, size, leaf, proof, root)
    assert not included(index, size, flip(leaf, bit), proof, root)
    assert not included(index, size, leaf, proof, flip(root, bit))
    assert not included(index, size, leaf, [*proof, root], root)
    assert not included(index, size, leaf, [leaf, *proof], root)
    if proof:
        changed = [*proof[:at], flip(proof[at], bit), *proof[at + 1 :]]
        assert not included(index, size, leaf, changed, root)
        assert not included(index, size, leaf, proof[:at] + proof[at + 1 :], root)


@given(SIZES, st.data())
def test_a_leaf_is_not_proved_at_another_index(size, data):
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(-2, size + 2))
    proof, root = TREE.inclusion_proof(index, size), TREE.root(size)
    assert included(other, size, LEAVES[index], proof, root) == (other == index)


@given(SIZES, SIZES, st.data())
def test_any_change_to_a_consistency_proof_makes_it_fail(a, b, data):
    old, new = min(a, b), max(a, b)
    proof, roots = TREE.consistency_proof(old, new), (TREE.root(old), TREE.root(new))
    bit, at = data.draw(st.integers(0, 255)), data.draw(st.integers(0, max(len(proof) - 1, 0)))
    assert consistent(old, new, *roots, proof)
    assert not consistent(old, new, flip(roots[0], bit), roots[1], proof)
    assert not consistent(old, new, roots[0], flip(roots[1], bit), proof)
    assert not consistent(old, new, *roots, [*proof, roots[0]])
    if proof:
        changed = [*proof[:at], flip(proof[at], bit), *proof[at + 1 :]]
        assert not consistent(old, new, *roots, changed)
        assert not consistent(old, new, *roots, proof[:at] + proof[at + 1 :])


def test_a_consistency_proof_from_the_empty_tree_proves_nothing():
    assert not consistent(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    assert not consistent(0, 3, merkle.EMPTY_ROOT, TREE.root(3), [])
    with pytest.raises(ValueError, match="no proof"):
        TREE.consistency_proof(0, 3)


def test_a_larger_tree_is_not_a_prefix_of_a_smaller_one():
    assert not consistent(4, 3, TREE.root(4), TREE.root(3), [LEAVES[0]])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_another_length_are_refused(length):
    short = bytes(length)
    assert not included(0, 1, short, [], short)
    assert not included(0, 2, LEAVES[0], [short], TREE.root(2))
    assert not consistent(1, 1, short, short, [])
    assert not consistent(1, 2, LEAVES[0], TREE.root(2), [short])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3), (0, 301)])
def test_no_proof_is_made_for_what_is_not_in_the_tree(index, size):
    with pytest.raises(ValueError, match="tree"):
        TREE.inclusion_proof(index, size)


def test_a_leaf_cannot_pass_for_an_inner_node():
    """The 0x00 and 0x01 prefixes: an entry made of two hashes is not their parent."""
    assert merkle.leaf_hash(LEAVES[0] + LEAVES[1]) != merkle.node_hash(LEAVES[0], LEAVES[1])


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=40), st.data())
def test_pymerkle_computes_the_same_root_and_path(entries, data):
    pymerkle = pytest.importorskip("pymerkle")
    peer = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        peer.append_entry(entry)
    index = data.draw(st.integers(0, len(entries) - 1))
    ours = merkle.MerkleTree(map(merkle.leaf_hash, entries))
    assert peer.get_root() == ours.root()
    theirs = peer.prove_inclusion(index + 1, len(entries)).path
    assert theirs[1:] == ours.inclusion_proof(index)
