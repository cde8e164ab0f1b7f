"""One run with the real trainer and the shipped base: the agent, the gate and torch together."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from registry.services import approvals
from tests.services.studio import Studio, lora_sealed
from training.core import folder
from training.models import Delivery, Lora, TrainingJob
from training.services import delivery
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


def test_what_is_delivered_loads_in_diffusers_and_is_named_for_a1111_and_comfyui(studio, tmp_path):
    job = studio.queued()
    assert studio.run().state == "finished"
    lora = lora_sealed(job=TrainingJob.objects.get(pk=job.pk))
    assert isinstance(lora, Lora), lora
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert isinstance(made, Delivery), made
    place = tmp_path / made.pk
    place.mkdir()
    for name, data in studio.opened(delivery.delivery_fetch(link=made.link)).items():
        (place / name).write_bytes(data)
    adapter = place / folder.adapter_name(lora.pk)
    measured = _evaluated(adapter)
    assert measured["loaded"] == measured["in_file"] > 100
    assert measured["change"] > 0
    assert measured["restored"] == 0
    assert _unknown_to_readers(adapter) == []


def _evaluated(adapter: Path) -> dict[str, Any]:
    """`pipe.load_lora_weights(folder, weight_name=…)` in a process of its own."""
    command = [sys.executable, "-m", "training.trainer.evaluate"]
    command += ["--base", str(BASE), "--adapter", str(adapter)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _unknown_to_readers(adapter: Path) -> list[str]:
    """The keys that A1111 or ComfyUI would not load.

    Both make their list of names from the model's own layers: `lora_unet_` and the UNet's path, or
    `lora_te_text_model_` and the text encoder's, with `_` for `.`; each with lora_up, lora_down and
    alpha.
    """
    known = set()
    for part, prefix in (("unet", "lora_unet_"), ("text_encoder", "lora_te_text_model_")):
        (file,) = (BASE / part).glob("*.safetensors")
        with safe_open(str(file), framework="numpy") as layers:
            paths = [name.removesuffix(".weight") for name in layers.keys()]  # noqa: SIM118
        known |= {prefix + path.removeprefix("text_model.").replace(".", "_") for path in paths}
    endings = (".lora_down.weight", ".lora_up.weight", ".alpha")
    wanted = {stem + ending for stem in known for ending in endings}
    with safe_open(str(adapter), framework="numpy") as file:
        keys = set(file.keys())
    whole = {key.partition(".")[0] for key in keys}
    missing = {stem + ending for stem in whole for ending in endings} - keys
    return sorted((keys - wanted) | missing)
