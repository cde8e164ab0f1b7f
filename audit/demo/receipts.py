"""What the demonstration leaves on disk, and the offline check of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from audit.demo.people import Unexpected
from registry.services import keyring


def folder(request_id: str) -> Path:
    """This run's own folder."""
    path: Path = settings.HOME / "demo" / request_id
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def shown(path: Path) -> str:
    """A path as people see it: relative to the project where it lies inside."""
    base = Path(settings.BASE_DIR)
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def open_parcel(request_id: str, parcel: bytes, identity: str) -> tuple[Path, str]:
    """Run `kyodaku open` as the licensee does; returns the LoRA file and what it printed."""
    place = folder(request_id)
    (place / "parcel.zip").write_bytes(parcel)
    key = place / "delivery.key"
    key.touch(0o600)
    key.write_text(identity + "\n")
    _pin(place)
    printed = _kyodaku(
        "open", str(place / "parcel.zip"), "--identity", str(key), "--to", str(place), place=place
    )
    found = list(place.glob("dlv_*/lor_*.safetensors"))
    if len(found) != 1:
        raise Unexpected(f"the delivery does not open: {printed[-300:]}")
    return found[0], printed


def _pin(place: Path) -> None:
    """An auditor, or a licensee, got this file once, from somewhere else."""
    (place / "trust.json").write_bytes(keyring.trust_root().to_bytes())


def _kyodaku(command: str, *words: str, place: Path, away: Sequence[str] = ()) -> str:
    """What the command prints, with the pinned keys of this folder."""
    line = [*away, sys.executable, "-m", "audit.cli", command, *words]
    line += ["--trust", str(place / "trust.json")]
    done = subprocess.run(  # noqa: S603 - our own program
        line, capture_output=True, text=True, cwd=settings.BASE_DIR, timeout=120, check=False
    )
    return done.stdout + done.stderr


def try_out(request_id: str, adapter: Path, base: Path) -> dict[str, Any]:
    """Load the delivered file as any reader would, in a process of its own, and measure it.

    Leaves `samples.png`: the base's pictures above, the adapter's below.
    """
    samples = folder(request_id) / "samples.png"
    command = [sys.executable, "-m", "training.trainer.evaluate", "--base", str(base)]
    command += ["--adapter", str(adapter), "--picture", str(samples)]
    done = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, cwd=settings.BASE_DIR, timeout=300, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise Unexpected(f"the delivered LoRA does not load: {done.stderr[-300:]}")
    measured: dict[str, Any] = json.loads(lines[-1])
    return measured


def verify_offline(request_id: str, pack: bytes, adapter: Path) -> tuple[str, bool]:
    """Run `kyodaku verify` on the pack, with the network taken away where the system allows it.

    Returns what it printed, and whether the network really was away.
    """
    place = folder(request_id)
    (place / "evidence.zip").write_bytes(pack)
    _pin(place)
    away = _no_network()
    words = (str(place / "evidence.zip"), "--lora", str(adapter))
    return _kyodaku("verify", *words, place=place, away=away), bool(away)


def _no_network() -> list[str]:
    """`unshare` into an empty network namespace, if this system lets us."""
    tool = shutil.which("unshare")
    if tool is None:
        return []
    command = [tool, "--map-root-user", "--net"]
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)  # noqa: S603
    return command if tried.returncode == 0 else []
