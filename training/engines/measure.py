"""Takes the measurements that the curation rules decide on, from pixels and faces.

Stage 5 (curation). Trusts the engine's boxes; measures and never decides.

There is no segmentation model in this version: "background" is what lies outside a box drawn
around the person from the face, "outfit" a box under the chin, "hair" a band around the forehead.
That is coarse. It finds the same studio and the same costume, and misses what a mask would see;
the thresholds in `Profile` belong to these boxes and to nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from training.core.curation import FaceMeasure, Histogram, Measurement
from training.core.pictures import Picture
from training.engines.base import Box, Face, Rgb, Vector, boxes_overlap, similarity, turned

FACE_SIDE = 256
# A face found again overlaps the place that was declared by at least this much.
SAME_BOX = 0.5
# Daubechies' high-pass filter with two vanishing moments: the finest diagonal detail of a picture
# is nearly all noise, and its median absolute deviation / 0.6745 estimates sigma
# (Donoho & Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994).
_DB2 = np.array([-0.4829629131445341, 0.8365163037378079, -0.2241438680420134, -0.1294095225512604])
_BINS = (12, 3, 3)
_LEAST_BACKGROUND = 0.06


def measure(
    name: str,
    picture: Picture,
    rgb: Rgb,
    faces: list[Face],
    people: Mapping[str, Vector],
    bystanders: Sequence[tuple[str, Box]] = (),
) -> Measurement:
    """Measure one picture. `rgb` are its pixels, `people` each talent's centroid of references.

    `bystanders` are people who were declared, each with the box in which their face is.
    """
    main = max(faces, key=lambda face: _nearest(face, people)[0], default=None)
    upright = np.ascontiguousarray(np.rot90(rgb, main.turn)) if main else rgb
    quality: dict[str, Any] = _face_quality(upright, main) if main else {}
    return Measurement(
        id=name,
        file_sha256=picture.file_sha256,
        pixel_sha256=picture.pixel_sha256,
        width=picture.width,
        height=picture.height,
        faces=tuple(_face(face, people, bystanders) for face in faces),
        phash=phash(rgb),
        phash_mirrored=phash(rgb[:, ::-1]),
        light=round(float(_grey(rgb).mean())),
        grain=round(noise(_grey(rgb)) * 100),
        **_regions(upright, main),
        **quality,
    )


def _face(
    face: Face, people: Mapping[str, Vector], bystanders: Sequence[tuple[str, Box]]
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


def _nearest(face: Face, people: Mapping[str, Vector]) -> tuple[float, str]:
    """How like the most similar talent a face is, and who that is."""
    return max((similarity(face.embedding, person), who) for who, person in people.items())


def phash(rgb: Rgb) -> int:
    """64-bit perceptual hash: signs of the lowest 8 x 8 cosine coefficients around their median."""
    small = cv2.resize(_grey(rgb), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low)
    return int("".join("1" if bit else "0" for bit in bits), 2)


def noise(grey: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in a grey picture, in grey levels."""
    detail = grey.astype(np.float64)
    for _ in range(2):
        detail = cv2.filter2D(detail, -1, _DB2.reshape(1, -1))[:, 1:-2:2].T
    if detail.size == 0:
        return 0.0
    return float(np.median(np.abs(detail)) / 0.6745)


def skin(rgb: Rgb, face: Face) -> tuple[int, int]:
    """Median lightness (0..255) and chroma (tenths) of the cheeks, in CIE Lab."""
    upright = np.ascontiguousarray(np.rot90(rgb, face.turn))
    quality = _face_quality(upright, face)
    return quality["skin_light"], quality["skin_chroma"]


# --- regions ------------------------------------------------------------------------------------


def _regions(rgb: Rgb, face: Face | None) -> dict[str, Any]:
    if face is None:
        return {"background": (), "outfit": (), "hair": ()}
    left, top, right, bottom, _ = _upright(rgb, face)
    width, height, middle = right - left, bottom - top, (left + right) / 2
    chin, brow = bottom + 0.3 * height, top + 0.1 * height
    return {
        "background": _background(rgb, left, top, right),
        "outfit": _box(rgb, middle - width, chin, middle + width, chin + 1.5 * height),
        "hair": _box(rgb, middle - 0.7 * width, top - 0.4 * height, middle + 0.7 * width, brow),
    }


def _background(rgb: Rgb, left: float, top: float, right: float) -> Histogram:
    """Everything but a box one face wide to both sides, from above the hair to the lower edge."""
    wide, high = right - left, (right - left) * 0.8
    mask = np.full(rgb.shape[:2], 255, np.uint8)
    rows = slice(max(round(top - high), 0), None)
    mask[rows, max(round(left - wide), 0) : max(round(right + wide), 0)] = 0
    if np.count_nonzero(mask) < _LEAST_BACKGROUND * mask.size:
        return ()
    return _histogram(rgb, mask)


def _box(rgb: Rgb, left: float, top: float, right: float, bottom: float) -> Histogram:
    """A region's histogram, or () when less than a third of it is inside the picture."""
    height, width = rgb.shape[:2]
    rows = slice(int(np.clip(top, 0, height)), int(np.clip(bottom, 0, height)))
    columns = slice(int(np.clip(left, 0, width)), int(np.clip(right, 0, width)))
    part = rgb[rows, columns]
    if part.shape[0] * part.shape[1] * 3 < (bottom - top) * (right - left):
        return ()
    return _histogram(np.ascontiguousarray(part), None)


def _histogram(rgb: Rgb, mask: npt.NDArray[np.uint8] | None) -> Histogram:
    """Hue 12 x saturation 3 x value 3, in ten-thousandths."""
    hsv = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 1.5), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], mask, list(_BINS), [0, 180, 0, 256, 0, 256]).ravel()
    return tuple(int(value) for value in np.round(counts / max(counts.sum(), 1) * 10_000))


# --- the face -----------------------------------------------------------------------------------


def _face_quality(rgb: Rgb, face: Face) -> dict[str, int]:
    """Measures of the face scaled to 256 pixels, so that distance to the camera plays no part."""
    left, top, right, bottom, points = _upright(rgb, face)
    side = max(right - left, bottom - top)
    corner = np.array([(left + right - side) / 2, (top + bottom - side) / 2])
    crop = _crop(rgb, corner, side)
    points = (points - corner) * (FACE_SIDE / side)
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


def _upright(rgb: Rgb, face: Face) -> tuple[float, float, float, float, Any]:
    """Box and points of a face in its picture once that has been turned upright."""
    corners = np.array(face.box, np.float32).reshape(2, 2)
    back = (4 - face.turn) % 4
    corners = turned(corners, back, rgb.shape[0], rgb.shape[1])
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    points = turned(face.keypoints, back, rgb.shape[0], rgb.shape[1])
    return float(left), float(top), float(right), float(bottom), points


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
