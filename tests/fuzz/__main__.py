"""`python -m tests.fuzz [NAME …]`: every target for SECONDS_EACH CPU seconds (600; QUICK=1: 5).

The corpus and what crashed stay in `var/fuzz/NAME`, so the next run goes on from there. What a
crash teaches becomes a test in `tests/fuzz/test_fuzz.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.bench.report import QUICK, report, say
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("KYODAKU_FUZZ_DIR", ROOT / "var/fuzz"))
SECONDS = float(os.environ.get("SECONDS_EACH", "5" if QUICK else "600"))


# A process that fuzzes grows by about a kilobyte an execution, whatever it is given.
SLICE: Final = 120.0


def fuzz(name: str) -> dict[str, Any]:
    """Run one target, a slice at a time; returns executions, CPU seconds and what crashed it."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    total: dict[str, Any] = {"executions": 0, "cpu_s": 0.0, "crashes": []}
    while total["cpu_s"] < SECONDS and not total["crashes"]:
        runs, used, crashes = _slice(name, folder, min(SLICE, SECONDS - total["cpu_s"]))
        total["executions"] += runs
        total["cpu_s"] = round(total["cpu_s"] + used, 1)
        total["crashes"] += crashes
    return total


def _slice(name: str, folder: Path, seconds: float) -> tuple[int, float, list[str]]:
    """One process; what it learnt stays in the corpus for the next."""
    before = set(folder.glob("*-*"))
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=(folder / "log.txt").open("w"),
        text=True,
        check=False,
    )
    runs, _, used = done.stdout.strip().rpartition("\n")[2].partition(" ")
    crashes = sorted(path.name for path in set(folder.glob("*-*")) - before)
    if done.returncode != 0 or not runs:
        return 0, 0.0, crashes or [f"exit {done.returncode}"]
    return int(runs), float(used), crashes


def main() -> int:
    """Fuzz what is named, else everything; a crash or a target that did not run is a failure."""
    names = sys.argv[1:] or list(TARGETS)
    figures: dict[str, Any] = {}
    for name in names:
        figures[name] = fuzz(name)
        say(f"{name}: {figures[name]}")
    crashed = sum(bool(found["crashes"]) for found in figures.values())
    least = min(found["cpu_s"] for found in figures.values())
    bars = {
        "targets that crashed": {"value": crashed, "bar": 0, "ok": crashed == 0},
        "CPU seconds each": {"value": least, "bar": SECONDS, "ok": least >= SECONDS},
    }
    return report("fuzz", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
