"""Signed notes, verifier keys, checkpoints and their cosignatures."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.log.core import canonical, checkpoint
from registry.log.core.checkpoint import Checkpoint, VerifierKey
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer

ORIGIN = "log.example/kyodaku"
AT = 1_800_000_000
LOG = checkpoint.LogSigners(
    ORIGIN, Ed25519Signer.from_seed(b"\1" * 32), Mldsa44Signer.from_seed(b"\2" * 32)
)
BOB = Ed25519Signer.from_seed(b"\3" * 32)
BOB_VKEY = str(VerifierKey("witness.example/bob", checkpoint.ED25519_COSIGNATURE, BOB.public_raw))
MALLORY = checkpoint.LogSigners(
    ORIGIN, Ed25519Signer.from_seed(b"\4" * 32), Mldsa44Signer.from_seed(b"\5" * 32)
)
HEAD = Checkpoint(ORIGIN, 20_852_163, bytes(range(32)))
NOTE = LOG.sign(HEAD.size, HEAD.root, at=AT)
PINS = LOG.vkeys()
BODY, ED_LINE, PQ_LINE = HEAD.body(), *(line + "\n" for line in NOTE.split("\n")[4:6])


def code(note, vkeys=PINS, **options) -> str:
    with pytest.raises(VerificationError) as caught:
        checkpoint.verify_checkpoint(note, vkeys, **options)
    return caught.value.code


def test_a_checkpoint_with_both_signatures_of_the_log_verifies():
    assert checkpoint.verify_checkpoint(NOTE, PINS) == HEAD
    assert f"{BODY}\n{ED_LINE}{PQ_LINE}" == NOTE


def test_each_of_the_two_signatures_is_required():
    assert code(f"{BODY}\n{ED_LINE}") == "missing_signature"
    assert code(f"{BODY}\n{PQ_LINE}") == "missing_signature"


def test_both_keys_of_the_log_must_be_pinned():
    assert code(NOTE, PINS[:1]) == "missing_signature"
    assert code(NOTE, PINS[1:]) == "bad_pins"
    assert code(NOTE, []) == "bad_pins"


def test_a_note_by_mallory_under_the_logs_name_is_by_no_known_key():
    assert code(MALLORY.sign(HEAD.size, HEAD.root, at=AT)) == "no_known_signature"


def test_mallorys_signature_beside_the_logs_is_ignored():
    extra = MALLORY.sign(HEAD.size, HEAD.root, at=AT).removeprefix(f"{BODY}\n")
    assert checkpoint.verify_checkpoint(NOTE + extra, PINS) == HEAD


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_breaks_the_signatures(line):
    changed = [f"{ORIGIN}x", "20852164", canonical.b64(bytes(32))]
    lines = NOTE.split("\n")
    lines[line] = changed[line]
    assert code("\n".join(lines)) == "bad_signature"


def test_the_mldsa44_cosignature_alone_notices_a_changed_root():
    other = Checkpoint(ORIGIN, HEAD.size, bytes(32))
    fresh = checkpoint.sign_ed25519(other.body(), ORIGIN, LOG.ed25519)
    assert code(f"{other.body()}\n{fresh}{PQ_LINE}") == "bad_signature"


def test_the_mldsa44_cosignature_commits_to_its_timestamp():
    blob = bytearray(canonical.unb64(PQ_LINE.split(" ")[2].strip()))
    assert struct.unpack(">Q", blob[4:12]) == (AT,)
    blob[11] ^= 1
    line = f"— {ORIGIN} {canonical.b64(bytes(blob))}\n"
    assert code(f"{BODY}\n{ED_LINE}{line}") == "bad_signature"


def test_a_checkpoint_of_another_log_is_refused_even_when_the_same_keys_sign_it():
    other = Checkpoint("log.example/other", 1, bytes(32))
    note = (
        f"{other.body()}\n"
        + checkpoint.sign_ed25519(other.body(), ORIGIN, LOG.ed25519)
        + checkpoint.cosign_mldsa44(other, ORIGIN, LOG.mldsa44, at=AT)
    )
    assert code(note) == "wrong_origin"


def test_pins_of_two_logs_are_refused():
    other = VerifierKey("log.example/other", checkpoint.ED25519, BOB.public_raw)
    assert code(NOTE, [*PINS, str(other)]) == "bad_pins"


def test_a_witness_cosignature_counts_once_and_only_when_it_is_pinned():
    bob = checkpoint.cosign_ed25519(HEAD, "witness.example/bob", BOB, at=AT)
    pins = [*PINS, BOB_VKEY]
    assert checkpoint.verify_checkpoint(NOTE + bob, pins, witnesses=1) == HEAD
    assert code(NOTE, pins, witnesses=1) == "too_few_witnesses"
    assert code(NOTE + bob, witnesses=1) == "too_few_witnesses"
    assert code(NOTE + bob + bob, pins, witnesses=2) == "too_few_witnesses"


def test_a_witness_who_cosigned_another_tree_head_rejects_the_note():
    other = Checkpoint(ORIGIN, HEAD.size + 1, HEAD.root)
    bob = checkpoint.cosign_ed25519(other, "witness.example/bob", BOB, at=AT)
    assert code(NOTE + bob, [*PINS, BOB_VKEY]) == "bad_signature"


def test_the_time_of_a_cosignature_is_reported():
    bob = checkpoint.cosign_ed25519(HEAD, "witness.example/bob", BOB, at=AT + 7)
    text, verified = checkpoint.verify_note(NOTE + bob, [*PINS, BOB_VKEY])
    assert text == BODY
    assert [item.timestamp for item in verified] == [None, AT, AT + 7]


def test_the_cosigned_message_is_the_structure_of_the_specification():
    name, origin = b"oid/1.2", ORIGIN.encode()
    expected = (
        b"subtree/v1\n\0" + b"\x07" + name + struct.pack(">Q", AT)
        + bytes([len(origin)]) + origin + struct.pack(">QQ", 0, HEAD.size) + HEAD.root
    )  # fmt: skip
    assert checkpoint._subtree_v1(HEAD, "oid/1.2", AT) == expected


def test_the_ed25519_cosigned_message_is_that_of_the_specification():
    assert checkpoint._cosignature_v1(BODY, 1679315147) == (
        b"cosignature/v1\ntime 1679315147\n" + BODY.encode()
    )


@pytest.mark.parametrize("at", [-1, 2**63])
def test_a_timestamp_out_of_range_cannot_be_signed(at):
    with pytest.raises(VerificationError, match="timestamp"):
        LOG.sign(1, bytes(32), at=at)


def test_the_published_note_of_the_go_library_verifies():
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
        "otpRZb6KE6RyyBwJnAM=\n"
    )
    assert checkpoint.verify_note(f"{text}\n{line}", [vkey])[0] == text
    with pytest.raises(VerificationError, match="bad_signature"):
        checkpoint.verify_note(f"{text.lower()}\n{line}", [vkey])


def test_the_text_ends_at_the_last_empty_line():
    text = "one\n\ntwo\n\n"
    line = checkpoint.sign_ed25519(text, ORIGIN, LOG.ed25519)
    assert checkpoint.verify_note(f"{text}\n{line}", PINS)[0] == text


@pytest.mark.parametrize(
    "note",
    [
        "",
        BODY,
        f"{BODY}\n",
        f"{BODY}{ED_LINE}",
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", "—  "),
        NOTE + "x",
        NOTE + "— bob\n",
        NOTE + f"— b+b {canonical.b64(bytes(68))}\n",
        NOTE + f"— \u3000b {canonical.b64(bytes(68))}\n",
        NOTE + f"— bob {canonical.b64(bytes(4))}\n",
        NOTE + f"— bob {canonical.b64(bytes(68))} \n",
        NOTE + f"— bob {canonical.b64(bytes(68))}\n" * 31,
        "\ud800" + NOTE,
        "\t" + NOTE,
        "x" * (1 << 18) + NOTE,
    ],
)
def test_a_malformed_note_is_refused(note):
    assert code(note) in {"bad_note", "bad_base64"}


@pytest.mark.parametrize(
    "body",
    [
        f"{ORIGIN}\n1\n",
        f"\n1\n{canonical.b64(bytes(32))}\n",
        f"{ORIGIN}\n01\n{canonical.b64(bytes(32))}\n",
        f"{ORIGIN}\n-1\n{canonical.b64(bytes(32))}\n",
        f"{ORIGIN}\n+1\n{canonical.b64(bytes(32))}\n",
        f"{ORIGIN}\n１\n{canonical.b64(bytes(32))}\n",
        f"{ORIGIN}\n{2**63}\n{canonical.b64(bytes(32))}\n",
        f"{ORIGIN}\n1\n{canonical.b64(bytes(31))}\n",
        f"{ORIGIN}\n1\n{canonical.b64(bytes(32))}",
        f"{ORIGIN}\n1\n{canonical.b64(bytes(32))}\nextension\n",
        f"{ORIGIN}\n1\n{canonical.b64u(bytes(32))}\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(body):
    with pytest.raises(VerificationError, match=r"bad_checkpoint|bad_base64"):
        checkpoint.parse_body(body)


@given(st.integers(0, checkpoint.MAX_INT63), st.binary(min_size=32, max_size=32))
def test_a_body_parses_to_what_wrote_it(size, root):
    head = Checkpoint(ORIGIN, size, root)
    assert checkpoint.parse_body(head.body()) == head


@given(st.text(max_size=60))
def test_no_text_makes_the_parsers_fail_in_another_way(text):
    for parse in (checkpoint.parse_note, checkpoint.parse_body, VerifierKey.parse):
        with pytest.raises(VerificationError):
            parse(text)


def test_a_vkey_parses_to_what_wrote_it():
    for text in (*PINS, BOB_VKEY):
        assert str(VerifierKey.parse(text)) == text


@pytest.mark.parametrize(
    "change",
    [
        lambda name, key_id, raw: f"{name}x+{key_id}+{raw}",
        lambda name, key_id, raw: f"{name}+{key_id.upper()}+{raw}",
        lambda name, key_id, raw: f"{name}+00000000+{raw}",
        lambda name, key_id, raw: f"+{key_id}+{raw}",
        lambda name, key_id, raw: f"{name} {key_id} {raw}",
        lambda name, key_id, raw: f"{name}+{key_id}+{raw}=",
        lambda name, key_id, raw: f"{name}+{key_id}+{canonical.b64(bytes([2]) + bytes(32))}",
        lambda name, key_id, raw: f"{name}+{key_id}+{canonical.b64(bytes([6]) + bytes(32))}",
        lambda name, key_id, raw: f"{name}+{key_id}+",
    ],
)
def test_a_malformed_vkey_is_refused(change):
    name, key_id, raw = PINS[0].split("+", 2)
    with pytest.raises(VerificationError, match=r"bad_vkey|bad_base64"):
        VerifierKey.parse(change(name, key_id, raw))


def test_a_small_order_key_cannot_be_pinned():
    weak = VerifierKey("witness.example/weak", 4, (1).to_bytes(32, "little"))
    with pytest.raises(VerificationError, match="bad_key"):
        VerifierKey.parse(str(weak))


def test_a_cosignature_of_a_text_that_is_no_checkpoint_is_refused():
    bob = checkpoint.cosign_ed25519(HEAD, "witness.example/bob", BOB, at=AT)
    with pytest.raises(VerificationError, match="bad_checkpoint"):
        checkpoint.verify_note(f"{BODY}more\n\n{bob}", [BOB_VKEY])


def test_a_signature_of_another_length_is_refused():
    key = VerifierKey.parse(PINS[0])
    line = f"— {ORIGIN} {canonical.b64(key.key_id + bytes(63))}\n"
    assert code(f"{BODY}\n{line}{PQ_LINE}") == "bad_signature"
