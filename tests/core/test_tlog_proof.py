"""`.tlog-proof` files: good ones, every mutation, every malformation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.log.core import canonical, merkle, tlog_proof
from registry.log.core.checkpoint import LogSigners
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer
from registry.log.core.tlog_proof import TlogProof

LOG = LogSigners(
    "log.example/kyodaku", Ed25519Signer.from_seed(b"\1" * 32), Mldsa44Signer.from_seed(b"\2" * 32)
)
PINS = LOG.vkeys()
ENTRIES = [f"entry {n}".encode() for n in range(21)]
TREE = merkle.MerkleTree(map(merkle.leaf_hash, ENTRIES))
NOTE = LOG.sign(21, TREE.root(), at=1_800_000_000)


def proof(index=13, note=NOTE, **changes) -> str:
    parts = {"index": index, "hashes": tuple(TREE.inclusion_proof(index)), "note": note, **changes}
    return tlog_proof.format_proof(TlogProof(**parts))


def code(text, entry=ENTRIES[13], vkeys=PINS, **options) -> str:
    with pytest.raises(VerificationError) as caught:
        tlog_proof.verify(text, entry, vkeys, **options)
    return caught.value.code


def test_every_entry_is_proved_at_its_index():
    for index, entry in enumerate(ENTRIES):
        found, head = tlog_proof.verify(proof(index), entry, PINS)
        assert (found, head.size, head.root) == (index, 21, TREE.root())


def test_the_file_has_the_lines_of_the_specification():
    lines = proof(extra=b"more").split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra bW9yZQ==", "index 13"]
    assert lines[3:9] == [*map(canonical.b64, TREE.inclusion_proof(13)), ""]
    assert "\n".join(lines[9:]) == NOTE


def test_a_tree_of_one_entry_needs_no_hashes():
    only = merkle.leaf_hash(b"only")
    text = tlog_proof.format_proof(TlogProof(0, (), LOG.sign(1, only, at=1)))
    assert tlog_proof.verify(text, b"only", PINS)[0] == 0


def test_extra_data_is_carried_and_proves_nothing():
    assert tlog_proof.inspect_proof(proof(extra=b"\0more")).extra == b"\0more"
    assert tlog_proof.inspect_proof(proof()).extra is None
    assert tlog_proof.verify(proof(extra=b"lies"), ENTRIES[13], PINS)[0] == 13


def test_another_entry_index_or_hash_is_not_proved():
    hashes = TREE.inclusion_proof(13)
    assert code(proof(), ENTRIES[12]) == "bad_inclusion_proof"
    assert code(proof().replace("index 13", "index 12")) == "bad_inclusion_proof"
    assert code(proof().replace("index 13", "index 21")) == "bad_inclusion_proof"
    assert code(proof(hashes=tuple(hashes[::-1]))) == "bad_inclusion_proof"
    assert code(proof(hashes=tuple(hashes[:-1]))) == "bad_inclusion_proof"


def test_a_checkpoint_by_other_keys_is_not_believed():
    mallory = LogSigners(LOG.origin, Ed25519Signer.from_seed(b"\4" * 32), LOG.mldsa44)
    forged = mallory.sign(21, TREE.root(), at=1)
    assert code(proof(note=forged)) == "missing_signature"
    assert code(proof(), vkeys=mallory.vkeys()) == "missing_signature"


def test_a_quorum_of_witnesses_can_be_demanded():
    assert code(proof(), witnesses=1) == "too_few_witnesses"


@pytest.mark.parametrize(
    "text",
    [
        "",
        proof().replace("@v1", "@v2"),
        proof().replace("index 13", "index 013"),
        proof().replace("index 13", "index -1"),
        proof().replace("index 13", "index １３"),
        proof().replace("index 13", f"index {2**63}"),
        proof().replace("index 13\n", ""),
        proof().replace("index 13", "index 13\nindex 13"),
        proof().replace("index 13", "index 13\nextra bW9yZQ=="),
        proof().replace("index 13", "extra !\nindex 13"),
        proof().replace("\n", "\r\n"),
        proof(hashes=(bytes(31),)),
        proof(hashes=(bytes(32),) * 65),
        proof(extra=bytes(1 << 19)),
        proof().split("\n\n")[0],
        "c2sp.org/tlog-proof@v1\n\n" + NOTE,
    ],
)
def test_a_malformed_file_is_refused(text):
    assert code(text) in {"bad_tlog_proof", "bad_base64"}


@given(st.integers(0, len(proof()) - 1), st.characters(codec="ascii"))
def test_no_changed_character_leaves_another_meaning(at, character):
    text = proof()
    changed = text[:at] + character + text[at + 1 :]
    try:
        found, head = tlog_proof.verify(changed, ENTRIES[13], PINS)
    except VerificationError:
        return
    assert (found, head.size, head.root) == (13, 21, TREE.root())


@given(st.text(max_size=80))
def test_no_text_makes_the_parser_fail_in_another_way(text):
    with pytest.raises(VerificationError):
        tlog_proof.inspect_proof(f"c2sp.org/tlog-proof@v1\nindex x{text}")
