"""The supervisor: starts the site's programs in order, watches them, stops them in reverse.

Not a stage. On one computer it takes the place of systemd or a container platform. It never
restarts anything: a program that ends is a fault to be seen, so everything stops with its log
shown. Each program writes to var/log/<name>.log and dies with us, even by kill -9.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.local import child
from registry.local.problems import Problem

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Program:
    """One long-running program.

    `ready` says whether it works already; `patience` is how long that may take, and
    `stop_seconds` how long it may take to stop before it is killed. `orphaned` is what the kernel
    sends it when the supervisor itself is killed.
    """

    name: str
    command: Sequence[str | Path]
    ready: Callable[[], bool]
    patience: float = 60.0
    stop_seconds: float = 20.0
    orphaned: signal.Signals = signal.SIGTERM
    env: Mapping[str, str] = field(default_factory=dict)  # beside the supervisor's


Group = list[tuple[Program, subprocess.Popen[bytes]]]  # started, and stopped, together


@dataclass
class Supervisor:
    """Runs programs with logs in `logs` and the environment `env`; raises Problem."""

    logs: Path
    env: Mapping[str, str]
    running: list[Group] = field(default_factory=list)

    def once(self, name: str, command: Sequence[str | Path]) -> None:
        """Run a program to its end; a failure shows the end of its log."""
        log = self._fresh_log(name)
        process = child.start(command, log=log, env=self.env, cwd=ROOT)
        try:
            code = process.wait()
        except BaseException:
            _stop(process, 5.0)
            raise
        if code:
            raise Problem(f"{name} failed (exit code {code}):\n{child.tail(log)}", f"read {log}")

    def start(self, *programs: Program) -> None:
        """Start programs that need not wait for each other, then wait until all are ready.

        Fails at once, with its log, if any program ends.
        """
        group: Group = []
        self.running.append(group)
        for program in programs:
            log = self._fresh_log(program.name)
            process = child.start(
                program.command,
                log=log,
                ends_with=program.orphaned,
                env={**self.env, **program.env},
                cwd=ROOT,
            )
            group.append((program, process))
        for program in programs:
            self._await(program)

    def _await(self, program: Program) -> None:
        until = time.monotonic() + program.patience
        while not program.ready():
            self.check()
            if time.monotonic() > until:
                log = self.log(program.name)
                late = f"{program.name} was not ready after {program.patience:.0f} s"
                raise Problem(f"{late}:\n{child.tail(log)}", f"read {log}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise Problem if a program has ended."""
        for program, process in (pair for group in self.running for pair in group):
            if process.poll() is not None:
                log = self.log(program.name)
                ended = f"{program.name} ended with exit code {process.returncode}"
                raise Problem(f"{ended}:\n{child.tail(log)}", f"read {log}")

    def stop(self) -> None:
        """Stop every program, in the reverse of the order they were started in."""
        while self.running:
            group = self.running.pop()
            for _, process in group:
                _ask_to_stop(process)
            for program, process in group:
                _stop(process, program.stop_seconds)

    def log(self, name: str) -> Path:
        """Where the program `name` writes."""
        return self.logs / f"{name}.log"

    def _fresh_log(self, name: str) -> Path:
        log = self.log(name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))  # one run back is kept
        return log


def _ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None and process.pid not in _asked:
        _asked.add(process.pid)  # a second SIGTERM would make Celery drop its work
        process.send_signal(signal.SIGTERM)


_asked: set[int] = set()


def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """SIGTERM to the program; SIGKILL to its whole session if it does not end in time."""
    _ask_to_stop(process)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str, host: str = "") -> bool:
    """Whether an HTTP GET of `url` gives 200; `host` is the name the site answers to."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, headers={"Host": host} if host else {})  # noqa: S310
    try:
        with opener.open(asked, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def logged(log: Path, text: str) -> bool:
    """Whether the program has written `text` to its log."""
    return log.exists() and text in log.read_text(encoding="utf-8", errors="replace")


def survived(seconds: float) -> Callable[[], bool]:
    """For a program that announces nothing: it is ready when it has lived so long."""
    begun: list[float] = []

    def ready() -> bool:
        if not begun:
            begun.append(time.monotonic())
        return time.monotonic() - begun[0] >= seconds

    return ready


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else a port that the system chooses."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Problem("No free port on 127.0.0.1.")


def manage(*arguments: str) -> list[str | Path]:
    """The command line of a `manage.py` command, in our own Python."""
    return [sys.executable, ROOT / "manage.py", *arguments]


def sequencer(url: str) -> Program:
    """The one process that turns the outbox into signed checkpoints; `url` is its database."""
    return Program("sequencer", manage("sequencer"), ready=survived(2.0), env={"DATABASE_URL": url})


def worker(name: str, queue: str, *, processes: int, log: Path, beat: bool = False) -> Program:
    """A Celery worker on one queue; ready when its log says so."""
    pool = ["--pool=prefork"] if child.has_shared_memory() else ["--pool=solo"]
    return Program(
        name,
        [
            *(sys.executable, "-m", "celery", "--app=registry.celery", "worker"),
            *(f"--queues={queue}", f"--concurrency={processes}", f"--hostname={name}@%h"),
            *("--loglevel=INFO", "--without-gossip", "--without-mingle", *pool),
            *(["--beat"] if beat else []),
        ],
        ready=lambda: logged(log, " ready."),
        patience=120.0,
        stop_seconds=60.0,
        # Orphaned, its database is gone too, and a polite stop waits for it for ever. The rows'
        # leases run out and the work is found again.
        orphaned=signal.SIGKILL,
    )


def web(port: int, *, processes: int = 1, host: str = "") -> Program:
    """granian serving the site on 127.0.0.1; ready when the database answers through it."""
    return Program(
        "web",
        [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", str(processes)),
            *("--blocking-threads", "4", "--workers-kill-timeout", "5"),
            "registry.wsgi:application",
        ],
        ready=lambda: answers(f"http://127.0.0.1:{port}/readyz", host),
        patience=120.0,
    )
