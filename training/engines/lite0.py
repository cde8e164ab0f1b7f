"""Builds EfficientNet-lite0's feature extractor as ONNX from its published PyTorch weights.

Stage 5 (curation), set-up time only, and without torch: the file is read by an unpickler that
makes arrays and nothing else. Trusts the hash that `training.engines.scenery` checks. Batch
normalisation is folded into the convolutions; the classifier is left out.

Sources: Tan and Le, EfficientNet (ICML 2019), table 1; the "lite" variant's own note: no
squeeze-and-excite, ReLU6, stem and head of fixed width.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from training.engines.tflite import same_pads, serialised

SIDE: Final = 320
CHANNELS: Final = 1280
_EPSILON: Final = 1e-3
# repeats, kernel, stride, expansion, input, output
_BLOCKS: Final = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_MAGIC: Final = 0x1950A86A20F9469CFC6C  # torch/serialization.py, the form before 1.6
Array = npt.NDArray[np.float32]


def lite0(data: bytes) -> bytes:
    """N x 3 x 320 x 320, `(RGB - 127) / 128`, in; N x 1280 x 10 x 10 out, ReLU6.

    `data` is `efficientnet-lite0-57934424.pth`. Raises ValueError when it is not of that form.
    """
    return _Network(weights(data)).model()


def weights(data: bytes) -> dict[str, Array]:
    """The arrays of a PyTorch file of the form before 1.6. Nothing in it is ever called."""
    stream = io.BytesIO(data)
    if pickle.load(stream) != _MAGIC:  # noqa: S301 - a number; see _Arrays for what holds code
        raise ValueError("not a PyTorch file of the older form")
    for _ in range(2):  # protocol and machine
        _Plain(stream).load()
    reader = _Arrays(stream)
    named = reader.load()
    keys = _Plain(stream).load()
    storages = {}
    for key in keys:
        count = int(np.frombuffer(stream.read(8), "<i8")[0])
        kind = reader.kinds[key]
        storages[key] = np.frombuffer(stream.read(count * kind.itemsize), kind)
    return {name: view.read(storages) for name, view in named.items()}


class _View:
    """A tensor before its numbers are read."""

    def __init__(
        self, key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self._key, self._offset, self._shape, self._strides = key, offset, shape, strides

    def read(self, storages: dict[str, npt.NDArray[Any]]) -> Array:
        """The numbers, row by row whatever way they were stored."""
        flat = storages[self._key]
        steps = zip(self._shape, self._strides, strict=True)
        last = self._offset + sum((side - 1) * step for side, step in steps)
        if min((0, self._offset, *self._strides)) < 0 or last >= len(flat):
            raise ValueError("a tensor outside its storage")
        size = flat.itemsize
        view = np.lib.stride_tricks.as_strided(
            flat[self._offset :], self._shape, [step * size for step in self._strides]
        )
        return np.array(view, np.float32)


class _Plain(pickle.Unpickler):
    """Numbers, texts, lists and dictionaries."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


class _Arrays(_Plain):
    """A dictionary of tensors: two names are known, and neither runs anything."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.kinds: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch", "LongStorage"): np.dtype("<i8"),
        }
        if (module, name) not in known:
            return super().find_class(module, name)
        return known[module, name]

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, _, _, _ = pid
        self.kinds[key] = kind
        return str(key)


def _rebuilt(key: str, offset: int, shape: tuple[int, ...], strides: Any, *_more: Any) -> _View:
    return _View(key, offset, tuple(shape), tuple(strides))


class _Network:
    """The graph, block by block."""

    def __init__(self, named: dict[str, Array]) -> None:
        self._named = named
        self._nodes: list[Any] = []
        self._weights: dict[str, Array] = {
            "zero": np.array(0, np.float32),
            "six": np.array(6, np.float32),
        }

    def model(self) -> bytes:
        here, side = self._convolution("pixels", "_conv_stem", "_bn0", SIDE, 2)
        number = 0
        for repeats, _kernel, stride, expansion, given, made in _BLOCKS:
            for repeat in range(repeats):
                first = repeat == 0
                same = not first or (stride == 1 and given == made)
                here, side = self._block(
                    here, f"_blocks.{number}.", side, stride if first else 1, expansion > 1, same
                )
                number += 1
        here, side = self._convolution(here, "_conv_head", "_bn1", side, 1)
        given_info = helper.make_tensor_value_info(
            "pixels", TensorProto.FLOAT, ["N", 3, SIDE, SIDE]
        )
        made_info = helper.make_tensor_value_info(
            here, TensorProto.FLOAT, ["N", CHANNELS, side, side]
        )
        stored = [numpy_helper.from_array(v, k) for k, v in sorted(self._weights.items())]
        return serialised(
            helper.make_graph(self._nodes, "lite0", [given_info], [made_info], stored)
        )

    def _block(
        self, here: str, name: str, side: int, stride: int, expands: bool, same: bool
    ) -> tuple[str, int]:
        given, norm = here, 0
        if expands:
            here, _ = self._convolution(here, f"{name}_expand_conv", f"{name}_bn0", side, 1)
        norm = 1
        here, side = self._convolution(
            here, f"{name}_depthwise_conv", f"{name}_bn{norm}", side, stride, depthwise=True
        )
        here, _ = self._convolution(
            here, f"{name}_project_conv", f"{name}_bn2", side, 1, active=False
        )
        if same:
            self._nodes.append(helper.make_node("Add", [here, given], [f"{name}sum"]))
            here = f"{name}sum"
        return here, side

    def _convolution(
        self,
        here: str,
        name: str,
        norm: str,
        side: int,
        stride: int,
        *,
        depthwise: bool = False,
        active: bool = True,
    ) -> tuple[str, int]:
        weight = self._named[f"{name}.weight"].astype(np.float64)
        scale = self._named[f"{norm}.weight"] / np.sqrt(
            self._named[f"{norm}.running_var"].astype(np.float64) + _EPSILON
        )
        bias = self._named[f"{norm}.bias"] - self._named[f"{norm}.running_mean"] * scale
        self._weights[f"{name}.w"] = (weight * scale[:, None, None, None]).astype(np.float32)
        self._weights[f"{name}.b"] = bias.astype(np.float32)
        before, after = same_pads(side, weight.shape[2], stride)
        self._nodes.append(
            helper.make_node(
                "Conv",
                [here, f"{name}.w", f"{name}.b"],
                [f"{name}.out"],
                strides=[stride, stride],
                pads=[before, before, after, after],
                group=weight.shape[0] if depthwise else 1,
            )
        )
        made = f"{name}.out"
        if active:
            self._nodes.append(helper.make_node("Clip", [made, "zero", "six"], [f"{name}.act"]))
            made = f"{name}.act"
        return made, -(-side // stride)
