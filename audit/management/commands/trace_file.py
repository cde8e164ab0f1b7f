"""`manage.py trace_file`: whose file is this, with every number, for an inquiry or a court."""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from audit.core import findings, words
from audit.services import tracing
from registry.core import refusals
from registry.core.refusals import Refusal
from registry.log.core.errors import VerificationError
from training.core import difference

# As the site takes it; a checkpoint is reduced to what was merged into it before that.
MAX_BYTES: Final = 3 << 30


class Command(BaseCommand):
    """Only here are the numbers told: the site and the API answer in bands, or they would teach how
    to get under the threshold.
    """

    help = (
        "Trace a LoRA, a sample picture, or a checkpoint beside its base (--base), and say what was"
        " measured: t, the threshold and a bound on false answers. Recorded as trace.found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the file, the base, the language and the form."""
        parser.add_argument("file", type=Path, help="a .safetensors file, or a picture")
        parser.add_argument("--base", type=Path, help="the base model that FILE was merged into")
        parser.add_argument("--lang", choices=("ja", "en"), default="ja")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a sentence for every finding; exit 1 where the question could not be asked."""
        lang: refusals.Locale = options["lang"]
        try:
            found = tracing.trace(data=_data(options["file"], options["base"]))
        except OSError as error:
            raise CommandError(str(error)) from error
        except VerificationError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        if isinstance(found, Refusal):
            said = refusals.explain(found.code, lang)
            raise CommandError(f"{said.what} {said.next} ({found.code}: {found.detail})")
        measured = () if found is None else found.findings
        if options["json"]:
            told = [
                dataclasses.asdict(item) | {"sentence": findings.sentence(item, lang)}
                for item in measured
            ]
            self.stdout.write(json.dumps({"findings": told}, ensure_ascii=False))
            return
        lines = [findings.sentence(item, lang) for item in measured]
        self.stdout.write("\n".join(lines or [words.not_found(lang)]))


def _data(file: Path, base: Path | None) -> bytes:
    if base is not None:
        return difference.lora_file(file, base)
    if file.stat().st_size > MAX_BYTES:
        raise OSError(f"{file.name} is larger than {MAX_BYTES} bytes: give its base with --base")
    return file.read_bytes()
