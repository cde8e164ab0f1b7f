"""`manage.py fsck`: is the log what was signed, and are the tables what the log tells?"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

import audit.replay
import registry.replay
import training.replay
from registry.log import folder, fsck, replay, sequencer
from registry.log.core.errors import Error

SIGNED_WITHIN_S: Final = 5.0


class Command(BaseCommand):
    """Exits non-zero and names the first row that differs."""

    help = (
        "Recompute the log from its entries and compare every stored row; then replay it against"
        " the live tables."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what an auditor brings along: pinned keys, a checkpoint, a mirror of the log."""
        parser.add_argument("--vkeys", type=Path, help="file of verifier keys, one a line")
        parser.add_argument(
            "--against",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="a checkpoint that somebody else kept (may be given again)",
        )
        parser.add_argument("--export", type=Path, metavar="DIR", help="an exported folder")
        parser.add_argument(
            "--tsa-roots", type=Path, metavar="PEM", help="what time stamps must lead to"
        )
        parser.add_argument("--log-only", action="store_true", help="leave the live tables out")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check and say how much was compared."""
        try:
            lines = _check(**options)
            fsck.require_signed(SIGNED_WITHIN_S)
            self.stdout.write("\n".join(lines))
        except (Error, OSError, ValueError) as error:
            raise CommandError(str(error)) from error


def _check(
    *,
    vkeys: Path | None,
    against: list[Path],
    export: Path | None,
    tsa_roots: Path | None,
    log_only: bool,
    **_: Any,
) -> list[str]:
    """Everything in one snapshot; the verdict comes last, when nothing differed."""
    pins = sequencer.load_signers().vkeys() if vkeys is None else vkeys.read_text().split()
    held = {path.name: path.read_text(encoding="utf-8") for path in against}
    lines = []
    with replay.snapshot():
        size = fsck.check(pins, against=held, tsa_roots=_certificates(tsa_roots))
        if export is not None:
            lines.append(f"{folder.check(export, pins)} entries in {export} are the same")
        if not log_only:
            count = replay.check(
                [*registry.replay.rules(), *training.replay.rules(), *audit.replay.rules()]
            )
            lines.append(f"{count} rows are what the log tells")
    return [*lines, f"VERIFIED {size} entries"]


def _certificates(path: Path | None) -> list[x509.Certificate]:
    """By default those of the settings; none means that no stamp can be verified."""
    path = path or settings.LOG_TSA_ROOTS
    return [] if path is None else x509.load_pem_x509_certificates(path.read_bytes())
