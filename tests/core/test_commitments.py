"""A commitment says nothing without its key, and the proof of its leaf outlives the key."""

import pytest

from registry.log.core import canonical, commitments, merkle
from registry.log.core.errors import VerificationError

DATA = {"name": "alice", "born": "1998-04-01"}


def test_a_commitment_opens_with_its_key_and_value_only():
    key = commitments.new_key()
    made = commitments.commit(key, "kyodaku/person/v1", DATA)
    commitments.verify(key, "kyodaku/person/v1", dict(reversed(DATA.items())), made)
    for other in (
        (commitments.new_key(), "kyodaku/person/v1", DATA),
        (key, "kyodaku/other/v1", DATA),
        (key, "kyodaku/person/v1", {**DATA, "name": "mallory"}),
    ):
        with pytest.raises(VerificationError, match="bad_commitment"):
            commitments.verify(*other, made)
    with pytest.raises(VerificationError, match="bad_commitment"):
        commitments.verify(key, "kyodaku/person/v1", DATA, made.replace(made[0], "é", 1))


def test_two_people_with_the_same_data_do_not_look_alike():
    one, two = (commitments.commit(commitments.new_key(), "c", DATA) for _ in range(2))
    assert one != two


def test_erasing_a_person_leaves_every_proof_and_nothing_to_read():
    keys = {"alice": commitments.new_key(), "bob": commitments.new_key()}
    leaves = [
        canonical.dumps({"person": who, "is": commitments.commit(key, "c", DATA)})
        for who, key in keys.items()
    ]
    tree = merkle.MerkleTree(map(merkle.leaf_hash, leaves))
    del keys["alice"]
    for index, leaf in enumerate(leaves):
        proof = tree.inclusion_proof(index)
        merkle.verify_inclusion(index, 2, merkle.leaf_hash(leaf), proof, tree.root())
    assert b"1998" not in b"".join(leaves)


@pytest.mark.parametrize(
    ("key", "context", "value"),
    [(bytes(31), "c", DATA), (bytes(32), "", DATA), (bytes(32), "a\0b", DATA),
     (bytes(32), "c", float("nan"))],
)  # fmt: skip
def test_what_cannot_be_committed_to_is_refused(key, context, value):
    with pytest.raises(ValueError, match=r"32 bytes|without NUL|nan"):
        commitments.commit(key, context, value)
