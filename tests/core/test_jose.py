"""`jose.read`, step by step, and the traps that its library leaves open."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from registry.core import jose
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from tests.core.token_world import STATUS, TOKEN, signed_json

PINNED = {TOKEN.kid: TOKEN.public_raw}
GOOD = jose.sign("x", {"a": 1}, TOKEN)


def refused(token: str, typ: str = "x", pinned=PINNED) -> str:
    with pytest.raises(VerificationError) as caught:
        jose.read(token, typ=typ, pinned=pinned)
    return caught.value.code


def test_what_was_signed_is_read():
    assert jose.read(GOOD, typ="x", pinned=PINNED) == {"a": 1}
    assert jose.read(signed_json('{"a":1}'), typ="x", pinned=PINNED) == {"a": 1}


# --- (1) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "..", GOOD + ".", "x" * 70_000, "!.!.!"])
def test_what_is_no_compact_jws_is_malformed(token):
    assert refused(token) == "malformed"


def test_a_token_above_the_size_limit_is_malformed():
    assert refused(signed_json(json.dumps({"a": "x" * 60_000}))) == "malformed"


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_padded_base64_is_malformed(segment):
    """Wycheproof JWS 367 and 370: one token must not have several spellings."""
    parts = GOOD.split(".")
    parts[segment] += "=" * (-len(parts[segment]) % 4 or 4)
    assert refused(".".join(parts)) in ("malformed", "bad_signature")


def test_a_signature_has_one_spelling():
    """64 bytes leave four unused bits in the last character; they must be zero."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(GOOD[-1]) + 1]
    assert refused(GOOD[:-1] + other) == "malformed"


def test_duplicate_members_are_malformed():
    assert refused(signed_json('{"max_runs":1,"max_runs":999}')) == "malformed"


@pytest.mark.parametrize("text", ["[]", "1", "{", "", '{"a":NaN}'])
def test_claims_that_are_no_object_are_malformed(text):
    assert refused(signed_json(text)) == "malformed"


# --- (2) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit", "b64", "zip"])
def test_a_header_that_was_not_expected_is_refused(name):
    assert refused(signed_json("{}", TOKEN, **{name: "https://evil.example"})) == "malformed"


# --- (3) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["none", "EdDSA", "HS256", "ES256", "ed25519", None, 1])
def test_there_is_no_choice_of_algorithm(alg):
    assert refused(signed_json("{}", alg=alg)) == "malformed"


def test_a_status_list_is_no_token():
    assert refused(GOOD, typ="consent-token+jwt") == "malformed"


@pytest.mark.parametrize("kid", ["unknown", None, 7, ["x"]])
def test_a_key_that_is_not_pinned_is_unknown(kid):
    assert refused(signed_json("{}", kid=kid)) == "unknown_key"


# --- (4) ------------------------------------------------------------------------------------------


def test_another_key_under_a_pinned_name_is_a_bad_signature():
    assert refused(signed_json("{}", STATUS, kid=TOKEN.kid)) == "bad_signature"


def test_a_small_order_key_verifies_nothing():
    """`cryptography` would accept one constant signature for every message under it."""
    identity = bytes([1]) + bytes(31)
    assert refused(GOOD, pinned={TOKEN.kid: identity}) == "malformed"


@given(place=st.integers(min_value=0), flip=st.integers(1, 127))
def test_no_changed_byte_passes(place, flip):
    text = bytearray(GOOD.encode())
    text[place % len(text)] ^= flip
    with pytest.raises(VerificationError):
        jose.read(text.decode("ascii", "replace"), typ="x", pinned=PINNED)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with pytest.raises(VerificationError):
        jose.read(text, typ="x", pinned=PINNED)


def test_a_second_verifier_agrees():
    """PyJWT knows only the older name of the algorithm, so the token is signed under that one."""
    key = Ed25519PrivateKey.from_private_bytes(b"t" * 32).public_key()
    token = signed_json('{"a":1}', alg="EdDSA")
    assert jwt.decode(token, key, algorithms=["EdDSA"]) == {"a": 1}
    assert canonical.unb64u(GOOD.split(".")[1]) == b'{"a":1}'
