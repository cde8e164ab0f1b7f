"""`manage.py log_roles`: bind the application and the sequencer to what they need of the log."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.log import roles
from registry.log.core.errors import Error


class Command(BaseCommand):
    """Run it as the role that migrates, after every `migrate`; running it again changes nothing."""

    help = "Set the database privileges of the application's and the sequencer's roles."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the two roles, which exist already."""
        parser.add_argument("--application", required=True, help="role of web and workers")
        parser.add_argument("--sequencer", required=True, help="role of `manage.py sequencer`")

    def handle(self, *args: Any, **options: Any) -> None:
        """Apply and say so."""
        try:
            roles.apply(options["application"], options["sequencer"])
        except Error as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{len(roles.RIGHTS)} tables belong to {roles.OWNER}")
