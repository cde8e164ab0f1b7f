"""The local runner: one worker process on this machine, which looks and ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from registry.local import child
from training.runners import NotWoken, Waiting
from training.worker.agent import ROOT, Config


class ByProcess:
    """Starts `python -m training.worker run --once`; at most one at a time.

    Its process dies with ours (SIGTERM: it stops the trainer and wipes first). `log` is appended.
    """

    def __init__(self, config: Config, log: Path) -> None:
        self.config, self.log = config, log
        self.process: subprocess.Popen[bytes] | None = None

    def wake(self, waiting: Sequence[Waiting]) -> int:
        """Start the worker, unless the last one still works or nothing waits."""
        if not waiting or (self.process is not None and self.process.poll() is None):
            return 0
        try:
            self.process = child.start(_command(self.config), log=self.log, cwd=ROOT)
        except OSError as error:
            raise NotWoken(f"worker process: {error}") from error
        return 1


def _command(config: Config) -> list[str | Path]:
    bases = [part for base in config.bases for part in ("--base", base)]
    return [
        *(sys.executable, "-m", "training.worker", "run", "--once"),
        *("--registry", config.registry_url, "--keys", config.keys_dir, "--work", config.work_dir),
        *("--trust", config.trust, *bases),
    ]
