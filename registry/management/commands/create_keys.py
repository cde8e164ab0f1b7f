"""`manage.py create_keys`: make the registry's key files that are missing. Never overwrites one."""

from typing import Any

from django.core.management.base import BaseCommand

from registry.services import keyring


class Command(BaseCommand):
    """Runs before the first start; running it again changes nothing."""

    help = "Make the registry's secret key files that do not exist yet (0600)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the names made, one a line."""
        made = keyring.create()
        for name in made:
            self.stdout.write(f"made {name}")
        if not made:
            self.stdout.write("every key exists already")
