"""Keys: loading what others enrolled, naming keys, signing with ours.

Ground floor, pure. There is no choice of algorithm: Ed25519 everywhere, and ML-DSA-44 beside it for
the log's checkpoints. A public key from outside is trusted for nothing until it is loaded here.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from registry.log.core import canonical
from registry.log.core.errors import VerificationError

ED25519_PUBLIC_BYTES: Final = 32
MLDSA44_PUBLIC_BYTES: Final = 1312
SEED_BYTES: Final = 32

_P: Final = 2**255 - 19
_Y_OF_ORDER_8: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
# The eight points whose order divides 8 have these five y coordinates (RFC 7748's cofactor): y = 1
# is the identity, y = -1 has order 2, y = 0 order 4, the other two order 8.
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})


def load_ed25519_public(raw: bytes) -> Ed25519PublicKey:
    """Load a 32-byte Ed25519 public key that somebody else made.

    Refuses the eight small-order points (under the identity point one constant signature verifies
    for every message) and encodings with y >= 2**255 - 19, which would give one key two names.
    Raises VerificationError `bad_key`.
    """
    if len(raw) != ED25519_PUBLIC_BYTES:
        raise VerificationError("bad_key", "an Ed25519 public key has 32 bytes")
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _P:
        raise VerificationError("bad_key", "non-canonical encoding of an Ed25519 public key")
    if y in _SMALL_ORDER_Y:
        raise VerificationError("bad_key", "small-order Ed25519 public key")
    return Ed25519PublicKey.from_public_bytes(raw)


def verify_ed25519(public_raw: bytes, signature: bytes, message: bytes) -> None:
    """Verify an Ed25519 signature (RFC 8032).

    Raises VerificationError `bad_key` or `bad_signature`.
    """
    try:
        load_ed25519_public(public_raw).verify(signature, message)
    except InvalidSignature as error:
        raise VerificationError("bad_signature", "Ed25519 signature does not verify") from error


def verify_mldsa44(public_raw: bytes, signature: bytes, message: bytes) -> None:
    """Verify an ML-DSA-44 signature (FIPS 204, empty context).

    Raises VerificationError `bad_key` or `bad_signature`.
    """
    if len(public_raw) != MLDSA44_PUBLIC_BYTES:
        raise VerificationError("bad_key", "an ML-DSA-44 public key has 1312 bytes")
    try:
        MLDSA44PublicKey.from_public_bytes(public_raw).verify(signature, message)
    except InvalidSignature as error:
        raise VerificationError("bad_signature", "ML-DSA-44 signature does not verify") from error


def thumbprint(raw: bytes) -> str:
    """Return the RFC 7638 thumbprint (base64url) of an Ed25519 public key as an OKP JWK.

    The required members in lexicographic order are `crv`, `kty`, `x` (RFC 8037, appendix A.3).
    """
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{canonical.b64u(raw)}"}}'
    return canonical.b64u(hashlib.sha256(jwk.encode()).digest())


class Ed25519Signer:
    """One of our own Ed25519 keys. Its `repr` shows the key id, never the seed."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_raw: bytes = private.public_key().public_bytes_raw()
        self.kid: str = thumbprint(self.public_raw)

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519Signer:
        """Make the signer from its 32-byte seed (RFC 8032, 5.1.5)."""
        if len(seed) != SEED_BYTES:
            raise ValueError("an Ed25519 seed has 32 bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"Ed25519Signer({self.kid})"


class Mldsa44Signer:
    """The log's ML-DSA-44 key: checkpoints stay believable when Ed25519 no longer is."""

    def __init__(self, private: MLDSA44PrivateKey) -> None:
        self._private = private
        self.public_raw: bytes = private.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: bytes) -> Mldsa44Signer:
        """Make the signer from its 32-byte seed (FIPS 204, algorithm 6)."""
        if len(seed) != SEED_BYTES:
            raise ValueError("an ML-DSA-44 seed has 32 bytes")
        return cls(MLDSA44PrivateKey.from_seed_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the 2420-byte signature over `message`, context empty."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"Mldsa44Signer({hashlib.sha256(self.public_raw).hexdigest()[:16]})"
