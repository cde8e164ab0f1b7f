"""`manage.py ends_redo FOLDER`: after a backup was restored, end again what had ended since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.log.core.errors import VerificationError
from registry.services import keyring, restoration


class Command(BaseCommand):
    """Reads the published log, which no backup of the database takes back."""

    help = (
        "Destroy key shares, end grants, retire keys and erase people again, as the log exported "
        "to FOLDER tells. Run it before anybody is let in after a restore; then `log_new_origin`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--vkey",
            action="append",
            default=[],
            help="a verifier key of the log that was exported; without it, those of this registry",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was done again, and what people have to look at."""
        vkeys = tuple(options["vkey"]) or keyring.trust_root().log_vkeys
        try:
            done = restoration.ends_redo(folder=options["folder"], vkeys=vkeys)
        except (OSError, VerificationError) as error:
            raise CommandError(f"{options['folder']}: {error}") from error
        self.stdout.write(f"entries that this database does not know: {done.lost}")
        for title, counts in (("done again", done.redone), ("left to people", done.left)):
            for kind, count in sorted(counts.items()):
                self.stdout.write(f"  {title}: {kind} {count}")
