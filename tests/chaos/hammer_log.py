"""Hammer the log: writers through the services, readers who check every proof they are shown.

`python -m tests.chaos.hammer_log` (`make hammer`): six writers of events, one that enrols people's
keys through the registry, and three readers, for ten minutes (QUICK=1: 20 seconds). A reader
verifies the inclusion of every entry of the bundles it reads, receipts from the database, and the
consistency of every two checkpoints that it saw. Any failure ends the run with exit status 1.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.bench.report import QUICK, at_least, at_most, report, say
from tests.chaos import rig

SECONDS = 20 if QUICK else 600
WRITERS = 6
READERS = 3


def enrol(until: float) -> None:
    """People enrol keys: the log entry is written in the transaction of the registry's change."""
    from tests.world import human  # noqa: PLC0415

    number = 0
    while time.monotonic() < until:
        number += 1
        human(f"alice{number:06d}").enrol()
        time.sleep(0.1)


def read(number: int, until: float, result: Path) -> None:
    """Look, verify, count, and write down what was counted."""
    from registry.log import selectors  # noqa: PLC0415
    from registry.log.core import tlog_proof  # noqa: PLC0415

    spread = Random(number)  # noqa: S311
    vkeys = rig.pins()
    reader, receipts = rig.Reader(rig.exported(), vkeys), 0
    while time.monotonic() < until:
        head = reader.look()
        if head is None or head.size == 0:
            time.sleep(0.1)
            continue
        bundles = (head.size - 1) // 256
        reader.check_entries(head, sorted({bundles, spread.randint(0, bundles)}))
        index = spread.randrange(head.size)
        leaf = rig.payload(index)
        if tlog_proof.verify(selectors.tlog_proof(index), leaf, vkeys)[0] != index:
            raise RuntimeError(f"the receipt of {index} is for another entry")
        receipts += 1
        time.sleep(spread.uniform(0.2, 1.0))
    counts = {
        "checkpoints": len(reader.seen),
        "inclusions": reader.inclusions,
        "consistencies": reader.consistencies,
        "receipts": receipts,
    }
    result.write_text(json.dumps(counts))


def main() -> int:
    """Hammer, then check every entry once more under the last checkpoint."""
    with rig.site(), tempfile.TemporaryDirectory() as folder:
        from registry.services import keyring  # noqa: PLC0415

        keyring.create()
        until = time.monotonic() + SECONDS
        acknowledged = [Path(folder, f"writer{n}") for n in range(WRITERS)]
        results = [Path(folder, f"reader{n}") for n in range(READERS)]
        runner = rig.start(rig.sequence, 0.1)
        processes = [
            *(rig.start(rig.write, n, path, until, 0.02) for n, path in enumerate(acknowledged)),
            *(rig.start(read, n, until, path) for n, path in enumerate(results)),
            rig.start(enrol, until),
        ]
        while time.monotonic() < until:
            time.sleep(min(10.0, SECONDS / 4))
            say(f"{max(0, round(until - time.monotonic()))} s to go")
        for process in processes:
            process.join()
        failures = sum(process.exitcode != 0 for process in processes)
        runner.terminate()
        runner.join()
        failures += runner.exitcode != 0
        return judge(acknowledged, results, failures)


def judge(acknowledged: list[Path], results: list[Path], failures: int) -> int:
    """Count, and prove every entry."""
    vkeys = rig.pins()
    size = rig.finish(vkeys)
    last = rig.Reader(rig.exported(), vkeys)
    head = last.look()
    if head is None or head.size != size:
        raise RuntimeError("the export is behind")
    last.check_entries(head, list(range((size + 255) // 256)))
    told, lost, doubled = rig.lost_and_doubled(acknowledged)
    read = [json.loads(path.read_text()) for path in results if path.exists()]
    figures = {
        "seconds": SECONDS,
        "writers": WRITERS + 1,
        "readers": READERS,
        "entries": size,
        "acknowledged": told,
        **{f"{name}_by_readers": sum(one[name] for one in read) for name in read[0]},
        "inclusions_at_the_end": last.inclusions,
    }
    bars = {
        "failures": at_most(failures + len(results) - len(read), 0),
        "acknowledged_and_lost": at_most(lost, 0),
        "gaps_and_doubles": at_most(doubled, 0),
        "entries_proved_at_the_end": at_least(last.inclusions, size),
        "exported_files_wrong": at_most(rig.export_differs(last.folder, size), 0),
    }
    return report("log-hammer", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
