"""Encrypted objects on disk, each under the SHA-256 of its bytes. No other file is ever served.

Serves stages 5 to 8. Trusts the file system to keep bytes and not to tell the truth: what is read
is hashed again. A name that is not a digest never becomes a path.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from django.conf import settings

from registry.core.refusals import Refusal
from training.core.manifest import is_digest


def object_store(data: bytes) -> str:
    """Keep encrypted bytes; returns their digest. Storing the same bytes twice is harmless."""
    digest = hashlib.sha256(data).hexdigest()
    path = _path(digest)
    if path.is_file():
        return digest
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{digest}.{secrets.token_hex(6)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    # A crash before this line leaves a part file that nothing names; after it, the whole object.
    os.replace(part, path)
    return digest


def object_read(digest: str) -> bytes | Refusal:
    """The bytes of an object, hashed again: `image_unavailable` or `dataset_mismatch`."""
    if not is_digest(digest):
        return Refusal("image_unavailable", "not a digest")
    try:
        data = _path(digest).read_bytes()
    except OSError:
        return Refusal("image_unavailable", digest)
    if hashlib.sha256(data).hexdigest() != digest:
        return Refusal("dataset_mismatch", f"stored object {digest}")
    return data


def object_exists(digest: str) -> bool:
    """Whether an object is there, without reading it."""
    return is_digest(digest) and _path(digest).is_file()


def _path(digest: str) -> Path:
    return Path(settings.STORAGE_DIR) / "objects" / digest[:2] / digest
