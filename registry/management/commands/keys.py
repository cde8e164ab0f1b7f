"""`manage.py keys`: the registry's key set. The roots' folder is brought for this only."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from registry.core.keyset import PURPOSES, KeySet
from registry.core.refusals import Refusal
from registry.services import keyset


class Command(BaseCommand):
    """`show`; `init`, `next`, `rotate` and `revoke` with `--roots FOLDER`."""

    help = "Show, begin, rotate or revoke the registry's signing keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """One action a call."""
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="the key set in force")
        begin = actions.add_parser("init", help="make root keys and the first key set")
        begin.add_argument("--roots", type=Path, required=True)
        begin.add_argument("--count", type=int, default=3)
        begin.add_argument("--threshold", type=int, default=2)
        for name, words in (
            ("next", "make and publish the key that will sign next"),
            ("rotate", "put the published next key to use"),
        ):
            action = actions.add_parser(name, help=words)
            action.add_argument("purpose", choices=PURPOSES)
            action.add_argument("--roots", type=Path, required=True)
        revoke = actions.add_parser("revoke", help="a key was stolen")
        revoke.add_argument("kid")
        revoke.add_argument("--since", help="ISO time from which nothing counts; now by default")
        revoke.add_argument("--roots", type=Path, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and show what holds now."""
        action = options["action"]
        done = keyset.published() if action == "show" else _do(action, options)
        if isinstance(done, Refusal):
            raise CommandError(f"{done.code}: {done.detail}")
        if done is None:
            self.stdout.write("no key set: keys are pinned by hand")
            return
        self._show(done)

    def _show(self, found: KeySet) -> None:
        ends = datetime.fromtimestamp(found.expires_at, timezone.get_current_timezone())
        self.stdout.write(f"version {found.version}, until {ends.date().isoformat()}")
        for record in found.keys:
            until = f" until {record.valid_until}" if record.valid_until else ""
            self.stdout.write(f"{record.purpose:<11} {record.kid} {record.status}{until}")


def _do(action: str, options: dict[str, Any]) -> KeySet | Refusal:
    folder: Path = options["roots"]
    if action == "init":
        made = keyset.roots_make(folder, count=options["count"])
        return keyset.keyset_begin(roots=made, threshold=options["threshold"])
    roots = keyset.roots_read(folder)
    if action == "revoke":
        since = datetime.fromisoformat(options["since"]) if options["since"] else timezone.now()
        return keyset.key_revoke(kid=options["kid"], since=since, roots=roots)
    act = keyset.key_publish_next if action == "next" else keyset.key_rotate
    return act(purpose=options["purpose"], roots=roots)
