"""`manage.py fsck`: recompute the whole log from its entries and compare every stored row."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.log import fsck, sequencer
from registry.log.core.errors import Error


class Command(BaseCommand):
    """Exits non-zero and names the first row that differs."""

    help = "Recompute the log from its entries; compare tiles, checkpoints and signatures."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the pinned verifier keys, for auditors who do not hold the log's own keys."""
        parser.add_argument("--vkeys", type=Path, help="file of verifier keys, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check and say how many entries verified."""
        pins: Path | None = options["vkeys"]
        try:
            vkeys = sequencer.load_signers().vkeys() if pins is None else pins.read_text().split()
            size = fsck.check(vkeys)
        except Error as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"VERIFIED {size} entries")
