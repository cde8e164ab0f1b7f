"""`manage.py licensee ORG …`: what a licensee declares for the sake of licences with a limit."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.management import arguments
from registry.services import catalogue, drift


class Command(BaseCommand):
    """`--revenue-below 1000000 USD`, `--users-below 300000000`, `--registered LICENCE NUMBER`."""

    help = "Record a licensee's size band, or its registration with a model's maker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organisation", help="id or exact name")
        parser.add_argument("--revenue-below", nargs=2, metavar=("AMOUNT", "CURRENCY"))
        parser.add_argument("--users-below", type=int, metavar="COUNT")
        parser.add_argument("--registered", nargs=2, metavar=("LICENCE", "NUMBER"))
        parser.add_argument("--by", help="login of the person who declares it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what counts now, and what is held by it."""
        who, by = arguments.organisation(options["organisation"]), arguments.person(options["by"])
        try:
            if options["revenue_below"]:
                amount, currency = options["revenue_below"]
                catalogue.licensee_declare(
                    organisation=who,
                    measure="revenue",
                    below=int(amount.replace(",", "")),
                    currency=currency,
                    by=by,
                )
            if options["users_below"] is not None:
                catalogue.licensee_declare(
                    organisation=who, measure="monthly_users", below=options["users_below"], by=by
                )
            if options["registered"]:
                licence, number = options["registered"]
                catalogue.licence_register(organisation=who, licence_id=licence, number=number)
        except ValueError as error:
            raise CommandError(str(error)) from error
        for grant_id in drift.licensee_sweep(who):
            self.stdout.write(f"held: {grant_id}")
        self.stdout.write(f"{who.pk} recorded")
