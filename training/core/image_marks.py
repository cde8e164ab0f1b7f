"""What a mark read from a picture says, and pictures that look alike (stages 7 and 9). Pure.

A network (`training.engines.rivagan`) writes 32 bits into a picture and reads 32 bits from any. The
ids are drawn at random, so for whatever is read from a picture that was never marked, the chance to
lie within k bits of one of N ids is at most N * V(k) / 2^32 with V(k) = sum over i <= k of
C(32, i): a bound that needs nothing of the network. It bounds chance, not forgery: the network has
no key, and who knows an id can write it elsewhere. So a mark opens an inquiry and proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

BITS: Final = 32
FPR: Final = 1e-6  # of one question about one picture
MIN_SIDE: Final = 256  # below it the network has no room
ALIKE: Final = 6  # of the 64 bits of two perceptual hashes

Grey = npt.NDArray[np.floating]


def errors_allowed(known: int, fpr: float = FPR) -> int:
    """How many bits may differ among `known` ids; -1 where even an equal one could be chance."""
    volume, allowed = 0, -1
    for k in range(BITS + 1):
        volume += math.comb(BITS, k)
        if known * volume > fpr * 2**BITS:
            break
        allowed = k
    return allowed


def named(read: int, known: Iterable[int], fpr: float = FPR) -> int | None:
    """The id that a reading means, or None. Two that are equally near name nobody."""
    ids = list(known)
    ranked = sorted((distance(read, one), one) for one in ids)
    if not ranked or ranked[0][0] > errors_allowed(len(ids), fpr):
        return None
    if len(ranked) > 1 and ranked[1][0] == ranked[0][0]:
        return None
    return ranked[0][1]


def bits_of(number: int) -> list[int]:
    """An id as 32 bits, the highest first."""
    return [number >> place & 1 for place in range(BITS - 1, -1, -1)]


def number_of(bits: Iterable[int]) -> int:
    """The other way round."""
    out = 0
    for bit in bits:
        out = out << 1 | bit
    return out


def picture_hash(small: Grey) -> int:
    """64 bits from a picture of 8 rows and 9 columns in grey: which of two neighbours is brighter.

    The difference hash (N. Krawetz, 2013).
    """
    if small.shape != (8, 9):
        raise ValueError("a picture hash needs 8 x 9 pixels")
    return number_of((small[:, 1:] > small[:, :-1]).ravel().astype(int).tolist())


def alike(one: int, other: int) -> bool:
    """Whether two pictures look alike enough to be shown to a person."""
    return distance(one, other) <= ALIKE


def distance(one: int, other: int) -> int:
    """In how many bits two numbers differ."""
    return (one ^ other).bit_count()
