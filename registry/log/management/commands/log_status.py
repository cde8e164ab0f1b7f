"""`manage.py log_status`: how far the log is, and who vouches for it."""

from typing import Any

from django.core.management.base import BaseCommand

from registry.log import anchors, models, rows, selectors, witnesses


class Command(BaseCommand):
    """One line a fact, for people."""

    help = "Show what waits, what is signed, and how witnesses and time stamps fare."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        newest, policy = selectors.latest_checkpoint(), witnesses.policy()
        self.stdout.write(f"waiting in the outbox: {models.Outbox.objects.count()}")
        self.stdout.write(f"entries: {rows.tree_size()}")
        self.stdout.write(f"under a signed checkpoint: {0 if newest is None else newest.size}")
        self.stdout.write(f"witnesses: {len(policy.witnesses)}, needed: {policy.quorum}")
        for state in anchors.states():
            how = f"FAILED {state.failed_at}: {state.failure}" if state.failure else "well"
            self.stdout.write(f"{state.kind} {state.name}: vouched for {state.size}; {how}")
