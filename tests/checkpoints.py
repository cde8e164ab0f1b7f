"""A base and a checkpoint with a LoRA merged into it, in memory, in the types that people store."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from training.core import weights
from training.core.weights import Float32, Stored, Weights, adapters

Pair = tuple[dict[str, Stored], dict[str, Stored]]
SHARE = 0.02  # |dW| over |W| of each layer


def merged(file: Weights, dtype: str, seed: int, *, twice: bool = False) -> Pair:
    """(checkpoint, base) of normal weights (0.03), the update at SHARE of each layer's length.

    Both are rounded to `dtype` from full precision; `twice`: the update was added to the base as it
    is stored, so that most of it is lost where the type is coarse.
    """
    dice = np.random.default_rng(seed)
    base: dict[str, Float32] = {}
    changed: dict[str, Float32] = {}
    for module in adapters(file):
        plain = dice.standard_normal(module.shape, np.float32) * np.float32(0.03)
        update = np.float32(module.scale) * module.up @ module.down
        update *= np.float32(SHARE * np.linalg.norm(plain) / np.linalg.norm(update))
        name = f"{module.stem}.weight"
        base[name] = plain
        held = stored({name: plain}, dtype)[name].array() if twice else plain
        changed[name] = np.asarray(held + update, np.float32)
    return stored(changed, dtype), stored(base, dtype)


def stored(arrays: dict[str, Float32], dtype: str) -> dict[str, Stored]:
    """Numbers as a safetensors file holds them: F16, BF16 or F8_E4M3, rounded to the nearest."""
    header: dict[str, Any] = {}
    parts, position = [], 0
    for name, array in arrays.items():
        raw = _RAW[dtype](array)
        end = position + len(raw)
        header[name] = {
            "dtype": dtype, "shape": list(array.shape), "data_offsets": [position, end],
        }  # fmt: skip
        parts.append(raw)
        position = end
    text = json.dumps(header).encode()
    return weights.stored(memoryview(len(text).to_bytes(8, "little") + text + b"".join(parts)))


def _half(array: Float32) -> bytes:
    return array.astype("<f2").tobytes()


def _bfloat16(array: Float32) -> bytes:
    raw = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((raw + 0x8000) >> 16).astype("<u2").tobytes()


def _e4m3() -> Float32:
    """The 127 numbers from 0 to 448: four bits of exponent (bias 7), three of mantissa."""
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    subnormal = mantissa * 2.0**-9
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return np.where(exponent == 0, subnormal, normal).astype(np.float32)


_VALUES = _e4m3()
_BETWEEN = (_VALUES[1:] + _VALUES[:-1]) / 2


def _float8(array: Float32) -> bytes:
    codes = np.searchsorted(_BETWEEN, np.abs(array)).astype(np.uint8)
    return (codes | (np.signbit(array).astype(np.uint8) << 7)).tobytes()


_RAW = {"F16": _half, "BF16": _bfloat16, "F8_E4M3": _float8}
