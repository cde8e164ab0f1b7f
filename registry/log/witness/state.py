"""A witness's folder: its two keys, the logs it watches, and what it cosigned last.

What it cosigned last is the whole worth of a witness. A witness that lost it could be led into a
second history, so it never starts again: its keys are retired and a new one is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from registry.log import keyfiles
from registry.log.core import canonical, keys, witness
from registry.log.core.checkpoint import (
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Checkpoint,
    VerifierKey,
    cosign_ed25519,
    cosign_mldsa44,
)
from registry.log.core.errors import Error, VerificationError

FORMAT: Final = "kyodaku/witness/v1"
_KEYS: Final = ("witness.ed25519", "witness.mldsa44")


class WitnessError(Error):
    """The folder is not that of a working witness; the text says what to do."""


def create(folder: Path, name: str, log_vkeys: Sequence[str]) -> None:
    """Make a new witness called `name` for the logs of these verifier keys.

    Raises WitnessError if the folder holds one, VerificationError for a malformed key or name.
    """
    if not witness.pins_of(log_vkeys):
        raise WitnessError("a witness watches at least one log: give its verifier keys")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise WitnessError(f"{folder} is not empty: every witness has a folder of its own")
    for key in _KEYS:
        _write(folder / key, secrets.token_bytes(keys.SEED_BYTES))
    _write(folder / "name", f"{name}\n".encode())
    _write(folder / "logs.vkeys", "".join(f"{key}\n" for key in log_vkeys).encode())
    _write(folder / "cosigned.json", _dump({}))
    Witness(folder).close()


class Witness:
    """A witness at work. One process at a time: a lock on its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one = threading.Lock()
        self._lock = _locked(folder)
        try:
            self._open(folder)
        except BaseException:
            self.close()
            raise

    def _open(self, folder: Path) -> None:
        seeds = [keyfiles.read_secret(folder / key, keys.SEED_BYTES) for key in _KEYS]
        self._ed25519 = keys.Ed25519Signer.from_seed(seeds[0])
        self._mldsa44 = keys.Mldsa44Signer.from_seed(seeds[1])
        self.name = (folder / "name").read_text(encoding="utf-8").strip()
        self._pins = witness.pins_of((folder / "logs.vkeys").read_text(encoding="utf-8").split())
        self._cosigned = _load(folder / "cosigned.json")
        for key in self.vkeys():
            VerifierKey.parse(key)

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def vkeys(self) -> tuple[str, str]:
        """Return what verifiers pin: the Ed25519 and the ML-DSA-44 cosignature key."""
        return (
            str(VerifierKey(self.name, ED25519_COSIGNATURE, self._ed25519.public_raw)),
            str(VerifierKey(self.name, MLDSA44_COSIGNATURE, self._mldsa44.public_raw)),
        )

    def add_checkpoint(self, text: str, *, at: int) -> str | witness.Denial:
        """Answer a request: cosignature lines, or a denial. `at` in POSIX seconds.

        "The witness MUST persist the new checkpoint before responding", and from the comparison to
        the record nobody else may come between: hence one lock around both.
        """
        with self._one:
            decided = witness.decide(text, self._pins, self._cosigned.get)
            if isinstance(decided, witness.Denial):
                return decided
            if decided != self._cosigned.get(decided.origin):
                cosigned = {**self._cosigned, decided.origin: decided}
                _write(self._folder / "cosigned.json", _dump(cosigned))
                # A crash here: recorded, not signed. The log asks again from the recorded size.
                self._cosigned = cosigned
            return cosign_ed25519(decided, self.name, self._ed25519, at=at) + cosign_mldsa44(
                decided, self.name, self._mldsa44, at=at
            )


def _dump(cosigned: dict[str, Checkpoint]) -> bytes:
    logs = {
        origin: {"size": head.size, "root": canonical.b64(head.root)}
        for origin, head in cosigned.items()
    }
    return canonical.dumps({"format": FORMAT, "logs": logs})


def _load(path: Path) -> dict[str, Checkpoint]:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        return {
            origin: Checkpoint(origin, int(head["size"]), canonical.unb64(head["root"]))
            for origin, head in data["logs"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, VerificationError) as error:
        raise WitnessError(
            f"what this witness cosigned last is lost ({path}: {error}). It must never sign again:"
            " make a new witness with another name, and have the old keys unpinned"
        ) from error


def _locked(folder: Path) -> IO[bytes]:
    try:
        lock = (folder / "lock").open("ab")
    except OSError as error:
        raise WitnessError(f"{folder} is not a witness's folder: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise WitnessError(f"another process runs the witness in {folder}") from error
    return lock


def _write(path: Path, data: bytes) -> None:
    """Replace a file durably: its bytes and then its name are on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
