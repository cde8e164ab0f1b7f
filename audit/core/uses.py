"""Whether a use lies within what was agreed. Stage 9, pure.

Deny by default: what the terms do not name is outside. A use names its line of the grant (a
medium); what it did to the person is told by the reporter and by the watermark, never inferred from
a resemblance: a face that no longer looks like anybody is still hers (R43). A use outside is
recorded like any other; to report is a duty and must never be harder than to keep silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from registry.core.terms import Terms
from registry.core.vocabulary import WORLDWIDE, levels_to


@dataclass(frozen=True)
class Use:
    """One use: a word of `vocabulary.MEDIA`, where, from which day (in Japan), how many units.

    `unit_price_jpy` 0: not sold. `transformations`, `exposure` and `categories` are words of their
    vocabularies for what the outputs show. `stock`: made before the term or the consent ended.
    """

    medium: str
    country: str
    first_day: date
    quantity: int = 0
    impressions: int = 0
    unit_price_jpy: int = 0
    transformations: tuple[str, ...] = ()
    exposure: str = "full_clothed"
    categories: tuple[str, ...] = ()
    name_shown: bool = False
    stock: bool = False


@dataclass(frozen=True)
class Ended:
    """How a grant stands that holds no longer: its code, the day, and whether it was for safety."""

    code: str
    on: date
    safety: bool = False


def outside(
    terms: Terms,
    use: Use,
    *,
    used: int = 0,
    used_impressions: int = 0,
    ended: Ended | None = None,
) -> tuple[str, ...]:
    """What the use goes beyond: members of `Terms`, and the code of a grant that does not hold.

    `used` and `used_impressions` are what was reported before. Empty when the use is covered. The
    sell-off period extends the end of a term that ran out; after a withdrawal only what
    `on_withdrawal` says remains, and nothing when it was for safety.
    """
    last = terms.end + timedelta(days=terms.sell_off_days)
    checks = {
        "stage": not terms.prototype,
        "media": use.medium in terms.media,
        "territory": WORLDWIDE in terms.territory or use.country in terms.territory,
        "start": use.first_day >= terms.start,
        "end": use.first_day <= last,
        "quantity": terms.quantity == 0 or used + use.quantity <= terms.quantity,
        "impressions": not terms.impressions
        or used_impressions + use.impressions <= terms.impressions,
        "price": _priced(terms, use),
        "transformations": set(use.transformations) - {"none"} <= set(terms.transformations),
        "exposure": use.exposure in levels_to(terms.exposure),
        "categories": set(use.categories) <= set(terms.categories),
        "name_use": terms.name_use != "none" or not use.name_shown,
    }
    found = tuple(name for name, holds in checks.items() if not holds)
    over = () if ended is None or _still(terms, use, ended, last) else (ended.code,)
    return (*found, *over)


def _priced(terms: Terms, use: Use) -> bool:
    if not terms.price_max_jpy or not use.unit_price_jpy:
        return True
    return terms.price_min_jpy <= use.unit_price_jpy <= terms.price_max_jpy


def _still(terms: Terms, use: Use, ended: Ended, last: date) -> bool:
    """Whether the grant, or what it leaves after its end, covers the day of this use."""
    if ended.code == "expired":
        return use.first_day <= last
    if ended.code != "withdrawn":
        return False
    until = terms.sell_off_until if use.stock else terms.generation_until
    day = until(ended.on, safety=ended.safety)
    return day is not None and use.first_day <= day
