"""The lineage sketch: relatives are near, strangers are far, and the stored form is strict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import loras
from tests.loras import lora
from training.core.fingerprint import (
    ALARM,
    FACTORS_LIKE,
    LENGTH,
    FingerprintError,
    Sketches,
    cosine,
    delivered_sketch,
    factor_sketch,
    pack,
    sketch,
    unpack,
)
from training.core.watermark import embed
from training.core.watermark_code import Key
from training.core.weights import Float32, Weights, half, strip, to_kohya

KEY = Key("lineage", b"alice's registry keeps this one.")
MODULES = loras.sd15(every=4)


@pytest.fixture(scope="module")
def original() -> Weights:
    return lora(MODULES, 16, 7)


@pytest.fixture(scope="module")
def known(original: Weights) -> Float32:
    return sketch(original, KEY)


RELATIVES: dict[str, tuple[Callable[[Weights], Weights], float]] = {
    "itself": (lambda w: w, 0.999),
    "stripped, renamed, float16": (lambda w: half(strip(loras.renamed(w))), 0.999),
    "kohya": (to_kohya, 0.999),
    "new factors": (loras.refactored, 0.999),
    "marked": (lambda w: embed(w, KEY, b"abcdef", 0.05), 0.98),
    "int4": (lambda w: loras.integers(w, 4), 0.85),
    "noise 50 %": (lambda w: loras.noisy(w, 0.5), 0.5),
    "prune 70 %": (lambda w: loras.pruned(w, 0.7), 0.5),
    "rank quartered": (lambda w: loras.truncated(w, 4), 0.6),
    "half of the modules": (lambda w: loras.dropped(w, 0.5), 0.4),
    "one other added": (lambda w: loras.merged(w, [lora(MODULES, 16, 90)]), 0.5),
    "three others added": (
        lambda w: loras.merged(w, [lora(MODULES, 16, s) for s in (90, 91, 92)]),
        ALARM,
    ),
    "block weights": (loras.block_scaled, 0.999),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_a_relative_is_near(original: Weights, known: Float32, name: str) -> None:
    change, least = RELATIVES[name]
    assert cosine(sketch(change(original), KEY), known) >= least


def test_negative_strength_gives_the_opposite_sketch(original: Weights, known: Float32) -> None:
    assert cosine(sketch(loras.scaled(original, -1), KEY), known) < -0.999


def test_strangers_are_far_and_the_alarm_is_above_all_of_them(known: Float32) -> None:
    others = [cosine(sketch(lora(MODULES, 16, seed), KEY), known) for seed in range(50, 80)]
    assert max(map(abs, others)) < ALARM / 2
    assert float(np.std(others)) < 0.06


def test_strangers_on_the_small_base_stay_under_the_alarm() -> None:
    sketches = [sketch(lora(loras.tiny(), 8, seed), KEY) for seed in range(12)]
    pairs = [cosine(a, b) for i, a in enumerate(sketches) for b in sketches[:i]]
    assert max(map(abs, pairs)) < ALARM


def test_another_key_sees_nothing(original: Weights, known: Float32) -> None:
    other = sketch(original, Key("lineage", b"mallory made this one up himself"))
    assert abs(cosine(other, known)) < ALARM / 2


def test_the_nearest_row_is_the_relative(original: Weights) -> None:
    rows = {str(seed): sketch(lora(MODULES, 16, seed), KEY) for seed in (1, 2, 7, 3)}
    known = Sketches()
    known.add(rows.items())
    query = sketch(loras.scaled(original, -0.5), KEY)
    best, score = known.nearest(query, 1)[0]
    assert best == "7"
    assert score < -0.9
    assert {name for name, _ in known.nearest(query)} == set(rows)


# --- the sketch of the factors --------------------------------------------------------------------


def of_factors(file: Weights) -> Float32:
    found = factor_sketch(file, KEY)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def delivered(original: Weights) -> Float32:
    found = delivered_sketch(original, KEY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("share", "least"), [(0.0, 0.98), (0.5, 0.6), (0.9, 0.2), (0.95, FACTORS_LIKE)]
)
def test_what_was_dropped_from_the_delivered_factors_leaves_them_alike(
    original: Weights, delivered: Float32, share: float, least: float
) -> None:
    marked = embed(original, KEY, b"abcdef", 0.02)
    for file in (marked, half(to_kohya(marked)), loras.block_scaled(marked)):
        assert cosine(of_factors(loras.dare(file, share)), delivered) >= least


@pytest.mark.parametrize("seed", [2, 7, 8])
def test_it_is_above_the_floor_where_the_content_is_buried(
    original: Weights, known: Float32, delivered: Float32, seed: int
) -> None:
    dropped = loras.dare(embed(original, KEY, b"abcdef", 0.02), 0.9, seed)
    assert cosine(sketch(dropped, KEY), known) < ALARM
    assert cosine(of_factors(dropped), delivered) > 1.5 * FACTORS_LIKE


def test_strangers_factors_scatter_under_the_floor(delivered: Float32) -> None:
    many = [of_factors(loras.dare(lora(MODULES, 16, s), 0.9)) for s in range(50, 80)]
    others = [cosine(one, delivered) for one in many]
    assert float(np.std(others)) < FACTORS_LIKE / 2.5
    assert sum(abs(score) > FACTORS_LIKE for score in others) <= 1


def test_another_key_sees_nothing_of_the_factors(original: Weights, delivered: Float32) -> None:
    marked = embed(original, KEY, b"abcdef", 0.02)
    other = factor_sketch(marked, Key("lineage", b"mallory made this one up himself"))
    assert other is not None
    assert abs(cosine(other, delivered)) < FACTORS_LIKE


@pytest.mark.parametrize("size", [1e-30, 1e36])
def test_extreme_factors_have_a_sketch(original: Weights, size: float) -> None:
    huge = loras.each_factor(original, lambda t: t * np.float32(size))
    assert cosine(of_factors(huge), of_factors(original)) > 0.999


def test_factors_that_cancel_out_have_none() -> None:
    up, down = np.array([[1, -1]] * 9, np.float32), np.array([[1] * 9, [-1] * 9], np.float32)
    assert factor_sketch(Weights({"a.lora_B.weight": up, "a.lora_A.weight": down}), KEY) is None


# --- many of them, and storage --------------------------------------------------------------------


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_sketches_are_kept_once_and_found_like_by_sorting(
    names: list[int], count: int, seed: int
) -> None:
    """However they came in, in however many parts."""
    dice = np.random.default_rng(seed)
    vectors = {str(n): dice.standard_normal(LENGTH, np.float32) for n in range(31)}
    known = Sketches()
    for name in map(str, names):
        known.add([(name, vectors[name]), (name, vectors[name])])
    query = dice.standard_normal(LENGTH, np.float32)
    right = sorted({str(n) for n in names}, key=lambda name: -abs(vectors[name] @ query))
    assert len(known) == len(right)
    assert [name for name, _ in known.nearest(query, count)] == right[:count]


def test_a_file_without_modules_has_no_sketch() -> None:
    with pytest.raises(FingerprintError, match="no_modules"):
        sketch(Weights({"a": np.ones((9, 9), np.float32)}), KEY)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_sketch_survives_storage(seed: int) -> None:
    drawn = np.random.default_rng(seed).standard_normal(LENGTH)
    vector = (drawn / np.linalg.norm(drawn)).astype(np.float32)
    stored = pack(vector)
    assert len(stored) == 1542
    assert cosine(unpack(stored), vector) > 0.9999
    assert np.linalg.norm(unpack(stored)) == pytest.approx(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:-1],
        lambda d: d + b"\0",
        lambda d: b"KYFP2\0" + d[6:],
        lambda d: d[:6] + bytes(len(d) - 6),
        lambda d: d[:6] + b"\xff" * (len(d) - 6),
    ],
)
def test_a_damaged_sketch_is_refused(known: Float32, change: Callable[[bytes], bytes]) -> None:
    stored = pack(known)
    unpack(stored)
    with pytest.raises(FingerprintError, match="bad_format"):
        unpack(change(stored))


def test_only_whole_sketches_are_packed() -> None:
    with pytest.raises(ValueError, match="768"):
        pack(np.ones(3, np.float32))
