"""`manage.py sequencer`: give events their index and sign checkpoints until told to stop."""

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.log import sequencer
from registry.log.core.errors import Error


class Command(BaseCommand):
    """SIGTERM and SIGINT end it after the pass that is under way."""

    help = "Turn outbox events into signed checkpoints, until SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the pass interval, a single pass, and showing the keys that clients pin."""
        parser.add_argument("--interval", type=float, default=0.1, help="seconds between passes")
        parser.add_argument("--once", action="store_true", help="one pass, then stop")
        parser.add_argument("--vkeys", action="store_true", help="print the verifier keys and stop")

    def handle(self, *args: Any, **options: Any) -> None:
        """Load the keys, then run; a broken history or key ends with a sentence, not a trace."""
        try:
            self._run(**options)
        except Error as error:
            raise CommandError(str(error)) from error

    def _run(self, *, interval: float, once: bool, vkeys: bool, **_options: Any) -> None:
        signers = sequencer.load_signers()
        if vkeys:
            self.stdout.write("\n".join(signers.vkeys()))
        elif once:
            self.stdout.write(f"{sequencer.sequence_once(signers)} entries")
        else:
            sequencer.run(signers, _stop_on_signals(), interval=interval)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
