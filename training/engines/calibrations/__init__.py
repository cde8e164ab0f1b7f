"""The calibrations that ship with packs, beside this file, and reading an operator's own.

Stage 5. A likeness means nothing without one: an engine opens only with the calibration of its
very pack and settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from registry.core.refusals import Refusal
from training.core import calibration
from training.core.calibration import Calibration

SHIPPED: Final = Path(__file__).parent
MAX_FILE: Final = 65_536


def calibration_for(
    engine: str, digest: str, settings: Mapping[str, Any], file: Path | None = None
) -> Calibration | Refusal:
    """The calibration of an engine by name, pack and settings: the operator's file, else ours.

    `calibration_mismatch` when there is none, it is damaged, or it is another pack's.
    """
    path = file or SHIPPED / f"{engine.rpartition('/')[2]}.json"
    try:
        if path.stat().st_size > MAX_FILE:
            return Refusal("calibration_mismatch", f"{path.name} is too large")
        made = calibration.load(path.read_bytes())
    except OSError:
        return Refusal("calibration_mismatch", f"no calibration file {path.name}")
    except ValueError as error:
        return Refusal("calibration_mismatch", str(error))
    return calibration.fits(made, engine, digest, settings) or made
