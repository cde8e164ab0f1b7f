"""How fast the log is: in memory beside pymerkle, and draining the outbox on PostgreSQL.

`python -m tests.bench.bench_log`; QUICK=1 uses a tenth of the leaves. The peer is measured in the
same run, alternating, and rates are of CPU seconds; wall seconds stand beside them. For PostgreSQL
the database at DATABASE_URL is used, in a database of its own that is dropped again, or else an
embedded server that lives as long as the run.
"""

import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pymerkle

from registry.log.core import canonical, merkle
from tests.bench.report import QUICK, at_least, at_most, report, say

LEAVES = 100_000 if QUICK else 1_000_000
ROUNDS = 5
PROOFS = 2_000
EVENTS = 20_000 if QUICK else 100_000
ENTRIES = [b"entry %016d" % n for n in range(LEAVES)]


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return (CPU seconds, wall seconds) of one run of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def ours() -> merkle.MerkleTree:
    """Append every entry one at a time, hashing it as a leaf, all levels kept."""
    tree = merkle.MerkleTree()
    for entry in ENTRIES:
        tree.append(merkle.leaf_hash(entry))
    return tree


def peers() -> pymerkle.InmemoryTree:
    """The same through pymerkle's own one-at-a-time append."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        tree.append_entry(entry)
    return tree


def append_figures() -> dict[str, float]:
    """Append rates, alternating, median of five."""
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "pymerkle": []}
    for turn in range(ROUNDS):
        times["ours"].append(measured(ours))
        times["pymerkle"].append(measured(peers))
        say(f"append, round {turn + 1} of {ROUNDS}")
    ratios = [b[0] / a[0] for a, b in zip(times["ours"], times["pymerkle"], strict=True)]
    figures = {"leaves": float(LEAVES), "append_ratio": statistics.median(ratios)}
    for name, pairs in times.items():
        figures[f"append_{name}_per_cpu_s"] = LEAVES / statistics.median(p[0] for p in pairs)
        figures[f"append_{name}_per_wall_s"] = LEAVES / statistics.median(p[1] for p in pairs)
    return figures


def proof_figures() -> dict[str, float]:
    """CPU microseconds per proof on the full tree, at random indices, median of five."""
    tree, size = ours(), LEAVES
    root, spread = tree.root(), random.Random(1)  # noqa: S311 - which indices, no secret
    indices = [spread.randrange(size) for _ in range(PROOFS)]
    sizes = [spread.randrange(1, size) for _ in range(PROOFS)]
    included = [(n, tree.inclusion_proof(n)) for n in indices]
    extended = [(n, tree.root(n), tree.consistency_proof(n)) for n in sizes]

    def verify_included() -> None:
        for n, path in included:
            merkle.verify_inclusion(n, size, tree.node(0, n), path, root)

    def verify_extended() -> None:
        for n, old, path in extended:
            merkle.verify_consistency(n, size, old, root, path)

    work: dict[str, Callable[[], object]] = {
        "inclusion_us": lambda: [tree.inclusion_proof(n) for n in indices],
        "verify_inclusion_us": verify_included,
        "consistency_us": lambda: [tree.consistency_proof(n) for n in sizes],
        "verify_consistency_us": verify_extended,
    }
    return {
        name: statistics.median(measured(call)[0] for _ in range(ROUNDS)) / PROOFS * 1e6
        for name, call in work.items()
    }


def drain_figures() -> dict[str, float]:
    """Entries per second from the outbox to a signed checkpoint on PostgreSQL.

    (Django is set up only now: the figures above are of code that never loads it.)
    """
    own_server = "DATABASE_URL" not in os.environ
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.db import connection, connections  # noqa: PLC0415

    from registry.local import env  # noqa: PLC0415
    from registry.local.postgres import Server  # noqa: PLC0415

    django.setup()
    with ExitStack() as stack:
        if own_server:
            home = Path(tempfile.mkdtemp(prefix="kyodaku-bench-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            server = stack.enter_context(Server(home, durable=True))
            connections["default"].settings_dict.update(env.database(server.url))
        name = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        stack.callback(connection.creation.destroy_test_db, name, verbosity=0)
        settings.LOG_EXPORT_DIR = None
        return _drain()


def _drain() -> dict[str, float]:
    from django.db import connection  # noqa: PLC0415

    from registry.log import models, sequencer  # noqa: PLC0415

    signers = sequencer.load_signers()
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY log_outbox (id, payload, created) FROM STDIN") as copy,
    ):
        for n in range(EVENTS):
            copy.write_row((uuid.UUID(int=n), _payload(n), "2026-01-01T00:00:00Z"))
    say(f"draining {EVENTS:,} events")

    def drain() -> None:
        while sequencer.sequence_once(signers):
            pass

    cpu, wall = measured(drain)
    done = models.Entry.objects.count()
    if done != EVENTS:
        raise RuntimeError(f"{done} of {EVENTS} events were sequenced")
    return {
        "drained": float(done),
        "drain_per_wall_s": done / wall,
        "drain_per_python_cpu_s": done / cpu,
    }


def _payload(n: int) -> bytes:
    """An event of about 500 bytes."""
    event_id = f"evt_{uuid.UUID(int=n).hex}"
    event = {"v": 1, "id": event_id, "type": "bench.made", "at": "2026-01-01T00:00:00.000Z"}
    return canonical.dumps({**event, "data": {"fill": "x" * 380}})


def main() -> int:
    """Measure, print, and say by the exit status whether the bars are held."""
    figures = append_figures() | proof_figures() | drain_figures()
    bars = {
        "append_ratio": at_least(figures["append_ratio"], 5),
        "inclusion_us": at_most(figures["inclusion_us"], 50),
    }
    return report("log", {key: round(value, 3) for key, value in figures.items()}, bars)


if __name__ == "__main__":
    sys.exit(main())
