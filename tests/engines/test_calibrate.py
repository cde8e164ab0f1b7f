"""Calibration by a labelled folder, with an engine that knows who is who."""

from __future__ import annotations

import json
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from audit import cli
from registry.core.refusals import Refusal
from tests.core.test_pictures import saved
from training.core.curation import Profile
from training.core.pictures import Picture
from training.engines.base import Face, Scene
from training.engines.calibrate import calibrate, rate
from training.engines.calibrations import calibration_for
from training.engines.insightface import InsightFaceEngine, open_engine, open_uncalibrated

pytestmark = pytest.mark.ml


class Labelled:
    """Reads person and picture from the colour of the first pixel; blue is how many faces."""

    id = "test/labelled"
    digest = "cc" * 32
    settings: ClassVar[dict[str, Any]] = {"size": (1, 2)}
    profile = Profile()
    scenery = ""

    def age(self, rgb: Any, face: Face) -> float:
        raise NotImplementedError

    def scene(self, rgb: Any) -> Scene:
        raise NotImplementedError

    def faces(self, rgb: Any, near: Any = None) -> list[Face]:
        person, picture, count = (int(value) // 16 for value in rgb[128, 128])
        own = np.random.default_rng(person).normal(size=128)
        noise = np.random.default_rng(zlib.crc32(bytes([person, picture]))).normal(size=128)
        vector = own + 0.5 * noise
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return [Face((0, 0, 9, 9), 0.9, unit, np.zeros((5, 2), np.float32), 0)] * count


def plain(person: int, picture: int, faces: int = 1) -> Picture:
    colour = (person * 16 + 8, picture * 16 + 8, faces * 16 + 8)
    data = saved(Image.new("RGB", (256, 256), colour), quality=95)
    return Picture(data, 256, 256, "", "", "", ())


def people(count: int, pictures: int = 5) -> dict[str, list[Picture]]:
    return {f"person {n}": [plain(n, k) for k in range(pictures)] for n in range(count)}


def test_bands_lie_above_every_stranger_and_below_everybody_themselves() -> None:
    made = calibrate(people(6), Labelled())
    assert not isinstance(made, Refusal)
    assert made.highest_stranger + 50 <= made.weak <= made.highest_stranger + 60
    assert made.unlike < made.weak < made.match
    # Ten sets of three a person; two tries each of their own, 25 of others.
    assert made.false_rejects.trials == 6 * 10 * 2
    assert made.false_accepts.trials == 6 * 10 * 25
    assert made.false_accepts.errors == made.false_rejects.errors == 0
    assert calibrate(people(6), Labelled()) == made
    assert made.settings == {"size": [1, 2]}


@pytest.mark.parametrize("few", [people(4), people(6, 3)])
def test_too_few_people_or_pictures_are_no_calibration(few: dict[str, list[Picture]]) -> None:
    found = calibrate(few, Labelled())
    assert isinstance(found, Refusal)
    assert found.code == "calibration_small"


def test_a_picture_of_two_people_is_nobodys() -> None:
    crowd = people(5, 4)
    crowd["person 0"][0] = plain(0, 0, faces=2)
    found = calibrate(crowd, Labelled())
    assert isinstance(found, Refusal)
    assert found.detail.startswith("4 people")


def test_the_interval_is_the_exact_one() -> None:
    # Clopper and Pearson: 0 of n has its upper end at 1 - (0.025)^(1/n).
    assert rate(0, 3636).high_ppm == round((1 - 0.025 ** (1 / 3636)) * 1e6)
    assert rate(0, 3636).low_ppm == 0


def test_an_engine_opens_with_its_own_calibration_only(pack_dir: Path, tmp_path: Path) -> None:
    engine = open_engine(pack_dir)
    assert isinstance(engine, InsightFaceEngine)
    shipped = calibration_for(engine.id, engine.digest, engine.settings)
    assert not isinstance(shipped, Refusal)
    assert engine.profile == shipped.profile()
    bare = open_uncalibrated(pack_dir)
    assert isinstance(bare, InsightFaceEngine)
    with pytest.raises(RuntimeError, match="no calibration"):
        _ = bare.profile
    for broken in (b"", b"{}", b"x" * 70_000):
        file = tmp_path / "calibration.json"
        file.write_bytes(broken)
        refusal = open_engine(pack_dir, calibration=file)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "calibration_mismatch"
    unknown = calibration_for("insightface/bought", "0" * 64, {})
    assert isinstance(unknown, Refusal)


def test_the_command_says_what_is_missing(
    pack_dir: Path, demo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One person's folder is no calibration; the real pack is opened and the code is named."""
    out = tmp_path / "made.json"
    command = ["calibrate", str(demo_dir), "--pack", str(pack_dir), "--out", str(out), "--json"]
    assert cli.main(command) == 2
    assert json.loads(capsys.readouterr().out)["open"][0]["code"] == "calibration_small"
    assert not out.exists()


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_command_writes_a_file_that_opens_again(
    lang: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, pictures in people(5, 4).items():
        (tmp_path / "set" / name).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            png = BytesIO()
            Image.open(BytesIO(picture.data)).save(png, "PNG")
            (tmp_path / "set" / name / f"{number}.png").write_bytes(png.getvalue())
    (tmp_path / "set" / "person 0" / "notes.txt").write_text("no picture")
    monkeypatch.setattr("training.desk.curate._engine", lambda options: Labelled())
    out = tmp_path / "made.json"
    assert cli.main(["calibrate", str(tmp_path / "set"), "--out", str(out), "--lang", lang]) == 0
    said, left = capsys.readouterr()
    assert "person 0/notes.txt: image_unreadable" in left
    assert ("本人を拒む誤り 0/" if lang == "ja" else "false rejects 0/") in said
    found = calibration_for(Labelled.id, Labelled.digest, Labelled.settings, out)
    assert not isinstance(found, Refusal)
    assert found.people == 5
