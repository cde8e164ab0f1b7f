"""The watermark in the weights (stage 7); `watermark_reading` reads it back.

Shape-keyed rank-1 spread spectrum on dW = scale * B @ A. Each delivered file carries a random
48-bit artefact id and a 16-bit keyed tag as 256 coded signs, spread over thousands of keyed rank-1
probes u_c v_c^T of the update itself. Names, order, factorisation, per-module strength and sign of
a module list never enter, so renaming, converting, re-factoring and scaling change nothing; noise,
pruning, quantising and merging dilute it. Reading needs the key and no original.

What hides a mark is the LoRA itself, and whoever marks knows it: of 256 random ids the one is taken
that the LoRA, cut to its strongest directions, speaks for the most (a choice of codeword by what is
known of the channel; Costa 1983, Miller, Doerr and Cox 2004). The bound counts all 256.

Not for DoRA, LoHa, LoKr or OFT: those are not a product of two matrices, and `embed` refuses them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from registry.log.core.errors import VerificationError
from training.core.spectra import (
    MIN_DIMENSION,
    Shape,
    Spectrum,
    answers,
    by_form,
    chips,
    normed,
    over,
    probes,
)
from training.core.watermark_code import (
    CODED,
    Float64,
    Key,
    Signs,
    codebook,
)
from training.core.weights import Float32, Module, Weights, adapters, replace_factors

# The names of the algorithm with all its constants: a change of any of them is a new profile.
PROFILE: Final = "kyodaku-wm-2"
EMBED_POWER: Final = 0.42
# A layer's share of the change grows with its sides up to here: larger ones come in too few.
FULL_SIDES: Final = 2560
# Reading, a layer counts by this power of its share: 1 is best for what was altered much, 1/2 for a
# file as it was delivered, whose large layers are full.
_SHARE_POWER: Final = 0.75
# Ids of which one is taken: t gains 1 to 2 where the LoRA hides the mark the most, and every
# threshold rises by 0.65.
CHOICES: Final = 256
# How much the strongest direction, quarter and half of the directions count in that choice.
_CUTS: Final = (1.4, 1.2, 0.2)
_OTHER_KINDS: Final = (".dora_scale", ".lora_magnitude_vector", ".lora_mid.weight")


class WatermarkError(VerificationError):
    """Not markable or not read back: no_modules, unsupported_kind, unreadable, wrong_id."""


def code_index(key: Key, shape: Shape) -> npt.NDArray[np.intp]:
    """The coded sign of each chip of a shape: c mod N from a keyed start, so shapes spread."""
    start = int.from_bytes(key.derive(f"start/{shape[0]}/{shape[1]}")[:4], "big")
    return (np.arange(chips(shape)) + start) % CODED


def _share(shape: Shape) -> float:
    """How far a layer is moved, next to others: a layer's mark grows with sqrt(m + n) at an equal
    change, so what is given to large layers buys the most.
    """
    return min(sum(shape), FULL_SIDES) / FULL_SIDES


def weight(shape: Shape) -> float:
    """The matched filter: a chip's mean grows with share * sqrt((m + n) / C), its noise with none
    of these.
    """
    return math.sqrt(sum(shape) / chips(shape)) * math.pow(_share(shape), _SHARE_POWER)


def folded(
    values: Mapping[Shape, Float64], indices: Mapping[Shape, npt.NDArray[np.intp]]
) -> Float64:
    """(256, K) soft values of the coded signs: chips (C, K) of every shape, summed by the sign that
    each carries, each column over the norm of its chips.
    """
    soft = sum(
        (_into_signs(block, indices[shape]) for shape, block in values.items()), start=np.zeros(())
    )
    norm = np.sqrt(sum(np.square(block).sum(axis=0) for block in values.values()))
    return over(soft, np.broadcast_to(norm, soft.shape))


def _into_signs(block: Float64, index: npt.NDArray[np.intp]) -> Float64:
    soft = np.zeros((CODED, block.shape[1]))
    np.add.at(soft, index, block)
    return soft


# --- embedding ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strength:
    """How hard to mark: `eps` = |change of dW| / |dW|, and what the owner should be told."""

    eps: float
    parameters: int
    warning: str | None = None


def choose_eps(weights: Weights) -> Strength:
    """The strength by the number of LoRA parameters (measured: the mark's z grows with eps *
    sqrt(parameters)).

    5 % of dW changes a LoRA's effect on pictures by 2.4 %, less than using it at strength 0.97
    does. Raises WatermarkError("no_modules").
    """
    count = sum(module.up.size + module.down.size for module in _markable(weights))
    if count < 300_000:
        return Strength(0.05, count, "small_adapter")
    if count < 2_000_000:
        return Strength(0.05, count)
    return Strength(0.02 if count < 15_000_000 else 0.01, count)


def embed(weights: Weights, key: Key, artefact_id: bytes, eps: float) -> Weights:
    """Mark a file with one id. Raises as `measure` and `Host.mark` do."""
    return measure(weights, key).mark(artefact_id, eps)


def measure(weights: Weights, key: Key) -> Host:
    """A master under one key, ready to be marked. Raises WatermarkError: no_modules,
    unsupported_kind.
    """
    seed, parts = key.derive("probes"), []
    for group in by_form(_markable(weights)):
        spectrum = Spectrum.of(group)
        blocks = [
            _Block(shape, rows, *answers(spectrum, rows, *probes(seed, shape, chips(shape))))
            for shape, rows in spectrum.blocks
        ]
        parts.append(_Part(group, spectrum, blocks))
    return Host(weights, key, parts)


@dataclass(frozen=True)
class _Block:
    """A block of a form: u_c . u_i and v_c . v_i for its probes c and directions i, (C, L * r)."""

    shape: Shape
    rows: slice
    on_left: Float32
    on_right: Float32


@dataclass(frozen=True)
class _Part:
    """The modules of one form."""

    group: Sequence[Module]
    spectrum: Spectrum
    blocks: Sequence[_Block]


@dataclass(frozen=True)
class Host:
    """A master and what one key's probes say of it. It stays unmarked; it is as secret as both."""

    weights: Weights = field(repr=False)
    key: Key
    parts: Sequence[_Part] = field(repr=False)

    def fitting(self, ids: Sequence[bytes]) -> bytes:
        """The id of these that the master speaks for the most, cut to one, a quarter and half of
        its directions: there it weighs against a mark the most.

        Raises ValueError for none and for more than `CHOICES`, which the thresholds allow for.
        """
        if not 0 < len(ids) <= CHOICES:
            raise ValueError(f"need 1 to {CHOICES} ids to choose from")
        totals: dict[Shape, Float64] = {}
        for part in self.parts:
            for block in part.blocks:
                both = block.on_left * block.on_right
                chip = both @ normed(part.spectrum, block.rows, _cuts(part.spectrum.values))
                weighted = chip.astype(np.float64) * weight(block.shape)
                totals[block.shape] = totals.get(block.shape, 0.0) + weighted
        soft = folded(totals, {shape: code_index(self.key, shape) for shape in totals})
        scores = codebook(self.key, ids) @ (soft @ np.array(_CUTS))
        return ids[int(np.argmax(scores))]

    def mark(self, artefact_id: bytes, eps: float) -> Weights:
        """The master with an id in it: same keys, shapes, types, rank and scale, the dW moved by
        `eps` of their lengths in root mean square over the modules.

        The change lies in the tangent space of the rank-r matrices at dW, where a change survives
        being stored as B and A: B' = U S^1/2 + k M V diag(w), A' = S^1/2 V^T + k diag(w) U^T M with
        M = sum_c code_c u_c v_c^T and w_i = s_i^p / s_i^1/2, damped where s_i is under the mark.
        Raises ValueError for an eps outside (0, 0.1] or a bad id, and WatermarkError("unreadable")
        for numbers too small or too large to be moved.
        """
        if not 0 < eps <= 0.1:
            raise ValueError("eps must lie in (0, 0.1]")
        code = codebook(self.key, [artefact_id])[0].astype(np.float32)
        shares = [_share(part.spectrum.shape) for part in self.parts]
        sizes = [len(part.group) for part in self.parts]
        mean = math.sqrt(np.average(np.square(shares), weights=sizes))
        moved = [
            _marked(part, self.key, code, eps * share / mean)
            for part, share in zip(self.parts, shares, strict=True)
        ]
        # One more common factor brings the root mean square change to eps exactly: the two parts of
        # the change and the cross term are not orthogonal, and |delta| is known only once they are
        # built.
        squares = np.concatenate([np.square(part.distortion) for part in moved])
        size = math.sqrt(float(np.mean(squares)))
        if not 0 < size < math.inf:
            raise WatermarkError("unreadable", "updates too small or too large to be moved")
        gain = eps / size
        factors: dict[str, Float32] = {}
        for part, change in zip(self.parts, moved, strict=True):
            factors |= change.factors(part.group, gain)
        return replace_factors(self.weights, factors)


def _cuts(values: Float64) -> Float64:
    """(L, r, cuts): ones for the directions that are left of r after each cut."""
    rank = values.shape[1]
    left = np.array([1, max(1, rank // 4), max(1, rank // 2)])
    kept = (values[:, :, None] > 0) & (np.arange(rank)[:, None] < left)
    return kept.astype(np.float64)


def _markable(weights: Weights) -> list[Module]:
    for key in weights.tensors:
        if key.endswith(_OTHER_KINDS) or ".hada_" in key or ".lokr_" in key:
            raise WatermarkError("unsupported_kind", key)
    modules = [module for module in adapters(weights) if min(module.shape) >= MIN_DIMENSION]
    if not modules:
        raise WatermarkError("no_modules", "the file holds no low-rank module to mark")
    return modules


@dataclass(frozen=True)
class _Marked:
    left: Float32  # (L, m, r) U S^1/2
    right: Float32  # (L, n, r) V S^1/2
    left_step: Float32
    right_step: Float32
    distortion: Float64  # (L,) |delta dW| / |dW| at gain 1

    def factors(self, group: Sequence[Module], gain: float) -> dict[str, Float32]:
        step = np.float32(gain)
        ups, downs = self.left + step * self.left_step, self.right + step * self.right_step
        out: dict[str, Float32] = {}
        for module, up, down in zip(group, ups, downs, strict=True):
            root = math.sqrt(abs(module.scale))
            out[module.up_key] = up * np.float32(math.copysign(1 / root, module.scale))
            out[module.down_key] = down.T * np.float32(1 / root)
        return out


def unmarked_factors(modules: Sequence[Module]) -> list[tuple[Module, Float32, Float32]]:
    """Each module with the factors up (m, r), down (r, n) that `embed` starts from: a delivered
    file holds these, moved by the mark.
    """
    out: list[tuple[Module, Float32, Float32]] = []
    for group in by_form(modules):
        spectrum = Spectrum.of(group)
        root = np.sqrt(spectrum.values).astype(np.float32)[:, None, :]
        ups, downs = spectrum.left * root, np.swapaxes(spectrum.right * root, 1, 2)
        out += zip(group, ups, downs, strict=True)
    return out


def _marked(part: _Part, key: Key, code: Signs, eps: float) -> _Marked:
    spectrum = part.spectrum
    pull_left, pull_right = _pulls(part, key, code)
    root = np.sqrt(spectrum.values).astype(np.float32)[:, None, :]
    weight = _direction_weights(spectrum.values, eps)[:, None, :]
    left, right = spectrum.left * root, spectrum.right * root
    left_step, right_step = pull_left * weight, pull_right * weight
    norm = np.sqrt(np.square(spectrum.values).sum(axis=1))
    # The first pass brings the step to its length; only then is the product of both steps as small
    # as it will be, and the second pass sees it in proportion.
    for square in (0.0, 1.0):
        size = _step_size(left, right, left_step, right_step, square)
        scale = over(eps * norm, size)[:, None, None].astype(np.float32)
        left_step, right_step = left_step * scale, right_step * scale
    size = _step_size(left, right, left_step, right_step, 1.0)
    return _Marked(left, right, left_step, right_step, over(size, norm))


def _pulls(part: _Part, key: Key, code: Signs) -> tuple[Float32, Float32]:
    """M V (L, m, r) and M^T U (L, n, r) with M = sum over blocks and c of code_c u_c v_c^T."""
    length, (m, n), rank = len(part.group), part.spectrum.shape, part.spectrum.values.shape[1]
    pull_left = np.zeros((m, length * rank), np.float32)
    pull_right = np.zeros((n, length * rank), np.float32)
    seed = key.derive("probes")
    for block in part.blocks:
        shape, count = block.shape, chips(block.shape)
        u, v = probes(seed, shape, count)
        g = (code[code_index(key, shape)] / math.sqrt(count))[:, None].astype(np.float32)
        pull_left[block.rows] = u.T @ (g * block.on_right)
        pull_right += v.T @ (g * block.on_left)
    return _stack(pull_left, length, rank), _stack(pull_right, length, rank)


def _stack(columns: Float32, length: int, rank: int) -> Float32:
    """(m, L*r) -> (L, m, r)."""
    stack: Float32 = np.moveaxis(columns.reshape(-1, length, rank), 1, 0)
    return stack


def _direction_weights(values: Float64, eps: float) -> Float32:
    """w_i = s_i^p / s_i^1/2 * s_i / (s_i + eps |S| / (2 sqrt(r))): p balances rank cuts
    against strength.
    """
    norm = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    floor = 0.5 * eps * norm / math.sqrt(values.shape[1])
    alive = values > 0
    shaped = np.where(alive, np.where(alive, values, 1) ** (EMBED_POWER - 0.5), 0)
    return over(shaped * values, values + floor).astype(np.float32)


def _step_size(
    left: Float32, right: Float32, left_step: Float32, right_step: Float32, square: float
) -> Float64:
    """|(left + left_step)(right + right_step)^T - left right^T|_F, through r x r products; `square`
    is the share of the product of both steps that is counted: 0 for the change to first order.
    """
    a = np.concatenate([left, left_step], axis=2)
    b = np.concatenate([right, right_step], axis=2)
    rank = left.shape[2]
    # left right_step^T + left_step right^T + square * left_step right_step^T = a K b^T.
    middle = np.array([[0, 1], [1, square]])
    k = np.kron(middle, np.eye(rank))
    gram_a = (np.swapaxes(a, 1, 2) @ a).astype(np.float64)
    gram_b = (np.swapaxes(b, 1, 2) @ b).astype(np.float64)
    squares = np.einsum("lij,jk,lkm,im->l", gram_a, k, gram_b, k, optimize=True)
    out: Float64 = np.sqrt(np.maximum(squares, 0))
    return out
