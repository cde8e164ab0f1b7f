"""One run with the real trainer and the shipped base: the agent, the gate and torch together."""

from pathlib import Path

import pytest

from registry.services import approvals
from tests.services.studio import Studio, lora_sealed
from training.models import Lora, TrainingJob
from training.trainer import config
from training.trainer.base.digest import base_digest
from training.worker import agent

pytestmark = pytest.mark.ml
BASE = Path(config.__file__).parent / "base" / "kyodaku-tiny"


class RealStudio(Studio):
    """The shipped base instead of an empty folder, and the real trainer."""

    def use_base(self) -> Path:
        return BASE

    def config(self, name="worker", trainer=None):
        values = super().config(name)
        return agent.Config(
            **{**vars(values), "bases": (BASE,), "trainer": agent.TRAINER},
        )


@pytest.fixture
def studio(world, tmp_path, settings, monkeypatch) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    quick = {"batch": 2, "prior_images": 2, "prior_batch": 1, "samples": 1, "sample_steps": 2}
    return RealStudio(world, tmp_path, knobs=quick)


def test_the_real_trainer_makes_a_lora_that_can_be_sealed(studio):
    job = studio.queued()
    seen = []
    outcome = studio.run(seen.append)
    assert outcome.state == "finished", (outcome, seen[-1:])
    assert studio.base.sha256 == base_digest(BASE)
    assert any(event["event"] == "sample" for event in seen)
    lora = lora_sealed(job=TrainingJob.objects.get(pk=job.pk))
    assert isinstance(lora, Lora), lora
    assert lora.self_test["mode"] in ("open", "registry")


def test_a_withdrawal_stops_the_real_trainer_within_a_lease(studio, settings):
    settings.LEASE_SECONDS = 3
    studio.steps = 4000
    studio.request.delete()
    studio.request = studio.new_request()
    job = studio.queued()

    def watch(event):
        if event["event"] == "progress" and event["step"] == 3:
            refused = approvals.approval_withdraw(person=studio.world.alice.person, grant=job.grant)
            assert refused is None

    outcome = studio.run(watch)
    assert (outcome.state, outcome.code, outcome.left) == ("stopped", "withdrawn", 0)
    assert studio.job_folders() == []
