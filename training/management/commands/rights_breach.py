"""`manage.py rights_breach GRANT --code uncleared_work --by OPERATOR`: a declaration was false."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.core.refusals import CODES
from registry.models import Grant, Person
from training.services import rights


class Command(BaseCommand):
    """Revokes the grant for cause and tells the log which declaration it was."""

    help = "End a grant because a declaration about its pictures was false."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The grant, what was false, and who operates."""
        parser.add_argument("grant")
        parser.add_argument("--code", required=True, choices=sorted(CODES), metavar="CODE")
        parser.add_argument("--by", required=True, help="login name of the operator")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Revoke, or say why not."""
        grant = Grant.objects.filter(pk=given["grant"]).first()
        by = Person.objects.filter(user__username=given["by"], user__is_staff=True).first()
        if grant is None or by is None:
            raise CommandError("no such grant, or nobody who operates the registry")
        refusal = rights.declaration_breach(grant=grant, by=by, code=given["code"])
        if refusal is not None:
            raise CommandError(f"{refusal.code}: {refusal.sentence('en')}")
        self.stdout.write(f"revoked {grant.pk}")
