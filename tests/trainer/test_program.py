"""The program around the loop: events, exit codes, stop within one step, wiping, resuming."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, cast

import pytest

from registry.core import status_list
from tests.trainer.people import QUICK, Agent, Pipe, admission, status
from training.core import weights
from training.trainer import train
from training.trainer.wipe import shred, wipe, write_atomic


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def when_step(number, action):
    """Call `action(agent)` after the progress event of step `number`."""

    def on_event(agent, event):
        if event["event"] == "progress" and event["step"] == number:
            action(agent)
            time.sleep(0.2)  # let the feed's thread take the line, as a pipe would be read

    return on_event


@pytest.fixture
def agent(tmp_path):
    return Agent(tmp_path / "job")


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_a_run_that_nobody_stops_leaves_an_adapter_that_names_nobody(agent):
    assert agent.run(admission()) == train.FINISHED
    assert agent.events[0]["event"] == "verified"
    assert len(agent.of("progress")) == QUICK.steps
    (end,) = agent.of("finished")
    data = (agent.folder / end["adapter"]).read_bytes()
    read = weights.read(data)
    assert len(data) == end["bytes"]
    assert len(read.tensors) == end["tensors"]
    assert read.metadata == {"format": "pt"}
    header = data[8 : 8 + int.from_bytes(data[:8], "little")].decode()
    for word in (str(agent.folder), "sks", "photo", "job_", "alice", "kyodaku-tiny"):
        assert word not in header
    assert end["samples"] == [f"out/sample-{stage}.png" for stage in ("start", "middle", "end")]
    assert files(agent.folder) == sorted([end["adapter"], *end["samples"]])


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_a_withdrawn_consent_stops_within_one_step_and_leaves_nothing(agent):
    withdrawn = status(value=status_list.WITHDRAWN)
    agent.on_event = when_step(4, lambda a: a.pipe.send({"status_list": withdrawn}))
    agent.folder.mkdir()
    (agent.folder / "sealed").mkdir()
    (agent.folder / "sealed" / "object.bin").write_bytes(b"x" * 5000)
    assert agent.run(admission()) == train.STOPPED
    assert len(agent.of("progress")) == 4
    (end,) = agent.of("stopped")
    assert end["code"] == "withdrawn"
    assert end["wiped"]["left"] == 0
    assert end["wiped"]["files"] >= 2  # the sealed object and the first sample
    assert end["wiped"]["bytes"] > 5000
    assert files(agent.folder) == ["stopped.json"]
    report = json.loads((agent.folder / "stopped.json").read_text())
    assert (report["code"], report["step"]) == ("withdrawn", 4)


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda a: a.pipe.send({"stop": "paused"}), "paused"),
        (lambda a: a.pipe.close(), "worker_stopped"),
    ],
)
def test_a_stop_or_the_agents_end_stops_within_one_step(agent, action, code):
    agent.on_event = when_step(2, action)
    assert agent.run(admission()) == train.STOPPED
    assert len(agent.of("progress")) == 2
    assert agent.of("stopped")[0]["code"] == code
    assert files(agent.folder) == ["stopped.json"]


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_an_interrupted_run_is_resumed_to_the_same_adapter(agent, tmp_path):
    whole = Agent(tmp_path / "whole")
    assert whole.run(admission()) == train.FINISHED
    agent.on_event = when_step(5, lambda a: a.interrupted.set())
    assert agent.run(admission()) == train.INTERRUPTED
    assert "checkpoint.bin" in files(agent.folder)
    assert agent.events[-1] == {"event": "interrupted", "step": 5}
    again = Agent(agent.folder)
    assert again.run(admission()) == train.FINISHED
    assert again.of("progress")[0]["step"] == 6
    assert "checkpoint.bin" not in files(agent.folder)
    assert again.of("finished")[0]["sha256"] == whole.of("finished")[0]["sha256"]


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_a_checkpoint_of_another_grant_is_refused(agent):
    agent.on_event = when_step(1, lambda a: a.interrupted.set())
    assert agent.run(admission()) == train.INTERRUPTED
    again = Agent(agent.folder)
    assert again.run(admission(grant_digest="ee" * 32)) == train.REFUSED
    assert again.of("refused")[0]["code"] == "wrong_job"
    assert files(agent.folder) == ["stopped.json"]


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_a_crash_keeps_nothing_and_is_seen(agent, tmp_path):
    with pytest.raises((OSError, ValueError), match="nowhere"):
        agent.run(admission(base_path=tmp_path / "nowhere"))
    (end,) = agent.of("failed")
    assert end["code"] == "training_failed"
    assert files(agent.folder) == ["stopped.json"]


def test_a_picture_that_cannot_be_decoded_is_refused(agent):
    admitted = admission(pictures=(b"not a picture",), boxes=(None,))
    assert agent.run(admitted) == train.REFUSED
    assert agent.of("refused")[0]["code"] == "image_unreadable"


def test_a_stale_list_at_the_start_trains_nothing(agent):
    admitted = admission(status_token="x.y.z")
    assert agent.run(admitted) in (train.STOPPED,)
    assert agent.of("stopped")[0]["code"] == "status_stale"
    assert agent.of("progress") == []


def test_nothing_is_admitted_without_a_first_line(tmp_path):
    agent = Agent(tmp_path)
    pipe = Pipe()
    pipe.close()
    feed, events = cast(Any, pipe), train.Events(cast(Any, agent))
    code = train.run(tmp_path, feed, events, agent.interrupted)
    assert code == train.REFUSED
    assert agent.events[0]["code"] == "malformed"


def test_an_agent_that_no_longer_listens_ends_the_run():
    class Deaf:
        def write(self, _line):
            raise BrokenPipeError

        def flush(self):
            """Never reached."""

    events = train.Events(cast(Any, Deaf()))
    events.emit("progress", step=1)
    assert not events.heard


def test_wiping_overwrites_counts_and_keeps_only_what_is_named(tmp_path):
    job = tmp_path / "job"
    (job / "out" / "deep").mkdir(parents=True)
    (job / "out" / "deep" / "a.bin").write_bytes(b"a" * 3_000_000)
    (job / "keep.json").write_bytes(b"{}")
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (job / "link").symlink_to(outside)
    held = (job / "out" / "deep" / "a.bin").open("rb")
    wiped = wipe(job, keep=("keep.json",))
    assert (wiped.files, wiped.left) == (2, 0)
    assert wiped.bytes >= 3_000_000
    assert files(job) == ["keep.json"]
    assert held.read() == b""  # the very file was emptied, not only its name
    held.close()
    assert outside.read_bytes() == b"precious"


def test_shredding_writes_zeros_before_it_unlinks(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"secret" * 100)
    seen: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _fd: seen.append(path.read_bytes()))
    shred(path)
    assert seen == [bytes(600)]
    assert not path.exists()


def test_an_atomic_write_leaves_no_part_behind(tmp_path):
    write_atomic(tmp_path / "a", b"one")
    write_atomic(tmp_path / "a", b"two")
    assert files(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"two"
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, start_new_session=True)
sys.stdout.write(child.stdout.readline().decode()); sys.stdout.flush()
time.sleep(60)
"""
CHILD = """
import sys, threading
from pathlib import Path
from training.trainer import train
event = threading.Event()
train._behave(Path(sys.argv[1]), event)
sys.stdout.write(f"{__import__('os').getpid()}\\n"); sys.stdout.flush()
event.wait(30)
Path(sys.argv[1], "told").write_text("yes" if event.is_set() else "no")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_death_of_the_agent_reaches_the_trainer(tmp_path):
    child = CHILD.replace("sys.argv[1]", repr(str(tmp_path)))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("CHILD", repr(child))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    told, deadline = tmp_path / "told", time.monotonic() + 20
    # The file is there a moment before its word is.
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told.read_text() == "yes"


def test_a_recipe_is_part_of_what_a_checkpoint_belongs_to():
    one = admission()
    other = admission(dataclasses.replace(QUICK, seed=8))
    assert one.binding() == admission().binding()
    assert one.binding() != other.binding()


HANGS = """
import sys, threading
from pathlib import Path
from training.trainer import train
train.ORPHAN_S = 0.3
folder = Path(sys.argv[1])
(folder / "pixels.png").write_bytes(b"x" * 100)
print("here", flush=True)
sys.stdin.read()
threading.Thread(target=train._gone, args=(folder,)).start()
threading.Event().wait(60)
"""


def test_a_trainer_that_hangs_without_its_agent_wipes_and_ends(tmp_path):
    """In a model that is being loaded no step asks the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(20) == train.STOPPED
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_the_program_says_what_happens_when_its_feed_has_ended(tmp_path):
    """`run` calls it when the feed is over, and not before."""
    told = threading.Event()
    lease = train._lease(admission(), io.BytesIO(b""), told.set)
    assert told.wait(20)
    assert lease.code() is not None
