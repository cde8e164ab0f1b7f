"""Counter-offers: whether terms are narrower than others, and what two sets of terms differ in.

Stage 2, pure. A party may offer less than was asked for, never more and never something else: what
this module does not know to be narrower is not narrower. Requirement 1.2 of the field study (G12).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Final

from registry.core import vocabulary
from registry.core.terms import Terms, Withdrawal

WORLD: Final = vocabulary.WORLDWIDE
_UNCHANGED: Final[tuple[str, ...]] = ("none",)


def _fewer(old: Collection[str], new: Collection[str]) -> bool:
    """Some of the words, and at least one."""
    return bool(new) and set(new) <= set(old)


def _fewer_or_none(old: Collection[str], new: Collection[str]) -> bool:
    return set(new) <= set(old)


def _lands(old: Collection[str], new: Collection[str]) -> bool:
    """Any country lies in the world."""
    return bool(new) and (WORLD in old or set(new) <= set(old))


def _less_changed(old: Collection[str], new: Collection[str]) -> bool:
    return bool(new) and set(new) - {"none"} <= set(old) - {"none"}


def _more(old: Collection[str], new: Collection[str]) -> bool:
    return set(new) >= set(old)


def _at_most(old: int, new: int) -> bool:
    """A number of units, where 0 sets none."""
    return new >= 0 and (old == 0 or 0 < new <= old)


def _earlier(old: date | None, new: date | None) -> bool:
    return old is None or (new is not None and new <= old)


def _ends_more(old: Withdrawal, new: Withdrawal) -> bool:
    """What follows a withdrawal comes no later and leaves no more."""
    days = ("new_generation_days", "sell_off_days", "attest_days")
    sooner = all(0 <= getattr(new, name) <= getattr(old, name) for name in days)
    same = ("training", "unpublished_outputs", "artefact")
    return (
        sooner
        and new.new_generation in (old.new_generation, "stop_now")
        and new.published in (old.published, "recall")
        and all(getattr(old, name) == getattr(new, name) for name in same)
    )


def _level(labels: Collection[str]) -> Callable[[str, str], bool]:
    order = list(labels)
    return lambda old, new: new in order and order.index(new) <= order.index(old)


# Member of `Terms` -> whether `new` allows no more than `old`. A member that is not here must stay
# as it is: what is added to the terms later is not narrowed by accident.
_NARROWER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "media": _fewer,
    "territory": _lands,
    "start": lambda old, new: new >= old,
    "end": lambda old, new: new <= old,
    "quantity": _at_most,
    "impressions": _at_most,
    "transformations": _less_changed,
    "exposure": _level(vocabulary.EXPOSURE),
    "likeness_parts": _fewer,
    "categories": _fewer_or_none,
    "exclusivity": _level(vocabulary.EXCLUSIVITY),
    "exclusivity_category": lambda old, new: new == "",
    "competitors": _fewer_or_none,
    "duties": _more,
    "name_use": lambda old, new: new == "none",
    "fee_jpy": lambda old, new: new >= old,
    "share_permille": lambda old, new: new >= old,
    "guarantee_jpy": lambda old, new: new >= old,
    "pay_by": _earlier,
    "destroy_by": _earlier,
    "report_months": lambda old, new: 1 <= new <= old,
    "sell_off_days": lambda old, new: 0 <= new <= old,
    "on_withdrawal": _ends_more,
}


def wider(old: Terms, new: Terms) -> list[str]:
    """The members in which `new` allows more than `old`, or something else; empty: it is narrower.

    Reflexive and transitive, so that a chain of counter-offers never climbs.
    """
    return [
        f.name
        for f in fields(Terms)
        if getattr(old, f.name) != getattr(new, f.name)
        and not _NARROWER.get(f.name, lambda _old, _new: False)(
            getattr(old, f.name), getattr(new, f.name)
        )
    ]


def terms_narrower(old: Terms, new: Terms) -> bool:
    """Whether whoever allowed `old` would have allowed all of `new`, and a term is left."""
    return not wider(old, new) and new.start <= new.end


# --- scope items: what a person ticks one by one -----------------------------------------------

# Members whose words are allowed one by one -> the name of their ticks.
_ONE_BY_ONE: Final[Mapping[str, str]] = {
    "media": "media",
    "territory": "territory",
    "likeness_parts": "likeness",
    "transformations": "transformation",
    "categories": "category",
}
# Parts of a likeness that are allowed with the use of the name.
_NAMES: Final = frozenset({"name", "signature"})
# The least of a member that is allowed as a whole.
_LOWEST: Final[Mapping[str, Any]] = {"exposure": next(iter(vocabulary.EXPOSURE))}


@dataclass(frozen=True)
class ScopeItem:
    """One switch on the talent's page: `media:calendar`."""

    code: str
    member: str
    word: str


def scope_items(terms: Terms) -> list[ScopeItem]:
    """Everything of the terms that can be allowed or left out by itself, in reading order."""
    items = [
        ScopeItem(f"{tick}:{word}", member, word)
        for member, tick in _ONE_BY_ONE.items()
        for word in getattr(terms, member)
        if (member, word) != ("transformations", "none")
    ]
    if terms.exposure != _LOWEST["exposure"]:
        items.append(ScopeItem(f"exposure:{terms.exposure}", "exposure", terms.exposure))
    if terms.name_use != "none" or _NAMES.intersection(terms.likeness_parts):
        items.append(ScopeItem("name_use", "name_use", terms.name_use))
    if terms.sell_off_days or terms.on_withdrawal.published == "sell_off":
        items.append(ScopeItem("sell_off", "sell_off_days", ""))
    return items


def narrowed(terms: Terms, ticks: Collection[str]) -> Terms:
    """The terms with everything left out that was not ticked: a partial approval as an offer.

    May leave a member empty; `terms_narrower` says whether anything is left to offer.
    """
    changes: dict[str, Any] = {
        member: tuple(
            word
            for word in getattr(terms, member)
            if (member, word) == ("transformations", "none") or f"{tick}:{word}" in ticks
        )
        for member, tick in _ONE_BY_ONE.items()
    }
    changes["transformations"] = changes["transformations"] or _UNCHANGED
    if f"exposure:{terms.exposure}" not in ticks:
        changes["exposure"] = _LOWEST["exposure"]
    if "name_use" not in ticks:
        changes["name_use"] = "none"
        parts = changes["likeness_parts"]
        changes["likeness_parts"] = tuple(p for p in parts if p not in _NAMES)
    if "sell_off" not in ticks:
        changes["sell_off_days"] = 0
        changes["on_withdrawal"] = replace(terms.on_withdrawal, published="recall", sell_off_days=0)
    return replace(terms, **changes)


# --- differences --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One member that differs, in plain values: what it was and what it is."""

    member: str
    old: Any
    new: Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What two payloads of terms differ in, member by member, in the order of the newer one."""
    names = [*new, *(name for name in old if name not in new)]
    return [
        Change(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def pictures_changed(old: Sequence[str], new: Sequence[str]) -> tuple[list[int], list[int]]:
    """(positions left out, positions added), counted from 1 in the old and in the new order."""
    before, after = set(old), set(new)
    gone = [place for place, name in enumerate(old, 1) if name not in after]
    added = [place for place, name in enumerate(new, 1) if name not in before]
    return gone, added
