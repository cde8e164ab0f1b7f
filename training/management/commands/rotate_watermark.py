"""`manage.py rotate_watermark`: begin a new key epoch of the watermark now."""

from typing import Any

from django.core.management.base import BaseCommand

from training.services import epochs


class Command(BaseCommand):
    """For a key that may have been seen by others. Older deliveries stay readable."""

    help = "Mark deliveries with a new key from now on; the old keys are kept for reading."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the number of the epoch that was begun."""
        self.stdout.write(f"watermark epoch {epochs.rotate(after=epochs.newest())}")
