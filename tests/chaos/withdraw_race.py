"""Withdraw at any moment of a run, again and again; then look at what is left of it.

`python -m tests.chaos.withdraw_race` (`make withdraw-race`): 50 runs of the real trainer on the
tiny base through the real agent, QUICK=1: 5. The talent withdraws at a random moment between the
claim and a while after sealing. What must hold: before the seal, the run stops within one step of
the trainer's hearing of it and within five seconds of her tap, its folder is empty, no LoRA ever
exists; after the seal it is frozen and nothing is delivered.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.bench.report import QUICK, at_least, at_most, report, say
from tests.chaos import rig

TIMES: Final = 5 if QUICK else 50
BOUND_S: Final = 5.0
STEPS: Final = 60


class Once:
    """One run and the withdrawal in it."""

    def __init__(self, studio: Any, grant: Any, wait: float) -> None:
        self.studio, self.grant, self.wait = studio, grant, wait
        self.outcome: Any = None
        self.lora: Any = None
        self.ended = self.tapped = 0.0
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self._verified = threading.Event()

    def whole(self) -> None:
        """Run in a thread; withdraw here, after the wait; join."""
        runner = threading.Thread(target=self._run)
        runner.start()
        if not self._verified.wait(60):
            raise TimeoutError("the trainer never began")
        time.sleep(self.wait)
        from registry.services import approvals  # noqa: PLC0415

        alice = self.studio.world.alice.person
        refusal = approvals.approval_withdraw(person=alice, grant=self.grant)
        self.tapped = time.monotonic()
        if refusal is not None:
            raise RuntimeError(f"{refusal}")
        runner.join(120)

    def _run(self) -> None:
        from django.db import connections  # noqa: PLC0415

        from tests.services.studio import lora_sealed  # noqa: PLC0415
        from training.models import TrainingJob  # noqa: PLC0415

        try:
            self.outcome = self.studio.run(self._watch)
            self.ended = time.monotonic()
            if self.outcome.state == "finished":
                job = TrainingJob.objects.get(pk=self.outcome.job_id)
                self.lora = lora_sealed(job=job)
        finally:
            self._verified.set()
            connections.close_all()

    def _watch(self, event: dict[str, Any]) -> None:
        self.heard.append((time.monotonic(), event))
        if event["event"] == "verified":
            self._verified.set()

    def steps_after(self) -> int:
        """Steps between the last one that was told and the one at which it stopped."""
        told = [e["step"] for _, e in self.heard if e["event"] == "progress"]
        stops = [e["step"] for _, e in self.heard if e["event"] == "stopped"]
        return (stops[0] - max(told, default=0)) if stops else 0


def judge(once: Once) -> tuple[str, list[str]]:
    """How it ended, and everything that must not be."""
    from training.models import Lora, TrainingJob  # noqa: PLC0415
    from training.services import delivery, sealing  # noqa: PLC0415

    wrong = []
    job = TrainingJob.objects.get(pk=once.outcome.job_id)
    if once.studio.job_folders():
        wrong.append("folder_not_empty")
    lora = Lora.objects.filter(job=job).first()
    if isinstance(once.lora, Lora):
        sealing.lora_freeze_sweep()
        lora = Lora.objects.get(pk=once.lora.pk)
        if lora.state != Lora.State.FROZEN:
            wrong.append("not_frozen")
        made = delivery.delivery_make(lora=lora, recipient=once.studio.world.client)
        if not hasattr(made, "code"):
            wrong.append("delivered")
        return "sealed and frozen", wrong
    if lora is not None:
        wrong.append("lora_exists")
    if once.outcome.state == "finished":  # handed in, and the grant was gone before the seal
        return "finished, never sealed", wrong
    if (once.outcome.state, once.outcome.code) != ("stopped", "withdrawn") or once.outcome.left:
        wrong.append("not_stopped")
    if once.ended - once.tapped > BOUND_S:
        wrong.append("too_slow")
    if once.steps_after() > 1:
        wrong.append("a_step_more")
    report_ = job.stop_report or {}
    if report_.get("wiped") and report_["wiped"]["left"]:
        wrong.append("not_wiped")
    return "stopped", wrong


def main() -> int:
    """Withdraw, look, print; the exit status says whether everything held."""
    seed = int(os.environ.get("SEED", "1"))
    dice = Random(seed)  # noqa: S311
    ways: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    slow: list[float] = []
    with rig.site():
        from django.conf import settings  # noqa: PLC0415
        from django.test.utils import setup_test_environment  # noqa: PLC0415

        from registry.services import keyring  # noqa: PLC0415
        from tests.services.studio import Studio  # noqa: PLC0415, lora_sealed
        from tests.trainer.people import BASE  # noqa: PLC0415
        from tests.world import make_world  # noqa: PLC0415
        from training import tasks  # noqa: PLC0415
        from training.services import jobs  # noqa: PLC0415
        from training.worker import agent  # noqa: PLC0415

        class Real(Studio):
            """The shipped base and the real trainer."""

            def use_base(self) -> Path:
                return BASE

            def config(self, name: str = "worker", trainer: Path | None = None) -> agent.Config:
                values = vars(super().config(name))
                return agent.Config(**{**values, "bases": (BASE,), "trainer": agent.TRAINER})

        setup_test_environment(debug=False)  # the registry answers in this process
        vars(tasks)["wake_sealer"] = lambda _job_id: None
        settings.STORAGE_DIR = rig.exported().parent / "storage"
        settings.LEASE_SECONDS = 3
        keyring.create()
        runner = rig.start(rig.sequence, 0.1)
        quick = {"batch": 1, "prior_images": 1, "prior_batch": 1, "samples": 1, "sample_steps": 2}
        home = rig.exported().parent / "studio"
        studio = Real(make_world(), home, steps=STEPS, max_runs=1, knobs=quick)
        for number in range(1, TIMES + 1):
            if number > 1:
                studio.request = studio.new_request()
            grant = studio.approved()
            jobs.job_create(request=studio.request)
            once = Once(studio, grant, dice.uniform(0, 14))
            once.whole()
            way, found = judge(once)
            ways[way] += 1
            wrong.update(found)
            if way == "stopped":
                slow.append(once.ended - once.tapped)
            if found or number % 5 == 0:
                say(f"{number} of {TIMES}: {way} {found or ''}")
        runner.terminate()
        runner.join()
    figures: dict[str, Any] = {"seed": seed, **dict(ways)}
    if slow:
        figures |= {"stop_median_s": statistics.median(slow), "stop_worst_s": max(slow)}
    names = [*("folder_not_empty", "lora_exists", "not_frozen", "delivered", "not_stopped")]
    names += ["too_slow", "a_step_more", "not_wiped"]
    bars = {"withdrawals": at_least(ways.total(), TIMES)}
    bars |= {name: at_most(wrong[name], 0) for name in names}
    return report("withdraw-race", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
