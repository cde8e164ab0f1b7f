"""Licence terms: a closed vocabulary, deny by default, and one text for people and machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import terms as t
from registry.core.terms import Terms
from tests.core.token_world import TERMS

TODAY = date(2026, 11, 20)


def some(words):
    return st.lists(st.sampled_from(sorted(words)), unique=True, min_size=1).map(tuple)


ANY_TERMS = st.builds(
    Terms,
    media=some(t.MEDIA),
    client=st.text(min_size=1, max_size=20),
    product=st.text(min_size=1, max_size=20),
    territory=some({"JP", "US", "KR"}),
    start=st.dates(date(2026, 1, 1), date(2030, 1, 1)),
    end=st.dates(date(2026, 1, 1), date(2030, 1, 1)),
    purpose=st.text(min_size=10, max_size=40),
    quantity=st.integers(0, 10**6),
    transformations=some(t.TRANSFORMATIONS),
    exposure=st.sampled_from(list(t.EXPOSURE)),
    name_use=st.booleans(),
    fee_jpy=st.integers(0, 10**9),
)


@given(ANY_TERMS)
def test_terms_survive_their_payload(terms):
    assert Terms.from_payload(terms.to_payload()) == terms


@given(ANY_TERMS, st.sampled_from(["ja", "en"]))
def test_the_same_terms_always_read_the_same(terms, locale):
    first, second = (t.render(terms, locale, pictures=15, max_runs=1) for _ in range(2))
    assert first == second
    assert len(t.text_digest(first)) == 64


@pytest.mark.parametrize(
    ("locale", "line"), [("ja", "特に許す分野: 酒"), ("en", "Fields opened: alcohol")]
)
def test_what_is_allowed_beyond_the_ordinary_is_named_in_the_signed_text(locale, line):
    opened = replace(TERMS, categories=("alcohol",))
    assert line in t.render(opened, locale, pictures=15, max_runs=1).splitlines()
    plain = t.render(replace(TERMS, categories=()), locale, pictures=15, max_runs=1)
    assert any(said in plain for said in ("特に許す分野: なし", "Fields opened: none"))


@given(ANY_TERMS)
def test_what_is_not_allowed_is_named_as_barred(terms):
    text = t.render(terms, "en", pictures=15, max_runs=1)
    barred = next(line for line in text.splitlines() if line.startswith("Barred fields"))
    assert all(t.CATEGORIES[word][1] in barred for word in t.CATEGORIES)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"media": "photobook_ebook"},
        {"media": [1]},
        {"quantity": True},
        {"quantity": "1"},
        {"name_use": 1},
        {"start": "2026-13-01"},
        {"start": 7},
        {"client": None},
    ],
)
def test_an_ill_typed_member_is_refused(change):
    with pytest.raises(ValueError, match=r"\w"):
        Terms.from_payload(TERMS.to_payload() | change)


def test_a_missing_member_is_refused():
    payload = TERMS.to_payload()
    del payload["purpose"]
    with pytest.raises(ValueError, match="purpose"):
        Terms.from_payload(payload)


def test_honest_terms_have_no_problem():
    assert t.problems(TERMS, today=TODAY) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"client": " "}, "client"),
        ({"purpose": "short"}, "purpose"),
        ({"media": ()}, "media"),
        ({"media": ("hologram",)}, "media"),
        ({"exposure": "unheard"}, "exposure"),
        ({"territory": ("ZZ",)}, "territory"),
        ({"territory": ("JP", "worldwide")}, "territory"),
        ({"end": date(2026, 10, 1)}, "end"),
        ({"start": date(2020, 1, 1), "end": date(2020, 1, 2)}, "end"),
        ({"quantity": -1}, "quantity"),
        ({"sublicence": True}, "sublicence"),
    ],
)
def test_a_problem_names_its_field_in_both_languages(change, field):
    (problem,) = t.problems(replace(TERMS, **change), today=TODAY)
    assert problem.field == field
    assert problem.ja != problem.en


@pytest.mark.parametrize("exposure", ["swimwear", "underwear", "above"])
def test_a_minor_is_never_shown_in_swimwear_or_less(exposure):
    terms = replace(TERMS, exposure=exposure)
    assert [r.code for r in t.check_person(terms, minor=True)] == ["minor_rule"]
    assert t.check_person(terms, minor=False) == []


def test_a_minor_is_never_in_sexual_content():
    terms = replace(TERMS, categories=("sexual",))
    assert [r.code for r in t.check_person(terms, minor=True)] == ["minor_rule"]


def test_the_never_list_reaches_below_a_higher_ceiling():
    terms = replace(TERMS, exposure="underwear")
    refusals = t.check_person(terms, minor=False, never=frozenset({"swimwear"}))
    assert [(r.code, r.detail) for r in refusals] == [("never_list", "swimwear")]


def test_a_term_begins_and_ends_in_japan():
    terms = replace(TERMS, start=date(2026, 4, 1), end=date(2026, 4, 1))
    assert terms.starts_at() == datetime(2026, 3, 31, 15, tzinfo=UTC)
    assert terms.ends_at() - terms.starts_at() == timedelta(days=1)


@pytest.mark.parametrize("word", sorted(t.MEDIA))
def test_only_named_media_are_not_commercial(word):
    assert replace(TERMS, media=(word,)).commercial == (word not in t.NON_COMMERCIAL)
