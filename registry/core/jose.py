"""One way to sign and read a compact JWS here: Ed25519, pinned key id, strict JSON.

`joserfc` does the cryptography and the encoding. What it leaves to its caller is done in `read`:
it accepts padded base64 (Wycheproof 367, 370), keeps the last of duplicate members, ignores `jku`
and does not look at `typ` (RFC 8725 3.11: "use explicit typing").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from registry.log.core import canonical, keys
from registry.log.core.errors import VerificationError

MAX_BYTES: Final = 65_536
ALGORITHM: Final = "Ed25519"  # RFC 9864; "EdDSA" is the older, ambiguous name


def sign(typ: str, claims: Mapping[str, Any], signer: keys.Ed25519Signer) -> str:
    """A compact JWS over the canonical claims."""
    return sign_with({"alg": ALGORITHM, "typ": typ, "kid": signer.kid}, claims, signer)


def sign_with(
    header: Mapping[str, Any], claims: Mapping[str, Any], signer: keys.Ed25519Signer
) -> str:
    """RFC 7515 7.1, with the signer as the only thing that ever sees a private key."""
    text = f"{canonical.b64u(canonical.dumps(header))}.{canonical.b64u(canonical.dumps(claims))}"
    return f"{text}.{canonical.b64u(signer.sign(text.encode()))}"


def header_of(token: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The header, unverified, parsed strictly. Raises `VerificationError("malformed")`."""
    if len(token) > max_bytes or token.count(".") != 2:
        raise VerificationError("malformed", "not a compact JWS")
    try:
        header = canonical.loads(canonical.unb64u(token.split(".")[0]))
    except (ValueError, VerificationError) as error:
        raise VerificationError("malformed", "header") from error
    if not isinstance(header, dict):
        raise VerificationError("malformed", "header")
    return header


def read(token: str, *, typ: str, pinned: Mapping[str, bytes]) -> dict[str, Any]:
    """Verify against the pinned keys; returns the claims.

    Raises `VerificationError`: `malformed`, `unknown_key`, `bad_signature`.

    (1) size, three segments, strict base64url and JSON;
    (2) the header holds `alg`, `typ`, `kid` and nothing else: no `jku x5u jwk x5c crit`;
    (3) `alg` and `typ` are the expected ones, `kid` is pinned;
    (4) the signature verifies under that key.
    """
    # (1)
    header = header_of(token)
    # (2) RFC 7515 4.1: a reader must not act on headers it did not expect.
    if set(header) != {"alg", "typ", "kid"}:
        raise VerificationError("malformed", "header members")
    # (3)
    if header["alg"] != ALGORITHM or header["typ"] != typ:
        raise VerificationError("malformed", "alg or typ")
    raw = pinned.get(header["kid"]) if isinstance(header["kid"], str) else None
    if raw is None:
        raise VerificationError("unknown_key", str(header["kid"])[:64])
    # (4)
    return verified_claims(token, raw)


def verified_claims(token: str, raw: bytes) -> dict[str, Any]:
    """Check the signature with one Ed25519 key and parse the claims strictly."""
    try:
        keys.load_ed25519_public(raw)
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(raw)})
        for segment in token.split("."):
            canonical.unb64u(segment)
        jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        claims = canonical.loads(canonical.unb64u(token.split(".")[1]))
    except JoseError as error:
        raise VerificationError("bad_signature", type(error).__name__) from error
    except (ValueError, VerificationError) as error:
        raise VerificationError("malformed", "claims") from error
    if not isinstance(claims, dict):
        raise VerificationError("malformed", "claims")
    return claims
