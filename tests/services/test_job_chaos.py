"""The chaos run's looking finds each thing that it looks for: planted here, one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from registry.log.append import append
from registry.models import Grant, Token
from tests.chaos import jobs, looking
from tests.services.studio import Studio
from tests.world import World, sequence
from training.models import Lora, SamplePicture, SampleSheet, TrainingJob
from training.services import sealing
from training.services.objects import object_store


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """A job that ran to its end and was sealed."""
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LEASE_SECONDS = 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    studio = Studio(world, tmp_path)
    job = studio.queued()
    assert studio.run().state == "finished"
    assert not hasattr(sealing.lora_seal(job=job), "code")
    sequence()
    return studio


def rows() -> list[TrainingJob]:
    return list(TrainingJob.objects.select_related("grant"))


def test_an_honest_run_is_found_to_be_one(studio: Studio, settings: Any) -> None:
    assert looking.without_token(rows()) == 0
    assert looking.double_runs() == []
    assert looking.without_reason(rows()) == 0
    assert looking.half_written(Path(settings.STORAGE_DIR)) == 0
    assert looking.left_behind(studio.folder) == 0


def test_a_run_without_a_redeemed_token_is_found(studio: Studio) -> None:
    Token.objects.update(redeemed_at=None)
    Grant.objects.update(runs_used=0)
    assert looking.without_token(rows()) > 0


def test_a_redemption_that_was_not_counted_is_found(studio: Studio) -> None:
    Grant.objects.update(runs_used=0)
    assert looking.without_token(rows()) == 1


def test_an_end_that_is_told_twice_is_found(studio: Studio) -> None:
    job = TrainingJob.objects.get()
    append("run.finished", {"job_id": job.pk, "attempt": job.attempt})
    append("run.finished", {"job_id": job.pk, "attempt": job.attempt})
    sequence()
    assert looking.double_runs() == [f"{job.pk} run.finished"]


def test_more_redemptions_than_attempts_are_found(studio: Studio) -> None:
    TrainingJob.objects.update(attempt=0)
    assert looking.double_runs() == [TrainingJob.objects.get().pk]


def test_two_trainers_of_one_job_are_seen() -> None:
    seen = looking.Seen()
    seen.processes({1: "job_a", 2: "job_b"})
    assert not seen.beside
    seen.processes({1: "job_a", 2: "job_a"})
    assert seen.beside == Counter({"job_a": 1})


@pytest.mark.parametrize("member", ["refusal_code", "ended_event"])
def test_an_end_without_a_reason_is_found(studio: Studio, member: str) -> None:
    ended = {"state": "failed", "refusal_code": "worker_stopped", "ended_event": "evt_1"}
    TrainingJob.objects.update(**(ended | {member: ""}), finished_at=timezone.now())
    assert looking.without_reason(rows()) == 1


def test_half_an_object_is_found(studio: Studio, settings: Any) -> None:
    folder = Path(settings.STORAGE_DIR)
    path = next((folder / "objects").rglob(object_store(b"x" * 100)))
    path.chmod(0o600)
    path.write_bytes(b"x" * 50)
    assert looking.half_written(folder) == 1


def test_a_lora_that_does_not_open_is_found(studio: Studio, settings: Any) -> None:
    SamplePicture.objects.all().delete()
    SampleSheet.objects.all().delete()
    TrainingJob.objects.get().lora.delete()
    job = TrainingJob.objects.get()
    lora = Lora(
        job=job, master_object="0" * 64, tensor_sha256="0" * 64, run_statement={}, sketch=b""
    )
    lora.save()
    assert looking.half_written(Path(settings.STORAGE_DIR)) == 1


@pytest.mark.parametrize("where", ["worker/jobs/job_1/out/adapter.safetensors", "tmp/pixels.png"])
def test_what_is_left_on_the_machine_is_found(studio: Studio, where: str) -> None:
    path = studio.folder / where
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert looking.left_behind(studio.folder) > 0


def test_every_fault_is_named_once_and_there_are_enough() -> None:
    each = len(jobs.FAULTS) + 2 * len(jobs.TWICE)
    assert len({fault.__name__ for fault in (*jobs.FAULTS, *jobs.TWICE)}) == 14
    assert each * 3 * 3 >= 100
