"""The trainer's command line in the chaos run: `chooser.py JOB_DIR` becomes one of the two.

It replaces itself (exec), so that the process that the agent started is the trainer.
"""

import os
import sys
from pathlib import Path

REAL_DIGITS = "048c"

folder = Path(sys.argv[1])
ours = Path(__file__).resolve().parents[1] / "services" / "fake_trainer.py"
program = ["-m", "training.trainer.train"] if folder.name[-1] in REAL_DIGITS else [str(ours)]
os.execv(sys.executable, [sys.executable, *program, str(folder)])  # noqa: S606 - ourselves
