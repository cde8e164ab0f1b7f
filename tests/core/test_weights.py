"""The weights reader against honest files of every layout and against hostile ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as library_load
from safetensors.numpy import save as library_save

from registry.log.core.errors import VerificationError
from tests.loras import lora
from training.core.weights import (
    Array,
    Weights,
    WeightsError,
    adapters,
    half,
    read,
    replace_factors,
    strip,
    tensor_sha256,
    to_kohya,
    write,
)

PAIR = [("unet.mid.attn1.to_q", 24, 40), ("text_encoder.encoder.layers.0.mlp.fc1", 32, 16)]


def raw(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one(**changes: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    return raw({"a": entry}, bytes(8))


def refused(data: bytes) -> str:
    with pytest.raises(WeightsError) as caught:
        read(data)
    return caught.value.code


# --- the format ----------------------------------------------------------------------------------


def test_a_written_file_reads_back_and_loads_in_the_common_library() -> None:
    weights = half(lora(PAIR, 4, 1))
    data = write(weights.tensors, {"b": "2", "a": "許諾"})
    mine, theirs = read(data), library_load(data)
    assert mine.metadata == {"a": "許諾", "b": "2"}
    assert set(mine.tensors) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_array_equal(mine.tensors[name], array)


def test_a_file_of_the_common_library_reads() -> None:
    tensors = lora(PAIR, 4, 1).tensors
    mine = read(library_save(tensors, {"k": "v"}))
    assert mine.metadata == {"k": "v"}
    for name, array in tensors.items():
        np.testing.assert_array_equal(mine.tensors[name], array)


def test_the_same_content_gives_the_same_bytes_in_any_order() -> None:
    tensors = lora(PAIR, 4, 1).tensors
    metadata = {f"k{i}": str(i) for i in range(9)}
    backwards = dict(reversed(tensors.items()))
    assert write(tensors, metadata) == write(backwards, dict(reversed(metadata.items())))


def test_mixed_types_are_laid_out_so_that_the_common_library_accepts_them() -> None:
    tensors: dict[str, Array] = {
        "z": np.ones((3,), np.float32),
        "a": np.ones((3,), np.float16),
    }
    data = write(tensors, {})
    assert set(library_load(data)) == {"a", "z"}
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_the_tensor_hash_survives_a_change_of_metadata_and_not_of_a_weight() -> None:
    tensors = lora(PAIR, 4, 1).tensors
    first = tensor_sha256(write(tensors, {}))
    assert first == tensor_sha256(write(tensors, {"title": "x" * 99}))
    assert first != tensor_sha256(write(half(Weights(tensors)).tensors, {}))


def test_bfloat16_and_float8_are_widened_exactly() -> None:
    torch_like = np.array([1.0, -2.5, 2.0**-130], np.float32)
    bits = (torch_like.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    np.testing.assert_array_equal(read(raw(header, bits)).tensors["a"], torch_like)
    codes = bytes([0x00, 0x01, 0x38, 0xB8, 0x7E, 0x08])
    header = {"a": {"dtype": "F8_E4M3", "shape": [6], "data_offsets": [0, 6]}}
    expected = [0, 2.0**-9, 1, -1, 448, 2.0**-6]
    np.testing.assert_array_equal(read(raw(header, codes)).tensors["a"], expected)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=20),
        st.lists(st.integers(1, 4), max_size=4),
        max_size=6,
    ),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_every_file_round_trips(shapes: dict[str, list[int]], narrow: bool) -> None:
    kind = np.float16 if narrow else np.float32
    tensors: dict[str, Array] = {n: np.full(s, 0.5).astype(kind) for n, s in shapes.items()}
    back = read(write(tensors, {})).tensors
    assert {k: (v.shape, v.dtype) for k, v in back.items()} == {
        k: (v.shape, v.dtype) for k, v in tensors.items()
    }


# --- hostile files -------------------------------------------------------------------------------

HOSTILE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "truncated"),
    ("header past the end", struct.pack("<Q", 99) + b"{}", "truncated"),
    ("header of 100 MB", struct.pack("<Q", 100_000_000) + b"{" * 20, "header_too_large"),
    ("header of 2^64 - 1", b"\xff" * 8 + b"{}", "header_too_large"),
    ("torch zip", b"PK\x03\x04" + bytes(40), "pickle"),
    ("bare pickle", b"\x80\x04\x95" + bytes(40), "pickle"),
    ("leading space", raw(b" {}"), "bad_header"),
    ("not JSON", raw(b"{nope}"), "bad_header"),
    ("not UTF-8", raw(b'{"\xff": 1}'), "bad_header"),
    ("NaN in the header", raw(b'{"a": NaN}'), "bad_header"),
    ("nested 100,000 deep", raw(b'{"a":' + b"[" * 100_000), "bad_header"),
    ("integer of 5,000 digits", raw(b'{"a":' + b"1" * 5000 + b"}"), "bad_header"),
    ("duplicate tensor", raw(b'{"a":{},"a":{}}'), "duplicate_key"),
    ("duplicate field", raw(b'{"a":{"dtype":"F32","dtype":"F16"}}'), "duplicate_key"),
    ("metadata of numbers", raw({"__metadata__": {"a": 1}}), "bad_metadata"),
    ("metadata of null", raw({"__metadata__": None}), "bad_metadata"),
    ("nameless", raw({"": {}}), "bad_name"),
    ("name with a line feed", raw({"a\nb": {}}), "bad_name"),
    ("name of 513", raw({"a" * 513: {}}), "bad_name"),
    ("entry is a list", raw({"a": []}), "bad_tensor"),
    ("unknown field", one(evil=1), "bad_tensor"),
    ("integers", one(dtype="I64"), "unknown_dtype"),
    ("dtype is a list", one(dtype=["F32"]), "unknown_dtype"),
    ("negative dimension", one(shape=[-1]), "bad_tensor"),
    ("true as dimension", one(shape=[True, 2]), "bad_tensor"),
    ("fraction as dimension", one(shape=[2.0]), "bad_tensor"),
    ("nine dimensions", one(shape=[1] * 8 + [2]), "bad_tensor"),
    ("zero rank", one(shape=[0], data_offsets=[0, 0]), "empty_tensor"),
    ("shape of 2^80", one(shape=[1 << 40, 1 << 40]), "bad_offsets"),
    ("three offsets", one(data_offsets=[0, 8, 8]), "bad_offsets"),
    ("backward offsets", one(data_offsets=[8, 0]), "bad_offsets"),
    ("starts late", one(data_offsets=[4, 12]), "bad_offsets"),
    ("past the end", raw({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}, bytes(8)),
     "truncated"),
    ("bytes to spare", one() + b"\0", "bad_offsets"),
    (
        "overlap",
        raw({n: {"dtype": "F32", "shape": [2], "data_offsets": o} for n, o in
             (("a", [0, 8]), ("b", [4, 12]))}, bytes(12)),
        "bad_offsets",
    ),
    (
        "the same bytes twice",
        raw({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, bytes(8)),
        "bad_offsets",
    ),
    ("NaN", one()[:-8] + np.array([np.nan, 0], "<f4").tobytes(), "not_finite"),
    ("infinity", one()[:-8] + np.array([0, -np.inf], "<f4").tobytes(), "not_finite"),
    (
        "NaN in float8",
        raw({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"\x7f"),
        "not_finite",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_a_hostile_file_is_refused_with_its_reason(data: bytes, code: str) -> None:
    assert refused(data) == code


def test_the_file_that_the_hostile_ones_are_made_from_is_accepted() -> None:
    assert read(one()).tensors["a"].tolist() == [0.0, 0.0]


def test_a_hundred_thousand_and_one_tensors_are_refused() -> None:
    entry = b'{"dtype":"F16","shape":[],"data_offsets":[0,2]}'
    text = b"{" + b",".join(b'"%x":%s' % (i, entry) for i in range(100_001)) + b"}"
    assert refused(raw(text, b"\0\0")) == "too_many_tensors"


def test_a_header_of_640_bytes_is_no_pickle() -> None:
    text = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    assert read(raw(text.ljust(640), bytes(8))).tensors["a"].shape == (2,)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    with pytest.raises(WeightsError):
        read(data)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_reads_or_is_refused_and_nothing_else(data: st.DataObject) -> None:
    good = bytearray(write(lora(PAIR[:1], 2, 1).tensors, {"a": "b"}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for candidate in (bytes(good), bytes(good[:cut])):
        try:
            adapters(read(candidate))
        except VerificationError as error:
            assert error.code  # noqa: PT017  (either outcome is right; anything else fails)


# --- adapters ------------------------------------------------------------------------------------

LAYOUTS: dict[str, tuple[str, str]] = {
    "kohya": ("lora_unet_mid.lora_down.weight", "lora_unet_mid.lora_up.weight"),
    "peft": ("unet.mid.lora_A.weight", "unet.mid.lora_B.weight"),
    "peft, named": ("base_model.model.mid.lora_A.default.weight",
                    "base_model.model.mid.lora_B.default.weight"),
    "diffusers, old": ("unet.mid.lora.down.weight", "unet.mid.lora.up.weight"),
    "text, old": ("te.q.lora_linear_layer.down.weight", "te.q.lora_linear_layer.up.weight"),
    "processors": ("unet.attn.processor.to_q_lora.down.weight",
                   "unet.attn.processor.to_q_lora.up.weight"),
    "comfy": ("diffusion_model.blocks.0.lora_A.weight", "diffusion_model.blocks.0.lora_B.weight"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_module(layout: str) -> None:
    down, up = LAYOUTS[layout]
    a, b = np.ones((2, 5), np.float16), np.ones((3, 2), np.float16)
    (module,) = adapters(Weights({down: a, up: b}))
    assert (module.shape, module.rank, module.scale) == ((3, 5), 2, 1.0)
    assert module.up.dtype == np.float32


def test_alpha_scales_and_convolutions_are_flattened() -> None:
    tensors = {
        "c.lora_down.weight": np.ones((4, 3, 3, 3), np.float32),
        "c.lora_up.weight": np.ones((8, 4, 1, 1), np.float32),
        "c.alpha": np.array(2.0, np.float32),
    }
    (module,) = adapters(Weights(tensors))
    assert (module.shape, module.scale) == ((8, 27), 0.5)


def test_zero_modules_other_tensors_and_middle_factors_are_left_out() -> None:
    a, b = np.ones((2, 9), np.float32), np.ones((9, 2), np.float32)
    tensors = {
        "zero.lora_A.weight": a, "zero.lora_B.weight": 0 * b,
        "cp.lora_down.weight": a, "cp.lora_up.weight": b, "cp.lora_mid.weight": b,
        "bias": a,
    }  # fmt: skip
    assert adapters(Weights(tensors)) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.pop("m.lora_B.weight"), "unpaired_factor"),
        (lambda t: t.pop("m.lora_A.weight"), "unpaired_factor"),
        (lambda t: t.update({"m.lora_B.weight": np.ones((9, 3), np.float32)}), "rank_mismatch"),
        (lambda t: t.update({"m.lora_B.weight": np.ones(9, np.float32)}), "bad_factor"),
        (lambda t: t.update({"m.alpha": np.ones(2, np.float32)}), "bad_factor"),
    ],
)
def test_a_broken_pair_is_refused(change: Callable[[dict[str, Any]], object], code: str) -> None:
    tensors = {
        "m.lora_A.weight": np.ones((2, 9), np.float32),
        "m.lora_B.weight": np.ones((9, 2), np.float32),
    }
    assert len(adapters(Weights(dict(tensors)))) == 1
    change(tensors)
    with pytest.raises(WeightsError) as caught:
        adapters(Weights(tensors))
    assert caught.value.code == code


# --- conversions ---------------------------------------------------------------------------------


def test_the_kohya_export_keeps_every_update_and_puts_text_model_back() -> None:
    weights = lora(PAIR, 4, 1)
    exported = to_kohya(weights)
    assert set(exported.tensors) == {
        f"{stem}{end}"
        for stem in ("lora_unet_mid_attn1_to_q", "lora_te_text_model_encoder_layers_0_mlp_fc1")
        for end in (".lora_down.weight", ".lora_up.weight", ".alpha")
    }
    for before, after in zip(adapters(weights), adapters(exported), strict=True):
        np.testing.assert_array_equal(
            before.scale * before.up @ before.down, after.scale * after.up @ after.down
        )


def test_the_kohya_export_writes_the_true_alpha_and_is_its_own_fixed_point() -> None:
    weights = lora(PAIR[:1], 4, 1)
    weights.tensors["unet.mid.attn1.to_q.alpha"] = np.array(2.0, np.float32)
    once = to_kohya(weights)
    assert once.tensors["lora_unet_mid_attn1_to_q.alpha"] == 2.0
    assert set(to_kohya(once).tensors) == set(once.tensors)


def test_two_text_encoders_are_numbered() -> None:
    second = ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", 16, 16)
    exported = to_kohya(lora([PAIR[1], second], 2, 1))
    stems = {name.split(".")[0] for name in exported.tensors}
    assert stems == {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
    }


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["transformer.blocks.0"], "not_convertible"),
        (["unet.a.b", "unet.a_b"], "key_collision"),
    ],
)
def test_what_has_no_kohya_name_is_not_exported(paths: list[str], code: str) -> None:
    with pytest.raises(WeightsError) as caught:
        to_kohya(lora([(path, 16, 16) for path in paths], 2, 1))
    assert caught.value.code == code


def test_a_tensor_that_is_no_factor_is_not_lost_silently() -> None:
    weights = lora(PAIR, 2, 1)
    weights.tensors["unet.mid.attn1.to_q.dora_scale"] = np.ones(3, np.float32)
    with pytest.raises(WeightsError, match="not_convertible"):
        to_kohya(weights)


def test_strip_and_half_do_what_they_say() -> None:
    weights = Weights(lora(PAIR, 2, 1).tensors, {"a": "b"})
    assert strip(weights).metadata == {}
    assert half(weights).metadata == {"a": "b"}
    assert {t.dtype.name for t in half(weights).tensors.values()} == {"float16"}


def test_a_number_too_large_for_float16_is_refused() -> None:
    big = Weights({"a": np.array([1e6], np.float32)})
    with pytest.raises(WeightsError, match="not_finite"):
        half(big)
    with pytest.raises(WeightsError, match="not_finite"):
        replace_factors(half(Weights({"a": np.ones(1, np.float32)})), {"a": big.tensors["a"]})
    with pytest.raises(WeightsError, match="not_finite"):
        write({"a": np.array([np.inf], np.float32)}, {})


@pytest.mark.parametrize(
    ("name", "array", "code"),
    [
        ("a", np.ones(1), "unknown_dtype"),
        ("a", np.ones(0, np.float32), "empty_tensor"),
        ("", np.ones(1, np.float32), "bad_name"),
        ("__metadata__", np.ones(1, np.float32), "bad_name"),
    ],
)
def test_the_writer_makes_only_what_the_reader_takes(name: str, array: Any, code: str) -> None:
    with pytest.raises(WeightsError) as caught:
        write({name: array}, {})
    assert caught.value.code == code
