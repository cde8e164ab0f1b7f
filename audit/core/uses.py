"""Whether a use lies within what was agreed. Stage 9, pure.

Deny by default: what the terms do not name is outside. A use outside is recorded like any other; to
report is a duty and must never be harder than to keep silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from registry.core.terms import Terms
from registry.core.vocabulary import WORLDWIDE


@dataclass(frozen=True)
class Use:
    """One use: a word of `vocabulary.MEDIA`, where, from which day (in Japan), how many units."""

    medium: str
    country: str
    first_day: date
    quantity: int = 0


def outside(terms: Terms, use: Use, *, used: int = 0, code: str | None = None) -> tuple[str, ...]:
    """What the use goes beyond: members of `Terms`, and `code` when the grant does not hold.

    `used` is the number of units reported before. Empty when the use is covered. The sell-off
    period extends the end of a term that ran out, never that of a grant that was withdrawn.
    """
    last = terms.end + timedelta(days=terms.sell_off_days)
    checks = {
        "media": use.medium in terms.media,
        "territory": WORLDWIDE in terms.territory or use.country in terms.territory,
        "start": use.first_day >= terms.start,
        "end": use.first_day <= last,
        "quantity": terms.quantity == 0 or used + use.quantity <= terms.quantity,
    }
    ended = () if code is None or (code == "expired" and checks["end"]) else (code,)
    return (*(name for name, holds in checks.items() if not holds), *ended)
