"""The real insightface `FaceAnalysis` on a verified local pack; it never downloads.

Stage 5 (curation). Trusts the pinned SHA-256 of the pack's manifest, nothing else. insightface
would take a folder of the pack's name in the current directory, or fetch one: it is only ever
given an absolute path that has just been verified.

A second person who lies sideways in a picture reads as a stranger or as nobody, so every picture
is looked at in all four quarter turns, and boxes that are the same face are merged afterwards.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from insightface.app import FaceAnalysis

from registry.core.refusals import Refusal
from training.core.calibration import Calibration
from training.core.curation import Profile
from training.engines.base import (
    NEAR_SIDE,
    Box,
    Face,
    Rgb,
    Scene,
    boxes_overlap,
    made_small,
    overlap,
    similarity,
    turned,
)
from training.engines.calibrations import calibration_for
from training.engines.pack import MANIFEST, PACK_SHA256, Pack, PackError, verify_pack
from training.engines.scene import SceneEngine, open_scene
from training.engines.scenery import PACK_ID
from training.engines.second_look import seen_again

_LARGE_ENOUGH = 112  # pixels: what the recogniser is given
_WORTH_IT = 1.3
_STEP = 32
_BORDER = 0.12  # of the long side
_NEW = 0.1
_LEAST_SEEN, _NEARLY_WHOLE = 0.3, 0.85
_LEAST_EDGE = 24  # pixels of the view
_WITHIN = 0.05
_NEVER_SURE = 0.79  # what a mirror image made: a reviewer looks


@dataclass(frozen=True)
class EngineSettings:
    """How the pack is used. Part of every template: other settings give other embeddings."""

    # 640 alone misses 7 of 95 tight crops; 320 beside it misses none. 1280 ruins small pictures.
    detector_sizes: tuple[int, ...] = (320, 640)
    # Faces from 0.6; those under 0.8 are reported as possible faces and go to a reviewer.
    score_permille: int = 600
    # In a turned picture hands and folds of cloth read as faces up to about 0.78 (0 of 81 pictures
    # at 0.8), real faces as surely as in an upright one; a box found by turning counts from here.
    turned_score_permille: int = 800
    nms_permille: int = 300
    # All four, or a picture on its side hides a person.
    quarter_turns: tuple[int, ...] = (0, 1, 2, 3)
    # The picture is looked at with its long side at most this long …
    view_side: int = 640
    # … once more much larger, for faces so small (there) that 640 cannot see them, where only what
    # is surely a face counts: at that size gravel and leaves look like small ones.
    large_side: int = NEAR_SIDE
    small_view: int = 1600
    small_face: int = 60
    small_score_permille: int = 800
    # Lengths of embeddings: 24 faces of 32 pixels had 7.6 and more, stones and print 5.0 to 8.2.
    # A shorter one than these is never surely a face; and nothing small is one at all.
    sure_norm_tenths: int = 80
    least_norm_tenths: int = 70
    small_side: int = 48
    # Whatever has a shorter one than this is looked at a second time (`second_look`): 515 faces,
    # 139 of them on posters and shirts, had 0.82 and more but for 8; patterns mostly less than 0.7.
    doubtful_norm_tenths: int = 85
    least_sight_permille: int = 750
    sure_sight_permille: int = 800
    # A face that the picture's edge cuts in half, completed by its mirror image.
    edge_score_permille: int = 700
    # Two boxes are one face when they overlap this much …
    same_box_permille: int = 400
    # … or touch and have nearly the same embedding.
    same_face_permille: int = 800


class InsightFaceEngine:
    """`FaceEngine` on insightface. Make it with `open_engine`. One ONNX Runtime thread."""

    def __init__(
        self,
        pack: Pack,
        settings: EngineSettings,
        scenes: SceneEngine,
        calibration: Calibration | None = None,
    ) -> None:
        self._settings = settings
        self._calibration = calibration
        self._digest = pack.digest
        self._id = f"insightface/{pack.model_id}"
        self._scenes = scenes
        self._analysis = _load(pack.path, settings)

    @property
    def id(self) -> str:
        return self._id

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self._settings)

    @property
    def profile(self) -> Profile:
        """The rules with this pack's bands. Raises RuntimeError where nobody has measured them."""
        if self._calibration is None:
            raise RuntimeError("this engine has no calibration; it can be measured, not asked")
        return self._calibration.profile()

    def calibrated(self, calibration: Calibration) -> InsightFaceEngine:
        """This engine with the bands of a calibration that was made for it."""
        self._calibration = calibration
        return self

    @property
    def scenery(self) -> str:
        return self._scenes.digest

    def scene(self, rgb: Rgb) -> Scene:
        """Who is person and what the rest looks like."""
        return self._scenes.scene(rgb)

    def age(self, rgb: Rgb, face: Face) -> float:
        """How old a face looks, in years."""
        return self._scenes.age(rgb, face)

    def faces(self, rgb: Rgb, near: Rgb | None = None) -> list[Face]:
        """All faces of an H x W x 3 RGB picture, most confident first, each once.

        (1) a small and a large view of the picture; (2) the detector on the small one in every
        quarter turn, on the large one upright for small faces, and across the edges; (3) boxes of
        one face merged; (4) what is left described, from the smallest view that shows it well.
        """
        near = made_small(rgb, NEAR_SIDE) if near is None else near
        large = _View.of(near, max(near.shape[:2]) / max(rgb.shape[:2]))  # (1)
        small = large.smaller(self._settings.view_side)
        found: list[_Seen] = []
        for turn in self._settings.quarter_turns:  # (2)
            found += self._look(small.turned(turn))
        if large.side > self._settings.detector_sizes[-1] * _WORTH_IT:
            found += self._look_closely(large)
        # A face found upright and sideways is kept as the view that the detector is surest of.
        found.sort(key=lambda seen: (-seen.score, seen.view.turn))
        kept: list[_Seen] = []
        limit = self._settings.same_box_permille / 1000
        for seen in [*found, *self._at_the_edges(small)]:  # (3)
            boxes = (boxes_overlap(seen.inside(rgb), other.inside(rgb)) for other in kept)
            # What is seen only by completing half a face is one that nothing else has seen.
            if max(boxes, default=0.0) < (_NEW if seen.view.border else limit):
                kept.append(seen)
        faces: list[Face] = []
        for seen in kept:  # (4)
            face = self._described(rgb, large, seen)
            if face is not None and not any(self._same(face, other) for other in faces):
                faces.append(face)
        return faces

    def bare(self, rgb: Rgb) -> int:
        """How many faces insightface's own `get()` finds: what the engine is measured against."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return len(self._analysis.get(np.ascontiguousarray(rgb[:, :, ::-1])))

    def _look(self, view: _View) -> list[_Seen]:
        settings = self._settings
        least = settings.turned_score_permille if view.turn else settings.score_permille
        return self._detected(view, least, self._settings.detector_sizes)

    def _look_closely(self, view: _View) -> list[_Seen]:
        """Only what the small view cannot show: enlarging large faces ruins their points."""
        settings = self._settings
        found = self._detected(view, settings.small_score_permille, (settings.small_view,))
        shown_at = settings.small_view / view.side
        return [seen for seen in found if seen.side * shown_at < settings.small_face]

    def _at_the_edges(self, view: _View) -> list[_Seen]:
        """Faces that the picture's edge cuts in half: completed by their own mirror image.

        (Only where the border goes through the face; a detector sees no half faces.)
        """
        sizes = self._settings.detector_sizes[-1:]
        found = self._detected(view.mirrored(), self._settings.edge_score_permille, sizes)
        return [
            replace(seen, score=min(seen.score, _NEVER_SURE))
            for seen in found
            if seen.crosses(view.bgr.shape[1], view.bgr.shape[0])
        ]

    def _detected(self, view: _View, least: int, sides: tuple[int, ...]) -> list[_Seen]:
        sizes = [_fitting(view.bgr, side) for side in sides]
        boxes, points = self._analysis.det_model.detect(
            view.bgr, input_size=sizes, det_thresh=least / 1000
        )
        return [
            _Seen(box[:4].reshape(2, 2), five, float(box[4]), view)
            for box, five in zip(boxes, points, strict=True)
        ]

    def _described(self, rgb: Rgb, large: _View, seen: _Seen) -> Face | None:
        """The face with its embedding, from the smallest view in which it is large enough.

        How long an embedding is tells how much of a face there is in it (Meng and others, MagFace,
        CVPR 2021): gravel has short ones. None for something small that nobody could be known by.
        """
        box, points = seen.box(), seen.placed(seen.points)
        if seen.view.border or seen.view.scale == 1.0 or seen.side >= _LARGE_ENOUGH:
            pixels, here = seen.view.bgr, seen.points
        elif seen.side * large.scale / seen.view.scale >= _LARGE_ENOUGH or large.scale == 1.0:
            pixels, here = _around(large.bgr, box, points, seen.view.turn, large.scale)
        else:
            pixels, here = _around(rgb[:, :, ::-1], box, points, seen.view.turn, 1.0)
        with warnings.catch_warnings():
            # scikit-image announces the end of a call that insightface makes; not ours to change.
            warnings.simplefilter("ignore", FutureWarning)
            vector = self._analysis.models["recognition"].get(pixels, _Item(kps=here))
        norm = float(np.linalg.norm(vector))
        unit = np.asarray(vector / max(norm, 1e-9), np.float32)
        score = seen.score
        if norm * 10 < self._settings.sure_norm_tenths:
            score = min(score, _NEVER_SURE)
        if norm * 10 < self._settings.doubtful_norm_tenths and not _at_the_edge(box, rgb):
            sight = self._second_look(large, box, seen.view.turn) * 1000
            if sight < self._settings.least_sight_permille:
                return None
            if sight < self._settings.sure_sight_permille:
                score = min(score, _NEVER_SURE)
        face = Face(box, score, unit, points, seen.view.turn)
        small = face.side < self._settings.small_side and not seen.view.border
        return None if small and norm * 10 < self._settings.least_norm_tenths else face

    def _second_look(self, large: _View, box: Box, turn: int) -> float:
        left, top, right, bottom = (value * large.scale for value in box)
        here = (left, top, right, bottom)
        return seen_again(large.bgr, here, turn, self._analysis.det_model, self._scenes.person)

    def _same(self, one: Face, other: Face) -> bool:
        shared = overlap(one, other) * 1000
        if shared >= self._settings.same_box_permille:
            return True
        alike = similarity(one.embedding, other.embedding) * 1000
        return shared > 0 and alike >= self._settings.same_face_permille


def open_engine(
    pack_dir: Path,
    *,
    digest: str = PACK_SHA256,
    calibration: Path | None = None,
    scenery: Path | None = None,
) -> InsightFaceEngine | Refusal:
    """Open the engine on the pack in `pack_dir`, verified against the pinned manifest digest.

    `calibration` is the operator's own file; by default the one that ships with the pack. Returns
    the refusals of `open_uncalibrated`, and `calibration_mismatch`.
    """
    engine = open_uncalibrated(pack_dir, digest=digest, scenery=scenery)
    if isinstance(engine, Refusal):
        return engine
    found = calibration_for(engine.id, engine.digest, engine.settings, calibration)
    return found if isinstance(found, Refusal) else engine.calibrated(found)


def open_uncalibrated(
    pack_dir: Path,
    *,
    digest: str = PACK_SHA256,
    settings: EngineSettings | None = None,
    scenery: Path | None = None,
) -> InsightFaceEngine | Refusal:
    """An engine that finds and compares faces and has no bands: to calibrate, and to measure.

    Returns Refusal `engine_missing` when there is no pack, `engine_altered` when there is one and
    it is not the pinned one: altered weights are never loaded.
    """
    if not (pack_dir / MANIFEST).is_file():
        return Refusal("engine_missing", f"no face pack in {pack_dir.name}")
    try:
        pack = verify_pack(pack_dir, digest)
    except PackError as error:
        return Refusal("engine_altered", str(error))
    # Beside the face pack, where set-up puts it.
    scenes = open_scene(scenery or pack_dir.parent / PACK_ID)
    if isinstance(scenes, Refusal):
        return scenes
    return InsightFaceEngine(pack, settings or EngineSettings(), scenes)


def _load(pack_dir: Path, settings: EngineSettings) -> Any:
    options = onnxruntime.SessionOptions()
    # ONNX Runtime's threads spin: two of them cost more CPU than one. Use processes instead.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    analysis = FaceAnalysis(
        name=str(pack_dir), providers=["CPUExecutionProvider"], sess_options=options
    )
    sizes = [(size, size) for size in settings.detector_sizes]
    analysis.prepare(ctx_id=0, det_size=sizes, det_thresh=settings.score_permille / 1000)
    analysis.det_model.nms_thresh = settings.nms_permille / 1000
    return analysis


def _at_the_edge(box: Box, rgb: Rgb) -> bool:
    """Whether the picture's edge cuts a face, or nearly: there is less of a body to see."""
    left, top, right, bottom = box
    room = _WITHIN * max(right - left, bottom - top)
    height, width = rgb.shape[:2]
    return left < room or top < room or right > width - room or bottom > height - room


class _Item(dict[str, Any]):
    """What insightface's recogniser is given and writes to: a dictionary with attributes."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


@dataclass(frozen=True, eq=False)
class _View:
    """The picture made smaller, as a detector takes it: BGR, turned, with a mirrored border.

    `height` and `width` are those of the upright view without the border.
    """

    bgr: Rgb
    scale: float
    height: int
    width: int
    turn: int = 0
    border: int = 0

    @classmethod
    def of(cls, rgb: Rgb, scale: float) -> _View:
        """A copy of the picture at a scale."""
        return cls(np.ascontiguousarray(rgb[:, :, ::-1]), scale, rgb.shape[0], rgb.shape[1])

    def smaller(self, side: int) -> _View:
        """A smaller view of this one."""
        bgr = made_small(self.bgr, side)
        scale = self.scale * max(bgr.shape[:2]) / self.side
        return _View(bgr, scale, bgr.shape[0], bgr.shape[1])

    @property
    def side(self) -> int:
        """The long side."""
        return max(self.height, self.width)

    def turned(self, turn: int) -> _View:
        return replace(self, bgr=np.ascontiguousarray(np.rot90(self.bgr, turn)), turn=turn)

    def mirrored(self) -> _View:
        """With its own mirror image around it."""
        by = min(round(_BORDER * self.side), self.height - 1, self.width - 1)
        wider = cv2.copyMakeBorder(self.bgr, by, by, by, by, cv2.BORDER_REFLECT)
        return replace(self, bgr=np.asarray(wider), border=by)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A box in a view: corners and points in the view's own pixels, border and all."""

    corners: npt.NDArray[np.float32]
    points: npt.NDArray[np.float32]
    score: float
    view: _View

    @property
    def side(self) -> float:
        """The shorter side, in the view's pixels."""
        return float(np.min(self.corners[1] - self.corners[0]))

    def placed(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points of the view in the picture as it was given."""
        view = self.view
        upright = turned(points - view.border, view.turn, view.height, view.width)
        return np.asarray(upright / view.scale, np.float32)

    def box(self) -> Box:
        """The box in the picture as it was given."""
        corners = self.placed(self.corners)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def inside(self, rgb: Rgb) -> Box:
        """The box as far as it is in the picture."""
        left, top, right, bottom = self.box()
        height, width = rgb.shape[:2]
        return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))

    def crosses(self, width: int, height: int) -> bool:
        """Whether the picture's edge goes through the face, with a good part of it inside."""
        (left, top), (right, bottom) = self.corners - self.view.border
        over = (left < 0) + (top < 0) + (right > width) + (bottom > height)
        if over != 1 or self.side < _LEAST_EDGE:  # a corner, mirrored twice, looks like anything
            return False
        seen = max(min(right, width) - max(left, 0), 0) * max(min(bottom, height) - max(top, 0), 0)
        share = seen / max((right - left) * (bottom - top), 1.0)
        return bool(_LEAST_SEEN <= share < _NEARLY_WHOLE)


def _fitting(bgr: Rgb, side: int) -> tuple[int, int]:
    """Width and height of a detector's input whose long side is `side`, no larger than needed.

    The network halves its input five times: sides are multiples of 32.
    """
    scale = side / max(bgr.shape[:2])
    high, wide = (max(-(-round(x * scale) // _STEP), 1) * _STEP for x in bgr.shape[:2])
    return wide, high


def _around(
    bgr: Rgb, box: Box, points: npt.NDArray[np.float32], turn: int, scale: float
) -> tuple[Rgb, npt.NDArray[np.float32]]:
    """The part of a picture with a face and as much around it, upright, and the points in it.

    `box` and `points` are those of the whole picture, of which `bgr` is a copy at `scale`.
    """
    left, top, right, bottom = (value * scale for value in box)
    margin = max(right - left, bottom - top)
    rows = slice(max(int(top - margin), 0), max(int(bottom + margin), 1))
    columns = slice(max(int(left - margin), 0), max(int(right + margin), 1))
    part = bgr[rows, columns]
    here = points * scale - np.array([columns.start, rows.start], np.float32)
    here = turned(here, (4 - turn) % 4, part.shape[0], part.shape[1])
    return np.ascontiguousarray(np.rot90(part, turn)), here
