"""Training requests: what may be filed, and which states follow which."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import requests as rules
from registry.core.refusals import Refusal
from registry.core.terms import Problem
from tests.core.token_world import BASE, NOW, TERMS

ALICE = rules.Subject("tal_alice", minor=False, has_guardian=False)
RECIPE = {"method": "lora", "rank": 8, "steps": 160, "resolution": 32, "lr": 4e-3}


def decide(**changes):
    values: dict[str, Any] = {
        "terms": TERMS,
        "subjects": [ALICE],
        "base": BASE,
        "recipe": RECIPE,
        "max_runs": 1,
        "sign_by": NOW + timedelta(days=1),
        "at": NOW,
    } | changes
    found = rules.decide(values.pop("terms"), **values)
    return [f.code if isinstance(f, Refusal) else f.field for f in found]


def test_an_honest_request_may_be_filed():
    assert decide() == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"terms": replace(TERMS, purpose="x")}, "purpose"),
        ({"subjects": []}, "talents"),
        ({"max_runs": 0}, "max_runs"),
        ({"max_runs": rules.MAX_RUNS + 1}, "max_runs"),
        ({"sign_by": NOW}, "sign_by"),
        ({"recipe": {}}, "recipe"),
        ({"recipe": RECIPE | {"rank": True}}, "recipe"),
        ({"recipe": RECIPE | {"steps": 0}}, "recipe"),
        ({"recipe": RECIPE | {"method": "dora"}}, "recipe"),
        ({"base": replace(BASE, commercial=False)}, "base_licence"),
        ({"subjects": [replace(ALICE, never=frozenset({"none"}))]}, "never_list"),
        ({"subjects": [replace(ALICE, minor=True)]}, "approval_missing:guardian"),
    ],
)
def test_each_reason_is_named(changes, found):
    assert decide(**changes) == [found]


def test_a_minor_with_a_guardian_may_be_asked():
    assert decide(subjects=[replace(ALICE, minor=True, has_guardian=True)]) == []


def test_one_minor_in_a_group_decides_for_all():
    minor = replace(ALICE, minor=True, has_guardian=True)
    assert decide(terms=replace(TERMS, exposure="swimwear"), subjects=[ALICE, minor]) == [
        "minor_rule"
    ]


def test_every_reason_is_told_at_once():
    found = decide(max_runs=0, base=replace(BASE, commercial=False))
    assert found == ["max_runs", "base_licence"]
    assert isinstance(Problem("a", "b", "c"), Problem)


def test_the_limits_are_what_the_recipe_asks():
    assert vars(rules.limits_of(RECIPE)) == {
        "method": "lora",
        "max_rank": 8,
        "max_steps": 160,
        "max_resolution": 32,
    }


@given(st.dictionaries(st.sampled_from([*RECIPE, "x"]), st.integers() | st.text() | st.none()))
def test_any_recipe_is_limited_or_refused(recipe):
    try:
        limits = rules.limits_of(recipe)
    except ValueError:
        return
    assert min(limits.max_rank, limits.max_steps, limits.max_resolution) >= 1


def test_a_day_is_a_day_in_japan():
    assert rules.jst_day(datetime(2026, 3, 31, 15, tzinfo=UTC)) == date(2026, 4, 1)
