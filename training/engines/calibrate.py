"""Measures where a pack's bands begin, on labelled pictures.

Stage 5. Trusts that each group is one person and that no two are the same one: whoever labels the
pictures decides what the numbers are worth.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from registry.core.refusals import Refusal
from training.core import calibration
from training.core.calibration import Calibration, Rate
from training.core.pictures import Picture
from training.engines.base import FaceEngine
from training.engines.survey import pixels

DRAWS: Final = 10  # sets of three references a person
REFERENCES: Final = 3
SEED: Final = 2023


def calibrate(
    people: Mapping[str, Sequence[Picture]],
    engine: FaceEngine,
    told: Callable[[int, int], None] | None = None,
) -> Calibration | Refusal:
    """Measure bands and error rates on pictures by person; one face in each picture that counts.

    Every person's pictures are tried against the centroid of three of their own that are not among
    them, and against everybody else's. The same pictures give the same numbers. Returns
    `calibration_small` for fewer than five people with four pictures.
    """
    vectors = _vectors(people, engine, told)
    if len(vectors) < calibration.MIN_PEOPLE:
        return Refusal("calibration_small", f"{len(vectors)} people with enough pictures")
    own, strangers = _trials(vectors)
    unlike, weak, match = calibration.bands(strangers)
    return Calibration(
        engine=engine.id,
        engine_digest=engine.digest,
        settings=json.loads(json.dumps(dict(engine.settings))),
        match=match,
        weak=weak,
        unlike=unlike,
        people=len(vectors),
        pictures=sum(len(rows) for rows in vectors.values()),
        false_rejects=rate(sum(score * 1000 < weak for score in own), len(own)),
        false_accepts=rate(sum(score * 1000 >= weak for score in strangers), len(strangers)),
        highest_stranger=round(max(strangers) * 1000),
        note="kyodaku calibrate",
    )


def rate(errors: int, trials: int) -> Rate:
    """With the exact interval of Clopper and Pearson (Biometrika 26, 1934), 95 %."""
    interval = binomtest(errors, trials).proportion_ci(0.95, method="exact")
    return Rate(errors, trials, round(interval.low * 1e6), round(interval.high * 1e6))


def _vectors(
    people: Mapping[str, Sequence[Picture]],
    engine: FaceEngine,
    told: Callable[[int, int], None] | None,
) -> dict[str, npt.NDArray[np.float32]]:
    total, done = sum(map(len, people.values())), itertools.count(1)
    found = {}
    for name in sorted(people):
        rows = []
        for picture in people[name]:
            faces = engine.faces(pixels(picture))
            rows += [face.embedding for face in faces] if len(faces) == 1 else []
            if told is not None:
                told(next(done), total)
        if len(rows) >= calibration.MIN_PICTURES:
            found[name] = np.stack(rows)
    return found


def _trials(vectors: Mapping[str, npt.NDArray[np.float32]]) -> tuple[list[float], list[float]]:
    """Likeness of the same person, and of others, to the centroid of three references."""
    chance = np.random.default_rng(SEED)
    own: list[float] = []
    strangers: list[float] = []
    for name, rows in vectors.items():
        others = np.concatenate([vectors[other] for other in vectors if other != name])
        for drawn in _draws(len(rows), chance):
            total = rows[list(drawn)].sum(axis=0)
            centroid = total / np.linalg.norm(total)
            own += [float(score) for score in np.delete(rows, drawn, axis=0) @ centroid]
            strangers += [float(score) for score in others @ centroid]
    return own, strangers


def _draws(count: int, chance: np.random.Generator) -> list[tuple[int, ...]]:
    every: list[tuple[int, ...]] = list(itertools.combinations(range(count), REFERENCES))
    if len(every) <= DRAWS:
        return every
    places = chance.choice(len(every), DRAWS, replace=False)
    return [every[place] for place in sorted(places)]
