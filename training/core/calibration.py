"""Where a face pack's bands begin: thresholds measured on people's own labelled pictures.

Stage 5, pure. A likeness means something for one pack, used in one way, only. So the numbers lie
in a file that names both, and a survey refuses a file of another pack.

The rule, as the shipped pack was calibrated: an unlike face begins where one of a thousand
strangers reaches; her own face a margin above the highest stranger that was seen; a sure match a
margin above that.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from registry.core.refusals import Refusal
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from training.core.curation import Profile

FORMAT: Final = "kyodaku/calibration/v1"
MIN_PEOPLE: Final = 5
MIN_PICTURES: Final = 4  # of a person: three references, and one to try
MARGIN: Final = 50  # permille above the highest stranger
STEP: Final = 100  # permille from a weak likeness to a sure one
_LEAST_BAND: Final = 100
_RARE: Final = 0.999


@dataclass(frozen=True)
class Rate:
    """`errors` of `trials`, and the exact 95 % interval in parts per million."""

    errors: int
    trials: int
    low_ppm: int
    high_ppm: int


@dataclass(frozen=True)
class Calibration:
    """The bands of one pack. Likeness in permille; `settings` are the engine's.

    `false_rejects` and `false_accepts` are counted at `weak`, against the centroid of three
    references. Trials share people and pictures, so the intervals are narrower than the truth.
    """

    engine: str
    engine_digest: str
    settings: dict[str, Any]
    match: int
    weak: int
    unlike: int
    people: int
    pictures: int
    false_rejects: Rate
    false_accepts: Rate
    highest_stranger: int
    note: str = ""
    format: str = FORMAT

    def dump(self) -> bytes:
        """The file: JSON, sorted and indented, for people to read."""
        text = json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False)
        return f"{text}\n".encode()

    def digest(self) -> str:
        """SHA-256 (hex) over the format's name and the canonical form."""
        return canonical.digest(FORMAT, asdict(self)).hex()

    def profile(self, profile: Profile | None = None) -> Profile:
        """The rules' numbers with this pack's bands in them."""
        return replace(
            profile or Profile(),
            calibration=self.digest(),
            match=self.match,
            weak=self.weak,
            unlike=self.unlike,
        )


def load(data: bytes) -> Calibration:
    """The inverse of `dump`. Raises ValueError for anything that is no calibration."""
    try:
        given = canonical.loads(data)
        members = {item.name for item in fields(Calibration)}
        if given.get("format") != FORMAT or set(given) != members:
            raise ValueError("not a calibration file")
        rates = {name: Rate(**given[name]) for name in ("false_rejects", "false_accepts")}
        made = Calibration(**{**given, **rates})
    except (TypeError, KeyError, AttributeError, VerificationError) as error:
        raise ValueError(f"not a calibration file: {error}") from error
    rising = (0, made.unlike, made.weak, made.match, 1001)
    whole = all(type(value) is int for value in rising)
    if not whole or not all(low < high for low, high in itertools.pairwise(rising)):
        raise ValueError("the bands of a calibration rise from unlike over weak to match")
    if type(made.highest_stranger) is not int or made.highest_stranger >= made.weak:
        raise ValueError("this calibration would take a stranger who was seen for the talent")
    return made


def fits(
    made: Calibration, engine: str, digest: str, settings: Mapping[str, Any]
) -> Refusal | None:
    """`calibration_mismatch` unless these are the numbers of this engine, pack and settings."""
    if (made.engine, made.engine_digest) != (engine, digest):
        return Refusal("calibration_mismatch", f"for {made.engine} {made.engine_digest[:12]}")
    plain = json.loads(json.dumps(dict(settings)))
    return None if made.settings == plain else Refusal("calibration_mismatch", "other settings")


def bands(strangers: Sequence[float]) -> tuple[int, int, int]:
    """Where unlike, weak and match begin, in permille, from the likeness of strangers (-1..1).

    Whole hundredths, never lower than measured: a band that is too low lets somebody through.
    """
    ranked = sorted(strangers)
    rare = ranked[min(math.ceil(len(ranked) * _RARE), len(ranked)) - 1]
    weak = max(_hundredths(ranked[-1] * 1000 + MARGIN), 2 * _LEAST_BAND)
    unlike = min(_hundredths(rare * 1000), weak - _LEAST_BAND)
    return unlike, weak, min(weak + STEP, 1000)


def _hundredths(permille: float) -> int:
    return max(math.ceil(permille / 10 - 1e-9) * 10, 10)
