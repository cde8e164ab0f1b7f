"""How long a permission may last: a policy table with its sources.

Stage 1 of the flow, pure. No permission is without an end; how long it may be depends on where the
pictures are used and on whether the person is a minor. This is the policy of the registry and not a
statement of law: a lawyer adapts it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from registry.core.vocabulary import WORLDWIDE


@dataclass(frozen=True)
class Longest:
    """The longest term in years, and where the figure comes from."""

    adult: int
    minor: int
    source: str


# By country of use; "" holds everywhere. The shortest of all that apply counts.
LONGEST_TERM: Final[Mapping[str, Longest]] = {
    "": Longest(10, 5, "NO FAKES Act of 2026 (US bill S.4591, not law): 10 years, minors 5"),
    "JP": Longest(10, 2, "model agencies' guideline: no perpetual buy-out; minors: house rule"),
}


def longest_years(territory: Collection[str], *, minor: bool) -> int:
    """The longest term in years for these countries of use."""
    everywhere = WORLDWIDE in territory
    rules = [r for code, r in LONGEST_TERM.items() if not code or everywhere or code in territory]
    return min(rule.minor if minor else rule.adult for rule in rules)


def last_day(start: date, years: int) -> date:
    """The last day of a term of whole years that begins on `start`."""
    try:
        return start.replace(year=start.year + years)
    except ValueError:  # 29 February
        return start.replace(year=start.year + years, day=28)
