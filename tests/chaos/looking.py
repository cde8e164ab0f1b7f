"""What must hold after jobs were broken in every way, and the looking for it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.report import say

if TYPE_CHECKING:
    from tests.chaos.site import Site


@dataclass
class Seen:
    """What was seen from outside while things broke."""

    created: set[str] = field(default_factory=set)
    # Moments at which two trainers of one job lived beside each other.
    beside: Counter[str] = field(default_factory=Counter)

    def watch(self, site: Site, seconds: float) -> None:
        """Look at the machine's processes for a while."""
        end = time.monotonic() + seconds
        while True:
            self.processes(site.trainers())
            if time.monotonic() > end:
                return
            time.sleep(0.1)

    def processes(self, trainers: dict[int, str]) -> None:
        """Count jobs that two processes train at this moment."""
        for job, count in Counter(trainers.values()).items():
            if count > 1:
                self.beside[job] += 1


def look(site: Site, seen: Seen) -> tuple[Counter[str], dict[str, int]]:
    """Violations by name, none of them allowed; and what was counted."""
    from training.models import Lora, TrainingJob  # noqa: PLC0415

    found: Counter[str] = Counter()
    rows = list(TrainingJob.objects.select_related("grant"))
    found["lost_job"] += len(seen.created - {job.pk for job in rows})
    found["run_without_token"] += without_token(rows)
    doubled = double_runs()
    if seen.beside or doubled:
        say(f"two trainers beside each other: {dict(seen.beside)}; told twice: {doubled}")
    found["double_run"] += len(seen.beside) + len(doubled)
    found["no_end"] += sum(job.state in ("claimed", "training", "finalising") for job in rows)
    found["no_end"] += sum(job.state == "queued" for job in rows)
    found["no_reason"] += without_reason(rows)
    found["half_written"] += half_written(Path(site.env["KYODAKU_STORAGE_DIR"]))
    found["left_behind"] += len(site.trainers()) + left_behind(site.home)
    found["fsck"] += fsck(site)
    states = Counter(job.state for job in rows)
    counted = {f"jobs_{state}": count for state, count in states.items()}
    counted["jobs"] = len(rows)
    counted["attempts"] = sum(job.attempt for job in rows)
    counted["loras"] = Lora.objects.count()
    return +found, counted


def without_token(rows: list[Any]) -> int:
    """Jobs that trained without a redeemed token of their own, and redemptions not counted."""
    from registry.models import Token  # noqa: PLC0415

    redeemed = list(Token.objects.filter(redeemed_at__isnull=False))
    by_job = Counter(token.job_id for token in redeemed)
    trained = [job for job in rows if job.state in ("training", "finalising", "done")]
    wrong = sum(not by_job[job.pk] for job in trained)
    wrong += sum(
        not Token.objects.filter(jti=job.token_jti, redeemed_at__isnull=False).exists()
        for job in trained
    )
    grants = {job.grant_id: job.grant for job in rows}
    for grant in grants.values():
        grant.refresh_from_db()
        wrong += grant.runs_used != sum(token.grant_id == grant.pk for token in redeemed)
    return wrong


def double_runs() -> list[str]:
    """Jobs that the log tells twice of: one end, one LoRA; and more redemptions than attempts."""
    from registry.log.core import canonical  # noqa: PLC0415
    from registry.log.models import Entry  # noqa: PLC0415
    from registry.models import Token  # noqa: PLC0415
    from training.models import TrainingJob  # noqa: PLC0415

    told: Counter[tuple[str, str, int]] = Counter()
    kinds = ("run.finished", "run.failed", "run.stopped", "lora.sealed")
    for row in Entry.objects.filter(event_type__in=kinds):
        event = canonical.loads(bytes(row.payload))
        data = event["data"]  # a run that broke and is tried again is told once an attempt
        told[event["type"], data["job_id"], data.get("attempt", 0)] += 1
    redeemed = Counter(
        Token.objects.filter(redeemed_at__isnull=False).values_list("job_id", flat=True)
    )
    attempts = dict(TrainingJob.objects.values_list("id", "attempt"))
    twice = [f"{job} {kind}" for (kind, job, _attempt), count in told.items() if count > 1]
    return twice + [job for job, count in redeemed.items() if count > attempts.get(job, 0)]


def without_reason(rows: list[Any]) -> int:
    """Jobs that ended without what they were for, and do not say why."""
    ended = [job for job in rows if job.state in ("failed", "refused", "stopped")]
    return sum(not job.refusal_code or not job.ended_event for job in ended)


def half_written(storage: Path) -> int:
    """Stored objects that are not what their names say, and LoRAs that cannot be opened."""
    from registry.core.refusals import Refusal  # noqa: PLC0415
    from training.models import Lora  # noqa: PLC0415
    from training.services import sealing  # noqa: PLC0415

    wrong = 0
    for path in (storage / "objects").rglob("*"):
        if path.is_file() and not path.name.endswith(".part"):
            wrong += hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    for lora in Lora.objects.select_related("job__request", "job__dataset"):
        wrong += isinstance(sealing.lora_master(lora), Refusal)
    return wrong


def left_behind(home: Path) -> int:
    """Files of jobs, and scratch files, that the worker still holds."""
    work = home / "worker" / "jobs"
    jobs = [path for path in work.rglob("*") if path.name != ".lock"]
    scratch = [path for path in (home / "tmp").rglob("*") if path.is_file()]
    return len(jobs) + len(scratch)


def fsck(site: Site) -> int:
    """Whether the log and the rows disagree; the program says so by its exit status."""
    import subprocess  # noqa: PLC0415

    from registry.local.processes import ROOT, manage  # noqa: PLC0415

    command = [str(part) for part in manage("fsck")]
    done = subprocess.run(
        command, env=dict(site.env), cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode:
        say((done.stdout + done.stderr)[-800:])
    return int(done.returncode != 0)
