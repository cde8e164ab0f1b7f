"""What a photographer types into the request form, as terms, or each problem at its field.

Stage 1, pure. The form's fields are called like the members of `Terms`, so that a problem of the
rules finds its field. Text is kept as it was typed; reading it never changes what is shown again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from registry.core import vocabulary as words
from registry.core import written
from registry.core.countries import COUNTRIES
from registry.core.term_rules import LAST_YEAR
from registry.core.terms import JST, Problem, Terms, Withdrawal
from registry.core.vocabulary import WORLDWIDE

Typed = Mapping[str, Sequence[str]]

# The step on which a field stands; every field of the form is here, and nothing else is kept.
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "who": ("requester", "talents", "licensee", "copyright_holder", "base_model", "recipe"),
    "use": ("kind", "stage", "client", "product", "purpose", "likeness_goal", "media"),
    "terms": (
        "start",
        "end",
        "territory",
        "countries",
        "quantity",
        "impressions",
        "price_min_jpy",
        "price_max_jpy",
        "likeness_parts",
        "transformations",
        "exposure",
        "categories",
        "name_use",
        "exclusivity",
        "exclusivity_category",
        "competitors",
        "fee_jpy",
        "share_permille",
        "guarantee_jpy",
        "paid_by",
        "pay_by",
        "replaces_booked_shoot",
        "duties",
        "report_months",
        "destroy_by",
        "advised_by",
        "sell_off_days",
        "new_generation",
        "new_generation_days",
        "published",
        "withdrawal_sell_off_days",
        "attest_days",
        "max_runs",
        "sign_by",
    ),
}
FIELDS: Final = frozenset(name for step in STEPS.values() for name in step)
MAX_TYPED: Final = 4000
MAX_CHOICES: Final = 300
# Every request carries these; a form can add to them and not take them away.
FIXED_DUTIES: Final = ("report_use", "ai_notice", "destroy_at_end")
_OPTIONAL_NUMBERS: Final = (
    "quantity",
    "impressions",
    "price_min_jpy",
    "price_max_jpy",
    "guarantee_jpy",
    "sell_off_days",
)
# Where a problem of `on_withdrawal` shows: on the first of its fields.
AT: Final[Mapping[str, str]] = {"on_withdrawal": "published", "sublicence": "purpose"}


def kept(typed: Typed) -> dict[str, list[str]]:
    """The part of a submission that a draft keeps: known fields, of a bearable size.

    A NUL is the only character that a database cannot hold.
    """
    return {
        name: [value.replace("\0", "")[:MAX_TYPED] for value in typed[name][:MAX_CHOICES]]
        for name in sorted(FIELDS & set(typed))
    }


def step_of(field: str) -> str:
    """The step on which a field stands; the first for a problem that belongs to none."""
    return next((step for step, names in STEPS.items() if field in names), "who")


def read(typed: Typed, *, today: date) -> tuple[Terms, list[Problem]]:
    """The terms that were typed, and what of them cannot be read.

    With problems the terms are for showing and for checking the rest: a day that cannot be read is
    taken as today, a number as 0. They are never filed.
    """
    reader = _Reader(typed)
    values: dict[str, Any] = {
        name: written.one_line(reader.one(name))
        for name in ("client", "product", "purpose", "exclusivity_category")
    }
    values |= {
        "stage": reader.one("stage") or "production",
        "media": reader.many("media"),
        "territory": reader.territory(),
        "start": reader.day("start", needed=True),
        "end": reader.day("end", needed=True),
        "likeness_goal": reader.yes("likeness_goal"),
        "replaces_booked_shoot": reader.yes("replaces_booked_shoot"),
        "fee_jpy": reader.number("fee_jpy", needed=True),
        "likeness_parts": reader.many("likeness_parts"),
        "transformations": reader.many("transformations") or ("none",),
        "exposure": reader.one("exposure") or "full_clothed",
        "categories": reader.many("categories"),
        "name_use": reader.one("name_use") or "none",
        "exclusivity": reader.one("exclusivity") or "none",
        "competitors": written.listed(reader.one("competitors")),
        "share_permille": reader.percent("share_permille"),
        "paid_by": reader.one("paid_by") or "client",
        "pay_by": reader.day("pay_by"),
        "destroy_by": reader.day("destroy_by"),
        "report_months": reader.number("report_months", unset=3),
        "advised_by": reader.one("advised_by") or "none",
        "duties": tuple(dict.fromkeys((*FIXED_DUTIES, *reader.many("duties")))),
        "on_withdrawal": _withdrawal(reader),
        **{name: reader.number(name) for name in _OPTIONAL_NUMBERS},
    }
    start = values["start"] or today
    end = values["end"] or max(start, today)
    return Terms(**values | {"start": start, "end": end}), reader.found


def _withdrawal(reader: _Reader) -> Withdrawal:
    later = reader.one("new_generation") == "after_days"
    sold = reader.one("published") == "sell_off"
    days = reader.number("new_generation_days")
    sell_off = reader.number("withdrawal_sell_off_days")
    return Withdrawal(
        new_generation=reader.one("new_generation") or "stop_now",
        new_generation_days=(days or 0) if later else 0,
        published=reader.one("published") or "recall",
        sell_off_days=(sell_off or 0) if sold else 0,
        attest_days=reader.number("attest_days", unset=30) or 0,
    )


def runs(typed: Typed) -> tuple[int, list[Problem]]:
    """How many trainings are asked for; one when nothing was typed."""
    reader = _Reader(typed)
    return reader.number("max_runs", unset=1) or 0, reader.found


def answer_by(typed: Typed) -> tuple[datetime | None, list[Problem]]:
    """The end of the last day on which people can answer."""
    reader = _Reader(typed)
    day = reader.day("sign_by", needed=True)
    if day is None:
        return None, reader.found
    if day.year > LAST_YEAR:  # the calendar's last day has no next one
        text = f"{LAST_YEAR}年までにしてください。"
        return None, [Problem("sign_by", text, f"Not later than {LAST_YEAR}.")]
    return datetime.combine(day, datetime.min.time(), JST) + timedelta(days=1), []


class _Reader:
    """Reads one submission and collects what it could not read."""

    def __init__(self, typed: Typed) -> None:
        self.typed = typed
        self.found: list[Problem] = []

    def one(self, name: str) -> str:
        values = self.typed.get(name) or [""]
        return values[-1].strip(" 　")

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for value in self.typed.get(name, ()) if value))

    def yes(self, name: str) -> bool:
        answer = self.one(name)
        if answer not in {"yes", "no"}:
            self._problem(name, "「はい」か「いいえ」を選んでください。", "Choose yes or no.")
        return answer == "yes"

    def number(self, name: str, *, needed: bool = False, unset: int = 0) -> int:
        text = self.one(name)
        if not text and not needed:
            return unset
        found = written.number(text)
        if found is None:
            self._problem(
                name,
                "0以上の整数で書いてください(全角でもかまいません)。",
                "Write a whole number, 0 or above.",
            )
        return found or 0

    def percent(self, name: str) -> int:
        text = self.one(name)
        found = written.permille(text) if text else 0
        if found is None:
            self._problem(name, "12.5% のように書いてください。", "Write it like 12.5%.")
        return found or 0

    def day(self, name: str, *, needed: bool = False) -> date | None:
        text = self.one(name)
        if not text and not needed:
            return None
        found = written.day(text)
        if found is None:
            self._problem(
                name,
                "日付を 2027年3月31日 のように書いてください。期限のない許諾はできません。"
                if name == "end"
                else "日付を 2027年3月31日 のように書いてください。",
                "Write a day like 2027-03-31; there is no permission without an end."
                if name == "end"
                else "Write a day like 2027-03-31.",
            )
        return found

    def territory(self) -> tuple[str, ...]:
        """The ticked words, and the countries that were written by code or name."""
        codes = list(self.many("territory"))
        for text in written.listed(self.one("countries")):
            code = _country(text)
            if code is None:
                self._problem(
                    "countries",
                    f"「{text[:40]}」という国が見つかりません。",
                    f"There is no country “{text[:40]}”.",
                )
            else:
                codes.append(code)
        return tuple(dict.fromkeys(codes))

    def _problem(self, name: str, ja: str, en: str) -> None:
        self.found.append(Problem(name, ja, en))


def _country(text: str) -> str | None:
    bare = written.plain(text).casefold()
    if bare in _BY_NAME:
        return _BY_NAME[bare]
    code = bare.upper()
    return code if code in COUNTRIES else None


_BY_NAME: Final = {
    written.plain(name).casefold(): code
    for code, names in words.TERRITORY.items()
    if code != WORLDWIDE
    for name in (*names[:2], names[1].removeprefix("the "))
} | {"日本": "JP", "アメリカ": "US", "米国": "US", "usa": "US", "uk": "GB", "英国": "GB"}
