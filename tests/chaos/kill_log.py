"""Kill the sequencer and PostgreSQL at random points while events are written; then look.

`python -m tests.chaos.kill_log` (`make log-chaos`): 200 SIGKILLs of the sequencer, 12 of the whole
PostgreSQL and 12 of one of its backends, beside four writers. QUICK=1: 20, 2 and 2. What must hold:
no gap, no double, nothing lost whose commit returned, every checkpoint ever seen continued by every
later one, and exported files equal to the tables. Bounded by the number of kills.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import psycopg

from registry.local.postgres import Server
from tests.bench.report import QUICK, at_least, at_most, report, say
from tests.chaos import rig

KILLS = 20 if QUICK else 200
DATABASE_KILLS = 2 if QUICK else 12  # of the whole server, and as many of single backends
WRITERS = 4


def kill_postgres(server: Server) -> None:
    """SIGKILL the postmaster: no goodbye, its backends die when they notice."""
    if server.process is None:
        raise RuntimeError("the server does not run")
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.stop()
    server.start()


def kill_backend(server: Server, spread: Random) -> None:
    """SIGKILL one connection's process: the postmaster throws all others out and recovers."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    if found:
        os.kill(spread.choice(found)[0], signal.SIGKILL)


def main() -> int:
    """Kill, look, print; the exit status says whether everything held."""
    seed = int(os.environ.get("SEED", "1"))
    spread, begun = Random(seed), time.monotonic()  # noqa: S311
    with rig.site() as server, tempfile.TemporaryDirectory() as folder:
        acknowledged = [Path(folder, str(n)) for n in range(WRITERS)]
        for path in acknowledged:
            path.touch()
        for_ever = time.monotonic() + 3_600
        writers = [
            rig.start(rig.write, n, path, for_ever, 0.02) for n, path in enumerate(acknowledged)
        ]
        vkeys = rig.pins()
        reader = rig.Reader(rig.exported(), vkeys)
        whole = single = 0
        every = KILLS // (2 * DATABASE_KILLS)
        for kill in range(1, KILLS + 1):
            # Every other time a standby runs beside it, and takes over or is killed first.
            running = [
                rig.start(rig.sequence, spread.choice((0.0, 0.0, 0.1))) for _ in range(1 + kill % 2)
            ]
            time.sleep(spread.uniform(0.01, 0.5))
            if kill % every == 0 and whole + single < 2 * DATABASE_KILLS:
                if whole <= single:
                    kill_postgres(server)
                    whole += 1
                else:
                    kill_backend(server, spread)
                    single += 1
                time.sleep(spread.uniform(0.1, 0.6))
            spread.shuffle(running)
            for process in running:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                time.sleep(spread.uniform(0, 0.2))
            reader.look()
            if kill % 20 == 0:
                say(f"{kill} of {KILLS} kills of the sequencer, {whole}+{single} of PostgreSQL")
        for process in writers:
            process.terminate()
            process.join()
        return judge(reader, acknowledged, vkeys, (whole, single, seed, time.monotonic() - begun))


def judge(
    reader: rig.Reader,
    acknowledged: list[Path],
    vkeys: tuple[str, ...],
    done: tuple[int, int, int, float],
) -> int:
    """Look at what is left."""
    rig.wait_for_database()
    size = rig.finish(vkeys)
    reader.look()
    told, lost, doubled = rig.lost_and_doubled(acknowledged)
    checkpoints, wrong = rig.checkpoints_differ(vkeys)
    from registry.log import fsck  # noqa: PLC0415

    checked = fsck.check(vkeys)
    figures = {
        "seed": done[2],
        "seconds": round(done[3], 1),
        "sequencer_kills": KILLS,
        "postmaster_kills": done[0],
        "backend_kills": done[1],
        "entries": size,
        "acknowledged": told,
        "checkpoints_stored": checkpoints,
        "checkpoints_seen_outside": len(reader.seen),
        "consistency_proofs": reader.consistencies,
    }
    bars = {
        "acknowledged_and_lost": at_most(lost, 0),
        "gaps_and_doubles": at_most(doubled, 0),
        "checkpoints_wrong": at_most(wrong, 0),
        "exported_files_wrong": at_most(rig.export_differs(reader.folder, size), 0),
        "entries_that_fsck_verified": at_least(checked, max(size, 1)),
        "sequencer_kills": at_least(KILLS, KILLS),
        "postgres_kills": at_least(done[0] + done[1], 2 * DATABASE_KILLS),
    }
    return report("log-chaos", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
