"""The trainer's test world: drawn people, sealed jobs, and a lease signed by a test status key."""

import importlib
import io
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from registry.core import status_list
from registry.core.trust import TrustRoot
from registry.log.core.keys import Ed25519Signer
from training.trainer import train
from training.trainer.admission import Admission
from training.trainer.base import portraits
from training.trainer.base.digest import base_digest
from training.trainer.config import Recipe

BASE = Path(train.__file__).parent / "base" / "kyodaku-tiny"
STATUS_URI = "https://registry.test/status/1"
STATUS_KEY = Ed25519Signer.from_seed(b"s" * 32)
INDEX = 77
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

TRUST = TrustRoot(
    issuer="registry.test",
    mode="test",
    token_keys={},
    status_keys={STATUS_KEY.kid: STATUS_KEY.public_raw},
    provenance_keys={},
    log_origin="registry.test/log",
    log_vkeys=(),
    rp_id="registry.test",
    origins=("https://registry.test",),
)

# Invented, like everybody here: alice is a drawing.
ALICE = portraits.Person(
    skin="dark",
    hair="red",
    style="bun",
    shirt="blue",
    glasses=True,
    beard=False,
    face_w=28.0,
    face_h=37.0,
    eye_gap=13.0,
    nose=9.0,
    mouth=10.0,
    brow=2.5,
)

QUICK = Recipe(
    steps=12, batch=2, warmup=2, prior_images=2, prior_batch=1, samples=1, sample_steps=2
)


def heavy(name: str):
    """Import what loads torch only when a test runs: collecting tests must stay quick."""
    return importlib.import_module(name)


def photographs(count: int = 6, size: int = 64, person: portraits.Person = ALICE) -> list[bytes]:
    """PNG bytes of `person` in as many scenes."""
    rng = np.random.default_rng(5)
    return [_png(portraits.draw(person, portraits.any_scene(rng), size)) for _ in range(count)]


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def status(at: datetime | None = None, *, value: int = status_list.VALID) -> str:
    """A status list signed at `at` (now)."""
    return status_list.sign(
        {INDEX: value}, uri=STATUS_URI, signer=STATUS_KEY, at=at or datetime.now(UTC), ttl_s=60
    )


def admission(recipe: Recipe = QUICK, **changes) -> Admission:
    """What `admit` returns for alice's job."""
    pictures = tuple(photographs())
    values: dict[str, Any] = {
        "job_id": "job_0123456789abcdef0123",
        "grant_digest": "ab" * 32,
        "dataset_root": "cd" * 32,
        "base_sha256": base_digest(BASE),
        "base_path": BASE,
        "recipe": recipe,
        "pictures": pictures,
        "boxes": (None,) * len(pictures),
        "data_key": b"k" * 32,
        "trust": TRUST,
        "status_uri": STATUS_URI,
        "status_index": INDEX,
        "status_token": status(datetime.now(UTC) - timedelta(seconds=2)),
        "ends_at": datetime.now(UTC) + timedelta(hours=1),
    }
    return Admission(**{**values, **changes})


class Pipe:
    """Standard input as the agent holds it: lines go in, `close` ends it."""

    def __init__(self):
        self._lines, self._ready, self._closed = [], threading.Condition(), False

    def send(self, message: dict[str, Any]) -> None:
        with self._ready:
            self._lines.append(json.dumps(message).encode() + b"\n")
            self._ready.notify()

    def close(self) -> None:
        with self._ready:
            self._closed = True
            self._ready.notify()

    def readline(self, _limit: int = -1) -> bytes:
        with self._ready:
            self._ready.wait_for(lambda: self._lines or self._closed)
            return self._lines.pop(0) if self._lines else b""


@dataclass
class Agent:
    """Runs one job in this process and acts on its events."""

    folder: Path
    pipe: Pipe = field(default_factory=Pipe)
    interrupted: threading.Event = field(default_factory=threading.Event)
    events: list[dict[str, Any]] = field(default_factory=list)
    on_event: Any = None

    def write(self, line: str) -> None:
        event = json.loads(line)
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(self, event)

    def flush(self) -> None:
        """Lines are handed over at once."""

    def run(self, admitted: Admission) -> int:
        """The exit code."""
        self.folder.mkdir(exist_ok=True)
        self.pipe.send({"hello": 1})
        try:
            return train.run(
                self.folder,
                self.pipe,  # type: ignore[arg-type]
                train.Events(self),  # type: ignore[arg-type]
                self.interrupted,
                admit=lambda *_: admitted,
            )
        finally:
            self.pipe.close()

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]
