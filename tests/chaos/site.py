"""The whole site as real processes, any of which may be killed and is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from registry.local import broker, child, processes
from registry.local.postgres import Server
from registry.local.processes import ROOT, Program
from tests.chaos import brokers, proxy, rig


class Site:
    """Web, sequencer, two Celery workers, a broker of some kind, and a wire that can be cut."""

    def __init__(self, server: Server, home: Path, kind: str) -> None:
        from django.conf import settings  # noqa: PLC0415

        self.server, self.home, self.kind = server, home, kind
        self.web_port = processes.free_port(0)
        self.wire = proxy.Wire(self.web_port)
        self.url = f"http://localhost:{self.wire.port}"
        self.broker: brokers.Broker | None = None
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.env: Mapping[str, str] = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "registry.settings",
            "DATABASE_URL": server.url,
            "KYODAKU_MODE": "test",
            "KYODAKU_HOME": str(home),
            "KYODAKU_KEYS_DIR": str(settings.KEYS_DIR),
            "KYODAKU_STORAGE_DIR": str(settings.STORAGE_DIR),
            "KYODAKU_PUBLIC_URL": self.url,
            "KYODAKU_LEASE_SECONDS": "3",
            "KYODAKU_DOTENV": "none",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(home / "tmp"),
        }
        (home / "tmp").mkdir(parents=True, exist_ok=True)

    @contextmanager
    def up(self) -> Iterator[Site]:
        """Everything started; everything ended afterwards, by process group."""
        try:
            if self.kind == "pgmq":
                broker.install(self.server.url)
                self.env = {**self.env, "CELERY_BROKER_URL": "pgmq://localhost"}
            else:
                self.broker = brokers.Broker(self.kind, self.home / "broker").__enter__()
                self.env = {**self.env, "CELERY_BROKER_URL": self.broker.url}
            for name in self.programs():
                self.start(name)
            for name in self.programs():
                self.wait(name)
            yield self
        finally:
            for process in self.running.values():  # granian's children outlive their parent
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self.wire.__exit__()
            if self.broker is not None:
                self.broker.__exit__()

    def programs(self) -> dict[str, Program]:
        """What makes a site, as the supervisor starts it; the GPU's worker chooses its trainer."""
        logs = self.home / "log"
        gpu = processes.worker("gpu", "gpu", processes=1, log=logs / "gpu.log")
        command = ["--app=tests.chaos.gpu" if "--app" in str(c) else c for c in gpu.command]
        return {
            "sequencer": processes.sequencer(self.server.url),
            "web": processes.web(self.web_port, host=f"localhost:{self.wire.port}"),
            "worker": processes.worker(
                "worker", "default", processes=1, log=logs / "worker.log", beat=True
            ),
            "gpu": Program(**{**vars(gpu), "command": command}),
        }

    def start(self, name: str) -> None:
        """Start one program, its log begun anew."""
        program, log = self.programs()[name], self.home / "log" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            with (log.parent / f"{name}.all").open("ab") as kept:
                kept.write(log.read_bytes())
            log.unlink()
        env = {**self.env, **program.env}
        self.running[name] = child.start(program.command, log=log, env=env, cwd=ROOT)

    def wait(self, name: str) -> None:
        """Until a program is ready. Raises `TimeoutError`."""
        program, until = self.programs()[name], time.monotonic() + 90
        while not program.ready():
            if time.monotonic() > until:
                log = self.home / "log" / f"{name}.log"
                raise TimeoutError(f"{name}: {child.tail(log)}")
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """SIGKILL to the program itself; what it started has to notice."""
        process = self.running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def again(self, name: str) -> None:
        """Kill and start."""
        if name in self.running:
            self.kill(name)
        self.start(name)

    def revive(self) -> list[str]:
        """Start what has ended by itself; its names. A supervisor outside would do the same."""
        dead = [name for name, process in self.running.items() if process.poll() is not None]
        for name in dead:
            self.running.pop(name)
            self.start(name)
        return dead

    def kill_postgres(self) -> None:
        """SIGKILL to the postmaster, and a new one on the same files."""
        if self.server.process is None:
            raise RuntimeError("the server does not run")
        os.kill(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait()
        self.server.stop()
        self.server.start()
        rig.wait_for_database()

    def children(self, name: str) -> list[int]:
        """The processes that a program of ours has started, and theirs."""
        process = self.running.get(name)
        return [] if process is None else descendants(process.pid)

    def trainers(self) -> dict[int, str]:
        """Every trainer that runs on this machine for this site: pid and job id."""
        work, found = str(self.home / "worker" / "jobs"), {}
        for pid in _pids():
            line = _command(pid)
            if line and line[-1].startswith(work) and Path(line[0]).name.startswith("python"):
                found[pid] = Path(line[-1]).name
        # Between fork and exec a helper of a trainer still bears the trainer's command line.
        return {pid: job for pid, job in found.items() if _parent(pid) not in found}

    def send(self, body: Mapping[str, Any]) -> None:
        """Put any message on the GPU's queue, from outside."""
        code = (
            "import json, sys; from registry.celery import app; m = json.loads(sys.argv[1]);"
            "app.send_task(m.pop('name'), m.pop('args', []), **m)"
        )
        import json  # noqa: PLC0415

        command = [sys.executable, "-c", code, json.dumps({"queue": "gpu", **body})]
        subprocess.run(
            command, env=dict(self.env), cwd=ROOT, check=False, capture_output=True, timeout=60
        )

    def purge(self) -> None:
        """Take every waiting message away."""
        code = "from registry.celery import app; app.control.purge()"
        subprocess.run(
            [sys.executable, "-c", code],
            env=dict(self.env),
            cwd=ROOT,
            check=False,
            capture_output=True,
            timeout=60,
        )


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return []
    return [] if state == "Z" else raw.decode(errors="replace").rstrip("\0").split("\0")


def descendants(pid: int) -> list[int]:
    """Every living process below one."""
    parents: dict[int, list[int]] = {}
    for one in _pids():
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(one)
    found, wanted = [], [pid]
    while wanted:
        below = parents.get(wanted.pop(), [])
        found += below
        wanted += below
    return found
