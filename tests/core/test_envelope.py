"""DSSE envelopes."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer

TYPE = "application/vnd.in-toto+json"
ALICE, BOB, MALLORY = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
KEYS = {ALICE.kid: ALICE.public_raw, BOB.kid: BOB.public_raw}


def code(signed, keys=KEYS, payload_type=TYPE, threshold=2) -> str:
    with pytest.raises(VerificationError) as caught:
        envelope.verify(signed, keys, payload_type=payload_type, threshold=threshold)
    return caught.value.code


def test_the_pre_authentication_encoding_is_that_of_the_protocol_example():
    assert envelope.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8), st.binary(max_size=8))
def test_no_two_typed_payloads_share_an_encoding(type_a, a, type_b, b):
    assert (envelope.pae(type_a, a) == envelope.pae(type_b, b)) == ((type_a, a) == (type_b, b))


def test_two_distinct_keys_meet_a_threshold_of_two():
    signed = envelope.sign(TYPE, b"{}", [ALICE, BOB])
    assert envelope.verify(signed, KEYS, payload_type=TYPE, threshold=2) == b"{}"


def test_one_key_signing_twice_counts_once():
    assert code(envelope.sign(TYPE, b"{}", [ALICE, ALICE])) == "too_few_signatures"


def test_one_key_under_two_ids_counts_once():
    signed = envelope.sign(TYPE, b"{}", [ALICE, ALICE])
    signed["signatures"][1]["keyid"] = "another"
    assert code(signed, {**KEYS, "another": ALICE.public_raw}) == "too_few_signatures"


def test_a_stranger_does_not_count_and_does_not_harm():
    signed = envelope.sign(TYPE, b"{}", [ALICE, MALLORY])
    assert code(signed) == "too_few_signatures"
    assert envelope.verify(signed, KEYS, payload_type=TYPE, threshold=1) == b"{}"


def test_another_payload_breaks_the_signature():
    signed = envelope.sign(TYPE, b"{}", [ALICE, BOB])
    signed["payload"] = canonical.b64(b"[]")
    assert code(signed) == "bad_signature"


def test_one_bad_signature_of_a_known_key_rejects_although_the_threshold_is_met():
    signed = envelope.sign(TYPE, b"{}", [ALICE, BOB])
    signed["signatures"][1]["sig"] = signed["signatures"][0]["sig"]
    assert code(signed, threshold=1) == "bad_signature"


def test_bytes_signed_as_one_type_are_not_accepted_as_another():
    signed = envelope.sign(TYPE, b"{}", [ALICE, BOB])
    assert code(signed, payload_type="other") == "wrong_payload_type"
    signed["payloadType"] = "other"
    assert code(signed, payload_type="other") == "bad_signature"


def test_a_threshold_of_nobody_is_a_mistake_of_the_caller():
    signed = envelope.sign(TYPE, b"{}", [ALICE])
    with pytest.raises(ValueError, match="threshold"):
        envelope.verify(signed, KEYS, payload_type=TYPE, threshold=0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("extra",), 1),
        (("payload",), 1),
        (("payload",), "e30"),
        (("signatures",), {}),
        (("signatures",), [{}] * 17),
        (("signatures", 0), "x"),
        (("signatures", 0, "cert"), "x"),
        (("signatures", 0, "keyid"), 1),
        (("signatures", 0, "sig"), None),
    ],
)
def test_another_shape_is_refused(path, value):
    signed = copy.deepcopy(envelope.sign(TYPE, b"{}", [ALICE, BOB]))
    target = signed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert code(signed) in {"bad_envelope", "bad_base64"}
