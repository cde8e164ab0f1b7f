"""`manage.py grant_release GRANT --by NAME`: set a grant free that a base model's licence held."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.management import arguments
from registry.models import Grant
from registry.services import drift


class Command(BaseCommand):
    """A person decides, and only when the newest facts allow it again."""

    help = "Lift a licence hold from a grant, once the model's newest revision covers it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("grant")
        parser.add_argument("--by", required=True, help="login of the person who decides")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what became of the grant."""
        grant = Grant.objects.filter(pk=options["grant"]).first()
        by = arguments.person(options["by"])
        if grant is None or by is None:
            raise CommandError(f"{options['grant']}: no such grant")
        refused = drift.hold_lift(grant=grant, by=by)
        if refused:
            said = "; ".join(f"{r.code} ({r.detail}): {r.next_step('en')}" for r in refused)
            raise CommandError(said)
        grant.refresh_from_db()
        self.stdout.write(f"{grant.pk} {grant.state}")
