"""The embedded server: survives what a computer does to it, and is closed to everybody else."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from registry.local import broker, postgres
from registry.local.postgres import Server
from registry.local.problems import Problem


@pytest.fixture
def server(home):
    with Server(home, durable=False) as running:
        yield running


def execute(server, query):
    with psycopg.connect(server.url) as connection:
        return connection.execute(query).fetchone()


def postmaster(server):
    return int((server.data / "postmaster.pid").read_text().split("\n", 1)[0])


def gone(pid, seconds=30.0):
    until = time.monotonic() + seconds
    while postgres._is_postgres(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not postgres._is_postgres(pid)


def test_the_data_outlives_a_stop_and_a_start(home):
    with Server(home, durable=False) as first, psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    with Server(home, durable=False) as again:
        assert execute(again, "SELECT value FROM kept") == (42,)


def test_a_second_supervisor_of_the_same_home_is_refused(server):
    with pytest.raises(Problem, match="already being run"):
        Server(server.home).start()
    assert execute(server, "SELECT 1") == (1,)


def test_a_server_that_was_killed_starts_again_over_its_stale_pid_file(home):
    with Server(home, durable=False) as first:
        os.kill(postmaster(first), signal.SIGKILL)
        # not waited for: the dead server is a zombie now, and its pid file is there
        assert gone(postmaster(first))
        assert (first.data / "postmaster.pid").exists()
        vars(first)["_lock"].close()  # as if the supervisor had died too
        with Server(home, durable=False) as again:
            assert execute(again, "SELECT 1") == (1,)


def test_a_pid_that_another_program_got_is_no_server(server):
    assert postgres._is_postgres(postmaster(server))
    assert not postgres._is_postgres(os.getpid())
    assert not postgres._is_postgres(0)


def test_nobody_gets_in_without_the_password_or_over_the_network(server):
    wrong = server.url.replace(server._password(), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    assert execute(server, "SHOW listen_addresses") == ("",)
    assert server.socket.stat().st_mode & 0o777 == 0o700
    assert (server.home / "postgres.password").stat().st_mode & 0o777 == 0o600
    assert server.data.stat().st_mode & 0o777 == 0o700


def test_a_lost_password_file_is_a_problem_with_a_next_step(home):
    with Server(home, durable=False):
        pass
    path = home / "postgres.password"
    kept = path.read_text()
    path.write_text("another")
    try:
        with pytest.raises(Problem, match="does not take the password"):
            Server(home, durable=False).start()
        path.unlink()
        with pytest.raises(Problem, match=r"postgres.password is missing"):
            Server(home, durable=False).start()
    finally:
        path.write_text(kept)


def test_data_of_another_version_is_not_touched(home):
    with Server(home, durable=False) as first:
        version = first.data / "PG_VERSION"
    kept = version.read_text()
    version.write_text("9\n")
    try:
        with pytest.raises(Problem, match="is of PostgreSQL 9"):
            Server(home, durable=False).start()
    finally:
        version.write_text(kept)


def test_a_folder_with_a_very_long_name_still_gets_a_socket(scratch):
    home = scratch / ("a" * 120) / "it's, here"
    home.parent.mkdir(mode=0o711)
    with Server(home, durable=False) as server:
        assert execute(server, "SELECT 1") == (1,)
        assert len(str(server.socket)) < postgres.SOCKET_PATH_MOST
    server.socket.rmdir()


def test_what_a_crash_left_of_initdb_is_removed(scratch):
    fresh = Server(scratch / "fresh", durable=False)
    fresh.home.mkdir()
    staging = fresh.home / "postgres.new"
    staging.mkdir()
    (staging / "half").write_text("made")
    with fresh:
        assert not (fresh.data / "half").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_roots_closed_folder_stays_closed_and_its_data_lies_elsewhere(scratch):
    closed = scratch / "closed"
    closed.mkdir(mode=0o700)
    with Server(closed / "var", durable=False) as server:
        place = server.place
        assert execute(server, "SELECT 1") == (1,)
    try:
        assert place.parent == postgres.SHARED
        assert closed.stat().st_mode & 0o777 == 0o700
        with Server(closed / "var", durable=False) as again:
            assert again.place == place
    finally:
        shutil.rmtree(place)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_the_server_goes_when_its_supervisor_is_killed(home):
    code = (
        "import sys; from pathlib import Path; from registry.local.postgres import Server\n"
        "server = Server(Path(sys.argv[1]), durable=False); server.start()\n"
        "print(server.process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert postgres._is_postgres(pid)
        supervisor.kill()
    assert gone(pid)
    with Server(home, durable=False) as again:
        assert execute(again, "SELECT 1") == (1,)


def test_the_queue_is_installed_once(server):
    assert broker.install(server.url)
    assert not broker.install(server.url)
    assert execute(server, "SELECT count(*) > 50 FROM pg_proc WHERE proname <> ''") == (True,)
    assert execute(server, "SELECT pgmq.create('probe') IS NOT NULL") == (True,)


def test_a_start_waits_for_what_a_dead_server_left_running(home, tmp_path, monkeypatch):
    """Its last processes still write to the data; a second server beside them would ruin it."""
    with Server(home, durable=False) as first:
        data, user = first.data, first.user
    monkeypatch.setattr(postgres, "STOP_SECONDS", 0.5)
    program = Path("/var/tmp") / f"postgres-{os.getpid()}"  # noqa: S108 - where any user may run it
    shutil.copy(shutil.which("sleep"), program)
    left = subprocess.Popen([program, "60"], cwd=data, **postgres.child.as_user(user))
    try:
        with pytest.raises(Problem, match=str(left.pid)):
            Server(home, durable=False).start()
    finally:
        left.kill()
        left.wait()
        program.unlink()
    with Server(home, durable=False) as again:
        assert execute(again, "SELECT 1") == (1,)
