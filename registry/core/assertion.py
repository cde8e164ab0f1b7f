"""A WebAuthn assertion, read and verified: authenticator data, COSE key, signature.

Stage 2 of the flow, pure. W3C Web Authentication Level 3, sections 6.1 and 7.2, for the three
algorithms that are enrolled here. `webauthn` registers keys and is the second opinion in the tests;
a stored assertion has no session, no counter and no account, and a worker verifies several for
every token, so it is read here: exactly what the specification names, nothing that it leaves open.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.log.core import keys
from registry.log.core.errors import VerificationError

ES256: Final = -7
EDDSA: Final = -8
RS256: Final = -257  # Windows Hello on an older TPM
MAX_COSE_KEY: Final = 1024
MAX_EXTENSIONS: Final = 1024
_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
_FIXED: Final = 37
# RFC 9053 7.1.1 and 7.2: kty, alg, crv and x (and y); RFC 8230 4: kty, alg, n and e.
# WebAuthn 5.8.5: "MUST NOT contain any other OPTIONAL parameters".
_EC2: Final = frozenset({1, 3, -1, -2, -3})
_OKP_OR_RSA: Final = frozenset({1, 3, -1, -2})
_RSA_BYTES: Final = (256, 512)
_RSA_E: Final = b"\x01\x00\x01"
_CURVE: Final = ec.SECP256R1()
_ECDSA: Final = ec.ECDSA(hashes.SHA256())

PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey | rsa.RSAPublicKey


def load_key(cose_key: bytes) -> PublicKey:
    """An ES256 key on P-256, an Ed25519 key or an RS256 key from COSE_Key bytes.

    Raises VerificationError `bad_signature` (nothing verifies under such a key): another form,
    another algorithm, a point off the curve, an RSA modulus below 2048 bits; and `bad_key` for a
    small-order or non-canonical Ed25519 point.
    """
    found = _map(cose_key)
    kind = found.get(1), found.get(3)
    if kind == (2, ES256) and found.keys() == _EC2 and _is(found[-1], 1):
        return _p256(found[-2], found[-3])
    if kind == (1, EDDSA) and found.keys() == _OKP_OR_RSA and _is(found[-1], 6):
        return keys.load_ed25519_public(_bytes(found[-2], 32))
    if kind == (3, RS256) and found.keys() == _OKP_OR_RSA:
        return _rsa(found[-1], found[-2])
    raise VerificationError("bad_signature", "COSE key: another type, algorithm, curve or member")


def _map(data: bytes) -> dict[Any, Any]:
    """One CBOR map in its one deterministic spelling (RFC 8949 4.2.1), and nothing after it."""
    if len(data) > MAX_COSE_KEY:
        raise VerificationError("bad_signature", "COSE key: too long")
    try:
        value = cbor2.loads(data)
        same = cbor2.dumps(value, canonical=True) == data
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise VerificationError("bad_signature", "COSE key: not CBOR") from error
    if not isinstance(value, dict) or not same:
        raise VerificationError("bad_signature", "COSE key: not one map in its one spelling")
    # `True` and 1.0 would pass for 1.
    if any(type(name) is not int for name in (*value, value.get(1), value.get(3))):
        raise VerificationError("bad_signature", "COSE key: labels and algorithm are integers")
    return value


def _is(value: object, wanted: int) -> bool:
    return type(value) is int and value == wanted


def _bytes(value: object, *lengths: int) -> bytes:
    if not isinstance(value, bytes) or len(value) not in lengths:
        raise VerificationError(
            "bad_signature", "COSE key: a coordinate or number of another length"
        )
    return value


def _p256(x: object, y: object) -> ec.EllipticCurvePublicKey:
    point = b"\x04" + _bytes(x, 32) + _bytes(y, 32)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError as error:
        raise VerificationError("bad_signature", "not a point of P-256") from error


def _rsa(n: object, e: object) -> rsa.RSAPublicKey:
    modulus = _bytes(n, *range(_RSA_BYTES[0], _RSA_BYTES[1] + 1))
    if e != _RSA_E or modulus[0] == 0 or modulus[-1] % 2 == 0:
        raise VerificationError("bad_signature", "COSE key: RSA numbers")
    numbers = rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big"))
    try:
        return numbers.public_key()
    except ValueError as error:
        raise VerificationError("bad_signature", "COSE key: RSA numbers") from error


def verify(
    *,
    authenticator_data: bytes,
    client_data: bytes,
    signature: bytes,
    cose_key: bytes,
    rp_id: str,
) -> None:
    """Verify an assertion whose client data the caller has read (WebAuthn 7.2, steps 15 to 24).

    (1) the data is for this relying party; (2) the user was present; (3) the user was verified;
    (4) flags and length fit an assertion: no attested key, a backup only of what may be backed up,
    after the fixed part nothing but the extensions that the flags announce; (5) the signature by
    this key covers both. Counters detect cloned authenticators online; a stored assertion has no
    successor. Raises VerificationError `bad_key` or `bad_signature`.
    """
    if len(authenticator_data) < _FIXED:
        raise VerificationError("bad_signature", "authenticator data: too short")
    flags = authenticator_data[32]
    # (1)
    if authenticator_data[:32] != hashlib.sha256(rp_id.encode()).digest():
        raise VerificationError("bad_signature", "another relying party")
    # (2)
    if not flags & _UP:
        raise VerificationError("bad_signature", "user not present")
    # (3)
    if not flags & _UV:
        raise VerificationError("bad_signature", "user not verified")
    # (4) Extensions may come unasked for; nobody reads them, but nothing may hide behind them.
    if flags & _AT or (flags & _BS and not flags & _BE):
        raise VerificationError("bad_signature", "flags that no assertion has")
    if not _is_rest(authenticator_data[_FIXED:], extended=bool(flags & _ED)):
        raise VerificationError("bad_signature", "authenticator data: bytes left over")
    # (5)
    message = authenticator_data + hashlib.sha256(client_data).digest()
    key = load_key(cose_key)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message, _ECDSA)
    except InvalidSignature as error:
        raise VerificationError("bad_signature", "assertion") from error


def _is_rest(data: bytes, *, extended: bool) -> bool:
    """What follows the fixed part: nothing, or one CBOR map when extensions are announced."""
    if not extended or len(data) > MAX_EXTENSIONS:
        return not extended and not data
    stream = BytesIO(data)
    try:
        extensions = cbor2.load(stream)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
        return False
    return isinstance(extensions, dict) and stream.tell() == len(data)
