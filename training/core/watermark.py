"""The watermark in the weights (stage 7), and reading it back from a file found anywhere (stage 9).

Shape-keyed rank-1 spread spectrum on dW = scale * B @ A. Each delivered file carries a random
48-bit artefact id and a 16-bit keyed tag as 256 coded signs, spread over thousands of keyed rank-1
probes u_c v_c^T of the update itself. Names, order, factorisation, per-module strength and sign of
a module list never enter, so renaming, converting, re-factoring and scaling change nothing; noise,
pruning, quantising and merging dilute it. Reading needs the key and no original.

Trusts its key and nothing else: a reading is evidence through `threshold`, a bound that holds for
any weights whatever (`threshold` has the argument), never through the tag, which a chance passes
once in 65,536.

Not for DoRA, LoHa, LoKr or OFT: those are not a product of two matrices, and `embed` refuses them.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.log.core.errors import VerificationError
from training.core.watermark_code import (
    CODED,
    ID_BYTES,
    SIGNS,
    VIEWS,
    Codebook,
    Codeword,
    Float64,
    Hit,
    Key,
    Signs,
    codebook,
    decode,
    keyed_bits,
)
from training.core.weights import Float32, Module, Weights, adapters, half, replace_factors, strip

Shape: TypeAlias = tuple[int, int]

# The names of the algorithm with all its constants: a change of any of them is a new profile.
PROFILE: Final = "kyodaku-wm-1"
EMBED_POWER: Final = 0.5
MIN_DIMENSION: Final = 8  # a side shorter than this has no room for a probe
RANK_FLOOR: Final = 1e-3  # singular values below this share of the first are rounding
_CHIPS: Final = ((1 << 22, 4096), (1 << 19, 2048))  # from so many entries of a block, so many
DEFAULT_FPR: Final = 1e-9
DEFAULT_CANDIDATES: Final = 1_000_000

# Fused query/key/value rows of Flux (kohya and BFL layouts): the diffusers layout holds the blocks
# apart.
_FUSED: Final[Mapping[Shape, tuple[int, ...]]] = {
    (9216, 3072): (3072, 3072, 3072),
    (21504, 3072): (3072, 3072, 3072, 12288),
}
_OTHER_KINDS: Final = (".dora_scale", ".lora_magnitude_vector", ".lora_mid.weight")


class WatermarkError(VerificationError):
    """Not markable or not read back: no_modules, unsupported_kind, unreadable, wrong_id."""


# --- the space: spectra of the received modules ---------------------------------------------------


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

    @property
    def blocks(self) -> list[tuple[Shape, slice]]:
        """The logical blocks and their rows: fused projections are several layers."""
        rows = _FUSED.get(self.shape, (self.shape[0],))
        stops = np.cumsum(rows).tolist()
        return [
            ((m, self.shape[1]), slice(stop - m, stop)) for m, stop in zip(rows, stops, strict=True)
        ]


def spectra(modules: Iterable[Module]) -> list[Spectrum]:
    """Thin SVDs through the factors, O(r^2 (m + n)) a module; the m x n product is never formed."""
    return [_spectrum(group) for group in _by_form(modules)]


def _by_form(modules: Iterable[Module]) -> list[list[Module]]:
    """Equal shape and rank together: one stacked product beats many thin ones tenfold."""
    groups: dict[tuple[Shape, int], list[Module]] = {}
    for module in modules:
        if min(module.shape) >= MIN_DIMENSION:
            groups.setdefault((module.shape, module.rank), []).append(module)
    return [groups[form] for form in sorted(groups)]


def _spectrum(group: Sequence[Module]) -> Spectrum:
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
    return Spectrum(group[0].shape, left, values * keep * sizes[:, None], right)


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
    """Probes C for one block shape: a power of two, at least N, at most half the entries of the
    block.

    A function of the shape alone, so that the reader of a lone module needs no more than the
    module. t is capped by sqrt(sum of C): 1024 keeps it there for small layers, while the largest
    of SD 1.5 and SDXL, of which a file holds dozens, would be full at 2 % and need 2048. Flux comes
    in so few kinds of layers that they need 4096.
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


def responses(spectrum: Spectrum, block: tuple[Shape, slice], u: Signs, v: Signs) -> Float64:
    """Sum over modules of u_c^T f_q(dW) v_c / |f_q(dW)|_F, probes c by views q."""
    _, rows = block
    length, _, rank = spectrum.left.shape
    left = _columns(spectrum.left[:, rows])
    right = _columns(spectrum.right)
    weights = _view_weights(spectrum, rows).reshape(length * rank, len(VIEWS))
    both = u @ left
    both *= v @ right
    out: Float64 = (both @ weights).astype(np.float64)
    return out


def _columns(stack: Float32) -> Float32:
    """(L, m, r) -> (m, L*r)."""
    return np.ascontiguousarray(np.moveaxis(stack, 0, 1)).reshape(stack.shape[1], -1)


def _view_weights(spectrum: Spectrum, rows: slice) -> Float32:
    """(L, r, views): s^q over the Frobenius norm of the block's f_q(dW), zero where s is zero."""
    first = spectrum.values[:, :1]
    values = np.divide(spectrum.values, first, out=np.zeros_like(spectrum.values), where=first > 0)
    values = values[:, :, None]
    powered = np.where(values > 0, np.power(np.where(values > 0, values, 1), VIEWS), 0)
    share = np.square(spectrum.left[:, rows]).sum(axis=1)[:, :, None]
    norm = np.sqrt((np.square(powered) * share).sum(axis=1, keepdims=True))
    return _over(powered, norm).astype(np.float32)


def _code_index(key: Key, shape: Shape) -> npt.NDArray[np.intp]:
    """The coded sign of each chip of a shape: c mod N from a keyed start, so shapes spread."""
    start = int.from_bytes(key.derive(f"start/{shape[0]}/{shape[1]}")[:4], "big")
    return (np.arange(chips(shape)) + start) % CODED


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
    """Mark a file: same keys, shapes, types, rank and scale, the dW moved by `eps` of their lengths
    in root mean square over the modules.

    The change lies in the tangent space of the rank-r matrices at dW, where a change survives being
    stored as B and A: B' = U S^1/2 + k M V diag(w), A' = S^1/2 V^T + k diag(w) U^T M with M = sum_c
    code_c u_c v_c^T and w_i = s_i^p / s_i^1/2, damped where s_i is under the mark. Returns new
    Weights; the master stays unmarked. Raises WatermarkError: no_modules, unsupported_kind;
    ValueError for an eps outside (0, 0.1] or a bad id.
    """
    if not 0 < eps <= 0.1:
        raise ValueError("eps must lie in (0, 0.1]")
    code = codebook(key, [artefact_id])[0].astype(np.float32)
    groups = _by_form(_markable(weights))
    # What a module can carry grows with sqrt(m + n): shares in that proportion carry the most.
    sides = [math.sqrt(sum(group[0].shape)) for group in groups]
    mean = math.sqrt(np.average(np.square(sides), weights=[len(group) for group in groups]))
    moved = [
        _marked(_spectrum(group), key, code, eps * side / mean)
        for group, side in zip(groups, sides, strict=True)
    ]
    # One more common factor brings the root mean square change to eps exactly: the two parts of the
    # change and the cross term are not orthogonal, and |delta| is known only once they are built.
    gain = eps / math.sqrt(
        float(np.mean(np.concatenate([np.square(part.distortion) for part in moved])))
    )
    factors: dict[str, Float32] = {}
    for group, part in zip(groups, moved, strict=True):
        factors |= part.factors(group, gain)
    return replace_factors(weights, factors)


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
    for group in _by_form(modules):
        spectrum = _spectrum(group)
        root = np.sqrt(spectrum.values).astype(np.float32)[:, None, :]
        ups, downs = spectrum.left * root, np.swapaxes(spectrum.right * root, 1, 2)
        out += zip(group, ups, downs, strict=True)
    return out


def _marked(spectrum: Spectrum, key: Key, code: Signs, eps: float) -> _Marked:
    pull_left, pull_right = _pulls(spectrum, key, code)
    root = np.sqrt(spectrum.values).astype(np.float32)[:, None, :]
    weight = _direction_weights(spectrum.values, eps)[:, None, :]
    left, right = spectrum.left * root, spectrum.right * root
    left_step, right_step = pull_left * weight, pull_right * weight
    norm = np.sqrt(np.square(spectrum.values).sum(axis=1))
    # The first pass brings the step to its length; only then is the product of both steps as small
    # as it will be, and the second pass sees it in proportion.
    for square in (0.0, 1.0):
        size = _step_size(left, right, left_step, right_step, square)
        scale = _over(eps * norm, size)[:, None, None].astype(np.float32)
        left_step, right_step = left_step * scale, right_step * scale
    size = _step_size(left, right, left_step, right_step, 1.0)
    return _Marked(left, right, left_step, right_step, _over(size, norm))


def _over(a: Float64, b: Float64) -> Float64:
    out: Float64 = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return out


def _pulls(spectrum: Spectrum, key: Key, code: Signs) -> tuple[Float32, Float32]:
    """M V (L, m, r) and M^T U (L, n, r) with M = sum over blocks and c of code_c u_c v_c^T."""
    left, right = _columns(spectrum.left), _columns(spectrum.right)
    pull_left, pull_right = np.zeros_like(left), np.zeros_like(right)
    seed = key.derive("probes")
    for shape, rows in spectrum.blocks:
        u, v = probes(seed, shape, chips(shape))
        g = (code[_code_index(key, shape)] / math.sqrt(chips(shape)))[:, None].astype(np.float32)
        pull_left[rows] = u.T @ (g * (v @ right))
        pull_right += v.T @ (g * (u @ left[rows]))
    length, _, rank = spectrum.left.shape
    return _stack(pull_left, length, rank), _stack(pull_right, length, rank)


def _stack(columns: Float32, length: int, rank: int) -> Float32:
    """(m, L*r) -> (L, m, r)."""
    stack: Float32 = np.moveaxis(columns.reshape(-1, length, rank), 1, 0)
    return stack


def _direction_weights(values: Float64, eps: float) -> Float32:
    """w_i = s_i^p / s_i^1/2 * s_i / (s_i + eps |S| / (2 sqrt(r))): p = 1/2 balances rank cuts
    against strength.
    """
    norm = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    floor = 0.5 * eps * norm / math.sqrt(values.shape[1])
    alive = values > 0
    shaped = np.where(alive, np.where(alive, values, 1) ** (EMBED_POWER - 0.5), 0)
    return _over(shaped * values, values + floor).astype(np.float32)


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


# --- reading --------------------------------------------------------------------------------------


def threshold(fpr: float, candidates: float) -> float:
    """The t above which one of `candidates` ids may be named, wrongly at a rate of at most `fpr`.

    If the file does not depend on the key, the sign of every chip is a fair coin independent of the
    others and of all sizes (u_c and -u_c are equally likely keys), so Hoeffding gives P(t >= tau)
    <= exp(-tau^2 / 2) whatever the weights are. The union over candidates, views and both signs
    gives tau = sqrt(2 ln(candidates * 3 * 2 / fpr)).
    """
    if not (0 < fpr < 1 and candidates >= 1):
        raise ValueError("need 0 < fpr < 1 and at least one candidate")
    return math.sqrt(2 * math.log(candidates * len(VIEWS) * SIGNS / fpr))


OPEN_THRESHOLD: Final = threshold(DEFAULT_FPR, 2.0 ** (8 * ID_BYTES))


@dataclass(frozen=True)
class Reading:
    """What one key sees in one file. `open_hit` is set when the payload decodes without a registry.

    `chips` maps a block shape to its (C, views) soft chips, weighted for summing; `best` is the
    strongest codeword that was decoded, above the threshold or not, with its t. Hold it
    server-side: t is an oracle for an attacker.
    """

    key_epoch: str
    modules: int
    chips: Mapping[Shape, Float64] = field(repr=False)
    indices: Mapping[Shape, npt.NDArray[np.intp]] = field(repr=False)
    t: float = 0.0
    open_hit: Hit | None = None

    @property
    def artefact_id(self) -> bytes | None:
        """The id that decoded without a registry, or None."""
        return self.open_hit.artefact_id if self.open_hit else None

    @property
    def cap(self) -> float:
        """The largest t that this file could show: sqrt of the number of chips."""
        return math.sqrt(sum(len(block) for block in self.chips.values()))

    def soft(self) -> Float64:
        """(256, views) soft values of the coded signs, each view divided by the norm of its chips:
        code @ soft = t.
        """
        return _soft(self.chips, self.indices)


def read(weights: Weights, key: Key) -> Reading:
    """Measure a file with one key. An unmarked file, another key's file and a file without modules
    read as unmarked.

    Raises WeightsError when the file's factors do not form products.
    """
    return read_modules(adapters(weights), key)


def read_modules(modules: Sequence[Module], key: Key) -> Reading:
    """The same for modules that are held already: of a checkpoint's difference, or beside a
    master.
    """
    values, indices = _measure(spectra(modules), key)
    if not values:
        return Reading(key.epoch, 0, {}, {})
    best, valid = decode(_soft(values, indices), key, OPEN_THRESHOLD)
    found = best if valid and best.t >= OPEN_THRESHOLD else None
    return Reading(key.epoch, len(modules), values, indices, best.t, found)


def _measure(
    groups: Iterable[Spectrum], key: Key
) -> tuple[dict[Shape, Float64], dict[Shape, npt.NDArray[np.intp]]]:
    totals: dict[Shape, Float64] = {}
    seed = key.derive("probes")
    for shape, parts in _by_block(groups).items():
        u, v = probes(seed, shape, chips(shape))
        total = sum(
            (responses(spectrum, (shape, rows), u, v) for spectrum, rows in parts),
            start=np.zeros((chips(shape), len(VIEWS))),
        )
        # The matched filter: a chip's mean grows with sqrt((m + n) / C), its noise does not depend
        # on either.
        totals[shape] = total * math.sqrt(sum(shape) / chips(shape))
    return totals, {shape: _code_index(key, shape) for shape in totals}


def _by_block(groups: Iterable[Spectrum]) -> dict[Shape, list[tuple[Spectrum, slice]]]:
    blocks: dict[Shape, list[tuple[Spectrum, slice]]] = {}
    for spectrum in groups:
        for shape, rows in spectrum.blocks:
            blocks.setdefault(shape, []).append((spectrum, rows))
    return blocks


def _soft(
    values: Mapping[Shape, Float64], indices: Mapping[Shape, npt.NDArray[np.intp]]
) -> Float64:
    soft = np.zeros((CODED, len(VIEWS)))
    energy = np.zeros(len(VIEWS))
    for shape, block in values.items():
        np.add.at(soft, indices[shape], block)
        energy += np.square(block).sum(axis=0)
    norm = np.sqrt(energy)
    return np.divide(soft, norm, out=np.zeros_like(soft), where=norm > 0)


# --- search among registered ids ------------------------------------------------------------------


def search(
    reading: Reading,
    key: Key,
    ids: Sequence[bytes] | Codebook,
    *,
    fpr: float = DEFAULT_FPR,
    limit: int = 16,
) -> list[Hit]:
    """The registered ids in a file, strongest first, none named above a false positive rate of
    `fpr`.

    A file marked at t = 47 shows other ids up to t = 13 by cross-correlation of the code. So the
    best id is taken, the codewords taken so far are regressed out of the chips shape by shape, and
    the rest is tested again (peeling). The bound is exact for the first hit; later ones meet the
    same threshold on what is left. A mark of this key whose id is not among `ids` (a row lost with
    a database) is decoded and peeled like the others, and names nobody.
    """
    book = ids if isinstance(ids, Codebook) else Codebook(key, ids)
    if not len(book) or not reading.chips:
        return []
    if not reading.key_epoch == book.key.epoch == key.epoch:
        raise ValueError("this reading was made with the key of another epoch")
    tau = threshold(fpr, len(book))
    words: list[Codeword] = []
    taken: set[bytes] = set()
    hits: list[Hit] = []
    while len(hits) < limit and len(words) < 2 * limit:
        soft = _soft(_peeled(reading, words), reading.indices)
        hit = book.best(soft)
        if hit.t < tau:
            break
        # A mark that no row knows would be taken for its nearest neighbours in the code.
        word, valid = decode(soft, key, OPEN_THRESHOLD)
        known = not (valid and word.t > hit.t and word.artefact_id != hit.artefact_id)
        found = hit if known else word
        if found.artefact_id in taken:
            break
        taken.add(found.artefact_id)
        words.append(codebook(key, [found.artefact_id])[0])
        if known:
            hits.append(hit)
    return hits


def claim(reading: Reading, key: Key, artefact_id: bytes) -> Hit:
    """How strongly the file carries one named id; compare its t with threshold(fpr, 1)."""
    if not reading.chips:
        return Hit(artefact_id, 0.0, VIEWS[0], 1)
    scores = (codebook(key, [artefact_id]) @ reading.soft())[0]
    view = int(np.argmax(np.abs(scores)))
    return Hit(artefact_id, float(abs(scores[view])), VIEWS[view], 1 if scores[view] > 0 else -1)


def _peeled(reading: Reading, words: Sequence[Codeword]) -> Mapping[Shape, Float64]:
    if not words:
        return reading.chips
    book = np.stack(words)
    out: dict[Shape, Float64] = {}
    for shape, block in reading.chips.items():
        basis = book[:, reading.indices[shape]].T.astype(np.float64)
        share = np.linalg.lstsq(basis, block, rcond=None)[0]
        out[shape] = block - basis @ share
    return out


# --- the self-test before release -----------------------------------------------------------------


@dataclass(frozen=True)
class Proof:
    """What the self-test measured; `mode` is "open" (no registry needed) or "registry"."""

    mode: str
    t: float
    cap: float
    t_half_rank: float
    t_merged: float


def verify_embedding(marked: Weights, key: Key, artefact_id: bytes) -> Proof:
    """Prove that the file about to be delivered can be traced, as a stranger would hold it.

    (1) strip its metadata and cast it to float16; (2) the id it reads as is the one meant, openly
    or among a million registered ids; (3) it is still found after its rank was halved; (4) and
    after another LoRA of equal strength was added to it. Raises WatermarkError: wrong_id,
    unreadable.
    """
    held = half(strip(marked))  # (1)
    reading = read(held, key)
    if reading.artefact_id not in (None, artefact_id):
        raise WatermarkError("wrong_id", "the file carries another id")
    floor = threshold(DEFAULT_FPR, DEFAULT_CANDIDATES)
    own = claim(reading, key, artefact_id)
    _require(own.t, floor, "as delivered")  # (2)
    modules = adapters(held)
    cut = _claim_spectra([_half_rank(group) for group in spectra(modules)], key, artefact_id)
    _require(cut, threshold(DEFAULT_FPR, 1), "after its rank was halved")  # (3)
    generator = np.random.default_rng(0)
    merged = spectra(_with_stranger(module, generator) for module in modules)
    joint = _claim_spectra(merged, key, artefact_id)
    _require(joint, threshold(DEFAULT_FPR, 1), "after a merge")  # (4)
    return Proof("open" if reading.open_hit else "registry", own.t, reading.cap, cut, joint)


def _require(t: float, floor: float, when: str) -> None:
    if t < floor:
        raise WatermarkError("unreadable", f"{when}: t = {t:.1f}, needed {floor:.1f}")


def _claim_spectra(groups: Iterable[Spectrum], key: Key, artefact_id: bytes) -> float:
    values, indices = _measure(groups, key)
    return claim(Reading(key.epoch, 0, values, indices), key, artefact_id).t


def _half_rank(spectrum: Spectrum) -> Spectrum:
    values = spectrum.values.copy()
    values[:, max(1, values.shape[1] // 2) :] = 0
    return Spectrum(spectrum.shape, spectrum.left, values, spectrum.right)


def _with_stranger(module: Module, generator: np.random.Generator) -> Module:
    """dW plus a random update of equal length and a 1/i spectrum, as a module of twice the rank."""
    (m, n), rank = module.shape, module.rank
    fall = np.arange(1, rank + 1, dtype=np.float32)
    ups: Float32 = generator.standard_normal((m, rank), np.float32) / fall
    downs = generator.standard_normal((rank, n), np.float32)
    ups *= np.float32(_product_norm(module.up, module.down) / _product_norm(ups, downs))
    return replace(module, up=np.hstack([module.up, ups]), down=np.vstack([module.down, downs]))


def _product_norm(up: Float32, down: Float32) -> float:
    return math.sqrt(float(np.sum((up.T @ up) * (down @ down.T))))
