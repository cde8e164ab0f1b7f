"""Looks at everything in a picture but who it is: where people are, and what the rest looks like.

Stage 5 (curation). Trusts the scenery pack's pinned digest, nothing else. Three small networks on
ONNX Runtime, one thread each: a mask of people, a map of what a place or a piece of clothing looks
like, and how old a face seems. Their outputs never leave this floor; a report says which pictures
are alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from registry.core.refusals import Refusal
from training.engines.base import Face, Rgb, Scene
from training.engines.pack import MANIFEST, PackError
from training.engines.scenery import AGE, PERSON, PLACE, verify_scenery

MASK_SIDE: Final = 256
MAP_SIDE: Final = 320
_FACE_SIDE: Final = 64
# The eyes in a chip of 64 pixels: dlib's mean shape with the padding of 0.2 that the network knows.
_EYES: Final = (np.array([(0.2273, 0.2213), (0.7528, 0.2213)]) + 0.2) / 1.4 * _FACE_SIDE
_MEANS: Final = np.array([122.782, 117.001, 104.298], np.float32)
_YEARS: Final = np.array([0.25, *range(1, 81)], np.float32)


class SceneEngine:
    """The two networks, opened. Make it with `open_scene`."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.digest = digest
        self._person = _session(folder / PERSON)
        self._place = _session(folder / PLACE)
        self._age = _session(folder / AGE)

    def scene(self, rgb: Rgb) -> Scene:
        """What an H x W x 3 RGB picture shows besides faces. About 30 ms of processor time."""
        found = self._run(
            self._place, (_resized(rgb, MAP_SIDE) - np.float32(127)) / np.float32(128)
        )
        return Scene(self.person(rgb), found[0])

    def person(self, rgb: Rgb) -> npt.NDArray[np.float32]:
        """The mask alone: 256 x 256, share of person 0..1. About 7 ms."""
        mask = self._run(self._person, _resized(rgb, MASK_SIDE) / np.float32(255))
        return np.asarray(mask[0, 0])

    def age(self, rgb: Rgb, face: Face) -> float:
        """How old a face looks, in years; off by ten and more. A few ms.

        Good for one question only: whether somebody must show a document (A24). It proves nothing.
        """
        matrix = cv2.estimateAffinePartial2D(
            np.asarray(face.keypoints[:2], np.float32), _EYES.astype(np.float32)
        )[0]
        scale = 0.0 if matrix is None else float(np.hypot(matrix[0, 0], matrix[1, 0]))
        if not 1e-3 < scale < 1e3:  # both eyes in one place
            return 0.0
        soft = rgb if scale >= 0.5 else cv2.GaussianBlur(rgb, (0, 0), 0.4 / scale)
        chip = cv2.warpAffine(soft, matrix, (_FACE_SIDE, _FACE_SIDE)).astype(np.float32)
        return float(self._run(self._age, (chip - _MEANS) / np.float32(256))[0] @ _YEARS)

    def _run(self, session: Any, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        name = session.get_inputs()[0].name
        return np.asarray(session.run(None, {name: pixels.transpose(2, 0, 1)[None]})[0])


def open_scene(folder: Path) -> SceneEngine | Refusal:
    """Open the pack in `folder`. Refusals: `engine_missing`, `engine_altered`."""
    if not (folder / MANIFEST).is_file():
        return Refusal("engine_missing", f"no scenery pack in {folder.name}")
    try:
        digest = verify_scenery(folder)
    except PackError as error:
        return Refusal("engine_altered", str(error))
    return SceneEngine(folder.resolve(), digest)


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _resized(rgb: Rgb, side: int) -> npt.NDArray[np.float32]:
    small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
