"""Pseudonymous, typed identifiers: `tal_…`, `grt_…`: what a thing is, nothing about whom."""

from __future__ import annotations

import re
import secrets

_FORM = re.compile(r"^[a-z]{3}_[0-9a-f]{20}$")


def new_id(prefix: str) -> str:
    """A fresh id of 80 random bits; `prefix` is three lower-case letters."""
    value = f"{prefix}_{secrets.token_hex(10)}"
    if not _FORM.match(value):
        raise ValueError(f"not an id prefix: {prefix!r}")
    return value


def is_id(value: object, prefix: str) -> bool:
    """Whether `value` is a well-formed id of the kind `prefix`."""
    return isinstance(value, str) and value.startswith(prefix + "_") and bool(_FORM.match(value))
