"""How fast the log is: in memory beside pymerkle, and draining the outbox on PostgreSQL.

`python -m tests.bench.bench_log`; QUICK=1 uses a tenth of the leaves. The peer is measured in the
same run, alternating, and rates are of CPU seconds; wall seconds stand beside them. What rests on
PostgreSQL is measured by `log_postgres`.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable

import pymerkle

from registry.log.core import merkle
from tests.bench.report import QUICK, at_least, at_most, report, say

LEAVES = 100_000 if QUICK else 1_000_000
ROUNDS = 5
PROOFS = 2_000
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
    theirs = peers()
    work["pymerkle_inclusion_us"] = lambda: [theirs.prove_inclusion(n + 1) for n in indices[:200]]
    counts = {"pymerkle_inclusion_us": 200}
    return {
        name: statistics.median(measured(call)[0] for _ in range(ROUNDS))
        / counts.get(name, PROOFS)
        * 1e6
        for name, call in work.items()
    }


def postgres_figures() -> dict[str, float]:
    """What needs a database. (Django is set up only now: the figures above never load it.)"""
    from tests.bench import log_postgres  # noqa: PLC0415

    with log_postgres.database():
        found = log_postgres.proof_figures([merkle.leaf_hash(entry) for entry in ENTRIES])
        found |= log_postgres.drain_figures()
        return found | log_postgres.live_figures()


def main() -> int:
    """Measure, print, and say by the exit status whether the bars are held."""
    figures = append_figures() | proof_figures() | postgres_figures()
    bars = {
        "append_ratio": at_least(figures["append_ratio"], 5),
        "inclusion_us": at_most(figures["inclusion_us"], 50),
        "pg_inclusion_cpu_ms": at_most(figures["pg_inclusion_cpu_ms"], 2),
        "drain_per_s": at_least(figures["drain_per_s"], 12_000),
        "live_per_s": at_least(figures["live_per_s"], 1_500),
        "live_p99_ms": at_most(figures["live_p99_ms"], 300),
    }
    return report("log", {key: round(value, 3) for key, value in figures.items()}, bars)


if __name__ == "__main__":
    sys.exit(main())
