"""The space in which a LoRA is measured: spectra of its updates, and keyed rank-1 probes of them.

Below the watermark and the lineage sketch (stages 7 and 9). dW = scale * B @ A is taken apart by a
thin SVD through its factors; a probe u_c v_c^T asks one number of it. Both depend on the update
alone: names, order, factorisation and strength never enter. Knows no code, no id and no key but a
seed.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from training.core.watermark_code import CODED, VIEWS, Float64, Signs, keyed_bits
from training.core.weights import Float32, Module

Shape: TypeAlias = tuple[int, int]

MIN_DIMENSION: Final = 8  # a side shorter than this has no room for a probe
RANK_FLOOR: Final = 1e-3  # singular values below this share of the first are rounding
_CHIPS: Final = ((1 << 22, 5120), (1 << 19, 2048))  # from so many entries of a block, so many

# Fused query/key/value rows of Flux (kohya and BFL layouts): the diffusers layout holds the blocks
# apart.
_FUSED: Final[Mapping[Shape, tuple[int, ...]]] = {
    (9216, 3072): (3072, 3072, 3072),
    (21504, 3072): (3072, 3072, 3072, 12288),
}


@dataclass(frozen=True)
class Spectrum:
    """Modules of one stored shape and rank: dW[l] = left[l] @ diag(values[l]) @ right[l].T.

    left (L, m, r) and right (L, n, r) have orthonormal columns where values (L, r) are not zero,
    else zero columns.
    """

    shape: Shape
    left: Float32
    values: Float64
    right: Float32

    @classmethod
    def of(cls, group: Sequence[Module]) -> Spectrum:
        """Thin SVDs through the factors, O(r^2 (m + n)) a module; the m x n product is never
        formed. The group is of one form (`by_form`).
        """
        up, up_size = _unit(np.stack([module.up for module in group]))
        down_t, down_size = _unit(np.stack([module.down.T for module in group]))
        up_root, up_basis = _gram_root(up)
        down_root, down_basis = _gram_root(down_t)
        p, values, qt = np.linalg.svd(np.swapaxes(up_root, 1, 2) @ down_root)
        keep = values > RANK_FLOOR * values[:, :1]
        signs = np.array([math.copysign(1, module.scale) for module in group])[:, None, None]
        left = up @ (up_basis @ p * keep[:, None, :] * signs).astype(np.float32)
        right = down_t @ (down_basis @ np.swapaxes(qt, 1, 2) * keep[:, None, :]).astype(np.float32)
        sizes = np.array([abs(module.scale) for module in group]) * up_size * down_size
        return cls(group[0].shape, left, values * keep * sizes[:, None], right)

    @property
    def blocks(self) -> list[tuple[Shape, slice]]:
        """The logical blocks and their rows: fused projections are several layers."""
        rows = _FUSED.get(self.shape, (self.shape[0],))
        stops = np.cumsum(rows).tolist()
        return [
            ((m, self.shape[1]), slice(stop - m, stop)) for m, stop in zip(rows, stops, strict=True)
        ]


def spectra(modules: Iterable[Module]) -> list[Spectrum]:
    """The spectra of a file's modules, those of one form together."""
    return [Spectrum.of(group) for group in by_form(modules)]


def by_form(modules: Iterable[Module]) -> list[list[Module]]:
    """Equal shape and rank together: one stacked product beats many thin ones tenfold."""
    groups: dict[tuple[Shape, int], list[Module]] = {}
    for module in modules:
        if min(module.shape) >= MIN_DIMENSION:
            groups.setdefault((module.shape, module.rank), []).append(module)
    return [groups[form] for form in sorted(groups)]


def _unit(stack: Float32) -> tuple[Float32, Float64]:
    """Each matrix over its largest entry: a hostile file of 1e38s must not overflow."""
    largest = np.abs(stack).max(axis=(1, 2))
    return stack / largest[:, None, None], largest.astype(np.float64)


def _gram_root(factor: Float32) -> tuple[Float64, Float64]:
    """For X (L, m, r): R and T with X = Q R^T and Q = X T orthonormal, from the Gram matrix."""
    wide = factor.astype(np.float64)
    squares, vectors = np.linalg.eigh(np.swapaxes(wide, 1, 2) @ wide)
    sizes = np.sqrt(np.maximum(squares, 0.0))
    alive = sizes > 1e-6 * sizes[:, -1:]
    inverse = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=alive)
    return vectors * (sizes * alive)[:, None, :], vectors * inverse[:, None, :]


# --- the probes -----------------------------------------------------------------------------------


def chips(shape: Shape) -> int:
    """Probes C for one block shape: a multiple of N, at least N, at most half the entries of the
    block.

    A function of the shape alone, so that the reader of a lone module needs no more than the
    module. t is capped by sqrt(sum of C): 1024 keeps it there for small layers, while the largest
    of SD 1.5's and SDXL's attention, of which a file holds dozens, would be full at 2 % and need
    2048. Flux comes in so few kinds of layers, all of them larger still, that they need 5120.
    """
    m, n = shape
    most = next((count for entries, count in _CHIPS if m * n >= entries), 1024)
    return max(CODED, min(most, 1 << int(math.log2(m * n / 2))))


def probes(seed: bytes, shape: Shape, count: int) -> tuple[Signs, Signs]:
    """`count` keyed sign vectors for the rows (count, m) and the columns (count, n) of a shape.

    Bits of SHAKE-256(HMAC-SHA-256(seed, "m/n/count")).
    """
    m, n = shape
    label = f"{m}/{n}/{count}".encode()
    bits = keyed_bits(hmac.digest(seed, label, "sha256"), count * (m + n))
    signs = bits.astype(np.float32)
    signs *= -2
    signs += 1
    return signs[: count * m].reshape(count, m), signs[count * m :].reshape(count, n)


def answers(spectrum: Spectrum, rows: slice, u: Signs, v: Signs) -> tuple[Float32, Float32]:
    """u_c . u_i and v_c . v_i of every module's directions i, both (C, L * r)."""
    return u @ columns(spectrum.left[:, rows]), v @ columns(spectrum.right)


def responses(spectrum: Spectrum, rows: slice, u: Signs, v: Signs) -> Float64:
    """Sum over modules of u_c^T f_q(dW) v_c / |f_q(dW)|_F, probes c by views q."""
    on_left, on_right = answers(spectrum, rows, u, v)
    on_left *= on_right
    out: Float64 = (on_left @ normed(spectrum, rows, _views(spectrum.values))).astype(np.float64)
    return out


def columns(stack: Float32) -> Float32:
    """(L, m, r) -> (m, L*r)."""
    return np.ascontiguousarray(np.moveaxis(stack, 0, 1)).reshape(stack.shape[1], -1)


def normed(spectrum: Spectrum, rows: slice, weights: Float64) -> Float32:
    """Weights of directions (L, r, K) over the Frobenius norm that a block's rows give them, as
    (L * r, K).
    """
    share = np.square(spectrum.left[:, rows]).sum(axis=1)[:, :, None]
    norm = np.sqrt((np.square(weights) * share).sum(axis=1, keepdims=True))
    out: Float32 = over(weights, norm).astype(np.float32)
    return out.reshape(-1, weights.shape[2])


def _views(values: Float64) -> Float64:
    """(L, r, views): s^q, zero where s is zero."""
    first = values[:, :1]
    relative = np.divide(values, first, out=np.zeros_like(values), where=first > 0)[:, :, None]
    out: Float64 = np.where(relative > 0, np.power(np.where(relative > 0, relative, 1), VIEWS), 0)
    return out


def over(a: Float64, b: Float64) -> Float64:
    """a / b, and 0 where b is not positive."""
    out: Float64 = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return out
