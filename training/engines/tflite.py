"""Converts a small TensorFlow Lite network into ONNX: what MediaPipe's segmentation needs, no more.

Stage 5 (curation), set-up time only. Trusts nothing: `training.engines.scenery` checks the hash of
what comes in and of what goes out. Layouts: TensorFlow's N x H x W x C becomes ONNX's
N x C x H x W; "same" padding is written out, with the odd pixel at the end as TensorFlow has it.

Sources: the TensorFlow Lite schema (schema.fbs, version 3), ONNX operators of opset 17, and
MediaPipe's `transpose_conv_bias.cc` for its one custom operator.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 17
IR_VERSION: Final = 8
_TYPES: Final = {0: np.float32, 1: np.float16, 2: np.int32}
_CUSTOM: Final = 32
_ACTIVATION: Final = {0: "", 1: "Relu"}
Array = npt.NDArray[Any]


class ConversionError(ValueError):
    """The network holds something that this converter does not know."""


def convert(data: bytes, name: str) -> bytes:
    """An ONNX model with one input and one output, both N x C x H x W, 32-bit floats.

    Raises ConversionError for an operator, type or option that is not handled exactly.
    """
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = _Graph(model)
    for place in range(graph.sub.OperatorsLength()):
        graph.add(graph.sub.Operators(place))
    return graph.model(name)


class _Graph:
    """The ONNX nodes as they grow."""

    def __init__(self, model: Any) -> None:
        self._tflite, self.sub = model, model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.known: dict[int, Array] = {}
        self._words = {v: k for k, v in vars(tflite.BuiltinOperator).items() if k.isupper()}

    def add(self, op: Any) -> None:
        """One operator."""
        code = self._tflite.OperatorCodes(op.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        word = code.CustomCode().decode() if kind == _CUSTOM else self._words[kind]
        handle = _HANDLERS.get(word)
        if handle is None:
            raise ConversionError(f"operator {word}")
        handle(self, op)

    def value(self, index: int) -> Array | None:
        """A tensor's constant value, or None when it is computed."""
        if index in self.known:
            return self.known[index]
        tensor = self.sub.Tensors(index)
        raw = self._tflite.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(raw, int) or not len(raw):
            return None
        kind = _TYPES.get(tensor.Type())
        if kind is None:
            raise ConversionError(f"tensor type {tensor.Type()}")
        return np.frombuffer(raw.tobytes(), kind).reshape(tensor.ShapeAsNumpy())

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self.sub.Tensors(index).ShapeAsNumpy())

    def name(self, index: int) -> str:
        """The ONNX name of a tensor; a constant activation is stored in ONNX's layout."""
        found = self.value(index)
        if found is None:
            return f"t{index}"
        if f"c{index}" not in self.weights:
            whole = found.astype(np.float32)
            self.weights[f"c{index}"] = whole.transpose(0, 3, 1, 2) if whole.ndim == 4 else whole
        return f"c{index}"

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name: str, value: Array) -> str:
        self.weights[name] = np.ascontiguousarray(value)
        return name

    def activated(self, kind: int, output: str, make: Callable[[str], None]) -> None:
        """An operator with TensorFlow's fused activation behind it."""
        word = _ACTIVATION.get(kind)
        if word is None:
            raise ConversionError(f"activation {kind}")
        make(f"{output}_plain" if word else output)
        if word:
            self.node(word, [f"{output}_plain"], output)

    def model(self, name: str) -> bytes:
        ends = (self.sub.Inputs(0), self.sub.Outputs(0))
        given, made = (self._info(index) for index in ends)
        weights = [numpy_helper.from_array(v, k) for k, v in sorted(self.weights.items())]
        graph = helper.make_graph(self.nodes, name, [given], [made], weights)
        return serialised(graph)

    def _info(self, index: int) -> onnx.ValueInfoProto:
        _, height, width, channels = self.shape(index)
        shape = ["N", channels, height, width]
        return helper.make_tensor_value_info(f"t{index}", TensorProto.FLOAT, shape)


def serialised(graph: onnx.GraphProto) -> bytes:
    """A checked model's bytes, the same on every machine."""
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    model.producer_name, model.producer_version = "kyodaku", ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding of one axis, before and after."""
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


# --- operators ------------------------------------------------------------------------------------


def _options(op: Any, kind: Any) -> Any:
    found = kind()
    table = op.BuiltinOptions()
    found.Init(table.Bytes, table.Pos)
    return found


def _pads(graph: _Graph, op: Any, padding: int, kernel: Any, strides: tuple[int, int]) -> list[int]:
    if padding == 1:  # valid
        return [0, 0, 0, 0]
    _, height, width, _ = graph.shape(op.Inputs(0))
    top, bottom = same_pads(height, kernel[0], strides[0])
    left, right = same_pads(width, kernel[1], strides[1])
    return [top, left, bottom, right]


def _dequantize(graph: _Graph, op: Any) -> None:
    found = graph.value(op.Inputs(0))
    if found is None:
        raise ConversionError("a computed half-precision tensor")
    graph.known[op.Outputs(0)] = found.astype(np.float32)


def _convolution(graph: _Graph, op: Any) -> None:
    options = _options(op, tflite.Conv2DOptions)
    weight = graph.value(op.Inputs(1))
    if weight is None or (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
        raise ConversionError("a dilated convolution, or one with computed weights")
    _put_convolution(graph, op, options, weight.transpose(0, 3, 1, 2), groups=1)


def _depthwise(graph: _Graph, op: Any) -> None:
    options = _options(op, tflite.DepthwiseConv2DOptions)
    weight = graph.value(op.Inputs(1))
    if weight is None or options.DepthMultiplier() != 1:
        raise ConversionError("a depthwise convolution with a multiplier or computed weights")
    _put_convolution(graph, op, options, weight.transpose(3, 0, 1, 2), groups=weight.shape[3])


def _put_convolution(graph: _Graph, op: Any, options: Any, weight: Array, *, groups: int) -> None:
    strides = (options.StrideH(), options.StrideW())
    pads = _pads(graph, op, options.Padding(), weight.shape[2:], strides)
    bias = graph.value(op.Inputs(2))
    if bias is None:
        raise ConversionError("a convolution without a bias")
    output = f"t{op.Outputs(0)}"
    inputs = [
        graph.name(op.Inputs(0)),
        graph.weight(f"{output}_w", weight.astype(np.float32)),
        graph.weight(f"{output}_b", bias.astype(np.float32)),
    ]

    def make(name: str) -> None:
        graph.node("Conv", inputs, name, strides=list(strides), pads=pads, group=groups)

    graph.activated(options.FusedActivationFunction(), output, make)


def _transposed(graph: _Graph, op: Any) -> None:
    """MediaPipe's own: a transposed convolution with a bias. Options: padding, width, height."""
    padding, across, down = struct.unpack_from("<3i", op.CustomOptionsAsNumpy().tobytes())
    weight, bias = graph.value(op.Inputs(1)), graph.value(op.Inputs(2))
    if weight is None or bias is None:
        raise ConversionError("a transposed convolution with computed weights")
    if padding != 1 and (weight.shape[1], weight.shape[2]) != (down, across):
        raise ConversionError("a transposed convolution that overlaps")
    output = f"t{op.Outputs(0)}"
    inputs = [
        graph.name(op.Inputs(0)),
        graph.weight(f"{output}_w", weight.transpose(3, 0, 1, 2).astype(np.float32)),
        graph.weight(f"{output}_b", bias.astype(np.float32)),
    ]
    graph.node("ConvTranspose", inputs, output, strides=[down, across])


def _two(kind: str, options: Any) -> Callable[[_Graph, Any], None]:
    def handle(graph: _Graph, op: Any) -> None:
        inputs = [graph.name(op.Inputs(0)), graph.name(op.Inputs(1))]
        fused = _options(op, options).FusedActivationFunction()
        graph.activated(
            fused, f"t{op.Outputs(0)}", lambda name: _ignore(graph.node(kind, inputs, name))
        )

    return handle


def _ignore(_name: str) -> None:
    return None


def _one(kind: str) -> Callable[[_Graph, Any], None]:
    def handle(graph: _Graph, op: Any) -> None:
        graph.node(kind, [graph.name(op.Inputs(0))], f"t{op.Outputs(0)}")

    return handle


def _average(graph: _Graph, op: Any) -> None:
    options = _options(op, tflite.Pool2DOptions)
    kernel = (options.FilterHeight(), options.FilterWidth())
    strides = (options.StrideH(), options.StrideW())
    pads = _pads(graph, op, options.Padding(), kernel, strides)
    if any(pads):
        raise ConversionError("an average over a padded border")
    inputs = [graph.name(op.Inputs(0))]

    def make(name: str) -> None:
        graph.node("AveragePool", inputs, name, kernel_shape=list(kernel), strides=list(strides))

    graph.activated(options.FusedActivationFunction(), f"t{op.Outputs(0)}", make)


def _resize(graph: _Graph, op: Any) -> None:
    options = _options(op, tflite.ResizeBilinearOptions)
    mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
    mode = "align_corners" if options.AlignCorners() else mode
    output = f"t{op.Outputs(0)}"
    _, height, width, channels = graph.shape(op.Outputs(0))
    sizes = graph.weight(f"{output}_size", np.array([1, channels, height, width], np.int64))
    inputs = [graph.name(op.Inputs(0)), "", "", sizes]
    graph.node("Resize", inputs, output, mode="linear", coordinate_transformation_mode=mode)


_HANDLERS: Final[dict[str, Callable[[_Graph, Any], None]]] = {
    "DEQUANTIZE": _dequantize,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "Convolution2DTransposeBias": _transposed,
    "ADD": _two("Add", tflite.AddOptions),
    "MUL": _two("Mul", tflite.MulOptions),
    "RELU": _one("Relu"),
    "HARD_SWISH": _one("HardSwish"),
    "LOGISTIC": _one("Sigmoid"),
    "AVERAGE_POOL_2D": _average,
    "RESIZE_BILINEAR": _resize,
}
