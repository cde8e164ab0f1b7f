"""What may be read from a mark in a picture, and what may not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core import image_marks as marks

IDS = st.integers(0, 2**32 - 1)


def flipped(number: int, count: int) -> int:
    return number ^ ((1 << count) - 1)


def test_the_more_ids_there_are_the_fewer_bits_may_differ() -> None:
    allowed = [marks.errors_allowed(10**power) for power in range(8)]
    assert allowed == sorted(allowed, reverse=True)
    assert allowed[0] >= 2
    assert allowed[-1] == -1
    assert (marks.errors_allowed(4294), marks.errors_allowed(4295)) == (0, -1)  # THREAT_MODEL


@pytest.mark.parametrize("known", [1, 10, 1000])
def test_the_bound_is_what_it_says(known: int) -> None:
    most = marks.errors_allowed(known)
    chance = known * sum(math.comb(32, k) for k in range(most + 1)) / 2**32
    worse = known * sum(math.comb(32, k) for k in range(most + 2)) / 2**32
    assert chance <= marks.FPR < worse


def test_a_reading_names_the_id_within_the_bound_and_no_further() -> None:
    known = [0xDEADBEEF]
    most = marks.errors_allowed(1)
    assert marks.named(flipped(known[0], most), known) == known[0]
    assert marks.named(flipped(known[0], most + 1), known) is None
    assert marks.named(0xDEADBEEF, []) is None


def test_where_even_an_equal_id_could_be_chance_nobody_is_named() -> None:
    many = range(10**5)
    assert marks.errors_allowed(len(many)) == -1
    assert marks.named(7, many) is None


def test_two_that_are_equally_near_name_nobody() -> None:
    assert marks.named(0b01, [0b00, 0b11]) is None


@given(IDS)
def test_an_id_is_its_bits(number: int) -> None:
    assert marks.number_of(marks.bits_of(number)) == number
    assert len(marks.bits_of(number)) == marks.BITS


def test_pictures_are_alike_up_to_six_bits() -> None:
    assert marks.alike(0, flipped(0, marks.ALIKE))
    assert not marks.alike(0, flipped(0, marks.ALIKE + 1))


def test_a_picture_hash_says_which_neighbour_is_brighter() -> None:
    rising = np.tile(np.arange(9, dtype=np.float32), (8, 1))
    assert marks.picture_hash(rising) == 2**64 - 1
    assert marks.picture_hash(rising[:, ::-1]) == 0
    with pytest.raises(ValueError, match="8 x 9"):
        marks.picture_hash(rising.T)
