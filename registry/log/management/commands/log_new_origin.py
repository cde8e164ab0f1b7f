"""`manage.py log_new_origin`: go on after lost history, under another name and other keys."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.log import origins, sequencer
from registry.log.core.errors import Error


class Command(BaseCommand):
    """Run with the sequencer stopped, after KYODAKU_LOG_ORIGIN and the checkpoint keys are new."""

    help = (
        "Open a new origin over the entries of a restored database; says in the log what was lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what is known of the old log."""
        parser.add_argument(
            "--known", type=Path, required=True, help="its newest known checkpoint, a signed note"
        )
        parser.add_argument(
            "--known-vkeys", type=Path, required=True, help="its verifier keys, one a line"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Open it and say what comes next."""
        known: Path = options["known"]
        pins: Path = options["known_vkeys"]
        try:
            signers = sequencer.load_signers()
            note, vkeys = (
                known.read_text(encoding="utf-8"),
                pins.read_text(encoding="utf-8").split(),
            )
            event_id = origins.open_new(signers, note, vkeys)
        except (Error, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{event_id} opens {signers.origin}. Start the sequencer; give everybody who pinned the"
            " old keys the new trust root, and the witnesses the new verifier keys"
            " (manage.py sequencer --vkeys)."
        )
