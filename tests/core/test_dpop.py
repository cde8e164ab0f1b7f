"""`dpop.verify`, step by step: a proof is for one request, one body, one token, now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import dpop, jose
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from tests.core.token_world import NOW, TOKEN, WORKER

URL = "https://registry.example/api/worker/v1/claims"
REQUEST: dict[str, Any] = {"method": "POST", "url": URL, "body": b"{}", "at": NOW}


def made(**changes) -> str:
    return dpop.prove(WORKER, **(REQUEST | changes))


def refused(proof: str, **changes) -> str:
    with pytest.raises(VerificationError) as caught:
        dpop.verify(proof, **(REQUEST | changes))
    return caught.value.code


def forged(header: dict[str, Any] | None = None, signer=WORKER, **claims) -> str:
    """A proof with other members, honestly signed."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(WORKER.public_raw)}
    head = {"alg": "Ed25519", "typ": dpop.TYPE, "jwk": jwk} | (header or {})
    body = jose.verified_claims(made(), WORKER.public_raw) | claims
    return jose.sign_with(head, {k: v for k, v in body.items() if v is not None}, signer)


def test_a_proof_names_the_workers_key():
    proof = dpop.verify(made(), **REQUEST)
    assert proof.jkt == WORKER.kid
    assert dpop.verify(forged(), **REQUEST).jkt == WORKER.kid


def test_every_proof_has_its_own_id():
    assert dpop.verify(made(), **REQUEST).jti != dpop.verify(made(), **REQUEST).jti


# --- (1) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "jwt"},
        {"alg": "EdDSA"},
        {"kid": "x"},
        {"jwk": "x"},
        {"jwk": {"kty": "OKP", "crv": "Ed25519"}},
        {"jwk": {"kty": "OKP", "crv": "X25519", "x": canonical.b64u(WORKER.public_raw)}},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": 7}},
        {
            "jwk": {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": canonical.b64u(WORKER.public_raw),
                "d": "AAAA",
            }
        },
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(b"\1" + bytes(31))}},
    ],
)
def test_a_header_of_another_form_is_malformed(header):
    assert refused(forged(header)) == "malformed"


@given(st.text(max_size=300))
def test_any_text_is_refused(text):
    with pytest.raises(VerificationError):
        dpop.verify(text, **REQUEST)


# --- (2) ------------------------------------------------------------------------------------------


def test_a_key_that_did_not_sign_is_a_bad_signature():
    assert refused(forged(signer=TOKEN)) == "bad_signature"


# --- (3) ------------------------------------------------------------------------------------------


def test_a_proof_for_another_request_is_a_bad_signature():
    assert refused(made(), method="GET") == "bad_signature"
    assert refused(made(), url=URL + "/x") == "bad_signature"


# --- (4) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-61, 61])
def test_an_old_or_future_proof_is_expired(seconds):
    assert refused(made(), at=NOW + timedelta(seconds=seconds)) == "expired"
    late = REQUEST | {"at": NOW + timedelta(seconds=60)}
    assert dpop.verify(made(), **late).jkt == WORKER.kid


@pytest.mark.parametrize("issued", [None, True, "now"])
def test_a_proof_without_a_time_is_expired(issued):
    assert refused(forged(iat=issued)) == "expired"


# --- (5) ------------------------------------------------------------------------------------------


def test_a_proof_for_another_body_is_a_bad_signature():
    assert refused(made(), body=b'{"fence":2}') == "bad_signature"


def test_a_proof_is_bound_to_its_token():
    assert dpop.verify(made(token="abc"), **REQUEST, token="abc").jkt == WORKER.kid
    assert refused(made(token="abc"), token="def") == "bad_signature"
    assert refused(made(token="abc")) == "bad_signature"
    assert refused(made(), token="abc") == "bad_signature"


@pytest.mark.parametrize("jti", [None, "", "short", 7, "x" * 65])
def test_a_proof_without_a_proper_id_is_malformed(jti):
    assert refused(forged(jti=jti)) == "malformed"
