"""rivaGan: 32 bits in a picture that survive JPEG, cropping and brightness (Zhang et al. 2019).

Weights of the package invisible-watermark (MIT), whose own class would load PyTorch and OpenCV: the
two networks are run here directly. One of several marks that could stand behind `ImageMark`; a mark
rooted in the model would be another. Trusts the files by their digests.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import onnxruntime

from training.core.image_marks import MIN_SIDE, bits_of, number_of
from training.engines.base import Rgb

_DIGESTS: Final = {
    "encoder": "66bc7814fadac7d686105c8ab26c6cf2cc8e40deb83e67bb6ef5b9de9b8ece0d",
    "decoder": "6b006690cf352fa50a91a0b6d6241dbcded0a9957969e2c0665cf9a7011b3880",
}
_MAX_SIDE: Final = 1024


class ImageMark(Protocol):
    """A way to write an id into pixels and to read whatever is in any pixels."""

    @property
    def name(self) -> str:
        """The algorithm as a soft binding names it."""
        ...

    def mark(self, rgb: Rgb, number: int) -> Rgb: ...

    def read(self, rgb: Rgb) -> int | None: ...


class RivaGan:
    """The mark of the first version. Pictures smaller than 256 pixels a side take none."""

    name = "kyodaku.rivagan-32"

    def mark(self, rgb: Rgb, number: int) -> Rgb:
        """The picture (H x W x 3, RGB, 8 bit) with 32 bits in it; ValueError when it is small."""
        if min(rgb.shape[:2]) < MIN_SIDE:
            raise ValueError(f"a mark needs {MIN_SIDE} pixels a side")
        data = np.array([bits_of(number)], np.float32)
        (out,) = _session("encoder").run(None, {"frame": _frame(rgb), "data": data})
        pixels = (np.clip(out[0, :, 0], -1, 1).transpose(1, 2, 0) + 1) * 127.5
        return np.asarray(np.round(pixels), np.uint8)

    def read(self, rgb: Rgb) -> int | None:
        """32 bits of any picture, marked or not; None for one in which there is no room.

        Of a large one the middle is read: time and memory grow with the area.
        """
        if min(rgb.shape[:2]) < MIN_SIDE // 2:  # a half of one may be left of a marked picture
            return None
        (out,) = _session("decoder").run(None, {"frame": _frame(_middle(rgb))})
        return number_of((out[0] > 0.5).astype(int).tolist())


def _middle(rgb: Rgb) -> Rgb:
    height, width = (min(side, _MAX_SIDE) for side in rgb.shape[:2])
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return rgb[top : top + height, left : left + width]


def _frame(rgb: Rgb) -> np.ndarray:
    """(1, 3, 1, H, W) in -1..1."""
    scaled = rgb.astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None, :, None])


@lru_cache(maxsize=2)
def _session(part: str) -> onnxruntime.InferenceSession:
    spec = find_spec("imwatermark")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package invisible-watermark is not installed")
    data = (Path(spec.submodule_search_locations[0]) / f"rivagan_{part}.onnx").read_bytes()
    if hashlib.sha256(data).hexdigest() != _DIGESTS[part]:
        raise RuntimeError(f"rivaGan's {part} is not the one that was measured")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
