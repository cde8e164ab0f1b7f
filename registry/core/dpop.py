"""Proof of possession: a worker signs every request with its own key (RFC 9449, DPoP).

A stolen token is worth nothing without the key that it names in `cnf.jkt`. Besides the claims of
the RFC, ours names the body's SHA-256, so that a proof cannot be moved to another request.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from registry.core import jose
from registry.log.core import canonical, keys
from registry.log.core.errors import VerificationError

TYPE: Final = "dpop+jwt"
MAX_SKEW_S: Final = 60


@dataclass(frozen=True)
class Proof:
    """A verified proof: whose key, and the id that must not be seen twice."""

    jkt: str
    jti: str


def prove(
    signer: keys.Ed25519Signer, *, method: str, url: str, body: bytes, at: datetime, token: str = ""
) -> str:
    """The value of the `DPoP` header for one request."""
    public = {"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(signer.public_raw)}
    header: dict[str, Any] = {"alg": jose.ALGORITHM, "typ": TYPE, "jwk": public}
    claims: dict[str, Any] = {
        "jti": secrets.token_hex(16),
        "htm": method,
        "htu": url,
        "iat": int(at.timestamp()),
        "bsh": hashlib.sha256(body).hexdigest(),
    }
    if token:
        claims["ath"] = _token_hash(token)
    return jose.sign_with(header, claims, signer)


def verify(
    proof: str, *, method: str, url: str, body: bytes, at: datetime, token: str = ""
) -> Proof:
    """Verify a proof for exactly this request. Raises `VerificationError`.

    RFC 9449 4.3, steps used here: (1) well-formed with the right `typ`, `alg` and a public `jwk`;
    (2) the signature verifies with that key; (3) `htm` and `htu` are this request's;
    (4) `iat` is recent; (5) `ath` is this token's and `bsh` this body's.
    The caller must refuse a `jti` it has seen, and decide whether `jkt` is a key it knows.
    """
    # (1)
    header = jose.header_of(proof, max_bytes=8192)
    jwk = header.get("jwk")
    if (
        set(header) != {"alg", "typ", "jwk"}
        or header["typ"] != TYPE
        or header["alg"] != jose.ALGORITHM
    ):
        raise VerificationError("malformed", "DPoP header")
    if not isinstance(jwk, dict) or set(jwk) != {"kty", "crv", "x"} or jwk["crv"] != "Ed25519":
        raise VerificationError("malformed", "DPoP key")
    try:
        raw = canonical.unb64u(jwk["x"])
        keys.load_ed25519_public(raw)
    except (TypeError, ValueError, VerificationError) as error:
        raise VerificationError("malformed", "DPoP key") from error
    # (2)
    claims = jose.verified_claims(proof, raw)
    # (3)
    if claims.get("htm") != method or claims.get("htu") != url:
        raise VerificationError("bad_signature", "proof for another request")
    # (4)
    issued, jti = claims.get("iat"), claims.get("jti")
    if type(issued) is not int or abs(at.timestamp() - issued) > MAX_SKEW_S:
        raise VerificationError("expired", "proof of possession")
    # (5)
    if claims.get("bsh") != hashlib.sha256(body).hexdigest():
        raise VerificationError("bad_signature", "proof for another body")
    if claims.get("ath") != (_token_hash(token) if token else None):
        raise VerificationError("bad_signature", "proof for another token")
    if not isinstance(jti, str) or not 16 <= len(jti) <= 64:
        raise VerificationError("malformed", "jti")
    return Proof(jkt=keys.thumbprint(raw), jti=jti)


def _token_hash(token: str) -> str:
    return canonical.b64u(hashlib.sha256(token.encode("ascii")).digest())
