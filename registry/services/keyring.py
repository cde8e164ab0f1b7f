"""The registry's own keys: one file, one purpose. Nothing here makes a key by itself.

Every stage that signs or unwraps asks here. Trusts the files in `settings.KEYS_DIR` (0600, checked
at each first read). `create` is what `manage.py create_keys` calls; it never overwrites, and there
is no default key anywhere.
"""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.utils import timezone

from registry.core import certificates
from registry.core import keyset as core_keyset
from registry.core.trust import TrustRoot
from registry.log import keyfiles, witnesses
from registry.log.core import keys
from registry.log.core.checkpoint import LogSigners
from registry.services import keyset

KEY_BYTES: Final = 32
MAX_PEM_BYTES: Final = 4096
MAX_CHAIN_BYTES: Final = 65_536
NAMES: Final = (
    "token.ed25519",
    "status.ed25519",
    "provenance.ed25519",
    "checkpoint.ed25519",
    "checkpoint.mldsa44",
    "root.key",
    "watermark.key",
    "lineage.key",
)
# OpenSSF Model Signing knows no Ed25519, so the folders have a key of their own, on P-256, as PEM.
MODEL_KEY: Final = "model.pem"
# C2PA signs with X.509: key and certificates in one file, which an operator may replace.
C2PA_IDENTITY: Final = "c2pa.pem"


def create() -> list[str]:
    """Make every key file that is missing, 0600, and return the names made."""
    folder: Path = settings.KEYS_DIR
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = [name for name in NAMES if _create_one(folder / name, os.urandom(KEY_BYTES))]
    made += [MODEL_KEY] * _create_one(folder / MODEL_KEY, _fresh_model_key())
    fresh = certificates.fresh_identity(urlsplit(settings.PUBLIC_URL).netloc, at=timezone.now())
    return made + [C2PA_IDENTITY] * _create_one(folder / C2PA_IDENTITY, fresh)


def _fresh_model_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _create_one(path: Path, content: bytes) -> bool:
    """Write aside, then link: a key file is whole or absent, and an existing one always wins."""
    if path.exists():
        return False
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A crash here leaves a hidden file and no key; the next start makes another.
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        fresh.unlink()
    return True


def secret(name: str) -> bytes:
    """The 32 secret bytes of one key file. Raises `KeyFileError`, `ValueError` for other names."""
    if name not in NAMES:
        raise ValueError(f"no key of the registry is called {name!r}")
    return _read(settings.KEYS_DIR, name, _stamp(settings.KEYS_DIR / name))


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file is replaced: a rotated key is used by every process at once."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise keyfiles.KeyFileError(f"secret key file {path} is missing") from error
    return found.st_mtime_ns, found.st_ino


def create_watermark(epoch: int) -> None:
    """Make the key file of a later epoch of the watermark, unless it is there."""
    _create_one(settings.KEYS_DIR / _watermark_file(epoch), os.urandom(KEY_BYTES))


def watermark_secret(epoch: int) -> bytes:
    """The 32 secret bytes of one epoch's watermark. Raises `KeyFileError`."""
    return _file(settings.KEYS_DIR, _watermark_file(epoch))


def _watermark_file(epoch: int) -> str:
    return "watermark.key" if epoch == 1 else f"watermark-{epoch}.key"


def token_signer() -> keys.Ed25519Signer:
    """Signs consent tokens."""
    return keys.Ed25519Signer.from_seed(secret("token.ed25519"))


def status_signer() -> keys.Ed25519Signer:
    """Signs status lists."""
    return keys.Ed25519Signer.from_seed(secret("status.ed25519"))


def provenance_signer() -> keys.Ed25519Signer:
    """Countersigns provenance statements."""
    return keys.Ed25519Signer.from_seed(secret("provenance.ed25519"))


def model_key() -> ec.EllipticCurvePrivateKey:
    """Signs delivered folders (P-256). Raises `KeyFileError`."""
    path: Path = settings.KEYS_DIR / MODEL_KEY
    try:
        key = load_pem_private_key(keyfiles.read_private(path, MAX_PEM_BYTES), None)
    except (ValueError, TypeError) as error:
        raise keyfiles.KeyFileError(f"{path} does not hold a private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise keyfiles.KeyFileError(f"{path} does not hold a key on P-256")
    return key


def model_public_key() -> bytes:
    """Its public half as PEM: `model.pub` in a folder and on the site."""
    return model_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def c2pa_identity() -> tuple[Ed25519PrivateKey, bytes]:
    """(the key that signs C2PA manifests, its certificates in PEM). Raises `KeyFileError`."""
    path: Path = settings.KEYS_DIR / C2PA_IDENTITY
    try:
        key, chain = certificates.read_identity(keyfiles.read_private(path, MAX_CHAIN_BYTES))
    except (ValueError, TypeError) as error:
        raise keyfiles.KeyFileError(f"{path}: {error}") from error
    return key, b"".join(item.public_bytes(Encoding.PEM) for item in chain)


def root_key() -> bytes:
    """Wraps the key shares of talents (RFC 3394)."""
    return secret("root.key")


def trust_root() -> TrustRoot:
    """What others pin: served as `/trust.json`, and what the registry itself verifies against."""
    folder: Path = settings.KEYS_DIR
    found = _trust_root(
        folder,
        settings.PUBLIC_URL,
        settings.KYODAKU_MODE,
        settings.LOG_ORIGIN,
        settings.RP_ID,
        settings.STATUS_MAX_AGE,
        witnesses.policy(),
        settings.NEW_KEY_WAIT_HOURS * 3600,
        tuple(_stamp(folder / f"{purpose}.ed25519") for purpose in core_keyset.PURPOSES),
    )
    published = keyset.published()
    if published is None:
        return found
    return core_keyset.applied(keyset.pinned(found), published)


@lru_cache(maxsize=64)
def _read(folder: Path, name: str, stamp: tuple[int, int]) -> bytes:
    del stamp
    return keyfiles.read_secret(folder / name, KEY_BYTES)


@lru_cache(maxsize=8)
def _trust_root(
    folder: Path,
    issuer: str,
    mode: str,
    log_origin: str,
    rp_id: str,
    status_max_age_s: int,
    policy: witnesses.Policy,
    key_wait_s: int,
    stamps: tuple[tuple[int, int], ...],
) -> TrustRoot:
    del stamps
    log = LogSigners(
        origin=log_origin,
        ed25519=keys.Ed25519Signer.from_seed(_file(folder, "checkpoint.ed25519")),
        mldsa44=keys.Mldsa44Signer.from_seed(_file(folder, "checkpoint.mldsa44")),
    )
    site = urlsplit(issuer)
    return TrustRoot(
        issuer=issuer,
        mode=mode,
        token_keys=_pinned(folder, "token.ed25519"),
        status_keys=_pinned(folder, "status.ed25519"),
        provenance_keys=_pinned(folder, "provenance.ed25519"),
        log_origin=log_origin,
        log_vkeys=log.vkeys(),
        rp_id=rp_id,
        origins=(f"{site.scheme}://{site.netloc}",),
        status_max_age_s=status_max_age_s,
        witness_vkeys=policy.vkeys,
        witness_quorum=policy.quorum,
        key_wait_s=key_wait_s,
    )


def _file(folder: Path, name: str) -> bytes:
    return _read(folder, name, _stamp(folder / name))


def _pinned(folder: Path, name: str) -> dict[str, bytes]:
    signer = keys.Ed25519Signer.from_seed(_file(folder, name))
    return {signer.kid: signer.public_raw}
