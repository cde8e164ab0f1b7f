"""A use lies within its line of the grant, or what it goes beyond is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from audit.core.uses import Ended, Use, outside
from registry.core.terms import Withdrawal
from tests.core.token_world import TERMS

GRANTED = replace(
    TERMS,
    quantity=100,
    impressions=1000,
    price_min_jpy=500,
    price_max_jpy=900,
    transformations=("wardrobe",),
    exposure="sleeveless_legs",
    categories=("alcohol",),
)
FINE = Use(
    "photobook_ebook",
    "JP",
    TERMS.start,
    quantity=100,
    impressions=1000,
    unit_price_jpy=900,
    transformations=("wardrobe",),
    exposure="sleeveless_legs",
    categories=("alcohol",),
)
DAY = date(2026, 12, 1)
SOLD_OFF = replace(
    GRANTED,
    on_withdrawal=Withdrawal(
        new_generation="after_days", new_generation_days=3, published="sell_off", sell_off_days=10
    ),
)


def test_what_was_agreed_is_covered_to_its_last_unit():
    assert outside(GRANTED, FINE) == ()


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"medium": "goods_acrylic"}, "media"),
        ({"country": "US"}, "territory"),
        ({"country": "worldwide"}, "territory"),
        ({"first_day": TERMS.start - timedelta(days=1)}, "start"),
        ({"first_day": TERMS.end + timedelta(days=1)}, "end"),
        ({"quantity": 101}, "quantity"),
        ({"impressions": 1001}, "impressions"),
        ({"unit_price_jpy": 499}, "price"),
        ({"unit_price_jpy": 901}, "price"),
        ({"transformations": ("wardrobe", "gender")}, "transformations"),
        ({"exposure": "swimwear"}, "exposure"),
        ({"categories": ("political",)}, "categories"),
        ({"name_shown": True}, "name_use"),
    ],
)
def test_what_goes_beyond_is_named(change, member):
    assert outside(GRANTED, replace(FINE, **change)) == (member,)


def test_what_was_reported_before_counts():
    one = replace(FINE, quantity=1, impressions=1)
    assert outside(GRANTED, one, used=99, used_impressions=999) == ()
    assert outside(GRANTED, one, used=100, used_impressions=1000) == ("quantity", "impressions")


def test_a_free_use_and_terms_without_a_price_have_no_price_to_miss():
    assert outside(GRANTED, replace(FINE, unit_price_jpy=0)) == ()
    unpriced = replace(GRANTED, price_min_jpy=0, price_max_jpy=0)
    assert outside(unpriced, replace(FINE, unit_price_jpy=5000)) == ()


def test_nothing_of_a_prototype_is_used():
    assert "stage" in outside(replace(GRANTED, stage="prototype"), FINE)


def test_a_term_that_ran_out_leaves_its_sell_off_period():
    late = replace(FINE, first_day=TERMS.end + timedelta(days=5))
    ended = Ended("expired", TERMS.end)
    assert outside(replace(GRANTED, sell_off_days=5), late, ended=ended) == ()
    assert outside(replace(GRANTED, sell_off_days=4), late, ended=ended) == ("end", "expired")


@pytest.mark.parametrize("stock", [True, False])
def test_after_a_withdrawal_nothing_remains_that_was_not_agreed(stock):
    use = replace(FINE, first_day=DAY, stock=stock)
    assert outside(GRANTED, use, ended=Ended("withdrawn", DAY)) == ("withdrawn",)


@pytest.mark.parametrize(("stock", "days"), [(True, 10), (False, 3)])
def test_after_a_withdrawal_the_agreed_days_remain_and_no_more(stock, days):
    ended = Ended("withdrawn", DAY)
    last = replace(FINE, first_day=DAY + timedelta(days=days), stock=stock)
    assert outside(SOLD_OFF, last, ended=ended) == ()
    after = replace(last, first_day=last.first_day + timedelta(days=1))
    assert outside(SOLD_OFF, after, ended=ended) == ("withdrawn",)


@pytest.mark.parametrize("stock", [True, False])
def test_a_safety_withdrawal_leaves_nothing(stock):
    use = replace(FINE, first_day=DAY, stock=stock)
    ended = Ended("withdrawn", DAY, safety=True)
    assert outside(SOLD_OFF, use, ended=ended) == ("withdrawn",)


@pytest.mark.parametrize("code", ["revoked", "paused"])
def test_no_other_end_leaves_anything(code):
    use = replace(FINE, first_day=DAY, stock=True)
    assert outside(SOLD_OFF, use, ended=Ended(code, DAY)) == (code,)
