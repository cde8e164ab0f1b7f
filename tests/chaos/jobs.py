"""Break everything around training jobs, one thing after another; then look at what is left.

`python -m tests.chaos.jobs` (`make job-chaos`): 108 faults over three brokers (PostgreSQL's queue,
RabbitMQ, Redis), each with the whole site as real processes: web, sequencer, two Celery workers,
PostgreSQL, a worker agent, its trainer. QUICK=1: a sixth, on the queue in PostgreSQL. SEED picks
the order. What must hold afterwards is in `looking`, which `tests/services/test_job_chaos.py` shows
to fail for each thing that it looks for.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.bench.report import QUICK, at_least, at_most, report, say
from tests.chaos import brokers, rig
from tests.chaos.looking import Seen, look
from tests.chaos.site import Site

BROKERS: Final = ("pgmq",) if QUICK else ("pgmq", *brokers.KINDS)
ROUNDS: Final = 1 if QUICK else 3  # of every fault, for each broker
SETTLE_S: Final = 240.0
FULL_DISK: Final = 20_000  # bytes that a file may have: no adapter, no grid


def pool_child(site: Site, _dice: Random) -> None:
    """kill -9 of the pool's child: the one that runs the agent."""
    for pid in site.children("gpu")[:1]:
        _kill(pid)


def worker(site: Site, _dice: Random) -> None:
    """kill -9 of the GPU's Celery worker."""
    site.again("gpu")
    site.wait("gpu")


def other_worker(site: Site, _dice: Random) -> None:
    """kill -9 of the worker that seals and sweeps, with its beat."""
    site.again("worker")
    site.wait("worker")


def the_broker(site: Site, _dice: Random) -> None:
    """kill -9 of the broker; it comes back empty."""
    if site.broker is None:
        site.kill_postgres()
        return
    site.broker.kill()
    time.sleep(0.5)
    site.broker.start()


def postgres(site: Site, _dice: Random) -> None:
    """kill -9 of PostgreSQL."""
    site.kill_postgres()


def web(site: Site, _dice: Random) -> None:
    """kill -9 of the web process."""
    for pid in site.children("web"):
        _kill(pid)
    site.again("web")
    site.wait("web")


def sequencer(site: Site, _dice: Random) -> None:
    """kill -9 of the sequencer."""
    site.again("sequencer")


def trainer(site: Site, dice: Random) -> None:
    """kill -9 of a trainer, wherever it is: also in the middle of a save."""
    _until(lambda: bool(site.trainers()), 20)
    time.sleep(dice.uniform(0, 1.5))
    for pid in site.trainers():
        _kill(pid)


def doubled(site: Site, _dice: Random) -> None:
    """The same message five times."""
    for _ in range(5):
        site.send({"name": "training.nudge_worker"})


def forged(site: Site, _dice: Random) -> None:
    """Messages that nobody of ours wrote."""
    site.send({"name": "training.seal_lora", "args": ["job_" + "0" * 20], "queue": "default"})
    site.send({"name": "training.seal_lora", "args": ["../../etc/passwd"], "queue": "default"})
    site.send({"name": "training.nudge_worker", "args": [{"job_id": "job_1", "token": "x"}]})
    site.send({"name": "os.system", "args": ["true"]})


def late(site: Site, _dice: Random) -> None:
    """A message that comes two hours late: the row does not wait for it."""
    site.purge()
    site.send({"name": "training.nudge_worker", "countdown": 7200})


def lost(site: Site, _dice: Random) -> None:
    """Every waiting message is gone."""
    site.purge()


def disk_full(site: Site, _dice: Random) -> None:
    """No file of any size can be written by the worker for a while."""
    pids = [site.running["gpu"].pid, *site.children("gpu")]
    for pid in pids:
        _limit(pid, FULL_DISK)
    time.sleep(4)
    for pid in {*pids, *site.children("gpu")}:
        _limit(pid, resource.RLIM_INFINITY)


def cut(site: Site, dice: Random) -> None:
    """The network between worker and registry: refused, or silent."""
    site.wire.cut(dice.choice(("refuse", "silence")))
    time.sleep(dice.uniform(1, 6))
    site.wire.cut("through")


FAULTS: Final[tuple[Callable[[Site, Random], None], ...]] = (
    pool_child,
    worker,
    other_worker,
    the_broker,
    postgres,
    web,
    sequencer,
    trainer,
    doubled,
    forged,
    late,
    lost,
)
TWICE: Final = (trainer, pool_child, cut, disk_full)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        say(f"process {pid} was gone already")


def _limit(pid: int, size: int) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    except (ProcessLookupError, PermissionError):
        say(f"process {pid} was gone already")


def _until(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def run(site: Site, studio: Any, dice: Random, seen: Seen) -> Counter[str]:
    """Every fault, in an order of the dice, while jobs run; what each was called and how often."""
    from django.db import Error  # noqa: PLC0415

    from training.models import TrainingJob  # noqa: PLC0415

    plan = [*FAULTS, *TWICE, *TWICE] * ROUNDS
    dice.shuffle(plan)
    done: Counter[str] = Counter()
    for number, fault in enumerate(plan, 1):
        waiting = TrainingJob.objects.filter(state__in=("queued", "claimed", "training")).count()
        for _ in range(max(0, 3 - waiting)):
            seen.created.add(queued(studio))
        if number % 2:
            site.send({"name": "training.nudge_worker"})
        seen.watch(site, dice.uniform(0.2, 2.5))
        fault(site, dice)
        done[fault.__name__] += 1
        for name in site.revive():
            say(f"{name} had ended and was started again")
        try:
            seen.watch(site, dice.uniform(0.1, 1.0))
        except Error:
            rig.wait_for_database()
        if number % 6 == 0:
            states = Counter(TrainingJob.objects.values_list("state", flat=True))
            say(f"{site.kind}: {number} of {len(plan)} faults; jobs: {dict(states)}")
    return done


def queued(studio: Any) -> str:
    """A new job; when a grant's runs are used up, a new request that everybody signs."""
    from training.models import TrainingJob  # noqa: PLC0415
    from training.services import jobs  # noqa: PLC0415

    made = jobs.job_create(request=studio.request)
    if not isinstance(made, TrainingJob):
        studio.request = studio.new_request()
        studio.approved()
        made = jobs.job_create(request=studio.request)
    if not isinstance(made, TrainingJob):
        raise RuntimeError(f"no job: {made}")
    return made.pk


def settle(site: Site, seen: Seen) -> None:
    """Nothing is broken any more: everything comes to an end by itself."""
    from training.models import TrainingJob  # noqa: PLC0415
    from training.services.faults import LIVE  # noqa: PLC0415

    end = time.monotonic() + SETTLE_S
    while TrainingJob.objects.filter(state__in=LIVE).exists() and time.monotonic() < end:
        site.revive()
        seen.watch(site, 1.0)
    _until(lambda: not site.trainers(), 20)


def studio_of(folder: Path, url: str) -> Any:
    """A request that everybody approved, and a worker of its own."""
    from django.conf import settings  # noqa: PLC0415

    import tests.world  # noqa: PLC0415
    from tests.services.studio import Studio  # noqa: PLC0415
    from tests.trainer.people import BASE  # noqa: PLC0415

    class Real(Studio):
        """The shipped base, and few steps."""

        def use_base(self) -> Path:
            return BASE

    settings.PUBLIC_URL = vars(tests.world)["ORIGIN"] = url
    quick = {"batch": 1, "prior_images": 1, "prior_batch": 1, "samples": 1, "sample_steps": 2}
    studio = Real(tests.world.make_world(), folder, steps=30, max_runs=20, knobs=quick)
    studio.approved()
    return studio


def main() -> int:
    """Break and look, on each broker; the exit status says whether everything held."""
    seed = int(os.environ.get("SEED", "1"))
    dice, begun = Random(seed), time.monotonic()  # noqa: S311
    faults: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for kind in BROKERS:
        wanted = None if kind == "pgmq" else brokers.missing(kind)
        if wanted:
            raise SystemExit(f"NO {kind.upper()}: {wanted}")
        with rig.site() as server:
            from django.conf import settings  # noqa: PLC0415

            from registry.services import keyring  # noqa: PLC0415

            home = rig.exported().parent / "home"
            settings.STORAGE_DIR = home / "storage"
            keyring.create()
            site = Site(server, home, kind)
            studio = studio_of(home, site.url)
            seen = Seen()
            say(f"{kind}: starting the site")
            with site.up():
                faults += run(site, studio, dice, seen)
                settle(site, seen)
                found, counted = look(site, seen)
            violations += found
            totals += counted
            for name, count in found.items():
                say(f"VIOLATION {name}: {count}")
    figures: dict[str, Any] = {"seed": seed, "seconds": round(time.monotonic() - begun)}
    figures |= {f"fault_{name}": count for name, count in sorted(faults.items())}
    figures |= dict(sorted(totals.items()))
    bars = {"faults": at_least(faults.total(), 20 if QUICK else 100)}
    bars |= {name: at_most(violations[name], 0) for name in sorted(LOOKED_FOR)}
    return report("job-chaos", figures, bars)


LOOKED_FOR: Final = (
    "run_without_token",
    "double_run",
    "lost_job",
    "half_written",
    "no_end",
    "no_reason",
    "left_behind",
    "fsck",
)


if __name__ == "__main__":
    sys.exit(main())
