"""What is made of measurements of samples: quantiles, effect, leaks, holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.curation import Profile
from training.core.probes import (
    EFFECT,
    VERDICTS,
    WORDS,
    ProbeReport,
    Respect,
    Sample,
    judge,
    lower_quantile,
)

PROFILE = Profile()
A, B = "tal_a", "tal_b"
likeness = st.integers(-1000, 1000)


def report(*samples: Sample, talents: tuple[str, ...] = (A,)) -> ProbeReport:
    return judge(samples, talents, PROFILE, engine="e", engine_digest="d", compared=1)


def codes(found: ProbeReport) -> list[str]:
    return [item.code for item in found.findings]


def like(value: int, before: int | None = 0) -> Sample:
    return Sample({A: value}, None if before is None else {A: before})


@given(st.lists(likeness, min_size=1, max_size=40))
def test_a_fifth_at_most_lies_below_the_lower_quantile(values: list[int]) -> None:
    found = lower_quantile(values)
    assert found in values
    assert sum(value < found for value in values) <= 0.2 * len(values)
    assert sum(value <= found for value in values) >= 0.2 * len(values)


@given(st.lists(likeness, min_size=3, max_size=16), st.lists(likeness, min_size=16, max_size=16))
def test_a_verdict_is_about_the_worse_samples(values: list[int], before: list[int]) -> None:
    found = report(*(like(v, b) for v, b in zip(values, before, strict=False)))
    (talent,) = found.talents
    counts = (talent.match, talent.weak, talent.unlike, talent.other)
    assert sum(counts) == len(values) == found.faces
    if talent.verdict == "holds":
        assert lower_quantile(values) >= PROFILE.weak
        assert not codes(found)
    assert talent.verdict in VERDICTS


@pytest.mark.parametrize(
    ("rise", "verdict"), [(EFFECT, "holds"), (EFFECT - 1, "no_identity_effect")]
)
def test_the_effect_is_the_median_rise_over_the_base_alone(rise: int, verdict: str) -> None:
    found = report(*(like(700, 700 - rise) for _ in range(4)))
    assert found.talents[0].verdict == verdict


def test_without_the_base_alone_a_face_that_is_hers_counts_as_an_effect() -> None:
    assert report(*(like(700, None) for _ in range(4))).talents[0].verdict == "holds"
    strangers = report(*(like(PROFILE.unlike - 1, None) for _ in range(4)))
    assert strangers.talents[0].verdict == "no_identity_effect"


def test_the_worse_fifth_decides() -> None:
    good, weak, bad = PROFILE.match + 50, PROFILE.weak, PROFILE.weak - 1
    assert report(*map(like, [good] * 4 + [weak])).talents[0].verdict == "holds"
    assert report(*map(like, [good] * 4 + [bad])).talents[0].verdict == "uneven"
    assert report(*map(like, [good] * 9 + [bad])).talents[0].verdict == "holds"


def test_two_faces_are_no_distribution() -> None:
    found = report(like(800), like(800), Sample({}))
    assert (found.samples, found.faces, codes(found)) == (3, 2, ["identity_unmeasured"])
    assert found.talents[0].lower == ""


def test_each_talent_of_a_blend_is_judged_alone() -> None:
    samples = [Sample({A: 800, B: 100}, {A: 0, B: 0}) for _ in range(4)]
    found = report(*samples, talents=(A, B))
    assert [item.verdict for item in found.talents] == ["holds", "no_identity_effect"]


def test_somebody_else_holds_and_nobody_else_does_not() -> None:
    good = [like(800)] * 3
    assert report(*good, like(800)).held == ""
    found = report(*good, replace(like(800), others=("tal_z",)))
    assert found.held == "lookalike_hold"
    assert found.findings[0].samples == (3,)
    assert "tal_z" not in str(found.to_payload())
    assert report().held == "samples_missing"


@pytest.mark.parametrize("respect", ["outfit", "background"])
def test_the_data_sets_own_in_half_of_the_samples_is_a_leak(respect: Respect) -> None:
    seen: tuple[Respect, ...] = (respect,)
    plain = replace(like(800), seen=seen)
    again = replace(plain, repeats=seen)
    code = f"{respect}_leak"
    assert codes(report(again, again, again, plain, plain, plain)) == [code]
    assert codes(report(again, again, again, plain, plain, plain, plain)) == []
    assert codes(report(again, again, plain)) == []  # two are chance
    # What the base model draws by itself was not learnt from the data set.
    known = replace(again, repeated_before=seen)
    assert codes(report(known, known, again, plain)) == []
    assert codes(report(known, again, again, plain)) == [code]


def test_the_digest_is_of_everything() -> None:
    one = report(like(800), like(800), like(800))
    assert one.digest() == report(like(800), like(800), like(800)).digest()
    assert one.digest() != replace(one, compared=2).digest()
    assert len(one.digest()) == 64


def test_every_finding_has_words() -> None:
    assert set(WORDS) == {
        *("lookalike_hold", "samples_missing", "no_identity_effect", "identity_uneven"),
        *("identity_unmeasured", "outfit_leak", "background_leak"),
    }
    assert all(ja and en for ja, en in WORDS.values())
