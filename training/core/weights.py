"""Weights files: the only reader and writer of safetensors in the product (stages 6 to 9).

Trusts nothing: a file may come from a stranger who wants it traced, or wants the tracer to fall
over. Nothing is unpickled, nothing is executed, and no array is made before the header has been
checked against the length of the file. Names carry no authority. They pair the two factors of a
module and are not used for anything else.

The format (huggingface/safetensors, "Format"): 8 bytes little-endian N, N bytes of JSON, then the
tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from registry.log.core.errors import VerificationError

Array = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]

MAX_HEADER: Final = 8 * 1024 * 1024
MAX_TENSORS: Final = 100_000
MAX_NAME: Final = 512
MAX_DIMS: Final = 8
METADATA: Final = "__metadata__"

_ITEM_SIZE: Final = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}
_TENSOR_FIELDS: Final = {"dtype", "shape", "data_offsets"}
_PICKLE_STARTS: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class WeightsError(VerificationError):
    """The file is not a weights file that this product accepts; `code` says which rule it broke."""


@dataclass(frozen=True)
class Weights:
    """Named tensors, float32 or float16, and the header's map from string to string."""

    tensors: dict[str, Array]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Module:
    """One adapted layer: dW = scale * up @ down, with up (m, r) and down (r, n) in float32.

    `shape` is (m, n). The keys say where the factors came from, so that they can be put back.
    """

    shape: tuple[int, int]
    up: Float32
    down: Float32
    scale: float
    stem: str
    up_key: str
    down_key: str

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])


# --- reading --------------------------------------------------------------------------------------


def read(data: bytes | memoryview, *, max_header: int = MAX_HEADER) -> Weights:
    """Read a safetensors file strictly.

    (1) the length field fits in the file and under the limit; (2) the header is one JSON object
    without duplicate members; (3) every entry has a known dtype, a shape without zeros, and offsets
    of exactly that many bytes; (4) the tensors cover the rest of the file without a gap, an overlap
    or a byte to spare; (5) every number is finite.

    BF16 and F8_E4M3 become float32 (exact); F32 and F16 are read-only views of `data`.
    Raises WeightsError with one of the codes pickle, truncated, header_too_large, bad_header,
    duplicate_key, bad_metadata, bad_name, too_many_tensors, bad_tensor, unknown_dtype,
    empty_tensor, bad_offsets, not_finite.
    """
    entries, body, metadata = _parsed(data, max_header)
    return Weights({e.name: _finite(e.name, e.array(body)) for e in entries}, metadata)  # (5)


@dataclass(frozen=True)
class Stored:
    """One tensor where it lies in a file, of which nothing was read yet."""

    dtype: str
    shape: tuple[int, ...]
    raw: memoryview
    _entry: _Entry = field(repr=False)

    def array(self) -> Array:
        """Its numbers, float32 or float16; nobody has looked whether they are finite."""
        return self._entry.view(self.raw)


def stored(data: memoryview) -> dict[str, Stored]:
    """The tensors of a file in place, for files that are larger than memory (a mapped checkpoint).

    Checks (1) to (4) as `read` does; raises what it raises but for `not_finite`.
    """
    entries, body, _ = _parsed(data, MAX_HEADER)
    return {e.name: Stored(e.dtype, e.shape, body[e.begin : e.end], e) for e in entries}


def _parsed(
    data: bytes | memoryview, max_header: int
) -> tuple[list[_Entry], memoryview, dict[str, str]]:
    body = _body(data, max_header)  # (1)
    header = _header(bytes(memoryview(data)[8 : len(data) - len(body)]))  # (2)
    metadata = _metadata(header.pop(METADATA, {}))
    if len(header) > MAX_TENSORS:
        raise WeightsError("too_many_tensors", f"{len(header)} tensors")
    entries = [_Entry.parse(name, raw) for name, raw in header.items()]  # (3)
    _check_cover(entries, len(body))  # (4)
    return entries, body, metadata


def tensor_sha256(data: bytes | memoryview) -> str:
    """Hex SHA-256 of the bytes after the header.

    ModelSpec 1.0.1, `hash_sha256`: the hash covers the tensor bytes only, so it survives a change
    of metadata.
    """
    return hashlib.sha256(_body(data, MAX_HEADER)).hexdigest()


def _body(data: bytes | memoryview, max_header: int) -> memoryview:
    view = memoryview(data)
    # Both tests: a header of 640 bytes also begins with 80 02.
    if bytes(view[:4]).startswith(_PICKLE_STARTS) and bytes(view[8:9]) != b"{":
        raise WeightsError("pickle", "a pickle or zip archive under another name")
    if len(view) < 10:
        raise WeightsError("truncated", "shorter than the smallest header")
    length = int.from_bytes(view[:8], "little")
    if length > max_header:
        raise WeightsError("header_too_large", f"{length} bytes")
    if 8 + length > len(view):
        raise WeightsError("truncated", "the header runs past the end of the file")
    return view[8 + length :]


def _header(raw: bytes) -> dict[str, Any]:
    # The format: "The header data MUST begin with a `{` character (0x7B)"; trailing 0x20 is
    # padding.
    if not raw.startswith(b"{"):
        raise WeightsError("bad_header", "does not begin with {")
    try:
        header = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError too
        raise WeightsError("bad_header", type(error).__name__) from error
    if not isinstance(header, dict):
        raise WeightsError("bad_header", "not an object")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise WeightsError("duplicate_key", "a JSON member appears twice")
    return members


def _no_constant(name: str) -> None:
    raise WeightsError("bad_header", f"{name} is not JSON")


def _metadata(raw: object) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise WeightsError("bad_metadata", "not a map from string to string")
    return raw


@dataclass(frozen=True)
class _Entry:
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @classmethod
    def parse(cls, name: str, raw: object) -> _Entry:
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise WeightsError("bad_name", repr(name[:40]))
        if not isinstance(raw, dict) or set(raw) != _TENSOR_FIELDS:
            raise WeightsError("bad_tensor", name)
        dtype, shape, offsets = raw["dtype"], raw["shape"], raw["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _ITEM_SIZE:
            raise WeightsError("unknown_dtype", name)
        if not _naturals(shape) or len(shape) > MAX_DIMS:
            raise WeightsError("bad_tensor", name)
        if 0 in shape:
            raise WeightsError("empty_tensor", name)
        if not _naturals(offsets) or len(offsets) != 2:
            raise WeightsError("bad_offsets", name)
        begin, end = offsets
        # Python integers do not overflow: a product of huge dimensions simply does not equal the
        # length.
        if end - begin != math.prod(shape) * _ITEM_SIZE[dtype]:
            raise WeightsError("bad_offsets", name)
        return cls(name, dtype, tuple(shape), begin, end)

    def array(self, body: memoryview) -> Array:
        return self.view(body[self.begin : self.end])

    def view(self, raw: memoryview) -> Array:
        """The numbers of this entry's own bytes."""
        if self.dtype == "BF16":
            wide = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
            return wide.view(np.float32).reshape(self.shape)
        if self.dtype == "F8_E4M3":
            return _E4M3[np.frombuffer(raw, np.uint8)].reshape(self.shape)
        code = "<f4" if self.dtype == "F32" else "<f2"
        return np.frombuffer(raw, code).reshape(self.shape)


def _naturals(value: object) -> bool:
    # `type(x) is int` and not isinstance: JSON true is an int to Python.
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_cover(entries: Iterable[_Entry], size: int) -> None:
    position = 0
    for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
        if entry.begin != position:
            raise WeightsError("bad_offsets", f"gap or overlap before {entry.name}")
        position = entry.end
    if position > size:
        raise WeightsError("truncated", "the last tensor runs past the end of the file")
    if position < size:
        raise WeightsError("bad_offsets", "bytes after the last tensor")


def _finite(name: str, array: Array) -> Array:
    if not np.isfinite(array).all():
        raise WeightsError("not_finite", name)
    return array


def _e4m3_table() -> Float32:
    """The 256 values of float8 E4M3FN (OCP FP8 1.0): no infinity, NaN at S.1111.111."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, (code & 7) / 8.0
    size = np.where(exponent == 0, mantissa * 2.0**-6, (1 + mantissa) * 2.0 ** (exponent - 7))
    size[(code & 127) == 127] = np.nan
    return np.where(code < 128, size, -size).astype(np.float32)


_E4M3: Final = _e4m3_table()


# --- writing --------------------------------------------------------------------------------------


def write(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Write safetensors bytes that depend on the content and on nothing else.

    The common writer orders its metadata by a hash map, so the same content gives different files;
    a file hash that goes into a log must be reproducible. Widest type first, then by name, as the
    common writer lays tensors out. float32 and float16 only. Raises WeightsError (unknown_dtype,
    empty_tensor, bad_name, not_finite, bad_metadata).
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header: dict[str, Any] = {METADATA: _sorted_metadata(metadata)} if metadata else {}
    chunks: list[bytes] = []
    position = 0
    for name in names:
        chunk = _chunk(name, tensors[name])
        header[name] = {
            "dtype": "F32" if tensors[name].dtype == np.float32 else "F16",
            "shape": list(tensors[name].shape),
            "data_offsets": [position, position + len(chunk)],
        }
        position += len(chunk)
        chunks.append(chunk)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def _sorted_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(_metadata(dict(metadata)).items()))


def _chunk(name: str, array: Array) -> bytes:
    if array.dtype not in (np.float32, np.float16):
        raise WeightsError("unknown_dtype", f"{name}: {array.dtype}")
    if array.size == 0:
        raise WeightsError("empty_tensor", name)
    if name == METADATA or not name or len(name) > MAX_NAME or not name.isprintable():
        raise WeightsError("bad_name", repr(name[:40]))
    _finite(name, array)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def strip(weights: Weights) -> Weights:
    """The same tensors without metadata: what a thief's re-save leaves."""
    return Weights(dict(weights.tensors), {})


def half(weights: Weights) -> Weights:
    """The same weights in float16, the usual type of a delivered file.

    Raises WeightsError("not_finite") when a number does not fit.
    """
    with np.errstate(over="ignore"):  # an overflow is an infinity, which _finite names
        narrow = {name: array.astype(np.float16) for name, array in weights.tensors.items()}
    return Weights({name: _finite(name, array) for name, array in narrow.items()}, weights.metadata)


# --- adapters -------------------------------------------------------------------------------------

# (down, up) endings, most specific first: kohya; PEFT and diffusers; PEFT with a named adapter;
# older diffusers.
_ENDINGS: Final = (
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    (".lora_down.weight", ".lora_up.weight"),
    (".lora_A.default.weight", ".lora_B.default.weight"),
    (".lora_A.weight", ".lora_B.weight"),
    (".lora.down.weight", ".lora.up.weight"),
    ("_lora.down.weight", "_lora.up.weight"),
)
_MIDDLE: Final = ".lora_mid.weight"


def adapters(weights: Weights) -> list[Module]:
    """The low-rank modules of a file, in the order of their down keys.

    A missing `.alpha` means scale 1, as ComfyUI and A1111 read it; otherwise scale = alpha / rank.
    Convolutions are flattened to (m, in*kh*kw). Modules that are zero everywhere are left out: they
    hold no direction to measure. Tensors of other kinds are ignored, and so are modules with a
    middle factor (not a product of two matrices). Raises WeightsError: unpaired_factor,
    rank_mismatch, bad_factor.
    """
    modules = []
    for key in weights.tensors:
        pair = _paired(key, weights.tensors)
        if pair is None:
            continue
        module = _module(weights.tensors, *pair)
        if module.scale != 0 and module.up.any() and module.down.any():
            modules.append(module)
    return modules


def _paired(key: str, tensors: Mapping[str, Array]) -> tuple[str, str, str] | None:
    """(stem, down key, up key) when `key` is a down factor; None for everything else."""
    for down, up in _ENDINGS:
        if key.endswith(up) and key[: -len(up)] + down not in tensors:
            raise WeightsError("unpaired_factor", key)
        if key.endswith(down):
            stem = key[: -len(down)]
            if stem + up not in tensors:
                raise WeightsError("unpaired_factor", key)
            return None if stem + _MIDDLE in tensors else (stem, key, stem + up)
    return None


def _module(tensors: Mapping[str, Array], stem: str, down_key: str, up_key: str) -> Module:
    down, up = _matrix(down_key, tensors[down_key]), _matrix(up_key, tensors[up_key])
    if up.shape[1] != down.shape[0]:
        raise WeightsError("rank_mismatch", stem)
    rank = down.shape[0]
    alpha = tensors.get(stem + ".alpha")
    if alpha is not None and alpha.size != 1:
        raise WeightsError("bad_factor", stem + ".alpha")
    scale = 1.0 if alpha is None else float(alpha.reshape(())) / rank
    return Module((up.shape[0], down.shape[1]), up, down, scale, stem, up_key, down_key)


def _matrix(key: str, array: Array) -> Float32:
    if array.ndim not in (2, 3, 4, 5):
        raise WeightsError("bad_factor", key)
    return array.astype(np.float32).reshape(array.shape[0], -1)


def replace_factors(weights: Weights, factors: Mapping[str, Float32]) -> Weights:
    """The same file with some factors exchanged; shapes and types of the tensors stay as they were.

    Raises WeightsError("not_finite") when a number does not fit the tensor's type.
    """
    tensors = dict(weights.tensors)
    for key, factor in factors.items():
        old = tensors[key]
        with np.errstate(over="ignore"):
            tensors[key] = _finite(key, factor.reshape(old.shape).astype(old.dtype))
    return Weights(tensors, dict(weights.metadata))


# --- kohya export ---------------------------------------------------------------------------------

_PREFIXES: Final = (("unet.", "lora_unet_"), ("text_encoder_2.", "lora_te2_"))


def to_kohya(weights: Weights) -> Weights:
    """The same adapter under the names that A1111, Forge and ComfyUI read, with an explicit alpha.

    Text encoder: `lora_te_` for one encoder, `lora_te1_`/`lora_te2_` for two. transformers 5
    dropped `text_model.` from CLIPTextModel's paths while every reader expects it, so it is put
    back. Alpha is rank times the true scale (the common converter writes alpha = rank whatever the
    scale). Metadata is kept. Raises WeightsError: not_convertible (a tensor that is no factor, or a
    part with no kohya name), key_collision.
    """
    modules = adapters(weights)
    two = any(module.stem.startswith("text_encoder_2.") for module in modules)
    _check_all_factors(weights)
    tensors: dict[str, Array] = {}
    for module in modules:
        stem = _kohya_stem(module.stem, two_encoders=two)
        if f"{stem}.alpha" in tensors:
            raise WeightsError("key_collision", stem)
        up, down = weights.tensors[module.up_key], weights.tensors[module.down_key]
        tensors[f"{stem}.lora_down.weight"] = down
        tensors[f"{stem}.lora_up.weight"] = up
        tensors[f"{stem}.alpha"] = np.array(module.scale * module.rank, dtype=down.dtype)
    return Weights(tensors, dict(weights.metadata))


def _check_all_factors(weights: Weights) -> None:
    endings = tuple(ending for pair in _ENDINGS for ending in pair)
    for key in weights.tensors:
        if not key.endswith((*endings, ".alpha")):
            raise WeightsError("not_convertible", key)


def _kohya_stem(stem: str, *, two_encoders: bool) -> str:
    path = stem.removeprefix("base_model.model.")
    if path.startswith("lora_"):
        return path
    if path.startswith("text_encoder."):
        path = path.removeprefix("text_encoder.").removeprefix("text_model.")
        prefix = "lora_te1_" if two_encoders else "lora_te_"
        return prefix + f"text_model.{path}".replace(".", "_")
    for theirs, ours in _PREFIXES:
        if path.startswith(theirs):
            return ours + path.removeprefix(theirs).replace(".", "_")
    raise WeightsError("not_convertible", stem)
