"""What `kyodaku curate` and `kyodaku calibrate` take. Loads nothing: whoever verifies an evidence
pack with the same program needs neither ONNX Runtime nor a page.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from registry.core.refusals import Locale

ROOT: Final = Path(__file__).resolve().parents[2]
LOCALES: Final[tuple[Locale, ...]] = ("ja", "en")


def add_commands(commands: Any, language: Locale) -> None:
    """The two commands' arguments."""
    curate = commands.add_parser("curate", help="check a folder of pictures, without a server")
    curate.add_argument("folder", type=Path, help="the pictures that are to be trained on")
    curate.add_argument("--references", type=Path, required=True, help="3 or more of the talent")
    curate.add_argument("--out", type=Path, help="the report's folder: by default ./NAME-curation")
    curate.add_argument("--calibration", type=Path, help="a file of `kyodaku calibrate`")
    calibrate = commands.add_parser("calibrate", help="measure a face pack's thresholds")
    calibrate.add_argument("folder", type=Path, help="a folder of pictures for each person")
    calibrate.add_argument("--out", type=Path, default=Path("calibration.json"), help="the file")
    for command in (curate, calibrate):
        command.add_argument("--pack", type=Path, default=_pack(), help="the face pack's folder")
        command.add_argument("--scenery", type=Path, help="the scenery pack, if not beside it")
        command.add_argument("--pack-sha256", help="of its manifest, for a pack of your own")
        command.add_argument("--json", action="store_true", help="one JSON object")
        command.add_argument("--lang", choices=LOCALES, default=language)


def _pack() -> Path:
    """Where set-up put the pack. Never a folder of that name in the current directory."""
    named = os.environ.get("KYODAKU_ENGINE_DIR")
    home = Path(os.environ.get("KYODAKU_HOME") or ROOT / "var")
    return Path(named).absolute() if named else home.absolute() / "engines" / "yunet_sface"
