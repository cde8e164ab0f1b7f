"""What was merged into a checkpoint: its difference from the known base, layer by layer (stage 9).

A LoRA that was merged has no factors any more; the difference of the two files has. Each layer's
difference is taken apart into the few directions that carry it (randomised range finder with power
iterations, Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review 2011) and
comes back as factors that are read like a LoRA's. Needs no key, so whoever holds both files can do
it at their desk.

Trusts neither file. Works through memory maps: never holds more than one layer of each.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from training.core import weights
from training.core.weights import Array, Float32, Weights, WeightsError

RANK: Final = 40
_MORE: Final = 8  # directions beside those that are kept: they make them right, and show rounding
_MIN_SIDE: Final = 8
_FLOOR: Final = 1e-3  # of a layer's largest singular value
_ROUNDING: Final = 1.5  # times the smallest one seen: a file in half precision differs everywhere
# Where the last direction has this share of the first, rounding (of an 8-bit file, say) is as large
# as what was merged: looking again through the matrix finds the directions that it half hides.
_NOISY: Final = 0.02
_PASSES: Final = 2
Progress = Callable[[int, int], None]
Tensors = Mapping[str, weights.Stored]


def difference(
    changed: Tensors, base: Tensors, *, rank: int = RANK, progress: Progress | None = None
) -> Weights:
    """The low-rank part of `changed` less `base` as LoRA factors; layers that are equal are left
    out.

    `progress(done, total)` counts layers. Raises WeightsError: `base_mismatch` where the two have
    no layer of one name and shape, `no_difference` where all that they share is equal.
    """
    shared = [name for name in changed if _same_layer(name, changed, base)]
    if not shared:
        raise WeightsError("base_mismatch", "no layer of one name and shape in both")
    dice = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for number, name in enumerate(shared, 1):
        if changed[name].raw != base[name].raw or changed[name].dtype != base[name].dtype:
            factors = _factors(_gap(name, changed, base), rank, dice)
            if factors is not None:
                up, down = factors
                stem = name.removesuffix(".weight")
                found[f"{stem}.lora_A.weight"], found[f"{stem}.lora_B.weight"] = down, up
        if progress is not None:
            progress(number, len(shared))
    if not found:
        raise WeightsError("no_difference", f"{len(shared)} layers are those of the base")
    return Weights(found)


def lora_file(changed: Path, base: Path, *, progress: Progress | None = None) -> bytes:
    """What was merged into a checkpoint, as the file of a LoRA. Raises WeightsError, OSError."""
    found = difference(opened(changed), opened(base), progress=progress)
    return weights.write(weights.half(found).tensors, {})


def opened(path: Path) -> dict[str, weights.Stored]:
    """The tensors of a safetensors file, or of all in a folder, without reading them.

    A folder's files are one model (`unet/`, `text_encoder/`): the names that both sides have in
    common are compared, whichever file they are in. Raises WeightsError, OSError.
    """
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise WeightsError("base_mismatch", f"no .safetensors file in {path.name}")
    found: dict[str, weights.Stored] = {}
    for file in files:
        with file.open("rb") as stream:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        for name, stored in weights.stored(memoryview(data)).items():
            found.setdefault(name, stored)
    return found


def _same_layer(name: str, changed: Tensors, base: Tensors) -> bool:
    """A matrix or a convolution that both have, large enough to hold a direction."""
    other = base.get(name)
    if other is None or other.shape != changed[name].shape or len(other.shape) < 2:
        return False
    rows, columns = other.shape[0], int(np.prod(other.shape[1:]))
    return min(rows, columns) >= _MIN_SIDE


def _gap(name: str, changed: Tensors, base: Tensors) -> Float32:
    shape = changed[name].shape
    gap = changed[name].array().astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number is refused below
        gap -= base[name].array()
    if not np.isfinite(gap).all():
        raise WeightsError("not_finite", name)
    return np.asarray(gap.reshape(shape[0], -1))


def _factors(gap: Float32, rank: int, dice: np.random.Generator) -> tuple[Float32, Float32] | None:
    """(up, down) of the directions that carry a layer's difference; None where there is none."""
    largest = float(np.abs(gap).max(initial=0.0))
    if largest == 0.0:
        return None
    gap = gap / np.float32(largest)  # 1e38s must not overflow
    width = min(rank + _MORE, *gap.shape)
    probe = dice.standard_normal((gap.shape[1], width), np.float32)
    basis = np.linalg.qr(gap @ probe)[0]
    left, sizes, right = np.linalg.svd(basis.T @ gap, full_matrices=False)
    kept = _kept(sizes, rank)
    if kept and sizes[-1] > _NOISY * sizes[0]:
        for _ in range(_PASSES):
            basis = np.linalg.qr(gap @ np.linalg.qr(gap.T @ basis)[0])[0]
        left, sizes, right = np.linalg.svd(basis.T @ gap, full_matrices=False)
        kept = _kept(sizes, rank)
    if not kept:
        return None
    root = (np.sqrt(sizes[:kept]) * np.sqrt(np.float32(largest))).astype(np.float32)
    up = np.ascontiguousarray((basis @ left[:, :kept]) * root)
    return up, np.ascontiguousarray(right[:kept] * root[:, None])


def _kept(sizes: Float32, rank: int) -> int:
    """How many directions stand out of rounding, `rank` at most."""
    rounding = _ROUNDING * float(sizes[-1]) if len(sizes) > rank else 0.0
    return min(rank, int((sizes > max(_FLOOR * float(sizes[0]), rounding)).sum()))
