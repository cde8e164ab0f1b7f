"""From picture bytes to training arrays: decode, crop, resize, scale. Numpy and Pillow only.

Works on bytes already decrypted and checked against the data set's root; nothing is written
anywhere. Pillow's own limits against decompression bombs stay on and count as errors.
"""

import io
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Pixels = npt.NDArray[np.float32]

_HEAD_SHIFT = 0.15  # of the face's height: leave room for shoulders rather than for the ceiling


def prepare(
    pictures: Sequence[bytes],
    boxes: Sequence[Box | None],
    *,
    resolution: int,
    margin: float,
    flip: bool = False,
) -> Pixels:
    """Decode and crop all pictures: float32 (n, 3, resolution, resolution) in [-1, 1].

    A picture with a face box is cropped to a square of `margin` face heights around it, any other
    to its central square. `flip` appends the mirrored pictures. Raises `ValueError` for a picture
    that cannot be decoded or a box outside it.
    """
    if len(pictures) != len(boxes) or not pictures:
        raise ValueError("one box (or none) for each of at least one picture")
    rows = [_row(data, box, resolution, margin) for data, box in zip(pictures, boxes, strict=True)]
    pixels = np.stack(rows)
    return np.concatenate([pixels, pixels[..., ::-1]]) if flip else pixels


def decode(data: bytes) -> Image.Image:
    """One picture as RGB. Raises `ValueError` when it is none, or a bomb."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "TIFF")) as image:
                return image.convert("RGB")
    except (
        OSError,
        SyntaxError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise ValueError(f"not a picture: {type(error).__name__}") from error


def square(size: tuple[int, int], box: Box | None, margin: float) -> tuple[int, int, int, int]:
    """The square to cut out of a picture of `size` (width, height), inside it, in whole pixels."""
    width, height = size
    if box is None:
        side, cx, cy = float(min(size)), width / 2, height / 2
    else:
        left, top, right, bottom = box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError("face box outside its picture")
        face = bottom - top
        side = min(float(min(size)), max(margin * face, right - left))
        cx, cy = (left + right) / 2, (top + bottom) / 2 + _HEAD_SHIFT * face
    whole = max(1, round(side))
    x = min(max(0, round(cx - whole / 2)), width - whole)
    y = min(max(0, round(cy - whole / 2)), height - whole)
    return x, y, x + whole, y + whole


def to_pixels(image: Image.Image, resolution: int) -> Pixels:
    """An RGB picture as float32 (3, resolution, resolution) in [-1, 1]."""
    small = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    array = np.asarray(small, np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def grid(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures of one size side by side, `columns` to a row."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * width, index // columns * height))
    return sheet


def _row(data: bytes, box: Box | None, resolution: int, margin: float) -> Pixels:
    image = decode(data)
    return to_pixels(image.crop(square(image.size, box, margin)), resolution)
