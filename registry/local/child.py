"""Starting a program that cannot outlive us, as a chosen user, in a terminal group of its own.

Not a stage. Used by the embedded PostgreSQL and the supervisor. Start children from the main
thread: on Linux the parent-death signal is sent when the starting *thread* ends.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def die_with_parent(sent: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before exec, so that the kernel sends it `sent` when we are gone.

    The subprocess module changes user before it calls this; changing user afterwards would
    clear the setting (prctl(2)). None where the kernel has no such call.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, sent.value, 0, 0, 0)
        if os.getppid() != parent:  # we died between fork and prctl
            os.kill(os.getpid(), sent)

    return before_exec


def follow_parent() -> None:
    """Called in a process that is running already: the kernel kills it when its parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """The subprocess arguments that make a child run as `user`; nothing for None."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    ends_with: signal.Signals = signal.SIGTERM,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command`, its output appended to `log`; it gets `ends_with` when we die.

    A session of its own keeps the terminal's Ctrl-C from it: we stop children, in order.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - our own programs, no shell
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
            preexec_fn=die_with_parent(ends_with),
            **as_user(user),
        )


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for an error message; empty when there is none."""
    if not log.is_file():
        return ""
    found = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in found)


def has_shared_memory() -> bool:
    """Whether POSIX shared memory works here; some containers come without it."""
    return os.access("/dev/shm", os.W_OK)  # noqa: S108 - asked about, not written to
