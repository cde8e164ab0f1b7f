"""Licence terms: what exactly is allowed, what keeps it from being asked for, what needs a tick.

Stage 2 of the flow. Deny by default: what is not named is not allowed. The words are in
`vocabulary`, the text that people read in `wording`; what a person reads and what a machine
enforces are one object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

from registry.core.refusals import Refusal
from registry.core.term_length import last_day, longest_years
from registry.core.vocabulary import (
    CATEGORIES,
    CHANGES_THE_PERSON,
    EXPOSURE,
    MINOR_CEILING,
    NON_COMMERCIAL,
    NOT_FOR_MINORS,
    WORLDWIDE,
    levels_to,
)

# Japan has had one offset and no summer time since 1951, so a fixed offset is the calendar.
JST: Final = timezone(timedelta(hours=9))


@dataclass(frozen=True)
class Withdrawal:
    """What follows when the talent withdraws; agreed before training (study, field 3).

    Running training always stops at once, unpublished outputs and the weights are always destroyed.
    `attest_days`: within how many days the destruction is attested. A safety withdrawal overrides
    `new_generation` and `published` (`Terms.sell_off_until`).
    """

    training: str = "stop_now"
    new_generation: str = "stop_now"
    new_generation_days: int = 0
    unpublished_outputs: str = "destroy"
    published: str = "recall"
    sell_off_days: int = 0
    artefact: str = "destroy"
    attest_days: int = 30


@dataclass(frozen=True)
class Terms:
    """One licence scope. Every member is part of the signed grant; new ones go last.

    Dates are calendar days in Japan, both inclusive. `quantity` is a number of units and
    `impressions` a number of showings, 0 where they make no sense; the price band is that of one
    unit in yen, 0 to 0 for none. `fee_jpy` is the whole fee in yen, `share_permille` a part of the
    sales in thousandths. `sell_off_days` extends the end of a term that ran out for stock made
    before. `report_months`: a report at least every so many months. No default answers for anybody:
    the fee and whether a booked shoot is replaced are always stated.
    """

    media: tuple[str, ...]
    client: str
    product: str
    territory: tuple[str, ...]
    start: date
    end: date
    purpose: str
    fee_jpy: int
    replaces_booked_shoot: bool
    quantity: int = 0
    transformations: tuple[str, ...] = ("none",)
    exposure: str = "full_clothed"
    likeness_parts: tuple[str, ...] = ("face",)
    categories: tuple[str, ...] = ()
    exclusivity: str = "none"
    duties: tuple[str, ...] = ("report_use", "ai_notice", "destroy_at_end")
    name_use: str = "none"
    sublicence: bool = False
    sell_off_days: int = 0
    stage: str = "production"
    likeness_goal: bool = True
    impressions: int = 0
    price_min_jpy: int = 0
    price_max_jpy: int = 0
    exclusivity_category: str = ""
    competitors: tuple[str, ...] = ()
    share_permille: int = 0
    guarantee_jpy: int = 0
    paid_by: str = "client"
    pay_by: date | None = None
    destroy_by: date | None = None
    report_months: int = 3
    advised_by: str = "none"
    on_withdrawal: Withdrawal = field(default_factory=Withdrawal)

    def starts_at(self) -> datetime:
        """The first moment of the term."""
        return datetime.combine(self.start, time(), JST)

    def ends_at(self) -> datetime:
        """The first moment after the term."""
        return datetime.combine(self.end + timedelta(days=1), time(), JST)

    @property
    def commercial(self) -> bool:
        """Whether any of the media needs a base model that may be used commercially."""
        return any(word not in NON_COMMERCIAL for word in self.media)

    @property
    def background_only(self) -> bool:
        """Whether nothing about the person may be made anew, only what is behind them (R04)."""
        return self.transformations == ("background_only",)

    @property
    def prototype(self) -> bool:
        """Whether this is research: nothing is delivered, published or sold (R09)."""
        return self.stage == "prototype"

    def sell_off_until(self, withdrawn_on: date, *, safety: bool) -> date | None:
        """The last day on which published stock may be sold after a withdrawal; None for no day.

        A safety withdrawal (a minor, intimate pictures, forged consent, a court's order) ends it at
        once, whatever was agreed.
        """
        agreed = self.on_withdrawal
        if safety or agreed.published != "sell_off":
            return None
        return withdrawn_on + timedelta(days=agreed.sell_off_days)

    def generation_until(self, withdrawn_on: date, *, safety: bool) -> date | None:
        """The last day of new outputs after a withdrawal; None when they stop at once."""
        agreed = self.on_withdrawal
        if safety or agreed.new_generation != "after_days":
            return None
        return withdrawn_on + timedelta(days=agreed.new_generation_days)

    def intimate(self) -> bool:
        """Whether a withdrawal is one for safety by the content alone: swimwear and above, sex."""
        above = EXPOSURE.keys() - set(levels_to(MINOR_CEILING))
        return self.exposure in above or "sexual" in self.categories

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that stands in the grant. A date is a string; one not set is null."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Terms:
        """Parse strictly. Raises `ValueError` for an unknown, missing or ill-typed member."""
        values, found = _members(payload)
        if found:
            raise ValueError(found[0].en)
        return cls(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Withdrawal):
        return dict(vars(value))
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the terms: the field, and what to correct, in both languages."""

    field: str
    ja: str
    en: str


def parse(payload: Mapping[str, Any]) -> Terms | list[Problem]:
    """Terms as a stranger wrote them, or every member that cannot be read, by its name.

    An unknown member is a problem of `terms` itself: a form has no field to show it at.
    """
    values, found = _members(payload)
    return found or Terms(**values)


def _members(payload: Any) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    found: list[Problem] = []
    if not isinstance(payload, Mapping):
        text = "terms: an object of members is needed"
        return {}, [Problem("terms", f"読み取れません({text})。", text)]
    known = {f.name: f for f in fields(Terms)}
    for name in sorted(set(payload) - set(known)):
        found.append(Problem("terms", f"「{name}」という項目はありません。", f"no member {name!r}"))
    for name, member in known.items():
        needed = member.default is MISSING and member.default_factory is MISSING
        if name not in payload:
            if needed:
                found.append(Problem(name, "答えてください。", f"{name}: an answer is needed"))
            continue
        try:
            values[name] = _typed(name, str(member.type), payload[name])
        except ValueError as error:
            found.append(Problem(name, f"読み取れません({error})。", str(error)))
    return values, found


def _typed(name: str, kind: str, value: Any) -> Any:
    # bool is an int in Python; a quantity of `true` is a mistake, not one.
    if type(value) is _EXACT.get(kind):
        return value
    if kind in _EXACT:
        raise ValueError(f"{name}: {kind} is needed")
    if kind == "Withdrawal":
        return _withdrawal(value)
    if kind.startswith("date"):
        if value is None and kind.endswith("None"):
            return None
        return _day(name, value)
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{name}: a list of words is needed")
        return tuple(value)
    raise TypeError(f"{name}: no member is a {kind}")


_EXACT: Final[Mapping[str, type]] = {"str": str, "int": int, "bool": bool}


def _day(name: str, value: Any) -> date:
    # `fromisoformat` also reads 20270331 and week dates; a signed date has one spelling.
    if not isinstance(value, str) or len(value) != len("2027-03-31"):
        raise ValueError(f"{name}: a date is written YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{name}: a date is written YYYY-MM-DD") from error


def _withdrawal(value: Any) -> Withdrawal:
    kinds = {f.name: str(f.type) for f in fields(Withdrawal)}
    if not isinstance(value, Mapping) or set(value) - set(kinds):
        raise ValueError("on_withdrawal: an object of its own members is needed")
    return Withdrawal(**{k: _typed(f"on_withdrawal.{k}", kinds[k], v) for k, v in value.items()})


def check_person(
    terms: Terms,
    *,
    minor: bool,
    never: frozenset[str] = frozenset(),
    opened: frozenset[str] | None = None,
    adult_rated: bool = False,
) -> list[Refusal]:
    """Rules about the person that no approval can lift.

    A minor is never shown above `sleeveless_legs`, nor in or for what `NOT_FOR_MINORS` names, nor
    licensed to an adult-rated company, nor for longer than `term_length` says. `never` holds words
    of any vocabulary that the talent ruled out: an agency can lower, never raise. `opened` holds
    what she opened herself of the barred categories and of `worldwide`; None leaves that out, for
    a grant that she has signed.
    """
    refusals = []
    if minor and terms.exposure not in levels_to(MINOR_CEILING):
        refusals.append(Refusal("minor_rule", terms.exposure))
    if minor:
        barred = NOT_FOR_MINORS.intersection(terms.categories)
        refusals += [Refusal("minor_rule", word) for word in sorted(barred)]
    years = longest_years(terms.territory, minor=minor)
    if minor and terms.end > last_day(terms.start, years):
        refusals.append(Refusal("minor_rule", f"term over {years} years"))
    if minor and adult_rated:
        refusals.append(Refusal("minor_rule", "adult-rated licensee"))
    refusals += [Refusal("never_list", word) for word in sorted(_asked(terms) & never)]
    if opened is not None:
        closed = needs_opening(terms) - opened
        refusals += [Refusal("not_opened", word) for word in sorted(closed)]
    return refusals


def _asked(terms: Terms) -> set[str]:
    """Every word that is asked for, lower exposure levels included."""
    asked = {*terms.media, *terms.transformations, *terms.categories, *terms.likeness_parts}
    asked |= {*terms.territory, *levels_to(terms.exposure)}
    return asked | ({terms.name_use, terms.exclusivity} - {"none"})


# What only the talent can open, for everybody who asks, in her own session (R44).
OPENABLE: Final = (*CATEGORIES, WORLDWIDE)


def needs_opening(terms: Terms) -> frozenset[str]:
    """What the talent must have opened herself before it may even be asked for."""
    asked = {*terms.categories, *terms.territory}
    return frozenset(asked.intersection(OPENABLE))


def explicit_items(terms: Terms) -> tuple[str, ...]:
    """What needs the talent's own tick at approval, each by itself and unticked at first.

    Items are `member:word`, or a member alone; `wording.item_label` says them to people.
    """
    items = [f"media:{word}" for word in terms.media if word == "portfolio"]
    items += [f"territory:{word}" for word in terms.territory if word == WORLDWIDE]
    items += [f"category:{word}" for word in terms.categories]
    if terms.exposure != "full_clothed":
        items.append(f"exposure:{terms.exposure}")
    items += [f"transformation:{w}" for w in terms.transformations if w in CHANGES_THE_PERSON]
    if terms.name_use != "none" or {"name", "signature"} & set(terms.likeness_parts):
        items.append("name_use")
    if terms.sell_off_days or terms.on_withdrawal.published == "sell_off":
        items.append("sell_off")
    return tuple(dict.fromkeys(items))


def missing_ticks(terms: Terms, ticks: Iterable[str]) -> list[Refusal]:
    """`tick_missing:<item>` for everything explicit that the talent has not ticked."""
    given = frozenset(ticks)
    return [Refusal(f"tick_missing:{i}", i) for i in explicit_items(terms) if i not in given]
