"""A second look at what may be no face: gravel, leaves, stars and print look like small ones.

Stage 5 (curation). Trusts the two networks it is given. A face is a face at every size, turned a
little, and in a mirror; a pattern that happens to look like one at one size is not. And a face is
somebody's: the network that sees people sees one there, or else more is asked of the detector,
because faces on posters are faces as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from training.engines.base import Box, Rgb

# The face's width in pixels, by how many degrees it is turned, mirrored or not, the view's side.
_LOOKS: Final = (
    (40, 0, False, 192),
    (64, 0, True, 192),
    (64, 8, False, 192),
    (100, -8, False, 320),
    (100, 0, True, 320),
)
_LEAST: Final = 0.3
_FRAMES: Final = (2.2, 3.0, 4.0)  # times the face
_NOBODY: Final = 0.2
_ASKED_MORE: Final = 0.06
Person = Callable[[Rgb], npt.NDArray[np.float32]]


def seen_again(bgr: Rgb, box: Box, turn: int, detector: Any, person: Person) -> float:
    """How surely there is a face in a box of a BGR picture, 0..1; `turn` as `Face` has it.

    The mean of the detector's scores over five looks, less a little where nobody is seen.
    """
    looks = [_look(bgr, box, turn, detector, look) for look in _LOOKS]
    return float(np.mean(looks)) - (_ASKED_MORE if _body(bgr, box, turn, person) < _NOBODY else 0)


def _look(
    bgr: Rgb, box: Box, turn: int, detector: Any, look: tuple[int, float, bool, int]
) -> float:
    """The score of the surest face of about this size in the middle; 0 where there is none."""
    width, degrees, mirrored, side = look
    middle, own = _middle(box)
    scale = width / own
    matrix = cv2.getRotationMatrix2D(middle, degrees + 90 * turn, scale)
    matrix[:, 2] += side / 2 - np.array(middle)
    source = bgr if scale >= 0.5 else np.asarray(cv2.GaussianBlur(bgr, (0, 0), 0.4 / scale))
    view = cv2.warpAffine(source, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    if mirrored:
        view = np.ascontiguousarray(view[:, ::-1])
    found, _ = detector.detect(view, input_size=[(side, side)], det_thresh=_LEAST)
    scores = [0.0]
    for left, top, right, bottom, score in found[:, :5]:
        size = max(right - left, bottom - top)
        off = max(abs(left + right - side), abs(top + bottom - side)) / 2
        if width / 2 < size < width * 2 and off < width / 2:
            scores.append(float(score))
    return max(scores)


def _body(bgr: Rgb, box: Box, turn: int, person: Person) -> float:
    """How much of a person is seen in a box, 0..1: the least of what several framings show."""
    middle, own = _middle(box)
    seen = []
    for frame in _FRAMES:
        side = max(round(own * frame), 2)
        part = cv2.getRectSubPix(bgr, (side, side), middle)
        mask = person(np.ascontiguousarray(np.rot90(part, turn)[:, :, ::-1]))
        half = mask.shape[0] / frame / 2
        inner = slice(round(mask.shape[0] / 2 - half), round(mask.shape[0] / 2 + half))
        seen.append(float(mask[inner, inner].mean()))
    return min(seen)


def _middle(box: Box) -> tuple[tuple[float, float], float]:
    """Where a box is, and its longer side."""
    left, top, right, bottom = box
    return ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top, 1.0)
