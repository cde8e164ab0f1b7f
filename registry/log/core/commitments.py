"""Keyed commitments: what a leaf may say about a person's data, and how it is forgotten.

Ground floor, pure. A plain hash of an e-mail address or a picture identifies it to whoever holds
that address or picture. HMAC-SHA256 under a random key per person does not: while the key exists
the commitment can be opened, and when the key is destroyed it is noise. The leaf stays, and so do
all proofs.
"""

import hmac
import secrets
from typing import Any, Final

from registry.log.core import canonical
from registry.log.core.errors import VerificationError

KEY_BYTES: Final = 32


def new_key() -> bytes:
    """Return a fresh random key, for one person only; destroying it is the erasure."""
    return secrets.token_bytes(KEY_BYTES)


def commit(key: bytes, context: str, value: Any) -> str:
    """Return HMAC-SHA256(key, context || 0x00 || JCS(value)) as 64 hexadecimal digits.

    `context` says what is committed to, so that equal values in two places do not look alike.
    Raises ValueError for a short key, a bad context, or a value without canonical form.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a commitment key has {KEY_BYTES} bytes")
    if not context or "\0" in context:
        raise ValueError("a commitment's context is a non-empty string without NUL")
    message = context.encode() + b"\0" + canonical.dumps(value)
    return hmac.new(key, message, "sha256").hexdigest()


def verify(key: bytes, context: str, value: Any, commitment: str) -> None:
    """Verify an opened commitment; raises VerificationError `bad_commitment`."""
    if not hmac.compare_digest(commit(key, context, value).encode(), commitment.encode()):
        raise VerificationError("bad_commitment", "the value is not what was committed to")
