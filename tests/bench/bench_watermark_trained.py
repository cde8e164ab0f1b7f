"""What the mark costs, and what it survives, on a LoRA that was really trained.

`python -m tests.bench.bench_watermark_trained` (a few minutes; QUICK=1 trains fewer steps and does
not judge the likeness). alice, who is a drawing, is trained on the tiny base and marked at the
recommended strength. Cost: how far the mark moves what the LoRA does to a picture, |marked -
unmarked| over |unmarked - base|, and where both copies stand in the trainer bench's ranking of
likeness. Then attacks of the watermark's bench, and 200 real training steps of the marked file on
another person. Verdicts as in bench_watermark, E with a single licensee.
"""

from __future__ import annotations

import dataclasses
import io
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.bench import bench_trainer
from tests.bench.bench_watermark import ID, KEY, attacks
from tests.bench.report import QUICK, at_least, at_most, report, say
from tests.trainer.people import ALICE, BASE, photographs
from training.core import weights
from training.core.escrow import read_beside, search_beside
from training.core.watermark import choose_eps, embed
from training.core.watermark_reading import claim, read, search
from training.core.weights import Float32, Weights
from training.trainer import dataset
from training.trainer.base import portraits
from training.trainer.config import Recipe, load_preset
from training.trainer.lease import Interrupted
from training.trainer.loop import Hooks, load_pipeline, run_training

STEPS = 60 if QUICK else 160
FURTHER = 40 if QUICK else 200
PICTURES = 14
# Merges with foreign LoRAs need files of the same modules: those rows are on synthetic ones.
ROWS = (
    "none", "fp16", "fp8", "int8", "int4", "noise 30%", "noise 50%", "prune 50%", "prune 70%",
    "DARE 50%", "DARE 90%", "new factors", "svd r/2", "svd r/4", "scale 0.3", "scale -1",
    "block weights", "drop 50%", "spectrum flat", "renamed",
)  # fmt: skip


def trained(recipe: Recipe, person: portraits.Person, hooks: Hooks) -> Weights:
    """A LoRA of a drawn person on the tiny base."""
    pictures = dataset.prepare(
        photographs(PICTURES, person=person),
        [None] * PICTURES,
        resolution=recipe.resolution,
        margin=recipe.face_margin,
    )
    return Weights(dict(run_training(pictures, recipe, BASE, hooks)))


def further(recipe: Recipe, file: Weights, person: portraits.Person) -> Weights:
    """The file trained on, with another person: its tensors put in the place of a fresh start's."""
    kept: list[bytes] = []

    def stop() -> None:
        raise Interrupted("at once")

    # The class pictures are drawn before the first step and ask the same hook.
    none = dataclasses.replace(recipe, prior_images=0)
    halted = dataclasses.replace(bench_trainer.silent(), before_step=stop, save=kept.append)
    try:
        trained(none, person, halted)
    except Interrupted:
        say("a fresh start was kept")
    parts = torch.load(io.BytesIO(kept[0]), weights_only=True)
    for name, value in parts["parameters"].items():
        value.copy_(torch.from_numpy(file.tensors[name.replace(".default.", ".")]))
    buffer = io.BytesIO()
    torch.save(parts, buffer)
    resumed = dataclasses.replace(bench_trainer.silent(), load=buffer.getvalue)
    return trained(none, person, resumed)


def drawn(recipe: Recipe, file: Weights | None) -> list[Image.Image]:
    """The trigger's samples from the base, with or without a file."""
    pipe = load_pipeline(BASE)
    if file is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "adapter.safetensors"
            path.write_bytes(weights.write(file.tensors, {"format": "pt"}))
            pipe.load_lora_weights(folder, weight_name=path.name, local_files_only=True)
    return bench_trainer.samples(pipe, recipe, recipe.instance_prompt)


def moved(one: list[Image.Image], other: list[Image.Image]) -> float:
    """Mean absolute change of a pixel, 0 to 255."""
    pairs = zip(one, other, strict=True)
    return float(np.mean([np.abs(_pixels(a) - _pixels(b)).mean() for a, b in pairs]))


def _pixels(image: Image.Image) -> Float32:
    return np.asarray(image, np.float32)


def verdict(found: Weights, master: Weights, ids: list[bytes]) -> tuple[str, float, float]:
    """(verdict, blind t, t beside the master)."""
    reading, beside = read(found, KEY), read_beside(found, master, KEY)
    t, escrow = claim(reading, KEY, ID).t, claim(beside, KEY, ID).t
    if reading.artefact_id == ID:
        return "P", t, escrow
    if [hit.artefact_id for hit in search(reading, KEY, ids)] == [ID]:
        return "R", t, escrow
    kin = [hit.artefact_id for hit in search_beside(beside, KEY, ids, [ID], fpr=1e-9)]
    return ("E" if kin == [ID] else "-"), t, escrow


def cost(recipe: Recipe, master: Weights, marked: Weights) -> dict[str, float]:
    """Share of the LoRA's own effect that the mark moves; median ranks of alice of both copies."""
    base, plain, with_mark = (drawn(recipe, file) for file in (None, master, marked))
    people = bench_trainer.gallery()
    places = {"unmarked": plain, "marked": with_mark, "base": base}
    medians = {
        f"median rank of alice, {name}": float(
            statistics.median(bench_trainer.ranks(pictures, people))
        )
        for name, pictures in places.items()
    }
    return {"share of the effect moved": moved(with_mark, plain) / moved(plain, base), **medians}


def survived(master: Weights, marked: Weights, other: Weights) -> Mapping[str, str]:
    """Every row with its verdict, and the file that was trained on with another person."""
    generator = np.random.default_rng(5)
    ids = [ID, *(generator.bytes(6) for _ in range(10_000))]
    files = {name: attack(marked) for name, attack in attacks([], 8).items() if name in ROWS}
    files[f"{FURTHER} steps on another person"] = other
    out = {}
    for name, file in files.items():
        said, t, escrow = verdict(file, master, ids)
        out[name] = f"{said}  t {t:.1f}  escrow {escrow:.1f}"
        say(f"{name}: {out[name]}")
    return out


def main() -> int:
    recipe = dataclasses.replace(load_preset("tiny_cpu"), steps=STEPS, samples=0)
    master = trained(recipe, ALICE, bench_trainer.silent())
    strength = choose_eps(master)
    marked = embed(master, KEY, ID, strength.eps)
    paid = cost(recipe, master, marked)
    say(f"cost: {paid}")
    someone = portraits.any_person(np.random.default_rng(3))
    other = further(dataclasses.replace(recipe, steps=FURTHER), marked, someone)
    rows = survived(master, marked, other)
    figures = {"parameters": strength.parameters, "eps": strength.eps, **paid, **rows}
    bars = {
        "share of the effect moved": at_most(paid["share of the effect moved"], 0.03),
        "rows identified": at_least(sum(row[0] != "-" for row in rows.values()), len(rows)),
    }
    if not QUICK:
        worse = paid["median rank of alice, marked"] - paid["median rank of alice, unmarked"]
        bars["places lost in likeness (of 101)"] = at_most(worse, 5)
    return report("watermark-trained", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
