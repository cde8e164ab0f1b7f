"""`python -m tests.fuzz [NAME …]`: every target for SECONDS_EACH CPU seconds (600; QUICK=1: 5).

The corpus and what crashed stay in `var/fuzz/NAME`, so the next run goes on from there. What a
crash teaches becomes a test in `tests/fuzz/test_fuzz.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.report import QUICK, report, say
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("KYODAKU_FUZZ_DIR", ROOT / "var/fuzz"))
SECONDS = float(os.environ.get("SECONDS_EACH", "5" if QUICK else "600"))


def fuzz(name: str) -> dict[str, Any]:
    """Run one target; returns executions, CPU seconds and the files that crashed it."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*-*"))
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(SECONDS), str(folder)]
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
    ended = done.returncode == 0 and bool(runs)
    return {
        "executions": int(runs) if ended else 0,
        "cpu_s": float(used) if ended else 0.0,
        "crashes": crashes or ([] if ended else [f"exit {done.returncode}"]),
    }


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
