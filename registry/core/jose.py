"""One way to sign and read a compact JWS here: Ed25519, pinned key id, strict JSON.

RFC 7515 with everything taken out that could vary: one algorithm, three header members, unpadded
base64url in its one spelling, no duplicate members, explicit `typ` (RFC 8725 3.11). General JWS
libraries leave part of that to their callers (padded base64, the last of duplicate members, `jku`);
`joserfc` is the second opinion in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

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
    text = f"{_segment(header)}.{_segment(claims)}"
    return f"{text}.{canonical.b64u(signer.sign(text.encode()))}"


def header_of(token: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The header, unverified, parsed strictly. Raises `VerificationError("malformed")`."""
    if len(token) > max_bytes or token.count(".") != 2:
        raise VerificationError("malformed", "not a compact JWS")
    return _object(_decoded(token.partition(".")[0], "header"), "header")


def _object(
    data: bytes, what: str, loads: Callable[[bytes], Any] = canonical.loads
) -> dict[str, Any]:
    try:
        value = loads(data)
    except VerificationError as error:
        raise VerificationError("malformed", f"{what}: {error.detail}"[:200]) from error
    if not isinstance(value, dict):
        raise VerificationError("malformed", what)
    return value


def _decoded(segment: str, what: str) -> bytes:
    try:
        return canonical.unb64u(segment)
    except VerificationError as error:
        raise VerificationError("malformed", what) from error


def read(token: str, *, typ: str, pinned: Mapping[str, bytes]) -> dict[str, Any]:
    """Verify against the pinned keys; returns the claims.

    Raises `VerificationError`: `malformed`, `unknown_key`, `bad_signature`.

    (1) size and three segments;
    (2) the header is, letter for letter, the one that we write for this `typ` and a pinned `kid`:
        no other `alg`, no `jku x5u jwk x5c crit`, no other spelling;
    (3) the signature verifies under that key, over strict base64url;
    (4) the claims are strict JSON in its canonical spelling: one content, one text.
    """
    # (1)
    if len(token) > MAX_BYTES or token.count(".") != 2:
        raise VerificationError("malformed", "not a compact JWS")
    # (2) RFC 7515 4.1: a reader must not act on headers it did not expect.
    kid = signer_of(token, typ=typ, pinned=pinned)
    if kid is None:
        raise _strange_header(token, typ, pinned)
    # (3)
    payload = _verified(token, pinned[kid])
    # (4)
    return _object(payload, "claims", canonical.loads_canonical)


def signer_of(token: str, *, typ: str, pinned: Mapping[str, bytes]) -> str | None:
    """The pinned key id that a token names in a header of exactly our form, verified or not."""
    return next((kid for kid in pinned if token.startswith(_header(typ, kid))), None)


@lru_cache(maxsize=256)
def _header(typ: str, kid: str) -> str:
    """The first segment and its dot, for one pinned key."""
    return _segment({"alg": ALGORITHM, "typ": typ, "kid": kid}) + "."


def _strange_header(token: str, typ: str, pinned: Mapping[str, bytes]) -> VerificationError:
    """What to say of a header that is not ours. Raises `VerificationError` when it is none."""
    header = header_of(token)
    kid = header.get("kid")
    if set(header) != {"alg", "typ", "kid"}:
        return VerificationError("malformed", "header members")
    if header["alg"] != ALGORITHM or header["typ"] != typ:
        return VerificationError("malformed", "alg or typ")
    if not isinstance(kid, str) or kid not in pinned:
        return VerificationError("unknown_key", str(kid)[:64])
    return VerificationError("malformed", "header not in its canonical spelling")


def verified_claims(token: str, raw: bytes) -> dict[str, Any]:
    """Check the signature with one Ed25519 key and parse the claims strictly.

    Raises `VerificationError`: `malformed`, `bad_signature`.
    """
    return _object(_verified(token, raw), "claims")


def _verified(token: str, raw: bytes) -> bytes:
    """The payload's bytes, once the signature verifies."""
    parts = token.split(".")
    if len(parts) != 3:
        raise VerificationError("malformed", "not a compact JWS")
    _, payload, signature = (_decoded(part, "segment") for part in parts)
    try:
        key = keys.load_ed25519_public(raw)
    except VerificationError as error:
        raise VerificationError("malformed", "key") from error
    try:
        # RFC 7515 5.2: over the two segments as they were sent. All three decoded, so it is ASCII.
        key.verify(signature, token.rpartition(".")[0].encode())
    except InvalidSignature as error:
        raise VerificationError("bad_signature", "JWS") from error
    return payload


def _segment(value: Mapping[str, Any]) -> str:
    return canonical.b64u(canonical.dumps(value))
