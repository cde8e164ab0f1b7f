"""Real brokers for tests: RabbitMQ and Redis (or Valkey) as processes of ours, on loopback.

Each has a folder and ports of its own, keeps nothing, and is ended by its process group. Which
programs are there is asked of the machine: `missing` says what to install.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from kombu import Connection
from kombu.exceptions import OperationalError

from registry.local import processes

RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
REDIS: Final = ("valkey-server", "redis-server")
KINDS: Final = ("rabbitmq", "redis")
PATIENCE_S: Final = 60.0


def missing(kind: str) -> str | None:
    """What to install before this broker can be started; None when it is there."""
    if kind == "rabbitmq":
        there = RABBITMQ.is_file() and shutil.which("epmd") is not None
        return None if there else "apt-get install rabbitmq-server"
    return None if _redis() else "apt-get install redis-server (or valkey-server)"


def _redis() -> str | None:
    return next((found for name in REDIS if (found := shutil.which(name))), None)


class Broker:
    """One broker in `home`: a context manager; `kill` ends it without a goodbye, `start` again."""

    def __init__(self, kind: str, home: Path) -> None:
        self.kind, self.home = kind, home
        home.mkdir(parents=True, exist_ok=True)
        self.port = processes.free_port(0)
        self.url = f"{'amqp://guest:guest' if kind == 'rabbitmq' else 'redis:/'}"
        self.url += f"{'@' if kind == 'rabbitmq' else '/'}127.0.0.1:{self.port}/"
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._env = dict(os.environ)

    def __enter__(self) -> Broker:
        try:
            if self.kind == "rabbitmq":
                self._own_epmd()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._stack.close()

    def start(self) -> None:
        """Start, and return when it answers. Raises `TimeoutError`."""
        command = [str(RABBITMQ)]
        if self.kind == "redis":
            save_nothing = ["--save", "", "--appendonly", "no", "--dir", str(self.home)]
            where = ["--bind", "127.0.0.1", "--port", str(self.port)]
            command = [str(_redis()), *where, *save_nothing]
        self._process = self._spawn(command)
        until = time.monotonic() + PATIENCE_S
        while not self.answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise TimeoutError(f"{self.kind}: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._process is not None:
            _kill(self._process)
            self._process = None

    def answers(self) -> bool:
        """Whether a client gets through."""
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=1)
        except (OSError, OperationalError):
            return False
        return True

    def _own_epmd(self) -> None:
        """Erlang's name server, on a port of its own, so that none is left behind."""
        names = str(processes.free_port(0))
        self._env |= {
            "ERL_EPMD_PORT": names,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": str(self.home),  # where Erlang keeps its cookie
            "RABBITMQ_NODENAME": f"kyodaku{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(processes.free_port(0)),
            "RABBITMQ_MNESIA_BASE": str(self.home / "data"),
            "RABBITMQ_LOG_BASE": str(self.home / "logs"),
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        (self.home / "plugins").write_text("[].\n")
        epmd = self._spawn(["epmd", "-port", names, "-address", "127.0.0.1"])
        self._stack.callback(_kill, epmd)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=self._env, start_new_session=True
            )


def _kill(process: subprocess.Popen[Any]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
