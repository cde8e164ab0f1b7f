"""Training requests: what keeps one from being asked for. Its states: `registry.core.cases`.

Stage 1 of the flow. Pure: takes what the service read from the database, trusts it, and decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from registry.core import grants, term_rules, tokens
from registry.core.grants import BaseModel, RecipeLimits
from registry.core.refusals import Refusal
from registry.core.terms import JST, Problem, Terms, check_person

MAX_RUNS: Final = 20
MAX_KNOBS: Final = 64  # members of a recipe


@dataclass(frozen=True)
class Subject:
    """What the rules need to know of one talent: nothing that names anybody."""

    talent_id: str
    minor: bool
    has_guardian: bool
    never: frozenset[str] = frozenset()
    opened: frozenset[str] = frozenset()


def decide(
    terms: Terms,
    *,
    subjects: Sequence[Subject],
    base: BaseModel,
    recipe: Mapping[str, Any],
    max_runs: int,
    sign_by: datetime,
    at: datetime,
    adult_rated: bool = False,
) -> list[Refusal | Problem]:
    """Everything that keeps a request from being filed; empty when it may be.

    `Problem`s are for the form and can be corrected there; a `Refusal` is a no with a code.
    `adult_rated`: the licensee sells adult content.
    """
    found: list[Refusal | Problem] = list(terms_problems(terms, at=at))
    # Rules about people look words up, so unknown words must be out of the way first.
    if found:
        return found
    found += _form_problems(recipe, max_runs, sign_by, at)
    if not subjects:
        found.append(Problem("talents", "本人を一人以上選んでください。", "Choose at least one."))
    found += tokens.output_refusals(terms, str(recipe.get("output_policy", "full_synthesis")))
    found += grants.base_licence_refusals((base,), terms)
    for subject in subjects:
        found += check_person(
            terms,
            minor=subject.minor,
            never=subject.never,
            opened=subject.opened,
            adult_rated=adult_rated,
        )
        if subject.minor and not subject.has_guardian:
            found.append(Refusal("approval_missing:guardian", subject.talent_id))
    return found


def terms_problems(terms: Terms, *, at: datetime) -> list[Problem]:
    """What is wrong with terms as such, before anybody is named."""
    return term_rules.problems(terms, today=jst_day(at))


def kind_refusal(kind: str) -> Refusal | None:
    """`kind_not_offered` for anything but a LoRA of a real person (R22)."""
    return None if kind == "person" else Refusal("kind_not_offered", kind[:40])


def _form_problems(
    recipe: Mapping[str, Any], max_runs: int, sign_by: datetime, at: datetime
) -> list[Problem]:
    found = []
    try:
        limits_of(recipe)
    except ValueError as error:
        found.append(Problem("recipe", f"学習の設定が正しくありません({error})。", str(error)))
    if not 1 <= max_runs <= MAX_RUNS:
        span = f"1 – {MAX_RUNS}"
        found.append(Problem("max_runs", f"{span} 回の間にしてください。", f"Choose {span}."))
    if sign_by.year > term_rules.LAST_YEAR:
        year = term_rules.LAST_YEAR
        found.append(Problem("sign_by", f"{year}年までにしてください。", f"Not later than {year}."))
    elif sign_by <= at:
        found.append(
            Problem("sign_by", "返事の期限が過ぎています。", "The time to answer has passed.")
        )
    return found


def limits_of(recipe: Mapping[str, Any]) -> RecipeLimits:
    """The limits that a grant sets: exactly what the recipe asks for. Raises `ValueError`."""
    if len(recipe) > MAX_KNOBS or not all(_is_knob(*item) for item in recipe.items()):
        raise ValueError("recipe: plain words and numbers are needed")
    numbers = {name: recipe.get(name) for name in ("rank", "steps", "resolution")}
    for name, value in numbers.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"recipe.{name}: a whole number above 0 is needed")
    if recipe.get("method", "lora") != "lora":
        raise ValueError("recipe.method: only lora")
    rank, steps, resolution = (numbers[name] for name in ("rank", "steps", "resolution"))
    return RecipeLimits("lora", int(rank or 0), int(steps or 0), int(resolution or 0))


def _is_knob(name: str, value: Any) -> bool:
    """Whether a member of a recipe is one that a database and a trainer can hold.

    What each may be is the trainer's to say; this keeps out what would only fail there, after
    everybody has signed.
    """
    if type(value) is list:
        return len(value) <= MAX_KNOBS and all(type(v) is str and _is_knob(name, v) for v in value)
    if type(value) is str:
        return len(value) <= term_rules.MAX_TEXT and term_rules.readable(name + value)
    number = type(value) in (int, float) and abs(value) <= term_rules.MAX_NUMBER
    return term_rules.readable(name) and (type(value) is bool or number)


def jst_day(at: datetime) -> date:
    """The calendar day in Japan: the day that terms and representations speak of."""
    return at.astimezone(JST).date()
