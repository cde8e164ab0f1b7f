"""Reading a mark with the unmarked master beside the file (stages 7 and 9): the escrow stage.

The LoRA itself is by far the largest part of what hides its mark. Whoever holds the master can take
it out: R[l] = dW[l] - gamma[l] * master[l], gamma by least squares, and read R as any file is read.
Neither the file (when it is innocent) nor the master depends on the key, so the threshold bounds a
false answer here exactly as it does without the master; the candidates are all
registered ids, and where none is found, the deliveries of the masters that were tried.

Where the file still holds the factors that were delivered, the master's own are taken out of each
factor, column by column and only at the entries that were kept: what was dropped (DARE) then costs
its share of the mark instead of burying it in noise.

Modules are matched by their content within one shape, never by name. A file whose layers were fused
or cut apart has no module of the master's shape and is read as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.core.spectra import Shape
from training.core.watermark import unmarked_factors
from training.core.watermark_code import Codebook, Hit, Key
from training.core.watermark_reading import Reading, read_modules, search
from training.core.weights import Float32, Module, Weights, adapters

# The share of each factor that the master's columns must explain: a stranger's explain one in m.
SAME_FACTORS: Final = 0.5


def read_beside(weights: Weights, master: Weights, key: Key) -> Reading:
    """What one key sees in a file once its supposed master has been taken out.

    Raises WeightsError when the factors of either do not form products.
    """
    return read_modules(residual(adapters(weights), adapters(master)), key)


def search_beside(
    reading: Reading, key: Key, ids: Sequence[bytes] | Codebook, own: Sequence[bytes], *, fpr: float
) -> list[Hit]:
    """The ids in a reading made beside a master, wrongly at a rate of at most `fpr`.

    (1) Among all registered ids, for the file may carry another LoRA's mark, which the master's own
    ids would be taken for; (2) where nothing is strong enough for that, among the ids delivered of
    this master, which are few and need a lower threshold.
    """
    hits = search(reading, key, ids, fpr=fpr / 2)  # (1)
    return hits or search(reading, key, own, fpr=fpr / 2)  # (2)


def residual(found: Sequence[Module], master: Sequence[Module]) -> list[Module]:
    """Each found module less the part that lies along the master's module most like it.

    A module comes back at a scale of its own (a reading does not depend on it); its rank is the sum
    of both.
    """
    known: dict[Shape, _Stack] = {}
    delivered = unmarked_factors(master)
    for shape in {module.shape for module, _, _ in delivered}:
        known[shape] = _Stack.of(
            [(up, down) for module, up, down in delivered if module.shape == shape]
        )
    return [
        known[module.shape].taken_from(module) if module.shape in known else module
        for module in found
    ]


@dataclass(frozen=True)
class _Stack:
    """The master's modules of one shape, side by side: up (m, R), down (R, n), R = sum of ranks."""

    up: Float32
    down: Float32
    starts: tuple[int, ...]
    squares: tuple[float, ...]

    @classmethod
    def of(cls, factors: Sequence[tuple[Float32, Float32]]) -> _Stack:
        ups = [_largest_one(up) for up, _ in factors]
        downs = [_largest_one(down) for _, down in factors]
        squares = [_inner(u, d, u, d) for u, d in zip(ups, downs, strict=True)]
        starts = np.cumsum([0, *(up.shape[1] for up in ups)])
        return cls(np.hstack(ups), np.vstack(downs), tuple(starts.tolist()), tuple(squares))

    def taken_from(self, module: Module) -> Module:
        up, down = _largest_one(module.up), _largest_one(module.down)
        both = ((up.T @ self.up) * (down @ self.down.T)).sum(axis=0, dtype=np.float64)
        along = np.add.reduceat(both, self.starts[:-1])
        size = np.sqrt(np.maximum(self.squares, 1e-30))
        best = int(np.argmax(np.abs(along) / size))
        part = slice(self.starts[best], self.starts[best + 1])
        mine, yours = self.up[:, part], self.down[part]
        left, right = _beside(up, mine), _beside(down.T, yours.T)
        if left is not None and right is not None:
            # To first order: the residual of each factor beside the other factor of the master.
            (up_rest, up_part), (down_rest, down_part) = left, right
            ups, downs = np.hstack([up_rest, up_part]), np.vstack([down_part.T, down_rest.T])
        else:
            gamma = np.float32(along[best] / size[best] ** 2)
            ups, downs = np.hstack([up, -gamma * mine]), np.vstack([down, yours])
        return Module(module.shape, ups, downs, 1.0, module.stem, module.up_key, module.down_key)


def _beside(found: Float32, master: Float32) -> tuple[Float32, Float32] | None:
    """(found less the part along master, that part without gaps), column by column over the entries
    that are not zero; None where these are other factors.
    """
    if found.shape != master.shape:
        return None
    kept = found != 0
    square = (np.square(master) * kept).sum(axis=0, dtype=np.float64)
    along = (found * master).sum(axis=0, dtype=np.float64)
    gamma = np.divide(along, square, out=np.zeros_like(along), where=square > 0)
    part = master * gamma.astype(np.float32)
    rest = (found - part) * kept
    explained = 1 - float(np.square(rest).sum()) / max(float(np.square(found).sum()), 1e-30)
    return (rest, part) if explained >= SAME_FACTORS else None


def _largest_one(factor: Float32) -> Float32:
    """Over its largest entry: a hostile file of 1e38s must not overflow."""
    largest = np.abs(factor).max()
    return factor / largest if largest > 0 else factor


def _inner(up: Float32, down: Float32, other_up: Float32, other_down: Float32) -> float:
    """The inner product of two updates through r x r products."""
    return float(((up.T @ other_up) * (down @ other_down.T)).sum(dtype=np.float64))
