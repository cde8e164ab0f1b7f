"""Two sequencers as real processes: one works, one stands by, and killing either leaves no gap."""

import os
import subprocess
import sys
import time

import psycopg
import pytest
from django.db import connection, transaction

from registry.local import child
from registry.local.processes import ROOT, manage
from registry.log import sequencer

NAMES = ("first", "second")
WRITER = """
import sys, time, django
django.setup()
from django.db import transaction
from registry.log.append import append
for number in range(100_000):
    with transaction.atomic():
        print(append("bench.made", {"number": number}), flush=True)
    time.sleep(0.005)
"""
# The log's own part of `manage.py fsck`: every entry, tile, root and signature, anew.
FSCK = """
import sys, django
django.setup()
from registry.log import fsck, sequencer
sys.stdout.write(str(fsck.check(sequencer.load_signers().vkeys())))
"""


class Log:
    """A database of its own, with two sequencers that nobody told about each other."""

    def __init__(self, url, home):
        self.url, self.home, self.running = url, home, {}
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "registry.settings",
            "DATABASE_URL": url,
            "KYODAKU_MODE": "test",
            "KYODAKU_HOME": str(home),
            "KYODAKU_DOTENV": "none",
        }
        self.env.pop("KYODAKU_KEYS_DIR", None)

    def once(self, *command):
        done = subprocess.run(
            [str(part) for part in command],
            env=self.env,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name, command=None):
        log = self.home / f"{name}.log"
        self.running[name] = child.start(
            command or manage("sequencer"), log=log, env=self.env, cwd=ROOT
        )

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def entries(self):
        return self.ask("SELECT count(*) FROM log_entry")

    def signed(self):
        return self.ask("SELECT coalesce(max(size), 0) FROM log_checkpoint WHERE note <> ''")

    def ask(self, query):
        with psycopg.connect(self.url) as one:
            return one.execute(query).fetchone()[0]

    def wait(self, done):
        until = time.monotonic() + 60
        while not done():
            assert time.monotonic() < until, [
                child.tail(self.home / f"{name}.log") for name in NAMES
            ]
            time.sleep(0.05)


@pytest.fixture
def log(database_url, tmp_path):
    name = f"standby_{os.getpid()}"
    with psycopg.connect(database_url, autocommit=True) as one:
        one.execute(f"CREATE DATABASE {name}")
    made = Log(psycopg_url(database_url, name), tmp_path / "var")
    try:
        made.once(sys.executable, "-m", "registry.local", "keys")
        made.once(*manage("create_keys"))
        made.once(*manage("migrate", "log", "--verbosity=0"))
        yield made
    finally:
        for program in list(made.running):
            made.kill(program)
        with psycopg.connect(database_url, autocommit=True) as one:
            one.execute(f"DROP DATABASE {name} WITH (FORCE)")


def psycopg_url(url, name):
    """The same server, another database."""
    head, question, options = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{question}{options}"


def test_the_standby_takes_over_without_a_gap(log):
    for name in NAMES:
        log.start(name)
    log.start("writer", [sys.executable, "-c", WRITER])
    log.wait(lambda: log.signed() > 20)
    for turn in range(4):
        name = NAMES[turn % 2]
        log.kill(name)
        # Only the other one is left: whichever of the two had been working, the log goes on.
        before = log.signed()
        log.wait(lambda before=before: log.signed() > before + 20)
        log.start(name)
        if turn % 2:  # and both again, one of them just starting
            before = log.signed()
            log.wait(lambda before=before: log.signed() > before + 20)
    log.kill("writer")
    told = (log.home / "writer.log").read_text().split()
    log.wait(lambda: log.ask("SELECT count(*) FROM log_outbox") == 0)
    log.wait(lambda: log.signed() == log.entries())
    assert all(log.running[name].poll() is None for name in NAMES)
    with psycopg.connect(log.url) as one:
        rows = one.execute("SELECT index, event_id FROM log_entry ORDER BY index").fetchall()
    assert [index for index, _ in rows] == list(range(len(rows)))
    ids = [event for _, event in rows]
    assert len(ids) == len(set(ids))
    assert set(told) <= set(ids)
    assert ids[: len(told)] == told  # in the order of writing: one writer
    assert log.once(sys.executable, "-c", FSCK) == f"{len(rows)}"


def test_a_frozen_sequencer_does_not_keep_the_lock(db):
    """PostgreSQL ends a session that holds it and asks for nothing any more."""
    with transaction.atomic():
        assert sequencer._locked()
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            assert cursor.fetchone()[0] == "1min"
