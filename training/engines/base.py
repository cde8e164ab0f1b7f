"""The small interface behind which every face engine stands.

Stage 5 (curation). Pure data and a protocol; loads no model. Embeddings of different engines, or
of one engine with other settings, must never be compared, so an engine names both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from training.core.curation import Profile

# The long side of the copy on which small faces are looked for.
NEAR_SIDE = 1600
Rgb = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture.

    `box` is left, top, right, bottom in pixels of the picture as it was given; `score` the
    detector's confidence 0..1; `embedding` a unit vector; `keypoints` five points (5 x 2: eyes,
    nose, mouth corners) in the same pixels; `turn` how many quarter turns anticlockwise bring the
    face upright (0 for an upright face).
    """

    box: tuple[float, float, float, float]
    score: float
    embedding: Vector
    keypoints: npt.NDArray[np.float32]
    turn: int

    @property
    def side(self) -> float:
        """The shorter side of the box, in pixels."""
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)


Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a picture shows besides faces, over the whole of it.

    `mask`: h x w, share of person 0..1; `map`: channels x rows x columns, each part's looks.
    """

    mask: npt.NDArray[np.float32]
    map: npt.NDArray[np.float32]


class FaceEngine(Protocol):
    """What finds and describes faces. `digest` pins the weights, `settings` how they are used."""

    @property
    def id(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def profile(self) -> Profile:
        """The rules' numbers, with the bands that were measured for these weights."""
        ...

    @property
    def scenery(self) -> str:
        """The digest of what `scene` looks with."""
        ...

    def faces(self, rgb: Rgb, near: Rgb | None = None) -> list[Face]:
        """All faces of a picture (H x W x 3, RGB, 8 bit), most confident first.

        `near` is `made_small(rgb, NEAR_SIDE)`, for whoever has made it already.
        """
        ...

    def age(self, rgb: Rgb, face: Face) -> float:
        """How old a face looks, in years, to ask for a document by; 0 where nothing can be said."""
        ...

    def scene(self, rgb: Rgb) -> Scene:
        """Who is person and what the rest looks like, of a picture that may be made small."""
        ...


def made_small(rgb: Rgb, side: int) -> Rgb:
    """A picture with its long side at most `side`: averaged, not sampled; never enlarged."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def similarity(one: Vector, other: Vector) -> float:
    """Cosine of two unit vectors, -1..1."""
    return float(np.dot(one, other))


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two faces' boxes, 0..1."""
    return boxes_overlap(one.box, other.box)


def boxes_overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (left, top, right, bottom), 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (_area(one) + _area(other) - shared) if shared else 0.0


def turned(
    points: npt.NDArray[np.float32], turn: int, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Points (n x 2: x, y) of `np.rot90(picture, turn)`, as they lie in the picture itself.

    `height` and `width` are those of the picture. The other way round, it takes the turned
    picture's size and `(4 - turn) % 4`.
    """
    x, y = points[:, 0], points[:, 1]
    back = {
        0: (x, y),
        1: (width - 1 - y, x),
        2: (width - 1 - x, height - 1 - y),
        3: (y, height - 1 - x),
    }[turn]
    return np.stack(back, axis=1).astype(np.float32)


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
