"""One job from claim to wipe: the parent of the trainer, the child of nobody's trust.

Stages 4 and 6. The agent fetches, redeems, starts the trainer in a session of its own, renews the
lease, passes on what the registry says, and wipes the job's folder whatever happened. It decides
nothing: whether the run may begin and go on is decided by the trainer from signed statements.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from registry.core import vault
from registry.core.refusals import Refusal
from registry.core.tokens import Claims
from registry.core.trust import TrustRoot
from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from training.core import provenance, weights
from training.core.manifest import Manifest
from training.trainer import admission
from training.trainer.base.digest import base_digest
from training.trainer.wipe import wipe
from training.worker import keys, pinned
from training.worker.client import Claimed, Client, Released, Unreachable

ROOT: Final = Path(__file__).resolve().parents[2]
# What people call the trainer; the digest of its source is what a statement rests on.
TRAINER_VERSION: Final = "0.1.0"
TRAINER: Final = (sys.executable, "-m", "training.trainer.train")
FINISHED, FAILED, REFUSED, STOPPED, INTERRUPTED = 0, 1, 3, 4, 75
# Libraries that would keep caches, or a device's id, in a home folder find none.
NOWHERE: Final = "/nonexistent"
STOP_GRACE_S: Final = 20.0
# A stop is heard within a sixth of the lease. A trainer that has not stopped by itself so long
# after it was told to, because it loads a model or hangs, is killed; the agent wipes in its place.
RENEWALS_PER_LEASE: Final = 6
STOP_WITHIN_S: Final = 2.5
_JOB_ID: Final = re.compile(r"job_[0-9a-f]{20}")
_KEPT_ENVIRONMENT: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")

OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Config:
    """Where things are on this machine. `trust` was placed by the operator, out of band."""

    registry_url: str
    keys_dir: Path
    work_dir: Path
    trust: Path
    bases: tuple[Path, ...]
    trainer: tuple[str, ...] = TRAINER


@dataclass(frozen=True)
class Outcome:
    """How one job ended here: `finished`, `refused`, `stopped`, `failed` or `lost`.

    `left` counts files that could not be wiped; it is 0 or the machine needs looking at.
    """

    job_id: str
    state: str
    code: str = ""
    detail: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    left: int = 0


class _Ended(Exception):
    """Leaves the run with its outcome, to be reported to the registry."""

    def __init__(self, state: str, refusal: Refusal, report: Mapping[str, Any] | None = None):
        super().__init__(refusal.code)
        self.state, self.refusal, self.report = state, refusal, report or {}


def run_once(
    config: Config, client: Client | None = None, on_event: OnEvent | None = None
) -> Outcome | Refusal | None:
    """Take one job, if there is one, and bring it to an end. `None` when nothing waits.

    A second agent on the same folder returns `None` at once, so a doubled wake-up is harmless.
    Raises `Unreachable` when the registry cannot be reached to claim; the folder is wiped anyway.
    """
    own = keys.load(config.keys_dir)
    link = client or Client(config.registry_url, own.signer)
    config.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with _alone(config.work_dir) as lock:
            if lock is None:
                return None
            _wipe_leftovers(config.work_dir)
            claimed = link.claim()
            if claimed is None or isinstance(claimed, Refusal):
                return claimed
            return _Run(config, own, link, claimed, on_event or _ignore, lock).whole()
    finally:
        if client is None:
            link.close()


def _ignore(_event: Mapping[str, Any]) -> None:
    """Nobody watches."""


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[int | None]:
    """The lock of this folder, or None while another agent, or a trainer of one, holds it.

    A trainer inherits the lock: while one still lives whose agent was killed, nobody takes a job
    here, least of all the same one.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield lock.fileno()


def _wipe_leftovers(folder: Path) -> None:
    """What a killed agent left behind: nobody can resume it, its token is spent."""
    for path in folder.iterdir():
        if path.is_dir() and _JOB_ID.fullmatch(path.name):
            wipe(path)
            path.rmdir()


class _Run:
    """One claimed job."""

    def __init__(
        self,
        config: Config,
        own: keys.Keys,
        client: Client,
        claimed: Claimed,
        on_event: OnEvent,
        lock: int,
    ) -> None:
        if not _JOB_ID.fullmatch(claimed.job_id):  # it becomes the name of a folder
            raise VerificationError("malformed", "job id")
        self.config, self.own, self.client, self.job = config, own, client, claimed
        self.on_event, self.lock = on_event, lock
        self.folder = config.work_dir / claimed.job_id
        self.started = datetime.now(UTC)
        self.step = 0
        self.points: list[tuple[int, float]] = []
        self.renewed = time.monotonic()
        # Why the trainer has to stop, and until when it may take its time; a list that gets too old
        # is a reason that nobody has to send.
        self.stop_code = "status_stale"
        self.stop_by = math.inf
        self.max_age = 0

    def whole(self) -> Outcome:
        """Run, report, wipe. The wipe happens whatever else does."""
        # One by one: `parents=True` would make the folder itself with the umask's mode.
        self.folder.mkdir(mode=0o700)
        (self.folder / "sealed").mkdir(mode=0o700)
        try:
            ended = self._ended()
        finally:
            left = wipe(self.folder).left
            if not left:
                self.folder.rmdir()
        self._tell(ended)
        state = "lost" if ended.refusal.code == "lease_lost" else ended.state
        code, detail = ended.refusal.code, ended.refusal.detail
        return Outcome(self.job.job_id, state, code, detail, ended.report, left)

    def _ended(self) -> _Ended:
        try:
            self._train()
        except _Ended as ended:
            return ended
        except VerificationError as error:
            return _Ended("refused", Refusal(error.code, error.detail))
        except Unreachable as error:
            return _Ended("failed", Refusal("registry_unreachable", str(error)))
        return _Ended("finished", Refusal(""))

    def _train(self) -> None:
        trust = pinned.current(self.config.trust, self.client, at=datetime.now(UTC))
        self.max_age = trust.status_max_age_s
        base = self._base()
        manifest = self._fetch()
        released = _required(self.client.redeem(self.job.job_id, self.job.fence, self.job.token))
        self._write(base, manifest, released, trust)
        code, last = self._supervise(released)
        if code != FINISHED:
            raise _unfinished(code, last)
        self._hand_in(released)

    def _base(self) -> Path:
        """The base model with the digest that was approved, looked for before a run is spent."""
        for folder in _base_folders(self.config.bases):
            if base_digest(folder) == self.job.base_sha256:
                return folder
        raise _Ended("refused", Refusal("base_model_mismatch", "not on this machine"))

    def _fetch(self) -> Manifest:
        manifest: Manifest = _required(self.client.manifest(self.job.job_id))
        for item in manifest.items:
            self._renew_if_due()
            data = _required(self.client.object(self.job.job_id, item.object))
            (self.folder / "sealed" / f"{item.object}.bin").write_bytes(data)
        return manifest

    def _write(self, base: Path, manifest: Manifest, released: Released, trust: TrustRoot) -> None:
        job = {
            "job_id": self.job.job_id,
            "recipe": dict(self.job.recipe),
            "base_path": str(base),
            "base_sha256": self.job.base_sha256,
            "audience": self.job.audience,
            "output": "out",
        }
        files = {
            "job.json": json.dumps(job).encode(),
            "token.jws": self.job.token.encode(),
            "trust.json": trust.to_bytes(),
            "key.json": admission.write_key_release(released.sealed_key),
            "sealed/manifest.json": admission.write_manifest(manifest),
        }
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    # --- while the trainer runs ------------------------------------------------------------------

    def _supervise(self, released: Released) -> tuple[int, Mapping[str, Any]]:
        """Feed the trainer and listen to it until it ends: its exit code and its last event."""
        self._fresh()
        process = _spawn(self.config.trainer, self.folder, self.lock)
        heard: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        threading.Thread(target=_listen, args=(process.stdout, heard), daemon=True).start()
        last: Mapping[str, Any] = {}
        try:
            self._send(process, _first_line(self.own, released.status_list))
            while (event := self._next(process, heard)) is not None:
                last = self._heard(event)
            return process.wait(STOP_GRACE_S), last
        except subprocess.TimeoutExpired:
            return FAILED, last
        finally:
            _end(process)

    def _next(
        self, process: subprocess.Popen[bytes], heard: queue.Queue[Mapping[str, Any] | None]
    ) -> Mapping[str, Any] | None:
        """The trainer's next event; renews the lease while there is none."""
        while True:
            self._relay(process)
            if time.monotonic() > self.stop_by:
                raise self._killed(process)
            try:
                return heard.get(timeout=self._pause())
            except queue.Empty:
                continue

    def _pause(self) -> float:
        due = self.renewed + self.job.lease_seconds / RENEWALS_PER_LEASE
        return min(max(0.01, min(due, self.stop_by) - time.monotonic()), 1.0)

    def _fresh(self) -> None:
        """A list has just come: the trainer may go on as long as one is good."""
        if self.stop_code == "status_stale":
            self.stop_by = time.monotonic() + self.max_age + STOP_WITHIN_S

    def _stop(self, process: subprocess.Popen[bytes], code: str) -> None:
        """Tell the trainer to stop; from now on its time runs."""
        self._send(process, {"stop": code})
        if self.stop_code == "status_stale":
            self.stop_code, self.stop_by = code, time.monotonic() + STOP_WITHIN_S

    def _killed(self, process: subprocess.Popen[bytes]) -> _Ended:
        """It did not stop by itself: nothing of it may go on, and its work is wiped here."""
        _kill(process)
        wiped = dataclasses.asdict(wipe(self.folder))
        report = {"step": self.step, "wiped": wiped}
        return _Ended("stopped", Refusal(self.stop_code, "killed by its agent"), report)

    def _relay(self, process: subprocess.Popen[bytes]) -> None:
        """A fresh status list, or the order to stop. Silence needs no word: the lease runs out."""
        try:
            answer = self._renew_if_due()
        except Unreachable:
            return  # the trainer stops by itself when its newest list is too old
        if isinstance(answer, Refusal):
            self._stop(process, answer.code)
        elif answer is not None:
            self._send(process, {"status_list": answer[0]})
            self._fresh()
            if answer[1] is not None:
                self._stop(process, answer[1])

    def _renew_if_due(self) -> tuple[str, str | None] | Refusal | None:
        if time.monotonic() < self.renewed + self.job.lease_seconds / RENEWALS_PER_LEASE:
            return None
        self.renewed = time.monotonic()
        points, self.points = self.points, []
        answer = self.client.lease(self.job.job_id, self.job.fence, self.step, points)
        return answer if isinstance(answer, Refusal) else (answer.status_list, answer.stop_code)

    def _heard(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        if event.get("event") == "progress":
            step, loss = event.get("step"), event.get("loss")
            if type(step) is int:
                self.step = step
                if isinstance(loss, int | float) and math.isfinite(loss):
                    self.points.append((step, float(loss)))
        self.on_event(event)
        return event

    def _send(self, process: subprocess.Popen[bytes], message: Mapping[str, Any]) -> None:
        assert process.stdin is not None  # noqa: S101 - made with PIPE just above
        with contextlib.suppress(OSError):  # a trainer that is gone is seen by its exit code
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()

    # --- afterwards ------------------------------------------------------------------------------

    def _hand_in(self, released: Released) -> None:
        """Sign what was done, seal the master under the data set's key, give it to the registry."""
        self._last_renewal()
        claims = Claims.from_payload(_payload(self.job.token))
        grant_digest = claims.grant.digest().hex()
        key = vault.receive(
            released.sealed_key,
            self.own.hpke_private,
            jti=claims.jti,
            grant_digest=grant_digest,
        )
        master = (self.folder / "out" / "adapter.safetensors").read_bytes()
        facts = provenance.RunFacts(
            run_id=self.job.job_id,
            master_tensor_sha256=weights.tensor_sha256(master),
            grant_digest=grant_digest,
            recipe=self.job.recipe,
            seed=int(self.job.recipe["seed"]),
            base_sha256=self.job.base_sha256,
            dataset_root=claims.grant.dataset_root,
            trainer_version=TRAINER_VERSION,
            trainer_sha256=trainer_digest(),
            worker=released.worker_id,
            started=self.started,
            finished=datetime.now(UTC),
        )
        payload = canonical.dumps(provenance.run_statement(facts))
        statement = envelope.sign(provenance.PAYLOAD_TYPE, payload, [self.own.signer])
        sealed = vault.seal(master, key, context=f"master/{self.job.job_id}").data
        refusal = self.client.result(
            self.job.job_id,
            self.job.fence,
            sealed,
            statement,
            samples=self._samples(key, "end", "samples"),
            base_samples=self._samples(key, "start", "base-samples"),
        )
        if refusal is not None:
            raise _Ended("stopped", refusal)

    def _samples(self, key: bytes, stage: str, context: str) -> bytes:
        """A grid of samples, sealed: people decide by the last one, measures compare it with the
        first, which the untrained adapter leaves to the base model. A withdrawal shreds both."""
        grid = self.folder / "out" / f"sample-{stage}.png"
        if not grid.is_file():
            return b""
        return vault.seal(grid.read_bytes(), key, context=f"{context}/{self.job.job_id}").data

    def _last_renewal(self) -> None:
        """The rest of the loss curve goes out, and a stop that came with the last step comes in."""
        answer = self.client.lease(self.job.job_id, self.job.fence, self.step, self.points)
        if isinstance(answer, Refusal):
            raise _Ended("stopped", answer)
        if answer.stop_code is not None:
            raise _Ended("stopped", Refusal(answer.stop_code, "after the last step"))

    def _tell(self, ended: _Ended) -> None:
        """Report an end other than a finished run; a registry out of reach finds out by itself."""
        if ended.state == "finished":
            return
        body: dict[str, Any] = {"fence": self.job.fence}
        if ended.state == "stopped":
            body["report"] = dict(ended.report)
        else:
            body |= {"code": ended.refusal.code, "detail": ended.refusal.detail[:300]}
        with contextlib.suppress(Unreachable):
            self.client.report(self.job.job_id, ended.state, body)


def _required(answer: Any) -> Any:
    if isinstance(answer, Refusal):
        raise _Ended("refused", answer)
    return answer


def _unfinished(code: int, last: Mapping[str, Any]) -> _Ended:
    """What the trainer's exit code and last event mean."""
    told = str(last.get("code", ""))
    detail = str(last.get("detail", ""))
    if code == REFUSED:
        return _Ended("refused", Refusal(told or "training_failed", detail))
    # It says so after it has wiped; how the process then ended changes nothing about that.
    if code == STOPPED or last.get("event") == "stopped":
        report = {"step": last.get("step"), "wiped": last.get("wiped")}
        return _Ended("stopped", Refusal(told or "worker_stopped", detail), report)
    if code == INTERRUPTED or code < 0:
        return _Ended("failed", Refusal("worker_stopped", f"exit {code}"))
    return _Ended("failed", Refusal(told or "training_failed", detail or f"exit {code}"))


def _first_line(own: keys.Keys, status_list: str) -> dict[str, str]:
    return {
        "worker_key": own.seed.hex(),
        "hpke_key": own.hpke_private.hex(),
        "status_list": status_list,
    }


def _spawn(command: Sequence[str], folder: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start the trainer in a session of its own, with the folder's lock and nothing else of ours
    but paths."""
    environment = {k: os.environ[k] for k in _KEPT_ENVIRONMENT if k in os.environ}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": NOWHERE}
    environment["ORT_DISABLE_TELEMETRY"] = "1"  # it would post a device id from the GPU machine
    return subprocess.Popen(  # noqa: S603 - our own program; the folder's name was checked
        [*command, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=folder,
        env=environment,
        pass_fds=(lock,),
    )


def _listen(stream: IO[bytes] | None, heard: queue.Queue[Mapping[str, Any] | None]) -> None:
    """Put the trainer's events on the queue, and `None` at their end."""
    try:
        for line in stream or ():
            with contextlib.suppress(ValueError):  # a library's stray print is not an event
                event = json.loads(line)
                if isinstance(event, dict):
                    heard.put(event)
    finally:
        heard.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes; a trainer that does not end by itself is killed with its children."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        _kill(process)
    if process.stdout is not None:
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the trainer and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _payload(token: str) -> dict[str, Any]:
    """The claims of a token that the trainer has just verified."""
    payload: dict[str, Any] = canonical.loads(canonical.unb64u(token.split(".")[1]))
    return payload


def _base_folders(bases: Sequence[Path]) -> list[Path]:
    """Every diffusers folder under the configured places, one level deep."""
    places = [path for base in bases if base.is_dir() for path in (base, *sorted(base.iterdir()))]
    return [path for path in places if (path / "model_index.json").is_file()]


def trainer_digest() -> str:
    """SHA-256 (hex) over the trainer's own source files: what the run statement names."""
    folder, total = ROOT / "training" / "trainer", hashlib.sha256(b"kyodaku/trainer/v1\0")
    for path in sorted(folder.glob("*.py")):
        total.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n".encode())
    return total.hexdigest()
