"""`manage.py model_revise MODEL --facts FILE.json`: the licence changed, or was mis-stated.

Prints everything that was made on the model, and what is held from now on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.management import arguments
from registry.services import drift as registry_drift
from training.services import drift


class Command(BaseCommand):
    """Nothing is edited: the facts become a new revision beside the old ones."""

    help = "Record new licence facts of a model, and hold what they no longer cover."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="id, digest, key or name")
        parser.add_argument("--facts", type=Path, required=True, help="licence facts as JSON")
        parser.add_argument(
            "--part",
            action="append",
            metavar="ROLE=MODEL",
            help="a model inside it, such as vae=ID; give all of them",
        )
        parser.add_argument("--licence", type=Path, help="the licence's text, kept as a snapshot")
        parser.add_argument("--by", required=True, help="login of the person who read it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the revision and what it concerns."""
        text = arguments.text_from(options["licence"])
        try:
            revision, _ = registry_drift.model_revise(
                record=arguments.model(options["model"]),
                facts=arguments.facts_from(options["facts"], text),
                inside=arguments.inside(options["part"]),
                licence_text=text,
                by=arguments.person(options["by"]),
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        for line in drift.lines(drift.drift_of(revision)):
            self.stdout.write(line)
