"""`manage.py catalogue_seed`: record the shipped licence facts. Repeating it does no harm."""

from typing import Any

from django.core.management.base import BaseCommand

from registry.services import seed


class Command(BaseCommand):
    """Runs at every start: a new release may know more."""

    help = "Record the shipped base- and tool-model licence facts that are not on record yet."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print how many were recorded, revised and kept."""
        done = seed.catalogue_seed()
        self.stdout.write(
            f"recorded {len(done.recorded)}, revised {len(done.revised)}, kept {len(done.kept)}"
        )
