"""Consent algebra: what may be done with something made of several consented works. Stage 9, pure.

A merge, a continuation or a modification carries the intersection of its parents' permissions, the
union of their duties and the earliest end. A scope is an element of a lattice ordered
by `allows_less`; `meet` is its greatest lower bound, so the order of merging, merging twice and
merging in steps make no difference, and no merge can widen what anybody agreed to. Trusts its
caller that the terms are those of verified grants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Final

from registry.core import vocabulary as words
from registry.core.terms import Terms

_LEVELS: Final = tuple(words.EXPOSURE)
_EXCLUSIVE: Final = tuple(words.EXCLUSIVITY)
_NAMES: Final = ("none", "credit_line", "stage_name")
# "None" is the absence of a transformation, which is always allowed and therefore not a permission.
_NO_CHANGE: Final = frozenset({"none"})


@dataclass(frozen=True)
class Scope:
    """Permissions and duties as sets, so that they can be intersected and united.

    `territory` None is worldwide; `quantity`, `impressions` and `price_max_jpy` None are no number
    set: the tops of their orders. `generation_days` and `withdrawal_sell_off_days` are what a
    withdrawal leaves, 0 for nothing.
    Days are calendar days in Japan, both inclusive. The fee is no member: what was promised for
    each parent is owed under that parent's own grant, and `pay` stays among the duties.
    """

    media: frozenset[str]
    clients: frozenset[str]
    products: frozenset[str]
    purposes: frozenset[str]
    territory: frozenset[str] | None
    start: date
    end: date
    quantity: int | None
    transformations: frozenset[str]
    exposure: str
    likeness_parts: frozenset[str]
    categories: frozenset[str]
    exclusivity: str
    name_use: str
    sublicence: bool
    sell_off_days: int
    duties: frozenset[str]
    prototype: bool
    impressions: int | None
    price_min_jpy: int
    price_max_jpy: int | None
    report_months: int
    destroy_by: date
    generation_days: int
    withdrawal_sell_off_days: int
    attest_days: int

    @property
    def empty(self) -> bool:
        """Whether nothing at all may be done: one needed choice has no word left, or no day."""
        sets = (self.media, self.clients, self.products, self.purposes, self.likeness_parts)
        priced_out = self.price_max_jpy is not None and self.price_max_jpy < self.price_min_jpy
        nowhere = self.territory == frozenset()
        return not all(sets) or nowhere or priced_out or self.end < self.start


def of(terms: Terms) -> Scope:
    """The scope of one grant's terms."""
    return Scope(
        media=frozenset(terms.media),
        clients=frozenset({terms.client}),
        products=frozenset({terms.product}),
        purposes=frozenset({terms.purpose}),
        territory=None if words.WORLDWIDE in terms.territory else frozenset(terms.territory),
        start=terms.start,
        end=terms.end,
        quantity=terms.quantity or None,
        transformations=frozenset(terms.transformations) - _NO_CHANGE,
        exposure=terms.exposure,
        likeness_parts=frozenset(terms.likeness_parts),
        categories=frozenset(terms.categories),
        exclusivity=terms.exclusivity,
        name_use=terms.name_use,
        sublicence=terms.sublicence,
        sell_off_days=terms.sell_off_days,
        duties=frozenset(terms.duties),
        prototype=terms.prototype,
        impressions=terms.impressions or None,
        price_min_jpy=terms.price_min_jpy,
        price_max_jpy=terms.price_max_jpy or None,
        report_months=terms.report_months,
        destroy_by=terms.destroy_by or terms.end,
        generation_days=terms.on_withdrawal.new_generation_days,
        withdrawal_sell_off_days=terms.on_withdrawal.sell_off_days,
        attest_days=terms.on_withdrawal.attest_days,
    )


def meet(a: Scope, b: Scope) -> Scope:
    """What both allow, under the duties of either."""
    return Scope(
        media=a.media & b.media,
        clients=a.clients & b.clients,
        products=a.products & b.products,
        purposes=a.purposes & b.purposes,
        territory=_both(a.territory, b.territory),
        start=max(a.start, b.start),
        end=min(a.end, b.end),
        quantity=_least(a.quantity, b.quantity),
        transformations=a.transformations & b.transformations,
        exposure=min(a.exposure, b.exposure, key=_LEVELS.index),
        likeness_parts=a.likeness_parts & b.likeness_parts,
        categories=a.categories & b.categories,
        exclusivity=min(a.exclusivity, b.exclusivity, key=_EXCLUSIVE.index),
        name_use=min(a.name_use, b.name_use, key=_NAMES.index),
        sublicence=a.sublicence and b.sublicence,
        sell_off_days=min(a.sell_off_days, b.sell_off_days),
        duties=a.duties | b.duties,
        prototype=a.prototype or b.prototype,
        impressions=_least(a.impressions, b.impressions),
        price_min_jpy=max(a.price_min_jpy, b.price_min_jpy),
        price_max_jpy=_least(a.price_max_jpy, b.price_max_jpy),
        report_months=min(a.report_months, b.report_months),
        destroy_by=min(a.destroy_by, b.destroy_by),
        generation_days=min(a.generation_days, b.generation_days),
        withdrawal_sell_off_days=min(a.withdrawal_sell_off_days, b.withdrawal_sell_off_days),
        attest_days=min(a.attest_days, b.attest_days),
    )


def inherit(parents: Sequence[Terms]) -> Scope:
    """The scope of something made from all of these. Raises `ValueError` without parents.

    Without a parent nothing is allowed to be assumed: an unregistered origin has no scope.
    """
    if not parents:
        raise ValueError("a derivative has at least one parent")
    return reduce(meet, map(of, parents))


def standing(codes: Iterable[str | None]) -> str | None:
    """The refusal code of a derivative from those of its parents, `None` when all still hold.

    One parent withdrawn freezes every descendant; the gravest code is the one shown.
    """
    given = {code for code in codes if code is not None}
    ranked = [code for code in ("withdrawn", "revoked", "expired", "paused") if code in given]
    return (ranked + sorted(given))[0] if given else None


def allows_less(a: Scope, b: Scope) -> bool:
    """The order: `a` permits nothing that `b` does not, and owes all that `b` owes."""
    return meet(a, b) == a


def _both(a: frozenset[str] | None, b: frozenset[str] | None) -> frozenset[str] | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b


def _least(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)
