"""Bands rise from measured strangers, and a file of other numbers is none."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core.refusals import Refusal
from training.core import calibration
from training.core.calibration import Calibration, Rate
from training.core.curation import Profile, band

MADE = Calibration(
    engine="insightface/some",
    engine_digest="ab" * 32,
    settings={"detector_sizes": [320, 640]},
    match=600,
    weak=500,
    unlike=350,
    people=9,
    pictures=80,
    false_rejects=Rate(1, 300, 84, 18_000),
    false_accepts=Rate(0, 4000, 0, 921),
    highest_stranger=444,
)


def test_the_study_gives_the_shipped_bands() -> None:
    strangers = [0.07] * 9989 + [0.34] * 2 + [0.36] * 8 + [0.444]
    assert calibration.bands(strangers) == (340, 500, 600)


@given(st.lists(st.floats(-1, 0.84), min_size=1, max_size=50))
def test_no_stranger_that_was_seen_is_hers(strangers: list[float]) -> None:
    unlike, weak, match = calibration.bands(strangers)
    assert 0 < unlike < weak < match <= 1000
    profile = replace(MADE, unlike=unlike, weak=weak, match=match).profile()
    assert all(band(round(score * 1000), profile) in ("unlike", "other") for score in strangers)


def test_a_file_comes_back_as_it_was_and_changes_the_rules() -> None:
    assert calibration.load(MADE.dump()) == MADE
    profile = MADE.profile()
    assert (profile.match, profile.weak, profile.unlike) == (600, 500, 350)
    assert profile.calibration == MADE.digest()
    assert Profile().calibration == ""


@pytest.mark.parametrize(
    "change",
    [
        {"format": "kyodaku/calibration/v2"},
        {"more": 1},
        {"weak": 600},
        {"unlike": 0},
        {"match": 1001},
        {"weak": 500.5},
        {"weak": True},
        {"highest_stranger": 500},
        {"highest_stranger": None},
        {"false_rejects": {"errors": 1}},
        {"false_accepts": 3},
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        calibration.load(json.dumps(asdict(MADE) | change).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"format":1,"format":1}', b"\xff"])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="calibration"):
        calibration.load(data)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(ValueError, match="calibration"):
        calibration.load(data)


def test_it_fits_its_own_engine_only() -> None:
    own = ("insightface/some", "ab" * 32, {"detector_sizes": (320, 640)})
    assert calibration.fits(MADE, *own) is None
    for other in (("x", *own[1:]), (own[0], "cd" * 32, own[2]), (*own[:2], {})):
        found = calibration.fits(MADE, *other)
        assert isinstance(found, Refusal)
        assert found.code == "calibration_mismatch"
