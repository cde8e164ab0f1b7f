"""Does a produced adapter do anything? Loads it the way any reader would and compares pictures.

    python -m training.trainer.evaluate --base FOLDER --adapter FILE [--picture OUT.png]

Prints one JSON line; the picture shows the base above and the adapter below, same seeds.
A separate process, because web and Celery processes never load torch.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

from training.trainer.config import Recipe, load_preset
from training.trainer.dataset import Pixels
from training.trainer.loop import draw, load_pipeline


@dataclass(frozen=True)
class Effect:
    """`change`: mean absolute difference of pixels in [0, 1] against the base, same seeds.

    `restored`: the same after the adapter was unloaded (0 when loading left no trace).
    `in_file`, `loaded`: factors in the file and found in the pipeline.
    """

    change: float
    restored: float
    in_file: int
    loaded: int
    pairs: tuple[Pixels, Pixels] = field(repr=False)


def evaluate(
    base_path: Path, adapter: Path, recipe: Recipe, *, seeds: tuple[int, ...] = (1, 2)
) -> Effect:
    """Load `adapter` into a fresh pipeline and measure. Raises what the loader raises."""
    pipe = load_pipeline(base_path)
    before = _pictures(pipe, recipe, seeds)
    pipe.load_lora_weights(str(adapter.parent), weight_name=adapter.name, local_files_only=True)
    loaded = sum(
        ".lora_A." in name or ".lora_B." in name
        for part in (pipe.unet, pipe.text_encoder, getattr(pipe, "text_encoder_2", None))
        if part is not None
        for name, _ in part.named_parameters()
    )
    with_adapter = _pictures(pipe, recipe, seeds)
    pipe.unload_lora_weights()
    after = _pictures(pipe, recipe, seeds)
    with safe_open(str(adapter), framework="numpy") as file:
        in_file = sum(not name.endswith(".alpha") for name in file.keys())  # noqa: SIM118
    return Effect(
        change=float(np.abs(with_adapter - before).mean()),
        restored=float(np.abs(after - before).mean()),
        in_file=in_file,
        loaded=loaded,
        pairs=(before, with_adapter),
    )


def picture(effect: Effect, *, zoom: int = 4) -> Image.Image:
    """Both rows of samples in one picture, enlarged without smoothing."""
    shown = np.concatenate([np.concatenate(list(row), axis=1) for row in effect.pairs])
    image = Image.fromarray((shown * 255).astype(np.uint8))
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)


def main(argv: list[str] | None = None) -> int:
    """Measure from the command line; exit 1 when tensors were lost or nothing changed."""
    parser = argparse.ArgumentParser(description="Measure what an adapter changes.")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--preset", default="tiny_cpu")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args(argv)
    seeds = (1, 2, 3, 4, 5, 6)
    effect = evaluate(args.base, args.adapter, load_preset(args.preset), seeds=seeds)
    if args.picture:
        picture(effect).save(args.picture)
    numbers = {k: v for k, v in vars(effect).items() if k != "pairs"}
    sys.stdout.write(json.dumps(numbers) + "\n")
    return 0 if effect.loaded == effect.in_file and effect.change > 0 else 1


def _pictures(pipe: object, recipe: Recipe, seeds: tuple[int, ...]) -> Pixels:
    drawn = draw(pipe, recipe, recipe.instance_prompt, list(seeds), lambda: None)
    return np.stack([np.asarray(image, np.float32) for image in drawn]) / 255.0


if __name__ == "__main__":
    sys.exit(main())
