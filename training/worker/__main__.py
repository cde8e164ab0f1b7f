"""`python -m training.worker keys DIR` and `… run …`: the worker on a machine of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from training.worker import agent, keys
from training.worker.client import Unreachable

TRY_AGAIN = os.EX_TEMPFAIL  # the registry was out of reach, or we were told to stop


def main(argv: list[str] | None = None) -> int:
    """Make keys and print what the operator enrols, or work until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m training.worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("keys", help="make the key files and print the public keys")
    made.add_argument("keys", type=Path)
    run = commands.add_parser("run", help="claim and train jobs")
    run.add_argument("--registry", required=True, help="the registry's public address")
    run.add_argument("--keys", type=Path, required=True)
    run.add_argument("--work", type=Path, required=True, help="job folders; encrypt this disk")
    run.add_argument("--trust", type=Path, required=True, help="trust.json, fetched out of band")
    run.add_argument("--base", type=Path, action="append", required=True, help="base models")
    run.add_argument("--every", type=float, default=5.0, help="seconds between looks")
    run.add_argument("--once", action="store_true")
    options = parser.parse_args(argv)
    return _keys(options.keys) if options.command == "keys" else _run(options)


def _keys(folder: Path) -> int:
    keys.create(folder)
    sys.stdout.write(json.dumps(keys.load(folder).public()) + "\n")
    return 0


def _run(options: argparse.Namespace) -> int:
    config = agent.Config(
        registry_url=options.registry,
        keys_dir=options.keys,
        work_dir=options.work,
        trust=options.trust,
        bases=tuple(options.base),
    )
    signal.signal(signal.SIGTERM, _told_to_stop)
    while True:
        code = 0
        try:
            outcome = agent.run_once(config)
        except Unreachable as error:
            sys.stderr.write(f"{error}\n")
            outcome, code = None, TRY_AGAIN
        if outcome is not None:
            sys.stdout.write(f"{outcome}\n")
        if options.once:
            return code
        if outcome is None:
            time.sleep(options.every)


def _told_to_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through every `finally`: the trainer is stopped, the folder wiped, the lease runs out.

    In a container we are process 1, which the kernel would not end by SIGTERM.
    """
    raise SystemExit(TRY_AGAIN)


if __name__ == "__main__":
    sys.exit(main())
