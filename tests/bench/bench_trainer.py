"""How long the tiny preset takes, and whether its LoRA draws the person and nobody else.

    python -m tests.bench.bench_trainer          (about two minutes; QUICK=1: under one)

Likeness is measured without any face model, on a person who is a drawing: a sample is compared with
101 invented persons by its nearest view, and the target's rank among them is the figure.
Ten samples: a direction, not a benchmark of likeness. The rank must fall for the trigger and must
not fall for the class words, or everybody would become the person. QUICK trains 60 of the preset's
160 steps, too few for the trigger's rank, which it therefore prints and does not judge.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.bench.report import report
from tests.trainer.people import ALICE, BASE, photographs
from training.core import weights
from training.trainer import dataset
from training.trainer.base import portraits
from training.trainer.config import Recipe, load_preset
from training.trainer.evaluate import evaluate
from training.trainer.loop import Hooks, draw, load_pipeline, run_training

QUICK = bool(os.environ.get("QUICK"))
PICTURES = 14
SAMPLES = 6 if QUICK else 10
VIEWS = 24
Features = npt.NDArray[np.float32]


def features(image: Image.Image) -> Features:
    """Face and shirt of a 32 px picture without its background, pooled: 81 numbers."""
    pixels = np.asarray(image, np.float32) / 255.0
    face = pixels[6:26, 9:23].reshape(5, 4, 7, 2, 3).mean((1, 3))[:, 1:-1]
    shirt = pixels[28:32, 10:22].reshape(2, 2, 1, 12, 3).mean((1, 3))
    return np.concatenate([face.ravel(), shirt.ravel()])


def gallery() -> Features:
    """Features (101, VIEWS, n) of alice (row 0) and of a hundred others, each in many scenes."""
    rng = np.random.default_rng(99)
    people = [ALICE, *(portraits.any_person(rng) for _ in range(100))]
    return np.stack([[features(_shown(p, rng)) for _ in range(VIEWS)] for p in people])


def _shown(person: portraits.Person, rng: np.random.Generator) -> Image.Image:
    return portraits.draw(person, portraits.any_scene(rng), 32)


def ranks(pictures: list[Image.Image], people: Features) -> list[int]:
    """Alice's place among all persons for each picture, 1 is nearest."""
    places = []
    for picture in pictures:
        distances = np.linalg.norm(people - features(picture), axis=2).min(axis=1)
        places.append(1 + int((distances < distances[0]).sum()))
    return places


def silent() -> Hooks:
    """Hooks that let everything pass."""
    return Hooks(
        before_step=lambda: None,
        progress=_progress,
        sample=lambda _stage, _pictures: None,
        save=lambda _data: None,
        load=lambda: None,
    )


def _progress(step: int, steps: int, loss: float, eta_s: float) -> None:
    if step % 20 == 0:
        sys.stderr.write(f"step {step}/{steps}, loss {loss:.3f}, {eta_s:.0f} s to go\n")


def samples(pipe: Any, recipe: Recipe, prompt: str) -> list[Image.Image]:
    """Seeded samples; the seeds differ from the trainer's own."""
    seeds = list(range(500, 500 + SAMPLES))
    return draw(pipe, recipe, prompt, seeds, lambda: None)


def likeness(recipe: Recipe, adapter: Path) -> dict[str, float]:
    """Median ranks of alice before and after, for the trigger and for the class words."""
    people, pipe = gallery(), load_pipeline(BASE)
    asked = {"trigger": recipe.instance_prompt, "class": recipe.class_prompt}
    found: dict[str, list[int]] = {}
    for name, prompt in asked.items():
        found[f"{name}_base"] = ranks(samples(pipe, recipe, prompt), people)
    pipe.load_lora_weights(str(adapter.parent), weight_name=adapter.name, local_files_only=True)
    for name, prompt in asked.items():
        found[f"{name}_lora"] = ranks(samples(pipe, recipe, prompt), people)
    rng = np.random.default_rng(7)
    found["held_out_drawings"] = ranks([_shown(ALICE, rng) for _ in range(20)], people)
    result: dict[str, float] = {}
    for name, places in found.items():
        result[f"{name}_median_rank"] = float(statistics.median(places))
        result[f"{name}_top1"] = round(sum(p == 1 for p in places) / len(places), 2)
    return result


def main() -> int:
    """Train once, measure, report."""
    recipe = load_preset("tiny_cpu")
    if QUICK:
        recipe = dataclasses.replace(recipe, steps=60, samples=0)
    pictures = dataset.prepare(
        photographs(PICTURES), [None] * PICTURES, resolution=32, margin=recipe.face_margin
    )
    began, wall = time.process_time(), time.perf_counter()
    tensors = run_training(pictures, recipe, BASE, silent())
    cpu_s, wall_s = time.process_time() - began, time.perf_counter() - wall
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter.safetensors"
        adapter.write_bytes(weights.write(tensors, {"format": "pt"}))
        effect = evaluate(BASE, adapter, recipe)
        size = adapter.stat().st_size
        found = likeness(recipe, adapter)
    figures: dict[str, float | str] = {
        "steps": recipe.steps,
        "train_cpu_s": round(cpu_s, 1),
        "train_wall_s": round(wall_s, 1),
        "adapter_bytes": size,
        "adapter_tensors": effect.in_file,
        "adapter_parameters": sum(value.size for value in tensors.values()),
        "picture_change": round(effect.change, 4),
        **found,
    }
    bars = {
        "train_cpu_s": at_most(cpu_s, 70),
        "loaded_share": at_least(effect.loaded / effect.in_file, 1),
        "picture_change": at_least(effect.change, 0.01),
        "left_after_unload": at_most(effect.restored, 0),
        "class_rank_ratio": at_least(
            found["class_lora_median_rank"] / found["class_base_median_rank"], 0.7
        ),
    }
    trigger = found["trigger_lora_median_rank"] / found["trigger_base_median_rank"]
    if QUICK:
        figures["trigger_rank_ratio (not judged: too few steps)"] = round(trigger, 3)
    else:
        bars["trigger_rank_ratio"] = at_most(trigger, 0.5)
    return report("trainer", figures, bars)


Bar = dict[str, float | bool]


def at_least(value: float, bar: float) -> Bar:
    """A bar from below."""
    return {"value": round(value, 3), "bar": bar, "ok": bool(value >= bar)}


def at_most(value: float, bar: float) -> Bar:
    """A bar from above."""
    return {"value": round(value, 3), "bar": bar, "ok": bool(value <= bar)}


if __name__ == "__main__":
    sys.exit(main())
