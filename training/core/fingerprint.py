"""Lineage: a keyed content fingerprint of a LoRA (stages 7 and 9), without a mark and without
resemblance.

The same probes as the watermark under a key of its own, summed over all shapes into one fixed
length, so that a registry is one matrix. An altered, merged or further-trained copy keeps a cosine
of 0.4 and more to its original; strangers scatter about 0 with a standard deviation near
1/sqrt(768) = 0.036. It does not find an independent training on the same person: that is no lineage
in weight space.

Trusts its key to stay secret (with it, a file can be bent away from its original). A cosine opens
an inquiry and proves nothing by itself; the mark or the escrowed master does that.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from registry.log.core.errors import VerificationError
from training.core.watermark import VIEWS, Key, Shape, probes, responses, spectra
from training.core.weights import Float32, Weights, adapters

LENGTH: Final = 768
VIEW: Final = 0.5
# 10^6 strangers reach about 4.9 standard deviations by chance: 0.18 at this length. Small adapters
# scatter more.
ALARM: Final = 0.30
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
            measured = responses(spectrum, (shape, rows), u, v)[:, VIEWS.index(VIEW)]
            total += measured * _balance(shape)
    length = float(np.linalg.norm(total))
    if length == 0:
        raise FingerprintError("no_modules", "the file holds no low-rank module")
    return (total / length).astype(np.float32)


def _balance(shape: Shape) -> float:
    """Large layers carry more of the content; responses have unit size for every shape."""
    return math.sqrt(sum(shape))


def cosine(a: Float32, b: Float32) -> float:
    """The cosine of two sketches of one key, in [-1, 1]."""
    return float(np.clip(np.dot(a.astype(np.float64), b.astype(np.float64)), -1, 1))


def nearest(query: Float32, known: Float32, count: int = 10) -> list[tuple[int, float]]:
    """(row, cosine) of the rows of `known` (K, 768) nearest to `query` by |cosine|."""
    scores = known @ query
    order = np.argsort(-np.abs(scores))[:count]
    return [(int(row), float(scores[row])) for row in order]


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
