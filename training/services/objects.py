"""Encrypted objects, each under the SHA-256 of its bytes. No other file is ever served.

Serves stages 5 to 8. In a folder of this machine, or in a bucket of an S3-compatible store that
several machines share (`KYODAKU_S3_BUCKET`). Trusts either to keep bytes and not to tell the truth:
what is read is hashed again. A name that is not a digest never becomes a path or a key.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from registry.core.refusals import Refusal
from registry.log.core.errors import Error
from training.core.manifest import is_digest

BUCKET = "objects"  # its alias in settings.STORAGES; absent where objects lie in a folder


class StoreUnreachable(Error):
    """The bucket gave no answer: nobody knows whether the object is there. Try again later.

    Never told as a missing object, which would end a finished run for good.
    """


def object_store(data: bytes) -> str:
    """Keep encrypted bytes; returns their digest. Storing the same bytes twice is harmless.

    Raises `OSError` or `StoreUnreachable` when they could not be kept: nothing names them then.
    """
    digest = hashlib.sha256(data).hexdigest()
    bucket = _bucket()
    if bucket is not None:
        # One PUT: there is the whole object under its name or none.
        with _reached():
            bucket.save(_key(digest), ContentFile(data))
        return digest
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
    """The bytes of an object, hashed again: `image_unavailable` or `dataset_mismatch`.

    Raises `StoreUnreachable`.
    """
    if not is_digest(digest):
        return Refusal("image_unavailable", "not a digest")
    try:
        data = _bytes(digest)
    except OSError:
        return Refusal("image_unavailable", digest)
    if hashlib.sha256(data).hexdigest() != digest:
        return Refusal("dataset_mismatch", f"stored object {digest}")
    return data


def object_exists(digest: str) -> bool:
    """Whether an object is there, without reading it. Raises `StoreUnreachable`."""
    if not is_digest(digest):
        return False
    bucket = _bucket()
    if bucket is None:
        return _path(digest).is_file()
    with _reached():
        return bool(bucket.exists(_key(digest)))


def _bytes(digest: str) -> bytes:
    bucket = _bucket()
    if bucket is None:
        return _path(digest).read_bytes()
    with _reached(), bucket.open(_key(digest)) as stream:
        found: bytes = stream.read()
    return found


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnreachable(f"object store: {type(error).__name__}") from error


def _bucket() -> Storage | None:
    return storages[BUCKET] if BUCKET in settings.STORAGES else None


def _key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest}"


def _path(digest: str) -> Path:
    return Path(settings.STORAGE_DIR) / _key(digest)
