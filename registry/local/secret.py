"""Django's secret key: one file in the keys folder, made once, never a default.

Not a stage. It protects sessions and CSRF tokens only; no signature and no consent rests on it.
Trusts the file system's permissions, and refuses a file that others can read.
"""

import os
import secrets
from pathlib import Path

from registry.local.env import refuse

FILE = "django-secret"


def read(keys: Path) -> str:
    """The secret key in the folder `keys`.

    Raises ImproperlyConfigured when the file is missing, short, or open to others.
    """
    path = keys / FILE
    if not path.is_file():
        raise refuse("KYODAKU_KEYS_DIR", f"has no {FILE}: run python -m registry.local keys")
    if path.stat().st_mode & 0o077:
        raise refuse("KYODAKU_KEYS_DIR", f"{FILE} can be read by others: chmod 600 {path}")
    value = path.read_text(encoding="ascii").strip()
    if len(value) < 50:
        raise refuse("KYODAKU_KEYS_DIR", f"{FILE} is shorter than 50 characters")
    return value


def create(keys: Path) -> bool:
    """Write a new secret key unless there is one; True when it was made."""
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(keys / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="ascii") as out:
        out.write(secrets.token_urlsafe(64))
    return True
