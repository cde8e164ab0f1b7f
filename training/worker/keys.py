"""The worker's two keys: Ed25519 to sign requests and run statements, X25519 to receive data keys.

Trusts the files in the key folder (0600, ours). They are made once and never leave the machine;
what the operator enrols is `public()`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from registry.log import keyfiles
from registry.log.core.keys import Ed25519Signer

SIGNING: Final = "worker.ed25519"
RECEIVING: Final = "worker.x25519"
_BYTES: Final = 32


@dataclass(frozen=True)
class Keys:
    """Both private keys, in memory."""

    seed: bytes = field(repr=False)
    hpke_private: bytes = field(repr=False)

    @property
    def signer(self) -> Ed25519Signer:
        """Signs requests and run statements."""
        return Ed25519Signer.from_seed(self.seed)

    @property
    def hpke_public(self) -> bytes:
        """The X25519 public key, 32 bytes."""
        private = X25519PrivateKey.from_private_bytes(self.hpke_private)
        return private.public_key().public_bytes_raw()

    def public(self) -> dict[str, str]:
        """What is enrolled: both public keys in hex, and the key id that tokens name."""
        return {
            "public": self.signer.public_raw.hex(),
            "hpke_public": self.hpke_public.hex(),
            "jkt": self.signer.kid,
        }


def create(folder: Path) -> list[str]:
    """Make the key files that are missing, 0600; returns their names. Never overwrites one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return [name for name in (SIGNING, RECEIVING) if _create_one(folder / name)]


def _create_one(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(os.urandom(_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
    return True


def load(folder: Path) -> Keys:
    """Read both keys. Raises `registry.log.keyfiles.KeyFileError`."""
    return Keys(
        seed=keyfiles.read_secret(folder / SIGNING, _BYTES),
        hpke_private=keyfiles.read_secret(folder / RECEIVING, _BYTES),
    )
