"""Limits by account, address and kind of question, counted in the database.

Not a stage. Every process sees the same counts, and a restart forgets none. Keys are HMACs, so the
table says nothing about who tried what.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from django.conf import settings
from django.db import connection

from registry.core.refusals import Refusal
from registry.models import Throttle


@dataclass(frozen=True)
class Limit:
    """So many times within a window that begins with the first of them."""

    name: str
    times: int
    window: timedelta


# Guessing one account's password; guessing at many accounts from one address.
LOGIN_ACCOUNT: Final = Limit("login-account", 8, timedelta(minutes=15))
LOGIN_ADDRESS: Final = Limit("login-address", 40, timedelta(minutes=15))
# Each question about a file may cost seconds of CPU.
VERIFY_ADDRESS: Final = Limit("verify-address", 20, timedelta(minutes=10))
VERIFY_ALL: Final = Limit("verify-everybody", 600, timedelta(minutes=10))


def take(limit: Limit, who: str, *, at: datetime) -> Refusal | None:
    """Count one more; `too_many` (its detail is the seconds to wait) when that is over the limit.

    One statement, so that of many at once no more than the limit pass.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO registry_throttle AS t (key, count, resets_at) VALUES (%s, 1, %s)"
            " ON CONFLICT (key) DO UPDATE SET"
            " count = CASE WHEN t.resets_at <= %s THEN 1 ELSE t.count + 1 END,"
            " resets_at = CASE WHEN t.resets_at <= %s THEN excluded.resets_at ELSE t.resets_at END"
            " RETURNING count, resets_at",
            [_key(limit, who), at + limit.window, at, at],
        )
        count, resets_at = cursor.fetchone()
    return _over(resets_at, at) if count > limit.times else None


def look(limit: Limit, who: str, *, at: datetime) -> Refusal | None:
    """Whether the limit is used up, without counting."""
    row = Throttle.objects.filter(key=_key(limit, who), resets_at__gt=at).first()
    return _over(row.resets_at, at) if row is not None and row.count >= limit.times else None


def forget(limit: Limit, who: str) -> None:
    """Begin anew, after a success."""
    Throttle.objects.filter(key=_key(limit, who)).delete()


def sweep(*, at: datetime) -> int:
    """Delete the counters whose window is over; returns how many."""
    deleted, _ = Throttle.objects.filter(resets_at__lte=at).delete()
    return deleted


def _over(resets_at: datetime, at: datetime) -> Refusal:
    return Refusal("too_many", str(max(1, int((resets_at - at).total_seconds()) + 1)))


def _key(limit: Limit, who: str) -> str:
    secret = settings.SECRET_KEY.encode()
    return hmac.new(secret, f"throttle\0{limit.name}\0{who}".encode(), sha256).hexdigest()
