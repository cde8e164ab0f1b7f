"""Counter-offers only ever narrow; what is not known to be less is not less."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.core import narrowing
from registry.core.terms import Terms, Withdrawal, explicit_items
from registry.core.vocabulary import (
    CATEGORIES,
    EXPOSURE,
    LIKENESS_PARTS,
    MEDIA,
    NAME_USE,
    TRANSFORMATIONS,
)
from tests.core.token_world import TERMS

WIDE = replace(
    TERMS,
    media=("photobook_ebook", "calendar", "portfolio"),
    territory=("JP", "US"),
    quantity=500,
    transformations=("background_only", "wardrobe", "age"),
    exposure="swimwear",
    likeness_parts=("face", "hair"),
    categories=("alcohol",),
    exclusivity="category",
    duties=("report_use",),
    fee_jpy=10_000,
    sell_off_days=30,
    name_use="stage_name",
    competitors=("Rival Press",),
    exclusivity_category="publishing",
    report_months=6,
    on_withdrawal=Withdrawal(
        new_generation="after_days", new_generation_days=7, published="sell_off", sell_off_days=9
    ),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"media": ("calendar",)},
        {"territory": ("JP",)},
        {"start": WIDE.start + timedelta(days=1)},
        {"end": WIDE.end - timedelta(days=1)},
        {"quantity": 499},
        {"transformations": ("wardrobe",)},
        {"transformations": ("none",)},
        {"exposure": "full_clothed"},
        {"likeness_parts": ("face",)},
        {"categories": ()},
        {"exclusivity": "none"},
        {"duties": ("report_use", "credit")},
        {"fee_jpy": 10_001},
        {"sell_off_days": 0},
        {"name_use": "none"},
        {"competitors": ()},
        {"report_months": 1},
        {"share_permille": 1},
        {"guarantee_jpy": 1},
        {"pay_by": WIDE.end},
        {"destroy_by": WIDE.end},
        {"impressions": 7},
        {"on_withdrawal": replace(WIDE.on_withdrawal, attest_days=29)},
        {"on_withdrawal": Withdrawal()},
    ],
)
def test_less_is_narrower_and_the_way_back_is_not(changes):
    less = replace(WIDE, **changes)
    assert narrowing.terms_narrower(WIDE, less)
    assert narrowing.wider(less, WIDE) == list(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"media": ()},
        {"territory": ()},
        {"likeness_parts": ()},
        {"transformations": ()},
        {"quantity": 0},
        {"quantity": -1},
        {"sell_off_days": -1},
        {"exposure": "no such level"},
        {"client": "Mallory Press"},
        {"product": "another book"},
        {"purpose": "something else entirely"},
        {"replaces_booked_shoot": True},
        {"sublicence": True},
        {"territory": ("worldwide",)},
        {"name_use": "credit_line"},
        {"report_months": 0},
        {"stage": "prototype"},
        {"likeness_goal": False},
        {"paid_by": "agency"},
        {"exclusivity_category": "all"},
        {"on_withdrawal": replace(WIDE.on_withdrawal, training="goes on")},
        {"on_withdrawal": replace(WIDE.on_withdrawal, published="keep")},
        {"on_withdrawal": replace(WIDE.on_withdrawal, attest_days=31)},
    ],
)
def test_nothing_and_something_else_are_not_less(changes):
    assert narrowing.wider(WIDE, replace(WIDE, **changes)) == list(changes)


def test_a_country_lies_in_the_world_and_a_number_under_no_number():
    world = replace(WIDE, territory=("worldwide",), quantity=0)
    assert narrowing.terms_narrower(world, replace(world, territory=("KR",), quantity=3))
    assert narrowing.terms_narrower(world, world)


def test_a_term_that_is_over_before_it_begins_is_no_offer():
    assert not narrowing.terms_narrower(WIDE, replace(WIDE, start=WIDE.end, end=WIDE.start))


def some(labels, least=0):
    return st.lists(st.sampled_from(sorted(labels)), min_size=least, max_size=4, unique=True).map(
        tuple
    )


TERMS_ = st.builds(
    lambda **changes: replace(WIDE, **changes),
    media=some(MEDIA, 1),
    territory=st.sampled_from([("JP",), ("US", "JP"), ("worldwide",)]),
    quantity=st.integers(0, 3),
    transformations=some(TRANSFORMATIONS, 1),
    exposure=st.sampled_from(sorted(EXPOSURE)),
    likeness_parts=some(LIKENESS_PARTS, 1),
    categories=some(CATEGORIES),
    fee_jpy=st.integers(0, 3),
    sell_off_days=st.integers(0, 3),
    name_use=st.sampled_from(sorted(NAME_USE)),
)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(TERMS_)
def test_the_same_is_narrower(terms):
    assert narrowing.terms_narrower(terms, terms)


@FEW
@given(TERMS_, TERMS_)
def test_two_that_are_narrower_than_each_other_allow_the_same(one, other):
    if narrowing.terms_narrower(one, other) and narrowing.terms_narrower(other, one):
        for member in ("media", "likeness_parts", "categories", "exposure", "quantity", "fee_jpy"):
            first, second = getattr(one, member), getattr(other, member)
            same = set(first) == set(second) if isinstance(first, tuple) else first == second
            assert same, member


@FEW
@given(TERMS_, st.data())
def test_unticking_always_narrows(terms, data):
    codes = [item.code for item in narrowing.scope_items(terms)]
    ticks = data.draw(st.sets(st.sampled_from(codes))) if codes else set()
    offered = narrowing.narrowed(terms, ticks)
    left = {"media", "territory", "likeness_parts"}
    empty = {name for name in left if not getattr(offered, name)}
    assert set(narrowing.wider(terms, offered)) == empty
    everything = narrowing.narrowed(terms, codes)
    assert narrowing.wider(terms, everything) == narrowing.wider(everything, terms) == []


def test_what_is_ticked_is_named_word_by_word():
    codes = [item.code for item in narrowing.scope_items(WIDE)]
    assert codes == [
        "media:photobook_ebook",
        "media:calendar",
        "media:portfolio",
        "territory:JP",
        "territory:US",
        "likeness:face",
        "likeness:hair",
        "transformation:background_only",
        "transformation:wardrobe",
        "transformation:age",
        "category:alcohol",
        "exposure:swimwear",
        "name_use",
        "sell_off",
    ]
    assert set(explicit_items(WIDE)) <= set(codes)


def test_a_difference_says_what_was_and_what_is():
    less = replace(WIDE, media=("calendar",), fee_jpy=20_000)
    found = narrowing.differences(WIDE.to_payload(), less.to_payload())
    assert [(c.member, c.old, c.new) for c in found] == [
        ("media", ["photobook_ebook", "calendar", "portfolio"], ["calendar"]),
        ("fee_jpy", 10_000, 20_000),
    ]


def test_pictures_are_told_by_their_place():
    assert narrowing.pictures_changed(["a", "b", "c"], ["c", "d", "a"]) == ([2], [2])
    assert narrowing.pictures_changed([], ["a"]) == ([], [1])


def test_a_member_that_nobody_taught_to_narrow_must_stay():
    assert set(narrowing._NARROWER) < set(Terms.__dataclass_fields__)
    assert "client" not in narrowing._NARROWER
