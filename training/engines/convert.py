"""Converts OpenCV Zoo's YuNet and SFace into the ONNX layouts that insightface loads.

Stage 5 (curation), set-up time only. Trusts nothing: `training.engines.pack` checks the hash of
what comes in and of what goes out. The published files are int8 block-quantised, which
onnxruntime refuses; YuNet has twelve outputs where insightface's SCRFD expects nine. Weights are
unfolded to fp32 with the same integer and float operations everywhere, so the result is the same
to the byte on every machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
PARTS = ("score", "box", "points")
Array = npt.NDArray[Any]
Weights = dict[str, Array]


def sface(data: bytes) -> bytes:
    """SFace for insightface's recogniser: N x 3 x 112 x 112 RGB 0..255 in, N x 128 out.

    `data` is OpenCV Zoo's `face_recognition_sface_2021dec_int8bq.onnx`. Mean and scale stay in
    the graph, so the manifest says mean 0, std 1.
    """
    graph = onnx.load_from_string(data).graph
    nodes, weights = _fold(graph)
    nodes = [_identity(node) if node.op_type == "Dropout" else node for node in nodes]
    nodes = [node for node in nodes if node.op_type != "Constant"]
    return _model(
        nodes,
        weights,
        inputs=[helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 112, 112])],
        outputs=[helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ["N", 128])],
        name="sface",
    )


def yunet(data: bytes) -> bytes:
    """YuNet for insightface's SCRFD: 1 x 3 x H x W in, three scores, three boxes, three points.

    `data` is OpenCV Zoo's `face_detection_yunet_2023mar_int8bq.onnx`. The input is what SCRFD
    feeds, `(RGB - 127.5) / 128`; it is turned back into the BGR 0..255 that YuNet was trained on.
    """
    graph = onnx.load_from_string(data).graph
    nodes, weights = _fold(graph)
    head, head_weights = _scrfd_input()
    tail, tail_weights = _scrfd_outputs()
    outputs = [
        helper.make_tensor_value_info(f"{part}_{stride}", TensorProto.FLOAT, [None, width])
        for part, width in zip(PARTS, (1, 4, 10), strict=True)
        for stride in STRIDES
    ]
    return _model(
        [*head, *nodes, *tail],
        {**weights, **head_weights, **tail_weights},
        inputs=[helper.make_tensor_value_info("scrfd", TensorProto.FLOAT, [1, 3, "H", "W"])],
        outputs=outputs,
        name="yunet",
    )


def _scrfd_input() -> tuple[list[onnx.NodeProto], Weights]:
    """Undo SCRFD's normalisation and give YuNet its channels in BGR order."""
    weights: Weights = {
        "k_scale": np.array(128.0, np.float32),
        "k_mean": np.array(127.5, np.float32),
        "k_bgr": np.array([2, 1, 0], np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["scrfd", "k_scale"], ["k_scaled"], name="k_scaled"),
        helper.make_node("Add", ["k_scaled", "k_mean"], ["k_rgb"], name="k_rgb"),
        helper.make_node("Gather", ["k_rgb", "k_bgr"], ["input"], name="k_input", axis=1),
    ]
    return nodes, weights


def _scrfd_outputs() -> tuple[list[onnx.NodeProto], Weights]:
    """YuNet's cls, obj, bbox, kps per stride into SCRFD's score, box, points.

    SCRFD with nine outputs expects two anchors per cell: every row is given twice, its twin with
    score 0, which no threshold above 0 lets through.
    """
    weights: Weights = {
        "k_zero": np.array(0.0, np.float32),
        "k_one": np.array(1.0, np.float32),
        "k_half": np.array(0.5, np.float32),
        "k_rows_score": np.array([-1, 1], np.int64),
        "k_rows_box": np.array([-1, 4], np.int64),
        "k_rows_points": np.array([-1, 10], np.int64),
        "k_halves": np.array([2, 2], np.int64),
    }
    nodes: list[onnx.NodeProto] = []
    for stride in STRIDES:
        nodes += _score(stride) + _box(stride) + _twice(f"kps_{stride}", "points", stride)
    return nodes, weights


def _score(stride: int) -> list[onnx.NodeProto]:
    """sqrt(clip(cls) * clip(obj)), as OpenCV's FaceDetectorYN scores a cell."""
    s = str(stride)
    return [
        _node("Clip", [f"cls_{s}", "k_zero", "k_one"], f"k_cls_{s}"),
        _node("Clip", [f"obj_{s}", "k_zero", "k_one"], f"k_obj_{s}"),
        _node("Mul", [f"k_cls_{s}", f"k_obj_{s}"], f"k_product_{s}"),
        _node("Sqrt", [f"k_product_{s}"], f"k_score_{s}"),
        _node("Mul", [f"k_score_{s}", "k_zero"], f"k_twin_{s}"),
        _node("Concat", [f"k_score_{s}", f"k_twin_{s}"], f"k_pair_score_{s}", axis=2),
        _node("Reshape", [f"k_pair_score_{s}", "k_rows_score"], f"score_{s}"),
    ]


def _box(stride: int) -> list[onnx.NodeProto]:
    """Centre offset and log size into distances to the four sides, in units of the stride."""
    s = str(stride)
    split = helper.make_node(
        "Split", [f"bbox_{s}", "k_halves"], [f"k_xy_{s}", f"k_wh_{s}"], name=f"k_split_{s}", axis=2
    )
    return [
        split,
        _node("Exp", [f"k_wh_{s}"], f"k_size_{s}"),
        _node("Mul", [f"k_size_{s}", "k_half"], f"k_halfsize_{s}"),
        _node("Sub", [f"k_halfsize_{s}", f"k_xy_{s}"], f"k_lt_{s}"),
        _node("Add", [f"k_halfsize_{s}", f"k_xy_{s}"], f"k_rb_{s}"),
        _node("Concat", [f"k_lt_{s}", f"k_rb_{s}"], f"k_sides_{s}", axis=2),
        *_twice(f"k_sides_{s}", "box", stride),
    ]


def _twice(source: str, part: str, stride: int) -> list[onnx.NodeProto]:
    pair = f"k_pair_{part}_{stride}"
    return [
        _node("Concat", [source, source], pair, axis=2),
        _node("Reshape", [pair, f"k_rows_{part}"], f"{part}_{stride}"),
    ]


def _node(kind: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def _identity(node: onnx.NodeProto) -> onnx.NodeProto:
    return helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name)


def _fold(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], Weights]:
    """Dequantise the weights (and the reshape that follows) once, instead of at every run."""
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            weights[node.output[0]] = _dequantise(node, weights)
        elif node.op_type == "Reshape" and node.input[0].endswith("_dequantized"):
            shape = weights[node.input[1]]
            weights[node.output[0]] = weights[node.input[0]].reshape(shape)
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    return kept, {name: value for name, value in weights.items() if name in used}


def _dequantise(node: onnx.NodeProto, weights: Weights) -> Array:
    """(q - zero) * scale, scale and zero point repeated over their block (ONNX, opset 21).

    A single scale is per-tensor whatever `block_size` says.
    """
    quantised, scale, zero = (weights[name] for name in node.input)
    options = {item.name: item.i for item in node.attribute}
    if scale.size > 1:
        axis, block = options["axis"], options["block_size"]
        scale = _spread(scale, quantised.shape[axis], axis, block)
        zero = _spread(zero, quantised.shape[axis], axis, block)
    difference = quantised.astype(np.int32) - zero.astype(np.int32)
    return (difference.astype(np.float32) * scale).astype(np.float32)


def _spread(values: Array, length: int, axis: int, block: int) -> Array:
    return np.take(np.repeat(values, block, axis=axis), np.arange(length), axis=axis)


def _model(
    nodes: list[onnx.NodeProto],
    weights: Weights,
    *,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    name: str,
) -> bytes:
    """Everything that could differ between two versions of onnx is said here, or left out."""
    initializers = [numpy_helper.from_array(weights[key], key) for key in sorted(weights)]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializer=initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
