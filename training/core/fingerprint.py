"""Lineage: a keyed content fingerprint of a LoRA (stages 7 and 9), without a mark and without
resemblance.

The same probes as the watermark under a key of its own, summed over all shapes into one fixed
length, so that a registry is one matrix. An altered, merged or further-trained copy keeps a cosine
of 0.4 and more to its original; strangers scatter about 0 with a standard deviation near
1/sqrt(768) = 0.036. It does not find an independent training on the same person: that is no lineage
in weight space. Trainings that begin from the same factors keep much of them and look akin whoever
they show (0.4 to 0.7 on the tiny base); our trainer begins elsewhere for other pictures, others'
trainers may not.

Most entries of the factors dropped at random (DARE) bury the content: each entry of the update
keeps p^2 of its terms, and the cosine falls to p. The factors themselves keep sqrt(p), so a second
sketch, of the factors as they are delivered, still finds the master where nine in ten are gone. It
only proposes masters to be opened; dropping from new factors of the same update defeats it.

Trusts its key to stay secret (with it, a file can be bent away from its original). A cosine opens
an inquiry and proves nothing by itself; the mark or the escrowed master does that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from registry.log.core.errors import VerificationError
from training.core.spectra import Shape, probes, responses, spectra
from training.core.watermark import unmarked_factors
from training.core.watermark_code import VIEWS, Float64, Key
from training.core.weights import Float32, Weights, adapters

LENGTH: Final = 768
VIEW: Final = 0.5
# 10^6 strangers reach about 4.9 standard deviations by chance: 0.18 at this length. Small adapters
# scatter more.
ALARM: Final = 0.30
# Of the factors' sketch: 3.3 standard deviations of a stranger's cosine. Below it a master is not
# worth opening; DARE 90 % leaves 0.2 to 0.35, DARE 95 % 0.15 to 0.25.
FACTORS_LIKE: Final = 0.12
_BLOCKS: Final = 256
_FORMAT: Final = b"KYFP1\0"


class FingerprintError(VerificationError):
    """bad_format: not a packed sketch; no_modules: nothing in the file to measure."""


def sketch(weights: Weights, key: Key) -> Float32:
    """768 numbers of unit length that follow the content of the update, whatever its names, factors
    and scale.

    A common negative strength negates it, so compare |cosine|. Raises
    FingerprintError("no_modules"), WeightsError.
    """
    total = np.zeros(LENGTH)
    seed = key.derive("lineage")
    for spectrum in spectra(adapters(weights)):
        for shape, rows in spectrum.blocks:
            u, v = probes(seed, shape, LENGTH)
            measured = responses(spectrum, rows, u, v)[:, VIEWS.index(VIEW)]
            total += measured * _balance(shape)
    length = float(np.linalg.norm(total))
    if length == 0:
        raise FingerprintError("no_modules", "the file holds no low-rank module")
    return (total / length).astype(np.float32)


def factor_sketch(weights: Weights, key: Key) -> Float32 | None:
    """768 numbers of unit length that follow a file's factors entry by entry, whatever their names,
    their order and the scale of each. None where they cancel out.

    Another one for new factors of the same update; compare |cosine|. Raises WeightsError.
    """
    return _of_factors(((m.shape, m.up, m.down) for m in adapters(weights)), key)


def delivered_sketch(master: Weights, key: Key) -> Float32 | None:
    """The `factor_sketch` of the copies that will be delivered of a master, but for their marks."""
    factors = unmarked_factors(adapters(master))
    return _of_factors(((module.shape, up, down) for module, up, down in factors), key)


def _of_factors(factors: Iterable[tuple[Shape, Float32, Float32]], key: Key) -> Float32 | None:
    rows: dict[Shape, Float64] = {}
    columns: dict[Shape, Float64] = {}
    for shape, up, down in factors:
        m, n = shape
        rows[shape] = rows.get(shape, np.zeros(m)) + _summed(up)
        columns[shape] = columns.get(shape, np.zeros(n)) + _summed(down.T)
    total, seed = np.zeros(LENGTH), key.derive("factors")
    for shape in rows:
        u, v = probes(seed, shape, LENGTH)
        total += u @ rows[shape] + v @ columns[shape]
    length = float(np.linalg.norm(total))
    return (total / length).astype(np.float32) if length > 0 else None


def _summed(factor: Float32) -> Float64:
    """Its columns' sum, at unit norm of the factor: of any scale, and the columns in any order."""
    exact = factor.astype(np.float64)
    norm = float(np.linalg.norm(exact))
    out: Float64 = exact.sum(axis=1) / norm if norm > 0 else np.zeros(len(exact))
    return out


def _balance(shape: Shape) -> float:
    """Large layers carry more of the content; responses have unit size for every shape."""
    return math.sqrt(sum(shape))


def cosine(a: Float32, b: Float32) -> float:
    """The cosine of two sketches of one key, in [-1, 1]."""
    return float(np.clip(np.dot(a.astype(np.float64), b.astype(np.float64)), -1, 1))


def _largest(values: Float32, count: int) -> npt.NDArray[np.intp]:
    """The places of the largest values, in falling order, without sorting the rest."""
    count = min(count, len(values))
    some = np.argpartition(-values, count - 1)[:count] if count else np.zeros(0, np.intp)
    return np.asarray(some[np.argsort(-values[some], kind="stable")])


class Sketches:
    """Registered sketches under their names, 3 kB each, ready to be compared. It only grows.

    Every one is looked at: a million take a tenth of a second, which no index needs to beat.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._known: set[str] = set()
        self._blocks: list[Float32] = []

    def __len__(self) -> int:
        return len(self._names)

    def add(self, rows: Iterable[tuple[str, Float32]]) -> None:
        """Take in named sketches; names that are known already change nothing."""
        new = {name: vector for name, vector in rows if name not in self._known}
        if not new:
            return
        self._names += new
        self._known.update(new)
        self._blocks.append(np.stack(list(new.values())).astype(np.float32))
        if len(self._blocks) > _BLOCKS:  # one at a time would leave a million of them
            self._blocks = [np.concatenate(self._blocks)]

    def nearest(self, query: Float32, count: int = 10) -> list[tuple[str, float]]:
        """(name, cosine) of the sketches nearest to `query` by |cosine|, the nearest first."""
        if not self._blocks:
            return []
        scores = np.concatenate([block @ query for block in self._blocks])
        return [(self._names[row], float(scores[row])) for row in _largest(np.abs(scores), count)]


def pack(vector: Float32) -> bytes:
    """1,542 bytes: format tag, then 768 little-endian float16. Rounding moves a cosine by less than
    0.001.
    """
    if vector.shape != (LENGTH,):
        raise ValueError(f"a sketch has {LENGTH} numbers")
    return _FORMAT + vector.astype("<f2").tobytes()


def unpack(data: bytes) -> Float32:
    """The unit vector that `pack` stored. Raises FingerprintError("bad_format")."""
    if not data.startswith(_FORMAT) or len(data) != len(_FORMAT) + 2 * LENGTH:
        raise FingerprintError("bad_format", "not a packed sketch")
    vector = np.frombuffer(data, "<f2", offset=len(_FORMAT)).astype(np.float64)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or not 0.9 < length < 1.1:
        raise FingerprintError("bad_format", "not of unit length")
    return (vector / length).astype(np.float32)
