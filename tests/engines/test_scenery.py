"""The scenery pack: converted exactly, pinned, and what it sees is what is there."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from registry.core.refusals import Refusal
from tests.bench import people
from tests.core.test_curation import picture as taken
from tests.engines.test_survey import as_picture, codes
from training.core.curation import FaceMeasure, Measurement, Profile
from training.core.curation_alike import distance, pose_distance
from training.core.pictures import Picture
from training.engines import lite0, pack, scenery, tflite
from training.engines.base import Face, Rgb
from training.engines.insightface import (
    EngineSettings,
    InsightFaceEngine,
    open_engine,
    open_uncalibrated,
)
from training.engines.measure import Person, _bodies, measure
from training.engines.scene import SceneEngine, open_scene
from training.engines.survey import Template, _strangers, enrol, pixels, survey

pytestmark = pytest.mark.ml


@pytest.fixture
def own_scenery(scenery_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenery_dir, tmp_path / scenery.PACK_ID))


# --- the pack -------------------------------------------------------------------------------------


def test_it_is_the_pinned_one_and_carries_its_licence(scenery_dir: Path) -> None:
    assert scenery.verify_scenery(scenery_dir) == scenery.digest()
    notices = (scenery_dir / pack.NOTICES).read_text("utf-8")
    assert "MediaPipe" in notices
    assert "Apache License" in notices
    for name in (scenery.PERSON, scenery.PLACE):
        onnx.checker.check_model(onnx.load(scenery_dir / name))


@pytest.mark.parametrize("name", [scenery.PERSON, scenery.PLACE, pack.MANIFEST])
def test_one_flipped_byte_and_nothing_opens(own_scenery: Path, name: str, pack_dir: Path) -> None:
    assert isinstance(open_scene(own_scenery), SceneEngine)
    data = bytearray((own_scenery / name).read_bytes())
    data[len(data) // 2] ^= 1
    (own_scenery / name).write_bytes(data)
    for refusal in (open_scene(own_scenery), open_engine(pack_dir, scenery=own_scenery)):
        assert isinstance(refusal, Refusal)
        assert refusal.code == "engine_altered"


def test_without_it_no_engine_opens(pack_dir: Path, tmp_path: Path) -> None:
    refusal = open_engine(pack_dir, scenery=tmp_path)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.detail) == (
        "engine_missing",
        f"no scenery pack in {tmp_path.name}",
    )


def test_other_wheels_build_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in scenery.SOURCES.values():
        name = source.requirement.partition("==")[0].replace("-", "_")
        (tmp_path / f"{name}-1-py3-none-any.whl").write_bytes(b"PK\x03\x04 something else")
    out = tmp_path / "out"
    assert scenery.main(["--out", str(out), "--wheels", str(tmp_path)]) == 1
    assert "next step" in capsys.readouterr().err
    assert not out.exists()


# --- the converters -------------------------------------------------------------------------------


class Evil:
    """What a weight file would do, were it believed."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("run",)


def test_a_weight_file_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [pickle.dumps(part, protocol=2) for part in (lite0._MAGIC, 1001, {}, {"w": Evil()})]
    with pytest.raises(pickle.UnpicklingError, match="not plain data"):
        lite0.weights(b"".join(parts))
    with pytest.raises(ValueError, match="older form"):
        lite0.weights(pickle.dumps(1, protocol=2))
    assert capsys.readouterr().out == ""


def test_a_tensor_outside_its_storage_is_refused() -> None:
    view = lite0._View("0", 2, (2, 2), (2, 1))
    numbers = {"0": np.arange(6, dtype=np.float32)}
    assert view.read(numbers).tolist() == [[2, 3], [4, 5]]
    across = lite0._View("0", 0, (2, 3), (1, 2)).read(numbers)
    assert across.tolist() == [[0, 2, 4], [1, 3, 5]]
    for bad in (lite0._View("0", 3, (2, 2), (2, 1)), lite0._View("0", -1, (1,), (1,))):
        with pytest.raises(ValueError, match="outside"):
            bad.read(numbers)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (256, 3, 2, (0, 1)),
        (256, 3, 1, (1, 1)),
        (7, 5, 2, (2, 2)),
        (8, 5, 2, (1, 2)),
        (4, 1, 1, (0, 0)),
    ],
)
def test_same_padding_is_tensorflows(
    size: int, kernel: int, stride: int, pads: tuple[int, int]
) -> None:
    assert tflite.same_pads(size, kernel, stride) == pads


def test_an_unknown_operator_is_no_network() -> None:
    class Code:
        def BuiltinCode(self) -> int:
            return 97

        DeprecatedBuiltinCode = BuiltinCode

    graph = object.__new__(tflite._Graph)
    graph._tflite = type("M", (), {"OperatorCodes": lambda self, n: Code()})()
    graph._words = {97: "RESIZE_NEAREST_NEIGHBOR"}
    with pytest.raises(tflite.ConversionError, match="RESIZE_NEAREST"):
        graph.add(type("Op", (), {"OpcodeIndex": lambda self: 0})())


# --- what it sees ---------------------------------------------------------------------------------


def test_a_person_is_masked_and_the_place_is_not(
    engine: InsightFaceEngine, alice: list[Picture]
) -> None:
    rgb = pixels(alice[2])
    (face,) = engine.faces(rgb)
    mask = cv2.resize(engine.scene(rgb).mask, rgb.shape[1::-1])
    left, top, right, bottom = (int(value) for value in face.box)
    assert mask[top:bottom, left:right].mean() > 0.9
    assert mask[:40].mean() < 0.1
    empty = engine.scene(np.full((300, 300, 3), 128, np.uint8))
    assert empty.mask.max() < 0.5


def measured(engine: InsightFaceEngine, template: Template, rgb: Rgb) -> Measurement:
    picture = as_picture(rgb)
    plain = pixels(picture)
    known = {"": Person(template.centroid, template.spots)}
    return measure("p", picture, plain, engine.faces(plain), known, engine.scene)


def test_a_region_is_what_lies_in_it_and_not_beside_it(
    engine: InsightFaceEngine, template: Template, alice: list[Picture]
) -> None:
    rgb = pixels(alice[2])
    one = measured(engine, template, rgb)
    painted = rgb.copy()
    painted[:40] = (0, 200, 0)
    other = measured(engine, template, painted)
    walls = np.array([one.background, other.background], dtype=np.int64)
    clothes = np.array([one.outfit, other.outfit], dtype=np.int64)
    assert distance(walls)[0, 1] > 2 * distance(clothes)[0, 1]
    assert len(one.background_map) == len(one.outfit_map) == lite0.CHANNELS


def test_half_a_face_at_the_edge_is_somebody(
    engine: InsightFaceEngine, alice: list[Picture], planted: dict[str, Picture]
) -> None:
    rgb = pixels(planted["planted"])
    him = min(engine.faces(rgb), key=lambda face: face.box[0])
    part = rgb[:, int((him.box[0] + him.box[2]) / 2) :]
    part = np.asarray(cv2.resize(np.ascontiguousarray(part), None, fx=2, fy=2))
    found = engine.faces(part)
    assert len(found) == 2
    cut = min(found, key=lambda face: face.box[0])
    assert cut.box[0] <= 0
    assert cut.score < 0.8  # a reviewer looks: half of it was made up


def test_a_small_face_in_a_large_picture_is_somebody(
    engine: InsightFaceEngine, alice: list[Picture], planted: dict[str, Picture]
) -> None:
    rgb = pixels(planted["planted"])
    him = min(engine.faces(rgb), key=lambda face: face.box[0])
    left, top, right, bottom = (int(value) for value in him.box)
    side = right - left
    part = rgb[max(top - side, 0) : bottom + side, max(left - side, 0) : right + side]
    scale = 36 / side
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    large = cv2.resize(pixels(alice[2]), (1200, 1200), interpolation=cv2.INTER_CUBIC)
    large[60 : 60 + small.shape[0], 60 : 60 + small.shape[1]] = small
    assert len(engine.faces(large)) == 2


def stones(seed: int) -> Rgb:
    """A heap of rounded stones that no camera took."""
    dice = np.random.default_rng(seed)
    gap = np.full((600, 450), 255, np.uint8)
    count = int(dice.integers(200, 3000))
    gap[dice.integers(0, 600, count), dice.integers(0, 450, count)] = 0
    far = cv2.distanceTransform(gap, cv2.DIST_L2, 5)
    soft = cv2.GaussianBlur(dice.normal(0, 60, far.shape), (0, 0), 1.5)
    grey = 255 - (far / far.max() * 300 + soft).clip(0, 255)
    brown = (grey[..., None] * (1, 0.8, 0.6)).astype(np.uint8)
    return np.asarray(cv2.resize(brown, (900, 1200), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("seed", [12, 19, 33])
def test_stones_are_nobody_though_a_detector_is_sure(
    seed: int, engine: InsightFaceEngine, pack_dir: Path
) -> None:
    believing = replace(
        EngineSettings(), sure_norm_tenths=0, least_norm_tenths=0, doubtful_norm_tenths=0
    )
    blind = open_uncalibrated(pack_dir, settings=believing)
    assert isinstance(blind, InsightFaceEngine)
    assert max(face.score for face in blind.faces(stones(seed))) >= 0.8
    assert engine.faces(stones(seed)) == []


@pytest.mark.parametrize("seed", [14, 15, 39])
def test_a_pattern_is_no_face_at_another_size(
    seed: int, engine: InsightFaceEngine, pack_dir: Path
) -> None:
    """What the first look alone would leave to a reviewer."""
    once = open_uncalibrated(pack_dir, settings=replace(EngineSettings(), doubtful_norm_tenths=0))
    assert isinstance(once, InsightFaceEngine)
    assert once.faces(stones(seed))
    assert engine.faces(stones(seed)) == []


@pytest.mark.parametrize("size", [28, 40, 70])
def test_a_face_on_a_poster_is_somebody(
    size: int, engine: InsightFaceEngine, alice: list[Picture], planted: dict[str, Picture]
) -> None:
    """No body belongs to it, and the second look knows that faces on posters are faces."""
    rgb = pixels(planted["planted"])
    him = min(engine.faces(rgb), key=lambda face: face.box[0])
    left, top, right, bottom = (int(value) for value in him.box)
    side = right - left
    part = rgb[max(top - side // 2, 0) : bottom + side // 2, max(left - side // 2, 0) :]
    part = part[:, : 2 * side]
    scale = size / side
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]
    large = cv2.resize(pixels(alice[2]), (1200, 1200), interpolation=cv2.INTER_CUBIC)
    large[40 : 80 + grey.shape[0], 40 : 80 + grey.shape[1]] = 235
    large[60 : 60 + grey.shape[0], 60 : 60 + grey.shape[1]] = grey
    assert len(engine.faces(large)) == 2


# --- faults ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def close(alice: list[Picture]) -> Rgb:
    """Alice from so near that her skin can be judged."""
    rgb = pixels(alice[0])
    return np.asarray(
        cv2.resize(rgb[40:240, 130:330], (800, 800), interpolation=cv2.INTER_LANCZOS4)
    )


def test_a_painted_mole_is_more_than_her_references_have(
    engine: InsightFaceEngine, close: Rgb
) -> None:
    references = [as_picture(np.asarray(close * light, np.uint8)) for light in (1.0, 0.95, 0.9)]
    template = enrol(references, engine)
    assert isinstance(template, Template)
    limit = engine.profile.max_marks
    assert measured(engine, template, close).marks <= limit
    (face,) = engine.faces(close)
    spot = face.keypoints[0] * 0.45 + face.keypoints[3] * 0.55
    painted = close.copy()
    cv2.circle(painted, (int(spot[0]), int(spot[1])), 7, (60, 35, 30), -1, cv2.LINE_AA)
    assert measured(engine, template, painted).marks > limit
    bare = replace(template, spots=np.zeros((0, 0), np.uint8))
    assert measured(engine, bare, painted).marks == 0


def test_compression_shows_at_the_borders_of_its_blocks(
    engine: InsightFaceEngine, template: Template, alice: list[Picture]
) -> None:
    rgb = pixels(alice[0])
    _, squeezed = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 12])
    damaged = people.decoded(squeezed.tobytes())
    limit = engine.profile.max_blocks
    assert measured(engine, template, rgb).blocks <= limit
    assert measured(engine, template, damaged).blocks > limit


def test_a_cut_and_mirrored_picture_is_the_same_one(
    engine: InsightFaceEngine, template: Template, alice: list[Picture]
) -> None:
    rgb = pixels(alice[4])
    cut = as_picture(rgb[25:-25, 30:-20][:, ::-1])
    made = survey([alice[4], cut], template, engine)
    assert "near_duplicate" in codes(made)
    assert made.scenery == scenery.digest()
    assert "near_duplicate" not in codes(survey([alice[4], alice[8]], template, engine))


def test_the_spots_are_kept_with_the_template(template: Template) -> None:
    again = Template.load(template.dump())
    assert np.array_equal(again.spots, template.spots)
    assert again.spots.any()
    stored = io.BytesIO(template.dump())
    assert stored.getbuffer().nbytes < 64_000


def test_one_man_in_two_pictures_is_a_person_and_alice_in_five_is_none(
    engine: InsightFaceEngine,
    template: Template,
    alice: list[Picture],
    planted: dict[str, Picture],
) -> None:
    both = survey([*alice[3:8], planted["planted"], planted["planted-sideways"]], template, engine)
    recurring = [item.pictures for item in both.findings if item.code == "person_recurs"]
    assert recurring == [("p006", "p007")]
    once = survey([*alice[3:8], planted["planted"]], template, engine)
    assert "person_recurs" not in codes(once)
    assert "unknown_face" in codes(once)


@pytest.mark.parametrize(("score", "strangers"), [(790, {0}), (800, {1})])
def test_only_what_is_surely_a_face_comes_again(score: int, strangers: set[int]) -> None:
    """Gravel looks like itself in every picture, and is nobody."""
    his, hers = np.eye(128, dtype=np.float32)[:2]
    face = FaceMeasure((0, 0, 90, 90), score, 0, 0)
    items = [taken(n, faces=(face,)) for n in (1, 2)]
    people = {"": Person(hers, np.zeros((0, 0), np.uint8))}
    made = _strangers(items, [[his], [his]], people, Profile())
    assert {item.faces[0].stranger for item in made} == strangers


def test_a_body_without_a_face_is_counted(alice: list[Picture]) -> None:
    rgb, size = np.zeros((512, 512, 3), np.uint8), (512, 512)
    mask = np.zeros((256, 256), np.float32)
    mask[40:250, 20:110] = 1  # hers
    mask[60:250, 190:250] = 1  # somebody's back
    mask[5:15, 5:15] = 1  # too small for anybody
    points = np.zeros((5, 2), np.float32)
    hers = Face((80.0, 90.0, 180.0, 200.0), 0.9, np.zeros(128, np.float32), points, 0)
    assert _bodies(mask, rgb, [hers], 0, 1.0, size) == 1
    his = replace(hers, box=(400.0, 130.0, 480.0, 230.0))
    assert _bodies(mask, rgb, [hers, his], 0, 1.0, size) == 0
    assert _bodies(mask * 0.8, rgb, [], 0, 1.0, size) == 0


def test_a_grown_woman_looks_grown_and_no_points_say_nothing(
    engine: InsightFaceEngine, template: Template, alice: list[Picture]
) -> None:
    """The network's input is laid as it was trained: shifted or upside down it says anything."""
    assert 20 <= template.age < 60
    assert not template.young
    rgb = pixels(alice[0])
    (face,) = engine.faces(rgb)
    assert 20 <= engine.age(rgb, face) < 60
    nowhere = replace(face, keypoints=np.zeros((5, 2), np.float32))
    assert engine.age(rgb, nowhere) == 0
    assert not replace(template, age=0).young
    assert replace(template, age=19).young


def test_a_pose_is_the_same_in_another_place_and_another_one_when_the_head_turns(
    engine: InsightFaceEngine, template: Template, alice: list[Picture]
) -> None:
    """Composites of one photograph; mirrored, she looks and leans the other way."""
    rgb = pixels(alice[0])
    shown = [measured(engine, template, pixels(picture)) for picture in alice[:3]]
    mirrored = measured(engine, template, np.ascontiguousarray(rgb[:, ::-1]))
    gaps = pose_distance([item.pose for item in (*shown, mirrored)])
    cut = engine.profile.same_pose
    assert gaps[0, 1] <= cut
    assert gaps[0, 3] > gaps[0, 1]
    turned = measured(engine, template, np.ascontiguousarray(np.rot90(rgb)))
    assert pose_distance([shown[0].pose, turned.pose])[0, 1] <= cut
