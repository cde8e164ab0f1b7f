"""Which pictures are alike: in one respect, or altogether. Stage 5, pure arithmetic.

Three measures. Histograms say which colours a region has; a map, the output of a small network
pooled over the region, says what it looks like; a look, the whole picture in 48 x 48 grey cells,
is compared under every moderate crop, mirrored and not, whatever the light.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Look = tuple[int, ...]  # 48 x 48 grey values row by row, or nothing
MAP_SHARE: Final = 500  # permille of a map in a distance; the rest is the histogram's
LOOK_SIDE: Final = 48
_CELLS: Final = 16  # a look is compared as 16 x 16 cells
_CROPS: Final = (1.0, 0.95, 0.9, 0.85, 0.8)
_SHIFTS: Final = 5
_POSE_CELLS: Final = 16
_FAR: Final = 10_000.0
_FLAT: Final = 4.0  # grey levels: less than this much contrast says nothing


def linked(gaps: Floats, cut: float) -> list[list[int]]:
    """Average-linkage clusters of a symmetric n x n distance matrix; up to `cut` they join.

    Average, not nearest: chains of small steps would put everything into one group. Returns
    clusters of two and more, by their first member.
    """
    gaps = gaps.astype(np.float64).copy()
    clusters = {index: [index] for index in range(len(gaps))}
    np.fill_diagonal(gaps, np.inf)
    while len(clusters) > 1 and gaps.min() <= cut:
        one, other = sorted(int(place) for place in np.unravel_index(gaps.argmin(), gaps.shape))
        sizes = len(clusters[one]), len(clusters[other])
        merged = (gaps[one] * sizes[0] + gaps[other] * sizes[1]) / sum(sizes)
        gaps[one], gaps[:, one] = merged, merged
        gaps[other], gaps[:, other], gaps[one, one] = np.inf, np.inf, np.inf
        clusters[one] = sorted(clusters[one] + clusters.pop(other))
    return sorted(group for group in clusters.values() if len(group) > 1)


def distance(histograms: Ints) -> Floats:
    """Pairwise share that two histograms (n x bins) do not have in common, 0..1000."""
    if len(histograms) == 0:
        return np.zeros((0, 0))
    shared = np.minimum(histograms[:, None, :], histograms[None, :, :]).sum(axis=2)
    totals = histograms.sum(axis=1).clip(min=1)
    return np.asarray(1000 - 1000 * shared / np.maximum(totals[:, None], totals[None, :]))


def pose_distance(poses: Sequence[tuple[int, ...]]) -> Floats:
    """Pairwise distance of poses: where the head points (hundredths of the eyes' distance), then an
    outline in cells around it (percent of person, -1 outside the picture).

    Ten times the mean difference of the cells that both pictures show, and three times that of the
    heads; far apart where they show too few of the same.
    """
    count = len(poses)
    gaps = np.zeros((count, count))
    every = np.array(poses, dtype=np.int64)
    for one in range(count):
        for other in range(one):
            cells = every[[one, other], 1:]
            both = (cells >= 0).all(axis=0)
            apart = _FAR
            if both.sum() >= _POSE_CELLS:
                outline = np.abs(cells[0] - cells[1])[both].mean()
                apart = 10 * outline + 3 * abs(every[one, 0] - every[other, 0])
            gaps[one, other] = gaps[other, one] = apart
    return gaps


def map_distance(maps: Ints) -> Floats:
    """Pairwise 1000 - 1000 cos of maps (n x channels)."""
    if len(maps) == 0:
        return np.zeros((0, 0))
    lengths = np.linalg.norm(maps.astype(np.float64), axis=1).clip(min=1e-9)
    unit = maps / lengths[:, None]
    return np.asarray(1000 - 1000 * (unit @ unit.T))


def region_distance(histograms: Ints, maps: Ints) -> Floats:
    """Histogram and map together, in permille; the histogram alone where there are no maps."""
    colours = distance(histograms)
    if maps.shape[1:] == (0,) or len(maps) == 0:
        return colours
    return (colours * (1000 - MAP_SHARE) + map_distance(maps) * MAP_SHARE) / 1000


def look_likeness(ones: Sequence[Look], others: Sequence[Look]) -> Ints:
    """How much looks are one picture, in permille, for each of `ones` and of `others`.

    The best correlation of one look's crops, mirrored and not, with the other look, in either
    order. Light and contrast play no part. 0 where a look is missing or has no contrast.
    """
    there, back = _crops_in(ones, others), _crops_in(others, ones).T
    return np.asarray(np.round(np.maximum(there, back) * 1000), np.int64)


def _crops_in(ones: Sequence[Look], others: Sequence[Look]) -> Floats:
    """The best correlation of each one's crops with each other look, whole."""
    # Kept for this comparison only: a look is a small picture of somebody.
    wholes = [_whole(other) for other in others]
    best = np.zeros((len(ones), len(others)))
    for place, one in enumerate(ones):
        bank = _bank(one)
        for row, whole in enumerate(wholes):
            best[place, row] = (bank @ whole).max(initial=0)
    return best


@cache
def _frames() -> list[tuple[slice, slice]]:
    """The moderate crops: five sizes, a grid of places for each."""
    found = []
    for share in _CROPS:
        side = round(LOOK_SIDE * share)
        room = LOOK_SIDE - side
        places = sorted({round(room * step / (_SHIFTS - 1)) for step in range(_SHIFTS)})
        found += [
            (slice(top, top + side), slice(left, left + side)) for top in places for left in places
        ]
    return found


def _bank(look: Look) -> Floats:
    """Every crop of a look and its mirror image, standardised: k x 256."""
    if len(look) != LOOK_SIDE**2:
        return np.zeros((1, _CELLS**2))
    cells = np.array(look, np.float64).reshape(LOOK_SIDE, LOOK_SIDE)
    small = np.stack([_cells(cells[rows, columns]) for rows, columns in _frames()])
    return _standard(np.concatenate([small, small[:, :, ::-1]]).reshape(2 * len(small), -1))


def _whole(look: Look) -> Floats:
    if len(look) != LOOK_SIDE**2:
        return np.zeros(_CELLS**2)
    cells = np.array(look, np.float64).reshape(LOOK_SIDE, LOOK_SIDE)
    return np.asarray(_standard(_cells(cells).reshape(1, -1))[0])


def _cells(part: Floats) -> Floats:
    """A square of any side as 16 x 16 means."""
    weight = _weights(len(part))
    return np.asarray(weight @ part @ weight.T)


@cache
def _weights(side: int) -> Floats:
    edges = np.linspace(0, side, _CELLS + 1)
    weight = np.zeros((_CELLS, side))
    for cell in range(_CELLS):
        low, high = edges[cell], edges[cell + 1]
        for place in range(int(low), min(int(np.ceil(high)), side)):
            weight[cell, place] = min(high, place + 1) - max(low, place)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _standard(rows: Floats) -> Floats:
    """Mean 0 and length 1; nothing at all for a row without contrast."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True).clip(min=1e-9)
    return np.where(spread >= _FLAT, centred / length, 0.0)
