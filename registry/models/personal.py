"""Personal members of rows: encrypted under a key of the person's own (AES-256-GCM).

The key lies in the person's row, wrapped (RFC 3394) under the registry's root key, which is in no
database and no dump of one. Erasing a person is destroying that key: what rows and replicas still
hold opens for nobody. Trusts `settings.KEYS_DIR` for the root key, as `keyring` does.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from registry.core import vault
from registry.log import keyfiles
from registry.log.core import canonical


def new_key() -> bytes:
    """A fresh key for one person, wrapped."""
    return vault.wrap(vault.new_key(), _root_key(settings.KEYS_DIR))


def seal(wrapped: bytes, value: Any, *, context: str) -> bytes:
    """Encrypt any JSON value; `context` says whose and what it is, and is bound to the bytes."""
    return vault.seal(canonical.dumps(value), _key(wrapped), context=_context(context)).data


def unseal(wrapped: bytes, data: bytes, *, context: str) -> Any:
    """The value. Raises `VerificationError`: another key, another place, or changed bytes."""
    return canonical.loads(vault.unseal(bytes(data), _key(wrapped), context=_context(context)))


def _key(wrapped: bytes) -> bytes:
    return vault.unwrap(bytes(wrapped), _root_key(settings.KEYS_DIR))


def _context(context: str) -> str:
    return f"kyodaku/personal/v1:{context}"


@lru_cache(maxsize=8)
def _root_key(folder: Path) -> bytes:
    return keyfiles.read_secret(folder / "root.key", vault.KEY_BYTES)
