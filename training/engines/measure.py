"""Takes the measurements that the curation rules decide on, from pixels and faces.

Stage 5 (curation). Trusts the engine's boxes and mask; measures and never decides. What belongs to
a face is measured at the picture's own size, what belongs to the whole picture on a small copy, so
that twelve megapixels cost little more than decoding them.

A region is a part of the mask of people: the background lies outside it, the outfit inside and
under the chin, the hair inside and above the brow. Its colours are a histogram, its looks the map
of a small network pooled over it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from training.core.curation import FaceMeasure, Histogram, Measurement, Print
from training.core.curation_alike import LOOK_SIDE
from training.core.pictures import Picture
from training.engines.base import (
    Box,
    Face,
    Rgb,
    Scene,
    Vector,
    boxes_overlap,
    made_small,
    similarity,
    turned,
)
from training.engines.marks import Spots, marks

FACE_SIDE = 256
# A face found again overlaps the place that was declared by at least this much.
SAME_BOX = 0.5
# Daubechies' high-pass filter with two vanishing moments: the finest diagonal detail of a picture
# is nearly all noise, and its median absolute deviation / 0.6745 estimates sigma
# (Donoho & Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994).
_DB2 = np.array(
    [-0.4829629131445341, 0.8365163037378079, -0.2241438680420134, -0.1294095225512604], np.float32
)
_BINS = (12, 3, 3)
SMALL_SIDE = 640
TILE = 1024
_SURE, _LEAST_BODY = 0.9, 0.03
LEAST_FOR_MARKS = 128  # pixels: in a smaller face a mole is a pixel or two
_ROUNDING = 0.5
# Of the picture; of the face's own area.
_LEAST_BACKGROUND = 0.06
_LEAST_OUTFIT = 0.3
_LEAST_HAIR = 0.06
# Half widths and half heights of a face: how much around it belongs to a pose.
_POSE_UP, _POSE_DOWN, _POSE_SIDE = 2, 12, 6


@dataclass(frozen=True, eq=False)
class Person:
    """What a talent's references say: the centroid, and where she has spots (empty: unknown)."""

    centroid: Vector
    spots: Spots


def measure(
    name: str,
    picture: Picture,
    rgb: Rgb,
    faces: list[Face],
    people: Mapping[str, Person],
    look_around: Callable[[Rgb], Scene],
    bystanders: Sequence[tuple[str, Box]] = (),
    near: Rgb | None = None,
) -> Measurement:
    """Measure one picture. `rgb` are its pixels, `people` what each talent's references say.

    `look_around` sees who is person in a small picture; `bystanders` are people who were declared,
    each with the box in which their face is; `near` is `made_small(rgb, NEAR_SIDE)` if it exists.
    """
    main = max(faces, key=lambda face: _nearest(face, people)[0], default=None)
    turn = main.turn if main else 0
    small = made_small(rgb if near is None else near, SMALL_SIDE)
    scale = max(small.shape[:2]) / max(rgb.shape[:2])
    upright = np.ascontiguousarray(np.rot90(small, turn))
    grey = _grey(small)
    around = look_around(upright)
    quality: dict[str, Any] = {}
    if main is not None:
        crop, points = face_crop(rgb, main)
        quality = _face_quality(crop, points)
        if main.side >= LEAST_FOR_MARKS:
            quality["marks"] = marks(rgb, main, people[_nearest(main, people)[1]].spots)
    return Measurement(
        id=name,
        file_sha256=picture.file_sha256,
        pixel_sha256=picture.pixel_sha256,
        width=picture.width,
        height=picture.height,
        faces=tuple(_face(face, people, bystanders) for face in faces),
        phash=_phash(grey),
        phash_mirrored=_phash(grey[:, ::-1]),
        look=_look(grey),
        light=round(float(grey.mean())),
        **_tile_quality(rgb, main),
        pose=_pose(around.mask, upright, main, scale, rgb.shape[:2]),
        bodies=_bodies(around.mask, upright, faces, turn, scale, rgb.shape[:2]),
        **_regions(upright, main, around, scale, rgb.shape[:2]),
        **quality,
    )


def _bodies(
    mask: npt.NDArray[np.float32],
    upright: Rgb,
    faces: Sequence[Face],
    turn: int,
    scale: float,
    size: tuple[int, ...],
) -> int:
    """How many large, sure blobs of the mask no face lies in or near."""
    height, width = mask.shape
    sure = (mask > _SURE).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(sure)
    claimed = {0}
    ratio = np.array([width / upright.shape[1], height / upright.shape[0]]) * scale
    for face in faces:
        (left, top), (right, bottom) = _turned_box(face, turn, size) * ratio
        wide, high = right - left, bottom - top
        rows = slice(max(int(top - high), 0), max(int(bottom + 2 * high), 1))
        columns = slice(max(int(left - 1.5 * wide), 0), max(int(right + 1.5 * wide), 1))
        claimed |= set(np.unique(labels[rows, columns]).tolist())
    areas = stats[:, cv2.CC_STAT_AREA]
    free = set(range(1, count)) - claimed
    return sum(1 for label in free if areas[label] >= _LEAST_BODY * mask.size)


def _face(
    face: Face, people: Mapping[str, Person], bystanders: Sequence[tuple[str, Box]]
) -> FaceMeasure:
    left, top, right, bottom = (round(value) for value in face.box)
    likeness, talent = _nearest(face, people)
    here = (who for who, box in bystanders if boxes_overlap(face.box, box) >= SAME_BOX)
    return FaceMeasure(
        box=(left, top, right, bottom),
        score=round(face.score * 1000),
        likeness=round(likeness * 1000),
        turn=face.turn,
        talent=talent,
        bystander=next(here, ""),
    )


def _nearest(face: Face, people: Mapping[str, Person]) -> tuple[float, str]:
    """How like the most similar talent a face is, and who that is."""
    return max((similarity(face.embedding, who.centroid), name) for name, who in people.items())


def print_of(rgb: Rgb) -> Print:
    """What a whole picture is known again by."""
    grey = _grey(made_small(rgb, SMALL_SIDE))
    return Print(_phash(grey), _phash(grey[:, ::-1]), _look(grey))


def phash(rgb: Rgb) -> int:
    """64-bit perceptual hash: signs of the lowest 8 x 8 cosine coefficients around their median."""
    return print_of(rgb).phash


def _look(grey: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    cells = cv2.resize(grey, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA)
    return tuple(int(value) for value in cells.ravel())


def _phash(grey: npt.NDArray[np.uint8]) -> int:
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low)
    return int("".join("1" if bit else "0" for bit in bits), 2)


def noise(grey: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in a grey picture, in grey levels."""
    detail = grey.astype(np.float32)
    for _ in range(2):
        detail = cv2.filter2D(detail, -1, _DB2.reshape(1, -1))[:, 1:-2:2].T
    if detail.size == 0:
        return 0.0
    return float(np.median(np.abs(detail)) / 0.6745)


def skin(rgb: Rgb, face: Face) -> tuple[int, int]:
    """Median lightness (0..255) and chroma (tenths) of the cheeks, in CIE Lab."""
    quality = _face_quality(*face_crop(rgb, face))
    return quality["skin_light"], quality["skin_chroma"]


# --- the picture at its own size ----------------------------------------------------------------


def _tile_quality(rgb: Rgb, face: Face | None) -> dict[str, Any]:
    """Grain and compression in a tile around the face, or the middle, that no resizing touched."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = face.box if face else (0, 0, width, height)
    corner = []
    for middle, length in (((left + right) / 2, width), ((top + bottom) / 2, height)):
        start = int(np.clip(middle - TILE / 2, 0, max(length - TILE, 0)))
        corner.append(start // 8 * 8)  # JPEG's blocks begin at multiples of eight
    x, y = corner
    grey = _grey(rgb[y : y + TILE, x : x + TILE])
    return {"grain": round(noise(grey) * 100), "blocks": round(_blocks(grey) * 1000)}


def _blocks(grey: npt.NDArray[np.uint8]) -> float:
    """How much larger the steps at every eighth pixel are than between them, about 1 for none.

    After Wang, Sheikh and Bovik, No-reference perceptual quality assessment of JPEG compressed
    images (ICIP 2002). Where steps are no larger than rounding it says nothing.
    """
    ratios = []
    for way in (grey, grey.T):
        steps = np.abs(np.diff(way.astype(np.float32), axis=1)).mean(axis=0)
        borders = steps[7::8]
        between = np.concatenate([steps[offset::8] for offset in (1, 2, 4, 5)])
        if len(borders) and between.mean() > 0:
            ratios.append((borders.mean() + _ROUNDING) / (between.mean() + _ROUNDING))
    return float(np.mean(ratios)) if ratios else 1.0


# --- pose -----------------------------------------------------------------------------------------


def _pose(
    mask: npt.NDArray[np.float32],
    upright: Rgb,
    face: Face | None,
    scale: float,
    size: tuple[int, ...],
) -> tuple[int, ...]:
    """Where a head points, and the outline of the person around it, in half widths of the face.

    The nose's way off the middle of the eyes over their distance is 0 for a head that looks at the
    camera. Field study R28: a pose that fills a set comes out of the LoRA unasked.
    """
    if face is None:
        return ()
    eyes, nose = face.keypoints[:2], face.keypoints[2]
    across = eyes[1] - eyes[0]
    apart = float(across @ across)
    if apart < 1:
        return ()
    head = round(float((nose - eyes.mean(axis=0)) @ across) / apart * 100)
    rows, columns = mask.shape
    ratio = np.array([columns / upright.shape[1], rows / upright.shape[0]]) * scale
    (left, top), (right, bottom) = _upright_box(face, size) * ratio
    wide, high = (right - left) / 2, (bottom - top) / 2
    cells = []
    for row in range(-_POSE_UP, _POSE_DOWN):
        for column in range(-_POSE_SIDE, _POSE_SIDE):
            x, y = (left + right) / 2 + column * wide, (top + bottom) / 2 + row * high
            x0, x1 = max(x, 0.0), min(x + wide, float(columns))
            y0, y1 = max(y, 0.0), min(y + high, float(rows))
            shown = max(x1 - x0, 0) * max(y1 - y0, 0) >= wide * high / 2
            part = mask[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
            cells.append(round(100 * float(part.mean())) if shown and part.size else -1)
    return (head, *cells)


# --- regions ------------------------------------------------------------------------------------


def _regions(
    rgb: Rgb, face: Face | None, scene: Scene, scale: float, size: tuple[int, ...]
) -> dict[str, Any]:
    """Colours and looks of background, outfit and hair in a small upright picture.

    `scale` and `size` lead from the face's box, in the whole picture's pixels, to this one's.
    """
    if face is None:
        return {"background": (), "outfit": (), "hair": ()}
    height, width = rgb.shape[:2]
    mask = cv2.resize(scene.mask, (width, height), interpolation=cv2.INTER_LINEAR)
    box = _upright_box(face, size) * scale
    left, top, right, bottom = (float(value) for value in box.ravel())
    wide, high, middle = right - left, bottom - top, (left + right) / 2
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    person = mask > 0.5
    outfit = person & (down > bottom + 0.15 * high) & (np.abs(across - middle) < 2.5 * wide)
    hair = person & (down < top + 0.2 * high) & (down > top - 0.8 * high)
    hair &= np.abs(across - middle) < 0.9 * wide
    place = (mask < 0.3) & ~_head_and_shoulders(down, across, box)
    found = {"background": place, "outfit": outfit, "hair": hair}
    least = {"background": _LEAST_BACKGROUND, "outfit": _LEAST_OUTFIT, "hair": _LEAST_HAIR}
    result: dict[str, Any] = {}
    for name, part in found.items():
        seen = part.mean() >= least[name] * (1 if name == "background" else wide * high / part.size)
        result[name] = _histogram(rgb, part.astype(np.uint8) * 255) if seen else ()
        if name != "hair":
            result[f"{name}_map"] = _pooled(scene.map, part) if seen else ()
    return result


def _head_and_shoulders(down: Any, across: Any, box: Any) -> Any:
    """Where the face is, whatever a mask says: nobody's skin is a background."""
    left, top, right, bottom = (float(value) for value in box.ravel())
    wide, high = right - left, bottom - top
    beside = np.abs(across - (left + right) / 2) < 0.6 * wide
    return beside & (down > top - 0.4 * high) & (down < bottom + 0.4 * high)


def _pooled(found: npt.NDArray[np.float32], part: Any) -> tuple[int, ...]:
    """A map's mean over a region, square roots in hundredths: one strong channel is not all."""
    rows, columns = found.shape[1:]
    weight = cv2.resize(part.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    total = float(weight.sum())
    if total <= 0:
        return ()
    mean = (found * weight).sum(axis=(1, 2)) / total
    return tuple(int(value) for value in np.round(np.sqrt(mean.clip(min=0)) * 100))


def _upright_box(face: Face, size: tuple[int, ...]) -> Any:
    """The face's box (2 x 2) in its picture of this height and width, turned upright."""
    return _turned_box(face, face.turn, size)


def _turned_box(face: Face, turn: int, size: tuple[int, ...]) -> Any:
    """The face's box (2 x 2) in its picture of this height and width, after `turn` turns."""
    corners = np.array(face.box, np.float32).reshape(2, 2)
    corners = turned(corners, (4 - turn) % 4, size[0], size[1])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _histogram(rgb: Rgb, mask: npt.NDArray[np.uint8]) -> Histogram:
    """Hue 12 x saturation 3 x value 3, in ten-thousandths."""
    hsv = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 1.5), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], mask, list(_BINS), [0, 180, 0, 256, 0, 256]).ravel()
    return tuple(int(value) for value in np.round(counts / max(counts.sum(), 1) * 10_000))


# --- the face -----------------------------------------------------------------------------------


def face_crop(rgb: Rgb, face: Face) -> tuple[Rgb, npt.NDArray[np.float32]]:
    """A face upright and 256 pixels wide, and its five points there.

    So that distance to the camera plays no part. Only the part of the picture around the face is
    touched.
    """
    left, top, right, bottom = face.box
    side = max(right - left, bottom - top)
    margin = 0.25 * side
    rows = slice(max(int(top - margin), 0), max(int(bottom + margin), 1))
    columns = slice(max(int(left - margin), 0), max(int(right + margin), 1))
    part = rgb[rows, columns]
    back = (4 - face.turn) % 4
    shift = np.array([columns.start, rows.start], np.float32)
    points = turned(face.keypoints - shift, back, part.shape[0], part.shape[1])
    corners = np.array(face.box, np.float32).reshape(2, 2) - shift
    corners = turned(corners, back, part.shape[0], part.shape[1])
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    corner = middle - side / 2
    upright = np.ascontiguousarray(np.rot90(part, face.turn))
    return _crop(upright, corner, side), np.asarray((points - corner) * (FACE_SIDE / side))


def _face_quality(crop: Rgb, points: Any) -> dict[str, int]:
    cheeks = _cheeks(crop, points)
    lab = cv2.cvtColor(cheeks, cv2.COLOR_RGB2LAB).astype(np.float64)
    grey = _grey(crop)
    return {
        "sharpness": round(float(cv2.Laplacian(grey, cv2.CV_64F).var())),
        "face_grain": round(noise(grey) * 100),
        "texture": round(_texture(cheeks) * 100),
        "skin_light": round(float(np.median(lab[..., 0]))),
        "skin_chroma": round(float(np.median(np.hypot(lab[..., 1] - 128, lab[..., 2] - 128))) * 10),
    }


def _crop(rgb: Rgb, corner: Any, side: float) -> Rgb:
    scale = FACE_SIDE / side
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    if scale < 0.5:
        # Resampling by far without a blur would turn detail into grain that is not there.
        rgb = cv2.GaussianBlur(rgb, (0, 0), 0.4 / scale)
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    size = (FACE_SIDE, FACE_SIDE)
    return np.asarray(cv2.warpAffine(rgb, matrix, size, flags=flags, borderMode=border))


def _cheeks(crop: Rgb, points: Any) -> Rgb:
    """Two patches, halfway between each eye and the corner of the mouth under it, side by side."""
    half = int(np.clip(np.linalg.norm(points[1] - points[0]) * 0.16, 8, 32))
    centres = np.clip((points[:2] + points[3:5]) / 2, half, FACE_SIDE - half).astype(int)
    patches = [crop[y - half : y + half, x - half : x + half] for x, y in centres]
    return np.ascontiguousarray(np.hstack(patches))


def _texture(cheeks: Rgb) -> float:
    """Standard deviation of what a Gaussian of sigma 2 takes away, per patch."""
    halves = np.hsplit(_grey(cheeks).astype(np.float64), 2)
    return float(np.mean([np.std(half - cv2.GaussianBlur(half, (0, 0), 2)) for half in halves]))


def _grey(rgb: Rgb) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY))
