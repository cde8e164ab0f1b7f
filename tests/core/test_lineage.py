"""Consent algebra: a merge never allows what one of its parents did not."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.core import lineage
from audit.core.lineage import allows_less, inherit, meet, of, standing
from registry.core import vocabulary as words
from registry.core.terms import Terms, Withdrawal
from tests.core.pack_world import TERMS


def subsets(vocabulary, least=0):
    return st.lists(st.sampled_from(sorted(vocabulary)), unique=True, min_size=least).map(tuple)


TERRITORIES = st.one_of(st.just((words.WORLDWIDE,)), subsets(["JP", "US", "KR", "TW"], 1))
DAYS = st.dates(date(2026, 1, 1), date(2028, 12, 31))
SCOPES = st.builds(
    Terms,
    media=subsets(words.MEDIA, 1),
    client=st.sampled_from(["Press", "Studio"]),
    product=st.sampled_from(["book", "goods"]),
    territory=TERRITORIES,
    start=DAYS,
    end=DAYS,
    purpose=st.sampled_from(["key visuals", "prototype"]),
    quantity=st.integers(0, 50),
    transformations=subsets(words.TRANSFORMATIONS),
    exposure=st.sampled_from(list(words.EXPOSURE)),
    likeness_parts=subsets(words.LIKENESS_PARTS),
    categories=subsets(words.CATEGORIES),
    exclusivity=st.sampled_from(list(words.EXCLUSIVITY)),
    duties=subsets(words.DUTIES),
    fee_jpy=st.integers(0, 9),
    replaces_booked_shoot=st.booleans(),
    name_use=st.sampled_from(list(words.NAME_USE)),
    sublicence=st.booleans(),
    sell_off_days=st.integers(0, 90),
    stage=st.sampled_from(list(words.STAGES)),
    impressions=st.integers(0, 50),
    price_min_jpy=st.integers(0, 50),
    price_max_jpy=st.integers(0, 50),
    report_months=st.integers(1, 12),
    destroy_by=st.none() | DAYS,
    on_withdrawal=st.builds(
        Withdrawal,
        new_generation_days=st.integers(0, 9),
        sell_off_days=st.integers(0, 9),
        attest_days=st.integers(1, 9),
    ),
).map(of)


@given(SCOPES)
def test_merging_with_itself_changes_nothing(a):
    assert meet(a, a) == a


@given(SCOPES, SCOPES)
def test_the_order_of_parents_makes_no_difference(a, b):
    assert meet(a, b) == meet(b, a)


@given(SCOPES, SCOPES, SCOPES)
def test_merging_in_steps_makes_no_difference(a, b, c):
    assert meet(a, meet(b, c)) == meet(meet(a, b), c)


@given(SCOPES, SCOPES)
def test_a_merge_allows_no_more_than_either_parent(a, b):
    merged = meet(a, b)
    assert allows_less(merged, a)
    assert allows_less(merged, b)


@given(SCOPES, SCOPES, SCOPES)
def test_a_parent_that_allows_less_makes_a_merge_that_allows_less(a, b, c):
    assert allows_less(meet(meet(a, b), c), meet(a, c))


@given(SCOPES, SCOPES)
def test_every_member_of_a_merge_is_no_wider_than_the_parents(a, b):
    merged = meet(a, b)
    assert merged.media <= a.media & b.media
    assert merged.transformations <= a.transformations & b.transformations
    assert merged.categories <= a.categories & b.categories
    assert merged.duties >= a.duties | b.duties
    assert merged.prototype == (a.prototype or b.prototype)
    assert merged.destroy_by <= min(a.destroy_by, b.destroy_by)
    for least in ("report_months", "generation_days", "withdrawal_sell_off_days", "attest_days"):
        assert getattr(merged, least) == min(getattr(a, least), getattr(b, least))
    for name in ("impressions", "price_max_jpy"):
        given_numbers = {getattr(a, name), getattr(b, name)} - {None}
        assert getattr(merged, name) == min(given_numbers, default=None)
    assert merged.price_min_jpy == max(a.price_min_jpy, b.price_min_jpy)
    assert merged.end <= min(a.end, b.end)
    assert merged.start >= max(a.start, b.start)
    order = ("none", "credit_line", "stage_name")
    assert order.index(merged.name_use) <= min(order.index(a.name_use), order.index(b.name_use))
    assert merged.sell_off_days <= min(a.sell_off_days, b.sell_off_days)


def test_a_merge_carries_the_intersection_the_union_and_the_earliest_end():
    first = replace(TERMS, duties=("credit",), territory=("worldwide",), quantity=0)
    second = replace(
        TERMS, media=("sns_promo", "calendar"), duties=("pay",), end=date(2026, 12, 31), quantity=9
    )
    merged = inherit([first, second])
    assert merged.media == {"sns_promo"}
    assert merged.duties == {"credit", "pay"}
    assert merged.end == date(2026, 12, 31)
    assert merged.territory == frozenset({"JP"})
    assert merged.quantity == 9
    assert not merged.empty


@pytest.mark.parametrize(
    "other",
    [
        {"client": "Another Press"},
        {"media": ("calendar",)},
        {"territory": ("US",)},
        {"start": date(2028, 1, 1), "end": date(2028, 2, 1)},
        {"likeness_parts": ("hands",)},
    ],
)
def test_parents_with_nothing_in_common_leave_nothing_allowed(other):
    assert inherit([TERMS, replace(TERMS, **other)]).empty


def test_a_derivative_without_a_parent_has_no_scope():
    with pytest.raises(ValueError, match="parent"):
        inherit([])


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([None, "withdrawn"], "withdrawn"),
        (["paused", "revoked"], "revoked"),
        (["expired", "withdrawn", None], "withdrawn"),
        (["frozen"], "frozen"),
    ],
)
def test_one_parent_that_no_longer_holds_freezes_the_descendant(codes, expected):
    assert standing(codes) == expected
    assert lineage.standing(reversed(codes)) == expected
