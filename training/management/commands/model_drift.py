"""`manage.py model_drift MODEL`: what was made on a model, and what its licence no longer covers.

Changes nothing. The exit status is 1 when something is no longer covered.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.management import arguments
from training.services import drift


class Command(BaseCommand):
    """By the newest revision, or by the one named."""

    help = "List the grants, jobs, LoRAs and deliveries made on a model."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="id, digest, key or name")
        parser.add_argument("--revision", type=int, help="number of a revision; newest by default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line a grant with everything under it."""
        record = arguments.model(options["model"])
        wanted = options["revision"]
        revision = record.revisions.filter(number=wanted).first() if wanted else record.current
        if revision is None:
            raise CommandError(f"{record}: no revision {wanted}")
        found = drift.drift_of(revision)
        for line in drift.lines(found):
            self.stdout.write(line)
        if any(not item.holds for item in found):
            sys.exit(1)
