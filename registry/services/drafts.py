"""A request while it is being written: kept by steps, checked as it will be, filed in one piece.

Stage 1. Decides nothing: `registry.core.request_form` reads, `services.requests` checks and files.
A draft holds what was typed, also what cannot be read yet, so that nothing is lost.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry import selectors
from registry.core import request_form as form
from registry.core import requests as rules
from registry.core.refusals import Refusal
from registry.core.request_form import Typed
from registry.core.terms import Problem, Terms
from registry.models import (
    ModelRecord,
    Organisation,
    Person,
    RequestDraft,
    Talent,
    TrainingRequest,
)
from registry.services import requests

MAX_DRAFTS: Final = 20


def draft_begin(*, by: Person) -> RequestDraft | Refusal:
    """A new empty draft; `wrong_state` when there are twenty already."""
    if RequestDraft.objects.filter(person=by).count() >= MAX_DRAFTS:
        return Refusal("wrong_state", f"{MAX_DRAFTS} drafts")
    return RequestDraft.objects.create(person=by)


@transaction.atomic
def draft_save(*, draft: RequestDraft, step: str, typed: Typed) -> RequestDraft:
    """Replace one step's fields by what was typed; a box that is not sent is not ticked."""
    row = RequestDraft.objects.select_for_update().get(id=draft.id)
    fields = form.STEPS.get(step, ())
    rest = {name: values for name, values in row.data.items() if name not in fields}
    row.data = rest | form.kept({name: typed[name] for name in fields if name in typed})
    row.save(update_fields=["data", "updated_at"])
    return row


def draft_discard(*, draft: RequestDraft) -> None:
    """Throw a draft away."""
    RequestDraft.objects.filter(id=draft.id).delete()


@dataclass
class Reading:
    """A draft as it would be filed now: the rows it names, and everything that is missing."""

    terms: Terms
    requester: Organisation | None = None
    licensee: Organisation | None = None
    talents: list[Talent] = field(default_factory=list)
    holder: Person | None = None
    base_model: ModelRecord | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    max_runs: int = 1
    sign_by: datetime | None = None
    problems: list[Problem] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.problems and not self.refusals

    def at(self, step: str) -> list[Problem]:
        """The problems of one step."""
        return [item for item in self.problems if form.step_of(item.field) == step]


def draft_read(*, draft: RequestDraft, at: datetime | None = None) -> Reading:
    """Everything that would keep the draft from being filed, each problem at its field."""
    at = at or timezone.now()
    typed: Typed = draft.data
    terms, found = form.read(typed, today=rules.jst_day(at))
    reading = Reading(terms, problems=found)
    refusal = rules.kind_refusal(_one(typed, "kind") or "person")
    if refusal is not None:
        reading.refusals.append(refusal)
    _rows(reading, typed, draft.person)
    reading.max_runs, unread = form.runs(typed)
    reading.sign_by, late = form.answer_by(typed)
    reading.problems += [*unread, *late]
    _rules(reading, draft.person, at)
    return reading


def _rules(reading: Reading, by: Person, at: datetime) -> None:
    """Add what the rules say; a field that cannot be read keeps that problem alone."""
    unread = {item.field for item in reading.problems}
    if reading.requester is None or reading.licensee is None or reading.base_model is None:
        # Without these rows only the terms by themselves can be judged.
        said: list[Refusal | Problem] = list(rules.terms_problems(reading.terms, at=at))
    else:
        said = requests.request_check(
            by=by,
            requester=reading.requester,
            licensee=reading.licensee,
            talents=reading.talents,
            base_model=reading.base_model,
            terms=reading.terms,
            recipe=reading.recipe,
            max_runs=reading.max_runs,
            sign_by=reading.sign_by or at.replace(year=at.year + 1, day=1),
            at=at,
        )
    for item in said:
        if isinstance(item, Refusal):
            reading.refusals.append(item)
        elif form.AT.get(item.field, item.field) not in unread:
            shown = form.AT.get(item.field, item.field)
            reading.problems.append(Problem(shown, item.ja, item.en))


def _rows(reading: Reading, typed: Typed, by: Person) -> None:
    """The rows behind what was typed. What does not exist is a problem of its field."""
    own = list(selectors.organisations_of(by, "ask").order_by("name", "id"))
    named = _one(typed, "requester")
    reading.requester = next((o for o in own if o.id == named), None if named else _only(own))
    _needs(reading, "requester", reading.requester)
    wanted = typed.get("talents", [])
    reading.talents = list(Talent.objects.filter(id__in=wanted).select_related("person"))
    whole = bool(wanted) and len(reading.talents) == len(set(wanted))
    _needs(reading, "talents", reading.talents if whole else None)
    reading.licensee = _organisation(reading, _one(typed, "licensee"))
    holder = _one(typed, "copyright_holder")
    reading.holder = Person.objects.filter(id=holder).first() if holder else by
    _needs(reading, "copyright_holder", reading.holder)
    base = _one(typed, "base_model")
    reading.base_model = selectors.base_models().filter(id=base).first()
    _needs(reading, "base_model", reading.base_model)
    preset = presets().get(_one(typed, "recipe"))
    _needs(reading, "recipe", preset)
    reading.recipe = dict(preset or {})
    if reading.terms.background_only:
        reading.recipe["output_policy"] = "background_only"


def _organisation(reading: Reading, text: str) -> Organisation | None:
    """A company by its number or its whole name; a part of a name finds nothing."""
    rows = Organisation.objects.filter(
        Q(id=text) | Q(name__iexact=text) | Q(name_en__iexact=text, name_en__gt="")
    )
    found = list(rows[:2]) if text else []
    if len(found) > 1:
        reading.problems.append(
            Problem(
                "licensee",
                "同じ名前の会社が複数あります。会社の番号(org_…)で書いてください。",
                "Several companies have this name: give the number (org_…).",
            )
        )
        return None
    _needs(reading, "licensee", found[0] if found else None)
    return found[0] if found else None


def _needs(reading: Reading, name: str, row: object) -> None:
    if row is None:
        text = "見つかりません。選び直すか、書き直してください。"
        reading.problems.append(Problem(name, text, "Not found: choose or write it again."))


def _only(rows: Sequence[Organisation]) -> Organisation | None:
    return rows[0] if len(rows) == 1 else None


def _one(typed: Typed, name: str) -> str:
    return (typed.get(name) or [""])[-1].strip()


@cache
def presets() -> dict[str, dict[str, Any]]:
    """The recipes that the form offers, by name: files, because the trainer is another floor's."""
    folder = settings.RECIPES_DIR
    return {path.stem: tomllib.loads(path.read_text()) for path in sorted(folder.glob("*.toml"))}


@transaction.atomic
def draft_submit(*, draft: RequestDraft, at: datetime | None = None) -> TrainingRequest | Reading:
    """File the draft, or say what is missing: the request stands and the draft is gone, or neither.

    Somebody who sends the form twice gets `RequestDraft.DoesNotExist` the second time.
    """
    row = RequestDraft.objects.select_for_update().select_related("person").get(id=draft.id)
    reading = draft_read(draft=row, at=at)
    if not reading.ready:
        return reading
    if not (reading.requester and reading.licensee and reading.base_model and reading.holder):
        raise RuntimeError("a draft that is ready names every row")
    if reading.sign_by is None:
        raise RuntimeError("a draft that is ready has a day to answer by")
    filed = requests.request_submit(
        by=row.person,
        requester=reading.requester,
        licensee=reading.licensee,
        talents=reading.talents,
        copyright_holder=reading.holder,
        base_model=reading.base_model,
        terms=reading.terms,
        recipe=reading.recipe,
        max_runs=reading.max_runs,
        sign_by=reading.sign_by,
        at=at,
    )
    if not isinstance(filed, TrainingRequest):
        raise RuntimeError("a draft that is ready was refused")
    row.delete()
    return filed
