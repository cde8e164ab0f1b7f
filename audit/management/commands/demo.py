"""`manage.py demo`: the whole flow on real photographs, with eight refusals planted in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.demo import ledger, material, world
from audit.demo.people import Unexpected
from audit.demo.screen import Screen
from audit.demo.story import Story


class Command(BaseCommand):
    """Exit code 0 only when every stage and every refusal went as it must."""

    # The site has just been checked; the test-mode warning would stand above the story.
    requires_system_checks = ()
    help = "Run the demonstration job against the running site."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--photos", type=Path, help="your own pictures of one person")
        parser.add_argument("--references", type=Path, help="at least 3 pictures that show who")

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["photos"] is None) != (options["references"] is None):
            raise CommandError("--photos and --references belong together")
        screen, started = Screen(), time.monotonic()
        screen.title("Kyodaku 許諾", "the whole flow, on real photographs")
        story = Story(
            world=world.build(),
            photos=material.load(options["photos"], options["references"]),
            screen=screen,
        )
        try:
            story.tell()
        except Unexpected as error:
            raise CommandError(f"the demonstration went wrong: {error}") from error
        ledger.summarise(story, seconds=time.monotonic() - started)
