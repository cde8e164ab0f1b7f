"""The recipe: strict in, strict out, and readable without torch."""

import subprocess
import sys

import pytest

from training.trainer.config import TARGETS, Recipe, load_preset, preset_names


def test_a_recipe_survives_its_own_json_form():
    recipe = Recipe(rank=4, alpha=4, targets=("conv", "attention"), lr=1e-3)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_a_whole_number_is_taken_for_a_real_one_as_canonical_json_writes_it():
    assert Recipe.from_dict({"prior_weight": 1}).prior_weight == 1.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"surprise": 1}, "unknown knob"),
        ({"method": "dora"}, "method"),
        ({"rank": 0, "alpha": 0}, "rank"),
        ({"rank": 8, "alpha": 16}, "alpha"),
        ({"rank": True, "alpha": 1}, "rank"),
        ({"steps": "160"}, "steps"),
        ({"steps": 5, "warmup": 5}, "warmup"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": 2.0}, "lr"),
        ({"resolution": 36}, "resolution"),
        ({"targets": []}, "targets"),
        ({"targets": ["attention", "attention"]}, "targets"),
        ({"targets": ["everything"]}, "targets"),
        ({"trigger": "../alice"}, "trigger"),
        ({"trigger": ""}, "trigger"),
        ({"prompt": "a photo"}, "prompt"),
        ({"prompt": "{} and {0}"}, "prompt"),
        ({"decay": "linear"}, "decay"),
        ({"flip": 1}, "flip"),
    ],
)
def test_a_knob_out_of_its_range_is_named(change, word):
    with pytest.raises(ValueError, match=word):
        Recipe.from_dict(change)


def test_every_preset_is_a_valid_recipe():
    assert preset_names() == ["sd15", "sdxl", "tiny_cpu"]
    for name in preset_names():
        assert set(load_preset(name).targets) <= set(TARGETS)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="no preset"):
        load_preset("../tiny_cpu")


def test_recipe_pictures_lease_and_admission_load_no_torch_and_no_django():
    code = (
        "import sys, training.trainer.config, training.trainer.dataset, training.trainer.lease,"
        "training.trainer.admission, training.trainer.train;"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'django', 'celery'};"
        "bad = heavy & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
