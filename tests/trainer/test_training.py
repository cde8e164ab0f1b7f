"""Training on the shipped base: it learns, it repeats, it resumes, and its file loads in full."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.trainer.people import BASE, QUICK, heavy, photographs
from tests.trainer.tiny_sdxl import save_tiny_sdxl
from training.core import fingerprint, weights
from training.core.watermark_code import Key
from training.trainer import dataset
from training.trainer.base import portraits
from training.trainer.lease import Interrupted, Stopped, TrainingFailed

LOOP = "training.trainer.loop"
pytestmark = [pytest.mark.ml, pytest.mark.filterwarnings("default")]


class Recorder:
    """Hooks that record, and act before a given step."""

    def __init__(self, *, at: int = -1, act: Exception | None = None, saved: bytes | None = None):
        self.at, self.act, self.saved = at, act, saved
        self.losses: list[float] = []
        self.stages: list[tuple[str, Any]] = []
        self.checks = 0

    def hooks(self):
        return heavy(LOOP).Hooks(
            self.before, self.progress, self.sample, self.save, lambda: self.saved
        )

    def before(self):
        self.checks += 1
        if self.act is not None and len(self.losses) == self.at:
            raise self.act

    def progress(self, step, steps, loss, eta_s):
        assert 0 < step <= steps
        assert eta_s >= 0
        self.losses.append(loss)

    def sample(self, stage, pictures):
        self.stages.append((stage, pictures))

    def save(self, data):
        self.saved = data


def train(recipe=QUICK, recorder=None, images=None):
    pixels = images if images is not None else prepared(recipe)
    recorder = recorder or Recorder()
    return heavy(LOOP).run_training(pixels, recipe, BASE, recorder.hooks())


def prepared(recipe=QUICK):
    return dataset.prepare(
        photographs(), [None] * 6, resolution=recipe.resolution, margin=recipe.face_margin
    )


@pytest.fixture(scope="module")
def whole():
    recorder = Recorder()
    return train(recorder=recorder), recorder


def test_a_run_reports_every_step_and_draws_at_start_middle_and_end(whole):
    tensors, recorder = whole
    assert len(recorder.losses) == QUICK.steps
    assert [stage for stage, _ in recorder.stages] == ["start", "middle", "end"]
    assert recorder.checks >= QUICK.steps
    assert all(np.isfinite(value).all() for value in tensors.values())
    assert any(value.any() for name, value in tensors.items() if ".lora_B." in name)


def test_an_adapter_covers_unet_and_text_encoder_and_alpha_is_the_rank(whole):
    tensors, _ = whole
    assert {name.partition(".")[0] for name in tensors} == {"unet", "text_encoder"}
    ranks = {value.shape[0] for name, value in tensors.items() if ".lora_A." in name}
    assert ranks == {QUICK.rank}
    assert not [name for name in tensors if "alpha" in name]


def test_every_tensor_of_the_file_is_loaded_and_the_picture_changes(whole, tmp_path):
    # Stronger than twelve steps make it, so that the change is no rounding.
    tensors = {k: v * (4 if ".lora_B." in k else 1) for k, v in whole[0].items()}
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(weights.write(tensors, {"format": "pt"}))
    effect = heavy("training.trainer.evaluate").evaluate(BASE, path, QUICK, seeds=(1,))
    assert effect.in_file == effect.loaded == len(tensors)
    assert effect.change > 0.001
    assert effect.restored == 0.0


def test_six_and_six_steps_are_twelve(whole):
    tensors, recorder = whole
    first = Recorder(at=6, act=Interrupted())
    with pytest.raises(Interrupted):
        train(recorder=first)
    second = Recorder(saved=first.saved)
    resumed = train(recorder=second)
    assert first.losses + second.losses == recorder.losses
    assert set(resumed) == set(tensors)
    for name, value in tensors.items():
        assert np.array_equal(resumed[name], value), name


def test_the_loras_of_two_people_are_no_relatives_at_the_same_seed(whole):
    """The same recipe for everybody is the rule; shared starting factors made strangers akin."""
    other = portraits.any_person(np.random.default_rng(3))
    pixels = dataset.prepare(
        photographs(person=other), [None] * 6, resolution=QUICK.resolution, margin=QUICK.face_margin
    )
    key = Key("1", bytes(32))
    one, two = (
        fingerprint.sketch(weights.Weights(dict(tensors)), key)
        for tensors in (whole[0], train(images=pixels))
    )
    assert abs(fingerprint.cosine(one, two)) < fingerprint.ALARM / 2


def test_a_stop_takes_effect_before_the_next_step():
    recorder = Recorder(at=3, act=Stopped("withdrawn"))
    with pytest.raises(Stopped, match="withdrawn"):
        train(recorder=recorder)
    assert len(recorder.losses) == 3
    assert recorder.saved is None


def test_a_loss_that_is_no_number_ends_the_run():
    recorder = Recorder()
    with pytest.raises(TrainingFailed):
        train(recorder=recorder, images=np.full((2, 3, 32, 32), np.nan, np.float32))
    assert len(recorder.losses) == 2  # the third in a row is the last straw


def test_without_prior_text_encoder_or_samples_a_run_still_works():
    recipe = dataclasses.replace(
        QUICK,
        steps=3,
        warmup=0,
        prior_images=0,
        samples=0,
        train_text_encoder=False,
        targets=("attention",),
        min_snr=5.0,
        decay="none",
    )
    recorder = Recorder()
    tensors = train(recipe, recorder)
    assert {name.partition(".")[0] for name in tensors} == {"unet"}
    assert recorder.stages == []


def test_the_sdxl_classes_train_by_the_same_loop(tmp_path):
    save_tiny_sdxl(tmp_path / "sdxl")
    recipe = dataclasses.replace(QUICK, steps=2, warmup=0, prior_images=0, samples=0)
    tensors = heavy(LOOP).run_training(prepared(), recipe, tmp_path / "sdxl", Recorder().hooks())
    parts = {name.partition(".")[0] for name in tensors}
    assert parts == {"unet", "text_encoder", "text_encoder_2"}
