"""The log on PostgreSQL, measured: proofs from tile rows, the bulk drain, live writers.

The server is embedded and durable (fsync and synchronous_commit on), unless DATABASE_URL names one;
the database is its own and is dropped again. Events are like those of a consent: four ids or
digests, about 500 bytes.
"""

import multiprocessing
import os
import pickle
import secrets
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402

from registry.local import env  # noqa: E402
from registry.local.postgres import Server  # noqa: E402
from registry.log import models, rows, selectors, sequencer  # noqa: E402
from registry.log.append import append  # noqa: E402
from registry.log.core import canonical, merkle, tiles  # noqa: E402
from tests.bench.report import QUICK, say  # noqa: E402

ROUNDS: Final = 5
PROOFS: Final = 300 if QUICK else 1_000
BATCH_OF_EVENTS: Final = 5_000 if QUICK else 25_000
WRITERS: Final = 16
OFFERED: Final = 1_650  # events a second, all writers together
SECONDS: Final = 6 if QUICK else 30
FORK: Final = multiprocessing.get_context("fork")


@contextmanager
def database() -> Iterator[None]:
    """A durable server and an empty database in it; the export goes to a folder of its own."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="kyodaku-bench-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        if settings.OWN_DATABASE:
            server = stack.enter_context(Server(home / "pg", durable=True))
            connections["default"].settings_dict.update(env.database(server.url))
        name = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        stack.callback(connection.creation.destroy_test_db, name, verbosity=0)
        settings.LOG_EXPORT_DIR = home / "export"
        with connection.cursor() as cursor:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                cursor.execute(f"SHOW {setting}")
                say(f"{setting}: {cursor.fetchone()[0]}")
        yield
        connections.close_all()


# --- proofs from tile rows ----------------------------------------------------------------------


def proof_figures(leaf_hashes: Sequence[bytes]) -> dict[str, float]:
    """CPU milliseconds per inclusion proof from tile rows, ours and the server's together."""
    size, spread = len(leaf_hashes), Random(2)  # noqa: S311 - which indices, no secret
    with transaction.atomic():
        rows.write_tiles(tiles.extend(0, leaf_hashes, lambda *_: b""))
        root = merkle.root_from_nodes(size, tiles.TileNodes(selectors.read_tile))
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend = int(cursor.fetchone()[0])
        indices = [spread.randrange(size) for _ in range(PROOFS)]
        times = []
        for _ in range(ROUNDS):
            ours, servers, wall = time.process_time(), _cpu_of(backend), time.perf_counter()
            paths = [selectors.inclusion(index, size) for index in indices]
            wall = time.perf_counter() - wall
            times.append((time.process_time() - ours, _cpu_of(backend) - servers, wall))
        for index, path in zip(indices, paths, strict=True):
            merkle.verify_inclusion(index, size, leaf_hashes[index], path, root)
        transaction.set_rollback(True)
    each = [1_000 / PROOFS * statistics.median(column) for column in zip(*times, strict=True)]
    say("proofs from PostgreSQL")
    return {
        "pg_inclusion_cpu_ms": each[0] + each[1],
        "pg_inclusion_python_cpu_ms": each[0],
        "pg_inclusion_server_cpu_ms": each[1],
        "pg_inclusion_wall_ms": each[2],
    }


def _cpu_of(pid: int) -> float:
    """CPU seconds that a process used so far; 0 where the kernel does not say."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the bulk drain -----------------------------------------------------------------------------


def drain_figures() -> dict[str, float]:
    """Entries per second from the outbox to a signed checkpoint; median of five, then exported."""
    signers, folder = sequencer.load_signers(), settings.LOG_EXPORT_DIR
    settings.LOG_EXPORT_DIR = None
    times = []
    for turn in range(ROUNDS):
        _fill(turn)
        times.append(_measured(lambda: _drain(signers)))
        say(f"drain {turn + 1} of {ROUNDS}: {BATCH_OF_EVENTS / times[-1][1]:,.0f}/s")
    settings.LOG_EXPORT_DIR = folder
    _fill(ROUNDS)
    with_export = _measured(lambda: _drain(signers))
    done = models.Entry.objects.count()
    if done != BATCH_OF_EVENTS * (ROUNDS + 1) or models.Outbox.objects.exists():
        raise RuntimeError(f"{done} events were sequenced")
    return {
        "drained": float(done),
        "drain_per_s": BATCH_OF_EVENTS / statistics.median(wall for _cpu, wall in times),
        "drain_best_per_s": BATCH_OF_EVENTS / min(wall for _cpu, wall in times),
        "drain_per_python_cpu_s": BATCH_OF_EVENTS / statistics.median(cpu for cpu, _wall in times),
        "drain_and_first_export_s": with_export[1],
    }


def _drain(signers: Any) -> None:
    while sequencer.sequence_once(signers):
        pass


def _fill(turn: int) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY log_outbox (id, payload, created) FROM STDIN") as copy,
    ):
        for n in range(turn * BATCH_OF_EVENTS, (turn + 1) * BATCH_OF_EVENTS):
            key = uuid.UUID(int=n)
            event = {"v": 1, "id": f"evt_{key.hex}", "type": "bench.made", "data": _data(n)}
            payload = canonical.dumps({**event, "at": "2026-01-01T00:00:00.000Z"})
            copy.write_row((key, payload, "2026-01-01T00:00:00Z"))


def _data(n: int) -> dict[str, object]:
    """Four words to look up; a grant has five events, a person a thousandth of all."""
    return {
        "grant_id": f"grt_{n // 5:020x}",
        "party_id": f"per_{n % 997:020x}",
        "grant_digest": f"{n // 5 * 7_919:064x}",
        "approval_digest": secrets.token_hex(32),
        "fill": "x " * 80,
    }


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


# --- live writers -------------------------------------------------------------------------------


def live_figures() -> dict[str, float]:
    """16 processes append in real transactions beside a running sequencer that exports.

    Paced: together they offer 1,650 events a second, whatever the answer takes. The time of an
    event runs from its commit to the moment another process first sees a signed checkpoint that
    covers it (looked for every 10 ms, so up to 10 ms too long).
    """
    first = models.Entry.objects.count()
    stop = FORK.Event()
    seen: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        connections.close_all()
        runner = FORK.Process(target=_sequence, args=(stop,))
        writers = [
            FORK.Process(target=_write, args=(n, time.monotonic() + 2.0, Path(folder)))
            for n in range(WRITERS)
        ]
        for process in (runner, *writers):
            process.start()
        watching = threading.Event()
        watcher = threading.Thread(target=_watch, args=(watching, seen))
        watcher.start()
        for process in writers:
            process.join()
        committed = [
            item
            for path in sorted(Path(folder).iterdir())
            for item in pickle.loads(path.read_bytes())  # noqa: S301
        ]
        _until_covered(first + len(committed))
        stop.set()
        runner.join()
        watching.set()
        watcher.join()
    if any(process.exitcode for process in (runner, *writers)):
        raise RuntimeError("a writer or the sequencer failed")
    return _latencies(committed, seen)


def _sequence(stop: Any) -> None:
    sequencer.run(sequencer.load_signers(), stop)
    connections.close_all()


def _write(number: int, start: float, folder: Path) -> None:
    done: list[tuple[str, float]] = []
    due, pause = start + number / OFFERED, WRITERS / OFFERED
    while (now := time.monotonic()) < start + SECONDS:
        if now < due:
            time.sleep(due - now)
        due += pause
        with transaction.atomic():
            event_id = append("bench.made", _data(number))
        done.append((event_id, time.monotonic()))
    connections.close_all()
    (folder / str(number)).write_bytes(pickle.dumps(done))


def _watch(stop: threading.Event, seen: list[tuple[float, int]]) -> None:
    with connection.cursor() as cursor:
        while not stop.is_set():
            cursor.execute(
                "SELECT size FROM log_checkpoint WHERE note <> '' ORDER BY size DESC LIMIT 1"
            )
            found = cursor.fetchone()
            if found and (not seen or seen[-1][1] != found[0]):
                seen.append((time.monotonic(), found[0]))
            stop.wait(0.01)
    connection.close()


def _until_covered(size: int) -> None:
    until = time.monotonic() + 60
    while (newest := selectors.latest_checkpoint()) is None or newest.size < size:
        if time.monotonic() > until:
            raise TimeoutError("the sequencer does not keep up")
        time.sleep(0.05)


def _latencies(
    committed: list[tuple[str, float]], seen: list[tuple[float, int]]
) -> dict[str, float]:
    places = dict(models.Entry.objects.values_list("event_id", "index"))
    at, waited = 0, []
    for index, moment in sorted((places[event_id], moment) for event_id, moment in committed):
        while seen[at][1] <= index:
            at += 1
        waited.append(1_000 * (seen[at][0] - moment))
    waited.sort()
    span = max(moment for _id, moment in committed) - min(moment for _id, moment in committed)
    return {
        "live_writers": float(WRITERS),
        "live_events": float(len(committed)),
        "live_per_s": len(committed) / span,
        "live_p50_ms": waited[len(waited) // 2],
        "live_p99_ms": waited[len(waited) * 99 // 100],
        "live_worst_ms": waited[-1],
        "live_checkpoints": float(len(seen)),
    }
