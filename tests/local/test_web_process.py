"""The web server as a real process: what it starts does not outlive it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from registry.local import child
from registry.local.processes import ROOT, answers, free_port, web


def test_nobody_serves_on_when_the_web_process_was_killed(tmp_path):
    """A worker of granian's that lived on would answer beside the next one, with older code."""
    port = free_port(0)
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "registry.settings",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "KYODAKU_MODE": "test",
        "KYODAKU_HOME": str(tmp_path),
        "KYODAKU_DOTENV": "none",
    }
    env.pop("KYODAKU_KEYS_DIR", None)
    subprocess.run([sys.executable, "-m", "registry.local", "keys"], env=env, cwd=ROOT, check=True)
    process = child.start(web(port).command, log=tmp_path / "web.log", env=env, cwd=ROOT)
    address = f"http://127.0.0.1:{port}/healthz"
    try:
        until(lambda: answers(address), tmp_path / "web.log")
        serving = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert serving
        process.kill()
        process.wait()
        until(lambda: not any(alive(pid) for pid in serving), tmp_path / "web.log")
        assert not answers(address)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(done, log):
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, child.tail(log)
        time.sleep(0.05)
