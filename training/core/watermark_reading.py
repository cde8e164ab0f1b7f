"""Reading the mark back from a file found anywhere, and proving it before a file goes out.

Stages 7 and 9. `read` measures a file with one key, `search` names registered ids in what was
measured, `claim` asks for one. A reading is evidence through `threshold`, a bound that holds for
any weights whatever (`threshold` has the argument), never through the tag, which a chance passes
once in 65,536. Trusts its key and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from training.core.spectra import Shape, Spectrum, chips, probes, responses, spectra
from training.core.watermark import CHOICES, WatermarkError, code_index, folded, weight
from training.core.watermark_code import (
    ID_BYTES,
    SIGNS,
    VIEWS,
    Codebook,
    Codeword,
    Float64,
    Hit,
    Key,
    codebook,
    decode,
)
from training.core.weights import Float32, Module, Weights, adapters, half, strip

DEFAULT_FPR: Final = 1e-9
DEFAULT_CANDIDATES: Final = 1_000_000
# The norm of the 256 soft values of a view: 1 with a spread of 0.05 where nothing is left of any
# mark. Above this, marks are in the file that nobody could be named for.
_CROWDED: Final = 1.25
_ALL_IDS: Final = 2.0 ** (8 * ID_BYTES)


def threshold(fpr: float, candidates: float) -> float:
    """The t above which one of `candidates` ids may be named, wrongly at a rate of at most `fpr`.

    If the file does not depend on the key, the sign of every chip is a fair coin independent of the
    others and of all sizes (u_c and -u_c are equally likely keys), so Hoeffding gives P(t >= tau)
    <= exp(-tau^2 / 2) whatever the weights are. An id was taken of CHOICES that were drawn without
    regard to the key, with regard to a LoRA which the file may hold: so every one that was drawn is
    counted, and at most every id that there is. The union over those, views and both signs gives
    tau = sqrt(2 ln(drawn * 4 * 2 / fpr)).
    """
    if not (0 < fpr < 1 and candidates >= 1):
        raise ValueError("need 0 < fpr < 1 and at least one candidate")
    return math.sqrt(2 * (math.log(_trials(candidates)) - math.log(fpr)))


def false_rate_log10(t: float, candidates: float) -> float:
    """log10 of the rate at which a file that does not depend on the key shows `t` or more for one
    of `candidates` ids, at most; 0 is always. The other way round of `threshold`.
    """
    return min(0.0, (math.log(_trials(candidates)) - t**2 / 2) / math.log(10))


def _trials(candidates: float) -> float:
    """How often a chance is tried: every id that was drawn, in each view and sign."""
    return min(candidates * CHOICES, _ALL_IDS) * len(VIEWS) * SIGNS


OPEN_THRESHOLD: Final = threshold(DEFAULT_FPR, _ALL_IDS)


@dataclass(frozen=True)
class Reading:
    """What one key sees in one file. `open_hit` is set when the payload decodes without a registry.

    `chips` maps a block shape to its (C, views) soft chips, weighted for summing; `t` is that of
    the strongest codeword that was decoded, above the threshold or not. Hold it
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
        return folded(self.chips, self.indices)


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
    best, valid = decode(folded(values, indices), key, OPEN_THRESHOLD)
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
            (responses(spectrum, rows, u, v) for spectrum, rows in parts),
            start=np.zeros((chips(shape), len(VIEWS))),
        )
        totals[shape] = total * weight(shape)
    return totals, {shape: code_index(key, shape) for shape in totals}


def _by_block(groups: Iterable[Spectrum]) -> dict[Shape, list[tuple[Spectrum, slice]]]:
    blocks: dict[Shape, list[tuple[Spectrum, slice]]] = {}
    for spectrum in groups:
        for shape, rows in spectrum.blocks:
            blocks.setdefault(shape, []).append((spectrum, rows))
    return blocks


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
    the rest is tested again (peeling). The bound is exact for a file that does not depend on the
    key; later hits meet the same threshold on what is left. A mark of this key whose id is not
    among `ids` (a row lost with a database) is decoded and peeled like the others, and names
    nobody.

    An average of twenty copies of one LoRA holds more marks than can be told apart, and strangers'
    ids agree with such a heap. Where marks are left over, each hit must therefore stand against the
    heap, with all other hits taken out: |code . y| / |y| >= tau, which an id that was drawn without
    regard to y does with a probability of at most 2 exp(-tau^2 / 2), whatever the file holds. That
    the other hits were picked greedily is not in this argument; simulation stands in for it
    (`make bench-watermark-null`, 24 and 32 colluders).
    """
    book = ids if isinstance(ids, Codebook) else Codebook(key, ids)
    if not len(book) or not reading.chips:
        return []
    if not reading.key_epoch == book.key.epoch == key.epoch:
        raise ValueError("this reading was made with the key of another epoch")
    tau = threshold(fpr, len(book))
    words: dict[bytes, Codeword] = {}
    hits: list[Hit] = []
    while len(hits) < limit and len(words) < 2 * limit:
        soft = _left(reading, words.values())
        hit = book.best(soft)
        if hit.t < tau:
            break
        # A mark that no row knows would be taken for its nearest neighbours in the code.
        word, valid = decode(soft, key, OPEN_THRESHOLD)
        known = not (valid and word.t > hit.t and word.artefact_id != hit.artefact_id)
        found = hit if known else word
        if found.artefact_id in words:
            break
        words[found.artefact_id] = codebook(key, [found.artefact_id])[0]
        if known:
            hits.append(replace(hit, needed=tau))
    if np.linalg.norm(_left(reading, words.values()), axis=0).max() <= _CROWDED:
        return hits
    return [hit for hit in hits if _against_the_rest(reading, words, hit) >= tau]


def _against_the_rest(reading: Reading, words: Mapping[bytes, Codeword], hit: Hit) -> float:
    """How a hit stands against everything in its view but the other hits."""
    others = [word for ident, word in words.items() if ident != hit.artefact_id]
    soft = _left(reading, others)[:, VIEWS.index(hit.view)]
    return float(abs(words[hit.artefact_id] @ soft) / max(1.0, float(np.linalg.norm(soft))))


def _left(reading: Reading, words: Iterable[Codeword]) -> Float64:
    """The soft values of what is left when codewords are taken out."""
    return folded(_peeled(reading, list(words)), reading.indices)


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
