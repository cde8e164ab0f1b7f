"""The supervisor: in order up, at once down when a program ends, in reverse order stopped."""

import socket
import sys
import time

import pytest

from registry.local.problems import Problem
from registry.local.processes import Program, Supervisor, answers, free_port, logged, survived

SLEEPS = "import signal, sys, time; {extra}; print('up', flush=True); time.sleep(600)"
SAYS_STOP = (
    "signal.signal(signal.SIGTERM, "
    "lambda *_: (open(sys.argv[1], 'a').write(sys.argv[2]), sys.exit(0)))"
)


@pytest.fixture
def supervisor(tmp_path):
    running = Supervisor(tmp_path / "log", {"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"})
    yield running
    running.stop()


def program(supervisor, name, code, *arguments, ready=None, **more):
    log = supervisor.log(name)
    command = [sys.executable, "-c", code, *arguments]
    return Program(name, command, ready or (lambda: logged(log, "up")), **more)


def test_programs_stop_in_reverse_order(supervisor, tmp_path):
    told = tmp_path / "told"
    code = SLEEPS.format(extra=SAYS_STOP)
    for name in "abc":
        supervisor.start(program(supervisor, name, code, str(told), name))
    supervisor.stop()
    assert told.read_text() == "cba"


def test_a_program_that_ends_while_starting_fails_at_once_with_its_log(supervisor):
    never = program(supervisor, "dies", "raise SystemExit('no key')", ready=lambda: False)
    begun = time.monotonic()
    with pytest.raises(Problem, match=r"dies ended with exit code 1:\n    no key"):
        supervisor.start(never)
    assert time.monotonic() - begun < never.patience / 2


def test_a_program_that_ends_later_is_noticed(supervisor):
    short = "print('up', flush=True); import sys; sys.stdin.read(); raise SystemExit(3)"
    supervisor.start(program(supervisor, "short", short))
    ((_, process),) = supervisor.running[0]
    process.wait()
    with pytest.raises(Problem, match="exit code 3"):
        supervisor.check()


def test_a_program_that_is_never_ready_is_a_problem(supervisor):
    slow = program(
        supervisor, "slow", SLEEPS.format(extra="pass"), ready=lambda: False, patience=0.3
    )
    with pytest.raises(Problem, match="slow was not ready"):
        supervisor.start(slow)


def test_a_program_that_does_not_stop_is_killed(supervisor):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = SLEEPS.format(extra=deaf)
    supervisor.start(program(supervisor, "deaf", code, stop_seconds=0.2))
    ((_, process),) = supervisor.running[0]
    supervisor.stop()
    assert process.returncode == -9


def test_a_step_that_fails_shows_its_last_words(supervisor):
    supervisor.once("good", [sys.executable, "-c", "print('fine')"])
    with pytest.raises(Problem, match="last words"):
        supervisor.once("bad", [sys.executable, "-c", "raise SystemExit('last words')"])


def test_the_log_of_the_run_before_is_kept(supervisor):
    for word in ("first", "second"):
        supervisor.once("step", [sys.executable, "-c", f"print('{word}')"])
    assert supervisor.log("step").read_text() == "second\n"
    assert supervisor.log("step").with_suffix(".log.1").read_text() == "first\n"


def test_a_port_in_use_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in {0, port}
        assert not answers(f"http://127.0.0.1:{free_port(port)}/")
    assert free_port(port) == port


def test_a_silent_program_is_ready_when_it_has_lived_a_while():
    ready = survived(0.05)
    assert not ready()
    time.sleep(0.06)
    assert ready()
