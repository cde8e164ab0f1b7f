"""What the gate costs a run: at its start, and while it trains. `make bench-gate`.

    python -m tests.bench.bench_gate          (about two minutes; QUICK=1: half of one)

At the start: from the claim to the trainer's word "verified", with twenty photographs of twelve
megapixels: claim and mint, manifest, twenty sealed objects, redemption, the trainer's own start,
its verification of everything, unsealing, hashing, the Merkle root. Both sides hash the base model;
one plain `hashlib` pass over the same bytes is measured beside it and taken off.

While it trains: what ten minutes spend on leases, on both sides of the pipe, as processor time:
the worker's signed request and the parsing of its answer, the trainer's check of a fresh list, and
the question before every step, at the step time of the tiny base measured in this very run. The
registry answers in this process and over no network: its own work is not the worker's.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bench.report import QUICK, at_most, report, say
from tests.chaos import rig

PICTURES = 20
SIZE = (4000, 3000)
BASE_BYTES = (64 if QUICK else 1024) << 20
STARTS = 3
RUN_S = 600.0
ROUNDS = 50 if QUICK else 200


def photograph(seed: int) -> bytes:
    """Twelve megapixels that are like no other: soft blobs under grain, as a camera would file."""
    dice = np.random.default_rng(seed)
    small = dice.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    grain = dice.normal(0, 6, (SIZE[1], SIZE[0], 1)).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def studio_of(folder: Path) -> Any:
    """A queued job about twenty such photographs and a base of some size."""
    from tests.services.studio import Studio  # noqa: PLC0415
    from tests.world import make_world  # noqa: PLC0415
    from training.services import datasets  # noqa: PLC0415

    class Large(Studio):
        """Twenty photographs of twelve megapixels; a base of a gibibyte."""

        def use_base(self) -> Path:
            base = super().use_base()
            with (base / "weights.safetensors").open("wb") as stream:
                block = np.random.default_rng(1).bytes(1 << 20)
                for _ in range(BASE_BYTES >> 20):
                    stream.write(block)
            return base

        def filled(self, count: int = PICTURES) -> Any:
            dataset = datasets.dataset_open(request=self.request)
            for seed in range(count):
                row = datasets.picture_add(dataset=dataset, data=photograph(seed))
                if hasattr(row, "code"):
                    raise RuntimeError(f"{row}")
            for seed in range(90, 93):
                datasets.reference_add(
                    dataset=dataset, talent=self.world.talent, data=photograph(seed)
                )
            self.declare(dataset)
            return dataset

    return Large(make_world(), folder, max_runs=STARTS)


def hashed_s(base: Path) -> float:
    """One pass of hashlib over the base's bytes, in seconds."""
    begun = time.perf_counter()
    for path in sorted(base.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                file_digest(stream, "sha256")
    return time.perf_counter() - begun


def start_s(studio: Any) -> float:
    """Seconds from the claim to "verified"; the run itself is short."""
    from training.models import TrainingJob  # noqa: PLC0415
    from training.services import jobs  # noqa: PLC0415

    if not TrainingJob.objects.filter(state="queued").exists():
        studio.queued() if not TrainingJob.objects.exists() else jobs.job_create(
            request=studio.request
        )
    told: list[float] = []

    def watch(event: Any) -> None:
        if event["event"] == "verified":
            told.append(time.perf_counter())

    begun = time.perf_counter()
    outcome = studio.run(watch)
    if outcome.state != "finished" or not told:
        raise RuntimeError(f"{outcome}")
    return told[0] - begun


def cpu_s(work: Callable[[], object], rounds: int) -> float:
    """Median processor seconds of one call, of this thread."""
    spent = []
    for _ in range(rounds):
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return statistics.median(spent)


class Canned:
    """A registry that gives one answer; what remains is the worker's own work."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __call__(self, _request: Any) -> Any:
        import httpx  # noqa: PLC0415

        return httpx.Response(200, content=self.body)


def leases(studio: Any) -> dict[str, float]:
    """Processor seconds of one renewal: asked by the agent, checked by the trainer; of one step."""
    import httpx  # noqa: PLC0415

    from registry.core import status_list  # noqa: PLC0415
    from registry.services import keyring, tokens  # noqa: PLC0415
    from training.trainer.lease import Lease  # noqa: PLC0415

    now = datetime.now(UTC)
    listed = tokens.status_list_issue()
    answer = {
        "status_list": listed,
        "lease_until": (now + timedelta(seconds=9)).isoformat(),
        "stop_code": None,
    }
    client = studio.client(transport=httpx.MockTransport(Canned(json.dumps(answer).encode())))
    points = [(n, 0.1) for n in range(40)]
    asked = cpu_s(partial(client.lease, "job_" + "0" * 20, 1, 40, points), ROUNDS)

    trust = keyring.trust_root()
    uri = status_list_uri(listed)
    signer = keyring.status_signer()
    statuses = dict.fromkeys(range(1000), 0)
    fresh = [
        status_list.sign(statuses, uri=uri, signer=signer, at=now + timedelta(seconds=n), ttl_s=60)
        for n in range(ROUNDS)
    ]
    moment = [now]
    lease = Lease(trust, uri=uri, index=7, ends_at=now + timedelta(hours=1), now=lambda: moment[0])
    spent = []
    for number, text in enumerate(fresh):
        moment[0] = now + timedelta(seconds=number)
        line = json.dumps({"status_list": text})
        begun = time.thread_time()
        if not lease.renew(json.loads(line)["status_list"]):
            raise RuntimeError("a fresh list was not taken")
        spent.append(time.thread_time() - begun)
    step = cpu_s(lambda: [lease.code() for _ in range(1000)], 20) / 1000
    return {"asked": asked, "checked": statistics.median(spent), "step": step}


def status_list_uri(listed: str) -> str:
    """The list's own address, as its subject says."""
    from registry.log.core import canonical  # noqa: PLC0415

    claims = canonical.loads(canonical.unb64u(listed.split(".")[1]))
    return str(claims["sub"])


STEP = """
import sys, time
from pathlib import Path
from tests.trainer.people import BASE, photographs
from training.trainer import dataset
from training.trainer.config import load_preset
from training.trainer.loop import Hooks, run_training
import dataclasses
recipe = dataclasses.replace(load_preset("tiny_cpu"), steps=int(sys.argv[1]), samples=0)
times = []
hooks = Hooks(lambda: None, lambda *_: times.append(time.perf_counter()), lambda *_: None,
              lambda _: None, lambda: None)
images = dataset.prepare(photographs(14), [None] * 14, resolution=recipe.resolution,
                         margin=recipe.face_margin)
run_training(images, recipe, BASE, hooks)
print((times[-1] - times[9]) / (len(times) - 10))
"""


def step_s() -> float:
    """Seconds of one step on the tiny base, without any gate."""
    command = [sys.executable, "-c", STEP, "40" if QUICK else "100"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(said.stdout.splitlines()[-1])


def main() -> int:
    """Measure, and hold it against the bars."""
    with rig.site(), tempfile.TemporaryDirectory() as folder:
        from django.conf import settings  # noqa: PLC0415
        from django.test.utils import setup_test_environment  # noqa: PLC0415

        from registry.log import sequencer  # noqa: PLC0415
        from registry.services import keyring  # noqa: PLC0415
        from training import tasks  # noqa: PLC0415
        from training.worker import agent  # noqa: PLC0415

        setup_test_environment(debug=False)  # the registry answers in this process
        keyring.create()
        settings.STORAGE_DIR = Path(folder) / "storage"
        vars(tasks)["wake_sealer"] = lambda _job_id: None
        stop = threading.Event()
        signers = sequencer.load_signers()
        runner = threading.Thread(target=sequence, args=(signers, stop))
        runner.start()
        try:
            say(f"making {PICTURES} photographs of 12 MP and a base of {BASE_BYTES >> 20} MiB")
            studio = studio_of(Path(folder) / "studio")
            studio.queued()
            hashed_s(studio.base_dir)
            base = statistics.median(hashed_s(studio.base_dir) for _ in range(3))
            started = statistics.median(start_s(studio) for _ in range(STARTS))
            spent = leases(studio)
            renewals = RUN_S / (settings.LEASE_SECONDS / agent.RENEWALS_PER_LEASE)
        finally:
            stop.set()
            runner.join()
        step = step_s()
    steps = RUN_S / step
    cost = renewals * (spent["asked"] + spent["checked"]) + steps * spent["step"]
    figures = {
        "pictures": PICTURES,
        "base_mib": BASE_BYTES >> 20,
        "hashlib_base_s": base,
        "start_s": started,
        "renewals_in_ten_minutes": renewals,
        "renewal_worker_cpu_ms": spent["asked"] * 1e3,
        "renewal_trainer_cpu_ms": spent["checked"] * 1e3,
        "question_before_a_step_us": spent["step"] * 1e6,
        "step_of_the_tiny_base_ms": step * 1e3,
        "steps_in_ten_minutes": steps,
    }
    bars = {
        "start_beyond_one_hash_of_the_base_s": at_most(started - base, 2.0),
        "share_of_a_ten_minute_run_percent": at_most(100 * (cost + started - base) / RUN_S, 1.0),
    }
    return report("gate", figures, bars)


def sequence(signers: Any, stop: threading.Event) -> None:
    """The log's sequencer beside us: a mint waits for it."""
    from django.db import connections  # noqa: PLC0415

    from registry.log import sequencer  # noqa: PLC0415

    try:
        sequencer.run(signers, stop, interval=0.1)
    finally:
        connections.close_all()


if __name__ == "__main__":
    sys.exit(main())
