"""Finds small dark spots on a face, and which of them the talent's references do not have.

Stage 5 (curation). Trusts the engine's five points; measures and never decides. Faces are laid
over each other by those points, so that one person's pictures can be compared spot by spot.

A spot is a blob: dark, small, and darker than its surroundings in every direction, which wrinkles,
hairs and shadows are not. It is the lesser eigenvalue of the Hessian at the scale that fits it best
(Lindeberg, Feature detection with automatic scale selection, 1998), against the skin around, for
a mole on dark skin is as dark as one on fair skin.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from training.engines.base import Face, Rgb, made_small

SPOTS_SIDE: Final = 256
Spots = npt.NDArray[np.uint8]
# Eyes, nose and corners of the mouth (x, y): as recognisers lay them (ArcFace's template), with
# 100 pixels between the eyes and the middle of the face in the middle of the picture.
_ARCFACE = np.array(
    [(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)], np.float32
)
_MIDDLE = (_ARCFACE[:2].mean(axis=0) + _ARCFACE[3:].mean(axis=0)) / 2
_FIVE = (_ARCFACE - _MIDDLE) * np.float32(100 / 35.2) + np.array([128, 132], np.float32)
_SCALES = (1.6, 2.4, 3.4, 4.6)
_DETAIL = 1.5  # a large face is averaged down to this many times the pixels it is laid in
_UNIT = 4.0  # spots are kept in quarters of a 255th of the skin's brightness
_DARKEST = 24.0
# How far one person's spot moves between two pictures: a head turns, a smile pulls.
_ROOM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
_CORNER = 20
_HELD_SIDE = 640
_HELD = ((5, 0.9), (-5, 0.8), (0, 0.65))
# What is skin: of the cheeks' median lightness in Lab, and its distance in colour.
_DARKER, _LIGHTER, _COLOUR = 0.5, 1.7, 22.0
_CHEEK = 12
_CLOSED = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))  # a mole is a hole in the skin
_INSIDE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))


def spots(rgb: Rgb, face: Face) -> Spots:
    """How much of a small dark spot there is at each place of a face: 256 x 256, 0..255."""
    return _blobs(_laid(rgb, face)[0])


def otherwise_held(rgb: Rgb, face: Face) -> Iterator[Rgb]:
    """The face once more, as a head or a camera held a little otherwise would show it.

    A detector lays its points a little elsewhere each time; spots that move with them are no news.
    """
    left, top, right, bottom = face.box
    margin = max(right - left, bottom - top)
    rows = slice(max(int(top - margin), 0), max(int(bottom + margin), 1))
    columns = slice(max(int(left - margin), 0), max(int(right + margin), 1))
    part = np.ascontiguousarray(made_small(rgb[rows, columns], _HELD_SIDE))
    size = part.shape[1], part.shape[0]
    for degrees, scale in _HELD:
        matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), degrees, scale)
        yield np.asarray(cv2.warpAffine(part, matrix, size, borderMode=cv2.BORDER_REPLICATE))


def known_spots(seen: Sequence[Spots]) -> Spots:
    """The spots of several pictures of one person together, with room for a turned head."""
    return np.asarray(cv2.dilate(np.max(np.stack(seen), axis=0), _ROOM))


def marks(rgb: Rgb, face: Face, known: Spots) -> int:
    """The strongest dark spot on bare skin that the references do not have; 0 for no references.

    In quarters of a 255th of the skin's brightness, less the references' own at the same place, so
    that a mole made darker counts by what was added.
    """
    if not known.size:
        return 0
    laid, points = _laid(rgb, face)
    more = _blobs(laid).astype(np.int16) - known
    return max(int(np.where(_bare(points) & _skin(laid, points), more, 0).max()), 0)


def _laid(rgb: Rgb, face: Face) -> tuple[Rgb, npt.NDArray[np.float32]]:
    """The face upright in 256 pixels, black where the picture ends, and its five points there."""
    points = np.asarray(face.keypoints, np.float32)
    matrix = cv2.estimateAffinePartial2D(points, _FIVE)[0]
    nothing = np.zeros((SPOTS_SIDE, SPOTS_SIDE, 3), np.uint8)
    if matrix is None:  # five points in one place
        return nothing, _FIVE
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    reach = 1.5 * SPOTS_SIDE / scale
    low = np.floor(points.mean(axis=0) - reach).clip(min=0).astype(int)
    high = np.ceil(points.mean(axis=0) + reach).clip(min=1).astype(int)
    part = rgb[low[1] : high[1], low[0] : high[0]]
    small = made_small(part, round(_DETAIL * scale * max(part.shape[:2]))) if part.size else part
    if not small.size:
        return nothing, _FIVE
    ratio = np.array([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]])
    matrix[:, 2] += matrix[:, :2] @ low
    points = (points - low) * ratio
    matrix[:, :2] /= ratio
    size = (SPOTS_SIDE, SPOTS_SIDE)
    laid = cv2.warpAffine(small, matrix, size, flags=cv2.INTER_CUBIC)
    return np.asarray(laid), np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _blobs(laid: Rgb) -> Spots:
    grey = cv2.cvtColor(laid, cv2.COLOR_RGB2GRAY).astype(np.float32)
    best = np.zeros_like(grey)
    for scale in _SCALES:
        soft = cv2.GaussianBlur(grey, (0, 0), scale)
        across = cv2.filter2D(soft, -1, np.array([[1, -2, 1]], np.float32))
        down = cv2.filter2D(soft, -1, np.array([[1], [-2], [1]], np.float32))
        both = cv2.filter2D(soft, -1, np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], np.float32) / 4)
        lesser = (across + down) / 2 - np.hypot((across - down) / 2, both)
        around = np.maximum(cv2.GaussianBlur(grey, (0, 0), 3 * scale), _DARKEST)
        best = np.maximum(best, scale**2 * lesser / around)
    return np.asarray((best * 255 * _UNIT).clip(0, 255).astype(np.uint8))


def _bare(points: Any) -> npt.NDArray[np.bool_]:
    """Cheeks, chin and the ridge of the nose: no eyes, brows, nostrils, lips, hair."""
    mask = np.zeros((SPOTS_SIDE, SPOTS_SIDE), np.uint8)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    tall = float(np.linalg.norm(mouth - eyes))

    def oval(middle: Any, down: float, wide: float, high: float, value: int) -> None:
        centre = (round(float(middle[0])), round(float(middle[1]) + down * tall))
        axes = (round(wide * tall), round(high * tall))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, value, -1)

    oval((eyes + mouth) / 2, 0.08, 0.85, 1.05, 1)
    for eye in points[:2]:
        oval(eye, -0.08, 0.45, 0.36, 0)
    oval(points[2], 0.05, 0.34, 0.22, 0)
    lips = float(np.linalg.norm(points[4] - points[3])) / 2 / max(tall, 1.0)
    oval(mouth, 0.05, max(lips + 0.08, 0.3), 0.32, 0)
    for x, y in points[3:]:  # a smile's corners are dark
        cv2.circle(mask, (round(float(x)), round(float(y))), _CORNER, 0, -1)
    mask[: max(round(float(eyes[1])), 0)] = 0  # a fringe is no mole
    return mask.astype(bool)


def _skin(laid: Rgb, points: Any) -> npt.NDArray[np.bool_]:
    """Where there is skin like that of the cheeks on every side: no hair, jewels or background."""
    soft = cv2.GaussianBlur(laid, (0, 0), 1.5)
    lab = cv2.cvtColor(soft, cv2.COLOR_RGB2LAB).astype(np.float32)
    cheeks = []
    for x, y in (points[:2] + points[3:]) / 2:
        column, row = (int(np.clip(v, _CHEEK, SPOTS_SIDE - _CHEEK)) for v in (x, y))
        cheeks.append(lab[row - _CHEEK : row + _CHEEK, column - _CHEEK : column + _CHEEK])
    light, red, yellow = np.median(np.concatenate(cheeks).reshape(-1, 3), axis=0)
    like = (lab[..., 0] > _DARKER * light) & (lab[..., 0] < _LIGHTER * light)
    like &= np.hypot(lab[..., 1] - red, lab[..., 2] - yellow) < _COLOUR
    closed = cv2.morphologyEx(like.astype(np.uint8), cv2.MORPH_CLOSE, _CLOSED)
    return np.asarray(cv2.erode(closed, _INSIDE, borderValue=0) > 0)
