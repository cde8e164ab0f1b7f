"""Keys around pictures and weights: nothing is stored that a withdrawal cannot make unreadable.

A fresh 256-bit key seals each object (AES-256-GCM). That key is wrapped (AES key wrap, RFC 3394) by
the data set's key, and the data set's key is derived (HKDF, RFC 5869) from the key shares of *all*
talents in it: destroying one share is enough. Shares lie wrapped under the registry's root key.

The data key leaves the registry only for a redeemed token, sealed to the worker's X25519 key (HPKE,
RFC 9180) with the token's id and the grant digest as `info`: an answer for one token opens nothing
for another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, keywrap
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from registry.log.core.errors import VerificationError

KEY_BYTES: Final = 32
_MAGIC: Final = b"KYOS1"
_WRAPPED_BYTES: Final = KEY_BYTES + 8
_NONCE_BYTES: Final = 12
_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class Sealed:
    """An encrypted object: its bytes, and their SHA-256, by which it is stored and fetched."""

    data: bytes
    digest: str


def new_key() -> bytes:
    """A fresh 256-bit key."""
    return os.urandom(KEY_BYTES)


def dataset_key(shares: Mapping[str, bytes], dataset_id: str) -> bytes:
    """The data set's key from the shares of all its talents, by talent id.

    Raises `ValueError` without shares: a data set that nobody could withdraw must not exist.
    """
    if not shares or any(len(share) != KEY_BYTES for share in shares.values()):
        raise ValueError("a data set key needs one 32-byte share of every talent")
    material = b"".join(
        len(talent).to_bytes(2, "big") + talent.encode() + shares[talent]
        for talent in sorted(shares)
    )
    info = b"kyodaku/dataset-key/v1\0" + dataset_id.encode()
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(material)


def wrap(key: bytes, under: bytes) -> bytes:
    """Wrap a key under another one (RFC 3394)."""
    return keywrap.aes_key_wrap(under, key)


def unwrap(wrapped: bytes, under: bytes) -> bytes:
    """Unwrap. Raises `VerificationError("key_unavailable")` under the wrong key."""
    try:
        return keywrap.aes_key_unwrap(under, wrapped)
    except (keywrap.InvalidUnwrap, ValueError) as error:
        raise VerificationError("key_unavailable", "wrapped key") from error


def seal(plain: bytes, key: bytes, *, context: str) -> Sealed:
    """Encrypt one object under the data set's key; `context` is bound as associated data.

    Layout: magic (5) || wrapped object key (40) || nonce (12) || ciphertext and tag.
    """
    object_key, nonce = new_key(), os.urandom(_NONCE_BYTES)
    head = _MAGIC + wrap(object_key, key) + nonce
    data = head + AESGCM(object_key).encrypt(nonce, plain, head + context.encode())
    return Sealed(data, hashlib.sha256(data).hexdigest())


def unseal(data: bytes | memoryview, key: bytes, *, context: str) -> bytes:
    """Decrypt one object. Raises `VerificationError`: `malformed` or `key_unavailable`."""
    cut = len(_MAGIC) + _WRAPPED_BYTES
    view = memoryview(data)  # an object may be gigabytes: no copy of its slices
    head, body = bytes(view[: cut + _NONCE_BYTES]), view[cut + _NONCE_BYTES :]
    if not head.startswith(_MAGIC) or len(head) < cut + _NONCE_BYTES:
        raise VerificationError("malformed", "sealed object")
    object_key = unwrap(head[len(_MAGIC) : cut], key)
    try:
        return AESGCM(object_key).decrypt(head[cut:], body, head + context.encode())
    except InvalidTag as error:
        raise VerificationError("dataset_mismatch", "sealed object was changed") from error


def release(key: bytes, recipient: bytes, *, jti: str, grant_digest: str) -> bytes:
    """Seal the data key to a worker's X25519 public key for one redeemed token."""
    public = X25519PublicKey.from_public_bytes(recipient)
    return _SUITE.encrypt(key, public, _info(jti, grant_digest))


def receive(sealed: bytes, private: bytes, *, jti: str, grant_digest: str) -> bytes:
    """Open a released key. Raises `VerificationError("no_token")`: it was not for this token."""
    try:
        return _SUITE.decrypt(
            sealed, X25519PrivateKey.from_private_bytes(private), _info(jti, grant_digest)
        )
    except (InvalidTag, ValueError) as error:
        raise VerificationError("no_token", "the data key was not released for it") from error


def _info(jti: str, grant_digest: str) -> bytes:
    return b"kyodaku/key-release/v1\0" + jti.encode() + b"\0" + grant_digest.encode()
