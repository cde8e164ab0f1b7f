"""`manage.py model_record FILE --from "SDXL 1.0" --licence LICENSE.txt --by NAME`: a base of one's
own.

The digest is the file's SHA-256, or for a folder (a diffusers model) the digest that grants and
tokens name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.management import arguments
from registry.services import catalogue, seed
from training.trainer.base.digest import base_digest


class Command(BaseCommand):
    """Either a template (`--from`) or facts of one's own (`--facts FILE.json`)."""

    help = "Record a model by the digest of its file or folder, with its licence facts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="safetensors file, or diffusers folder")
        parser.add_argument("--from", dest="template", help="name, key or id of a template")
        parser.add_argument("--facts", type=Path, help="licence facts as JSON")
        parser.add_argument("--licence", type=Path, help="the licence's text, kept as a snapshot")
        parser.add_argument("--name", default="")
        parser.add_argument(
            "--part",
            action="append",
            metavar="ROLE=MODEL",
            help="a model inside it, such as vae=ID; give all of them",
        )
        parser.add_argument("--kind", default="base")
        parser.add_argument("--air", default="", help="AIR id, urn:air:…")
        parser.add_argument("--by", help="login of the person who answers for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the record's id, its digest and what it allows."""
        if bool(options["template"]) == bool(options["facts"]):
            raise CommandError("give either --from TEMPLATE or --facts FILE")
        text, by = arguments.text_from(options["licence"]), arguments.person(options["by"])
        try:
            sha256 = _digest(options["path"])
            if options["template"]:
                record = seed.model_from(
                    template=arguments.model(options["template"]),
                    sha256=sha256,
                    inside=arguments.inside(options["part"]),
                    licence_text=text,
                    name=options["name"],
                    by=by,
                )
            else:
                record = catalogue.model_record(
                    name=options["name"] or options["path"].name,
                    kind=options["kind"],
                    facts=arguments.facts_from(options["facts"], text),
                    sha256=sha256,
                    inside=arguments.inside(options["part"]) or (),
                    licence_text=text,
                    air_id=options["air"],
                    by=by,
                )
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        whole = catalogue.effective(record)
        self.stdout.write(f"{record.pk} {record.sha256} commercial: {whole.commercial}")
        for part in whole.conditions.unreviewed:
            self.stdout.write(f"not for commercial use until somebody reviews it: {part}")


def _digest(path: Path) -> str:
    if path.is_dir():
        return base_digest(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
