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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis

from registry.core.refusals import Refusal
from training.core.calibration import Calibration
from training.core.curation import Profile
from training.engines.base import Face, Rgb, overlap, similarity, turned
from training.engines.calibrations import calibration_for
from training.engines.pack import MANIFEST, PACK_SHA256, Pack, PackError, verify_pack


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
    # Two boxes are one face when they overlap this much …
    same_box_permille: int = 400
    # … or touch and have nearly the same embedding.
    same_face_permille: int = 800


class InsightFaceEngine:
    """`FaceEngine` on insightface. Make it with `open_engine`. One ONNX Runtime thread."""

    def __init__(
        self, pack: Pack, settings: EngineSettings, calibration: Calibration | None = None
    ) -> None:
        self._settings = settings
        self._calibration = calibration
        self._digest = pack.digest
        self._id = f"insightface/{pack.model_id}"
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

    def faces(self, rgb: Rgb) -> list[Face]:
        """All faces of an H x W x 3 RGB picture, most confident first, each once."""
        found: list[Face] = []
        for turn in self._settings.quarter_turns:
            found += self._look(rgb, turn)
        # A face found upright and sideways is kept as the view that the detector is surest of.
        found.sort(key=lambda face: (-face.score, face.turn))
        kept: list[Face] = []
        for face in found:
            if not any(self._same(face, other) for other in kept):
                kept.append(face)
        return kept

    def _look(self, rgb: Rgb, turn: int) -> list[Face]:
        bgr = np.ascontiguousarray(np.rot90(rgb, turn)[:, :, ::-1])
        with warnings.catch_warnings():
            # scikit-image announces the end of a call that insightface makes; not ours to change.
            warnings.simplefilter("ignore", FutureWarning)
            seen = self._analysis.get(bgr)
        least = self._settings.turned_score_permille / 1000 if turn else 0.0
        sure = [item for item in seen if item.det_score >= least]
        return [_face(item, turn, rgb.shape[0], rgb.shape[1]) for item in sure]

    def _same(self, one: Face, other: Face) -> bool:
        shared = overlap(one, other) * 1000
        if shared >= self._settings.same_box_permille:
            return True
        alike = similarity(one.embedding, other.embedding) * 1000
        return shared > 0 and alike >= self._settings.same_face_permille


def open_engine(
    pack_dir: Path, *, digest: str = PACK_SHA256, calibration: Path | None = None
) -> InsightFaceEngine | Refusal:
    """Open the engine on the pack in `pack_dir`, verified against the pinned manifest digest.

    `calibration` is the operator's own file; by default the one that ships with the pack. Returns
    the refusals of `open_uncalibrated`, and `calibration_mismatch`.
    """
    engine = open_uncalibrated(pack_dir, digest=digest)
    if isinstance(engine, Refusal):
        return engine
    found = calibration_for(engine.id, engine.digest, engine.settings, calibration)
    return found if isinstance(found, Refusal) else engine.calibrated(found)


def open_uncalibrated(
    pack_dir: Path, *, digest: str = PACK_SHA256, settings: EngineSettings | None = None
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
    return InsightFaceEngine(pack, settings or EngineSettings())


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


def _face(item: Any, turn: int, height: int, width: int) -> Face:
    corners = turned(item.bbox.reshape(2, 2), turn, height, width)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return Face(
        box=(float(left), float(top), float(right), float(bottom)),
        score=float(item.det_score),
        embedding=np.asarray(item.normed_embedding, np.float32),
        keypoints=turned(item.kps, turn, height, width),
        turn=turn,
    )
