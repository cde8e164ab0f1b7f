"""The trainer: one process for one job, `python -m training.trainer.train JOB_DIR`.

Reads a job from files and its permission from standard input, verifies both itself, trains, and
leaves either an adapter or nothing. No Django, no database, no network. It trusts `trust.json` and
the monotonic clock; the agent that started it is trusted with the worker's keys and otherwise only
able to stop it.

Standard input, JSON lines: first {"worker_key", "hpke_key", "status_list"}, then {"status_list"}
renewals or {"stop": code}. Its end stops the run.
Standard output, JSON lines: {"event": "verified" | "progress" | "sample" | "refused" | "stopped" |
"interrupted" | "finished" | "failed", ...}.
Exit codes: 0 finished, 1 failed, 3 refused, 4 stopped and wiped, 75 interrupted (may be resumed).
"""

import argparse
import ctypes
import dataclasses
import hashlib
import io
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from PIL import Image

from registry.log.core.errors import VerificationError
from training.core import weights
from training.trainer import admission, dataset
from training.trainer.admission import Admission, Admit
from training.trainer.lease import Interrupted, Lease, Stopped, follow, lines
from training.trainer.wipe import shred, wipe, write_atomic

FINISHED, FAILED, REFUSED, STOPPED, INTERRUPTED = 0, 1, 3, 4, 75
REPORT: Final = "stopped.json"
ADAPTER: Final = "out/adapter.safetensors"
CHECKPOINT: Final = "checkpoint.bin"
_PR_SET_PDEATHSIG: Final = 1
# How long a trainer without an agent may take to stop by itself.
ORPHAN_S: Final = 5.0
_NONCE: Final = 12


class Events:
    """The line of events to the agent. An agent that is gone does not keep us from wiping."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.heard = True

    def emit(self, event: str, **members: Any) -> None:
        """Write one JSON line."""
        try:
            self._stream.write(json.dumps({"event": event, **members}) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.heard = False


def main(argv: list[str] | None = None) -> int:
    """Wire this process to its agent, then `run`."""
    parser = argparse.ArgumentParser(description="Train one admitted job.")
    parser.add_argument("job_dir", type=Path)
    folder = parser.parse_args(argv).job_dir.resolve()
    interrupted = threading.Event()
    events = Events(_private_stdout())
    _behave(folder, interrupted)
    # Unbuffered: a thread waits in a read until the end, and the lock of a buffered stream that it
    # would hold makes the interpreter abort instead of exiting with our code.
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0, closefd=False) as feed:
        return run(folder, feed, events, interrupted, orphaned=partial(_gone, folder))


def run(
    folder: Path,
    feed: IO[bytes],
    events: Events,
    interrupted: threading.Event,
    admit: Admit = admission.admit,
    orphaned: Callable[[], None] | None = None,
) -> int:
    """The whole life of a job; returns the exit code. `orphaned` is called when the feed has ended.

    (1) verify, and only then open the pictures; (2) keep the lease from now on; (3) train, asking
    the lease between any two steps; (4) write the adapter; whatever else happens, wipe.
    """
    # (1)
    try:
        admitted = admit(folder, _first(feed), datetime.now(UTC))
    except VerificationError as error:
        events.emit("refused", code=error.code, detail=error.detail)
        return REFUSED
    # (2)
    lease = _lease(admitted, feed, orphaned)
    events.emit(
        "verified",
        job_id=admitted.job_id,
        grant_digest=admitted.grant_digest,
        dataset_root=admitted.dataset_root,
        base_sha256=admitted.base_sha256,
        pictures=len(admitted.pictures),
    )
    # (3) (4)
    job = _Job(folder, admitted, lease, events, interrupted)
    ended = False
    try:
        code = job.attempt()
        ended = True
    finally:
        if not ended:  # a crash of any kind: keep nothing, then let it be seen
            kind = getattr(sys.exc_info()[0], "__name__", "unknown")
            job.leave_nothing("failed", "training_failed", detail=kind)
    return code


class _Job:
    """One admitted job on its way through the loop."""

    def __init__(
        self,
        folder: Path,
        admitted: Admission,
        lease: Lease,
        events: Events,
        interrupted: threading.Event,
    ) -> None:
        self.folder, self.admitted, self.lease = folder, admitted, lease
        self.events, self.interrupted = events, interrupted
        self.step, self.loss = 0, float("nan")
        self.samples: list[str] = []

    def attempt(self) -> int:
        """Train to one of the four expected ends."""
        (self.folder / "out").mkdir(exist_ok=True)
        try:
            tensors = self._trained()
            self.before_step()
            self._finish(tensors)
        except Stopped as stop:
            self.leave_nothing("stopped", stop.code)
            return STOPPED
        except Interrupted:
            # Our agent's death looks like an interruption too; its pipe closes first.
            self.lease.closed.wait(0.2)
            code = self.lease.code()
            if code is not None:
                self.leave_nothing("stopped", code)
                return STOPPED
            self.events.emit("interrupted", step=self.step)
            return INTERRUPTED
        except VerificationError as error:
            self.leave_nothing("refused", error.code, detail=error.detail)
            return REFUSED
        return FINISHED

    def before_step(self) -> None:
        """May the next step be taken? Raises `Stopped` or `Interrupted`."""
        if not self.events.heard:
            self.lease.stop("worker_stopped")
        code = self.lease.code()
        if code is not None:
            raise Stopped(code)
        if self.interrupted.is_set():
            raise Interrupted

    def _trained(self) -> dict[str, npt.NDArray[np.float32]]:
        recipe = self.admitted.recipe
        try:
            images = dataset.prepare(
                self.admitted.pictures,
                self.admitted.boxes,
                resolution=recipe.resolution,
                margin=recipe.face_margin,
                flip=recipe.flip,
            )
        except ValueError as error:
            raise VerificationError("image_unreadable", str(error)) from error
        # torch comes in only now: nothing heavy, and nothing that runs models, before admission.
        from training.trainer.loop import Hooks, run_training

        hooks = Hooks(self.before_step, self._progress, self._sample, self._save, self._load)
        return run_training(images, recipe, self.admitted.base_path, hooks)

    def _progress(self, step: int, steps: int, loss: float, eta_s: float) -> None:
        self.step, self.loss = step, loss
        shown = round(loss, 5) if np.isfinite(loss) else None
        self.events.emit("progress", step=step, steps=steps, loss=shown, eta_s=round(eta_s, 1))

    def _sample(self, stage: str, pictures: list[Image.Image]) -> None:
        buffer = io.BytesIO()
        dataset.grid(pictures, columns=4).save(buffer, "PNG")
        name = f"out/sample-{stage}.png"
        write_atomic(self.folder / name, buffer.getvalue())
        self.samples.append(name)
        self.events.emit("sample", stage=stage, step=self.step, file=name)

    def _save(self, data: bytes) -> None:
        """Seal a checkpoint under a key that comes from the data key: shred that, shred both.

        A crash before the rename leaves the previous checkpoint; after it, the new one.
        """
        binding, nonce = self.admitted.binding(), os.urandom(_NONCE)
        sealed = AESGCM(self._checkpoint_key()).encrypt(nonce, data, binding)
        write_atomic(self.folder / CHECKPOINT, nonce + sealed)

    def _load(self) -> bytes | None:
        """The checkpoint of this very job, or none. Another job's is refused: `wrong_job`."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return None
        sealed = path.read_bytes()
        try:
            cipher = AESGCM(self._checkpoint_key())
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self.admitted.binding())
        except (InvalidTag, ValueError) as error:
            raise VerificationError("wrong_job", "checkpoint of another job") from error

    def _checkpoint_key(self) -> bytes:
        info = b"kyodaku/checkpoint-key/v1\0" + self.admitted.binding()
        kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info)
        return kdf.derive(self.admitted.data_key)

    def _finish(self, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Write the adapter with no metadata but its format: no name, no caption, no path."""
        data = weights.write(tensors, {"format": "pt"})
        write_atomic(self.folder / ADAPTER, data)
        # A crash here leaves adapter and checkpoint; a resume writes the same adapter again.
        if (self.folder / CHECKPOINT).exists():
            shred(self.folder / CHECKPOINT)
        self.events.emit(
            "finished",
            adapter=ADAPTER,
            sha256=hashlib.sha256(data).hexdigest(),
            tensor_sha256=weights.tensor_sha256(data),
            bytes=len(data),
            tensors=len(tensors),
            steps=self.step,
            loss=round(self.loss, 5) if np.isfinite(self.loss) else None,
            samples=self.samples,
            cpu_s=round(time.process_time(), 1),
        )

    def leave_nothing(self, event: str, code: str, *, detail: str = "") -> None:
        """Wipe the folder, write the report that stays, tell the agent."""
        wiped = dataclasses.asdict(wipe(self.folder, keep=(REPORT,)))
        report: dict[str, Any] = {"event": event, "code": code, "detail": detail}
        report |= {"job_id": self.admitted.job_id, "step": self.step, "wiped": wiped}
        write_atomic(self.folder / REPORT, json.dumps(report, sort_keys=True).encode())
        self.events.emit(event, code=code, detail=detail, step=self.step, wiped=wiped)


def _first(feed: IO[bytes]) -> Mapping[str, Any]:
    """The hand-over line. Raises `VerificationError("malformed")`."""
    try:
        return next(lines(feed))
    except (StopIteration, ValueError, OSError) as error:
        raise VerificationError("malformed", "no first line") from error


def _lease(admitted: Admission, feed: IO[bytes], orphaned: Callable[[], None] | None) -> Lease:
    """The lease, renewed by a thread of its own from here on."""
    lease = Lease(
        admitted.trust,
        uri=admitted.status_uri,
        index=admitted.status_index,
        ends_at=admitted.ends_at,
    )
    lease.renew(admitted.status_token)

    def followed() -> None:
        follow(feed, lease)
        if orphaned is not None:
            orphaned()

    threading.Thread(target=followed, daemon=True).start()
    return lease


def _gone(folder: Path) -> None:
    """The agent is gone: nobody may be working here any more.

    The loop stops before its next step. Where it does not get that far, in a model that is being
    loaded or a library that hangs, nothing of it may outlive its agent all the same.
    """
    time.sleep(ORPHAN_S)
    wipe(folder)
    os._exit(STOPPED)


def _private_stdout() -> IO[str]:
    """Our own copy of standard output; what libraries print goes to standard error."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _behave(folder: Path, interrupted: threading.Event) -> None:
    """Die with the agent, dump no core, stay in the folder, on one thread, off the network."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: interrupted.set())
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    os.environ |= {"TMPDIR": str(scratch), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    os.environ.setdefault("OMP_NUM_THREADS", "1")


if __name__ == "__main__":
    sys.exit(main())
