"""`manage.py enrol_worker`: record a worker's public keys and, by `--approve`, let it work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.core.refusals import Refusal
from registry.services import keyring
from training.services import workers
from training.worker import keys


class Command(BaseCommand):
    """Without `--public` it is the worker on this machine: keys and trust.json are made for it."""

    help = "Enrol a worker, and approve it with --approve."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="worker")
        parser.add_argument("--pool", default="default")
        parser.add_argument("--public", help="Ed25519 public key in hex, from another machine")
        parser.add_argument("--hpke-public", help="X25519 public key in hex")
        parser.add_argument("--approve", action="store_true", help="let it claim jobs")

    def handle(self, *args: Any, **options: Any) -> None:
        public, hpke = _keys(options["public"], options["hpke_public"])
        worker = workers.worker_enrol(
            name=options["name"], public_raw=public, hpke_public=hpke, pool=options["pool"]
        )
        if isinstance(worker, Refusal):
            raise CommandError(f"{worker.code}: {worker.detail}")
        if options["approve"]:
            worker = workers.worker_approve(worker=worker)
        state = "approved" if worker.approved_at else "not approved"
        self.stdout.write(f"{worker.pk} {worker.jkt} {state}")


def _keys(public: str | None, hpke_public: str | None) -> tuple[bytes, bytes]:
    if public and hpke_public:
        try:
            return bytes.fromhex(public), bytes.fromhex(hpke_public)
        except ValueError as error:
            raise CommandError("keys are given in hex") from error
    if public or hpke_public:
        raise CommandError("--public and --hpke-public belong together")
    home = Path(settings.WORKER_DIR)
    keys.create(home / "keys")
    (home / "trust.json").write_bytes(keyring.trust_root().to_bytes())
    own = keys.load(home / "keys")
    return own.signer.public_raw, own.hpke_public
