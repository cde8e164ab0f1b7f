"""The recipe: every knob of a training run, explained and checked. Standard library only.

A recipe travels in `job.json`, is shown to the people who approve, and is held against the limits
of the grant, so it is strict: unknown members are refused and a value outside its range never
becomes a `Recipe`.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

METHODS: Final = ("lora",)
DECAYS: Final = ("none", "cosine")
OUTPUT_POLICIES: Final = ("background_only", "full_synthesis")
# Short words for groups of layers; the trainer knows which layers of a UNet they are.
TARGETS: Final = ("attention", "conv", "feed_forward", "projection", "time")
PRESETS: Final = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a LoRA is trained. Defaults suit the tiny base on one CPU thread."""

    method: str = "lora"
    """Kind of adapter. Only LoRA: rank decomposition of weight changes (Hu et al. 2021)."""
    rank: int = 8
    """Width of the low-rank factors; more can hold more and forgets the base sooner. 1 to 256."""
    alpha: int = 8
    """LoRA scale times rank. Must equal `rank`: readers without this number assume that."""
    targets: tuple[str, ...] = TARGETS
    """Groups of UNet layers that get factors; a subset of `TARGETS`, in any order."""
    train_text_encoder: bool = True
    """Whether the text encoder's attention gets factors too (the trigger binds faster)."""

    steps: int = 160
    """Optimizer steps. 1 to 20,000."""
    batch: int = 4
    """Pictures of the person in one step. 1 to 64."""
    lr: float = 4e-3
    """Peak learning rate of AdamW. The tiny base takes 4e-3, real bases 1e-4."""
    decay: str = "cosine"
    """`none` holds the rate, `cosine` lowers it to a tenth by the last step."""
    warmup: int = 10
    """Steps in which the rate climbs from zero. Fewer than `steps`, or 0."""
    weight_decay: float = 0.01
    """AdamW's decay of the factors. 0 to 1."""
    clip: float = 1.0
    """Largest norm of a gradient; larger ones are scaled down. Above 0."""
    min_snr: float = 0.0
    """Min-SNR weight of the loss (Hang et al. 2023), usually 5; 0 leaves the loss unweighted. It
    takes weight from the noisy steps, where the tiny base decides hair, skin and shirt."""
    seed: int = 7
    """With the pictures the only source of chance: factors, indices, noise, time steps. 0 to
    2^32 - 1."""

    resolution: int = 32
    """Side of the square training pictures in pixels; a multiple of 8. 16 to 2048."""
    flip: bool = False
    """Mirror half of the pictures. Off: a mole on the left cheek belongs on the left."""
    face_margin: float = 2.2
    """Side of the square crop in heights of the face's box, where a box is given. 1 to 10."""

    trigger: str = "sks person"
    """The rare words that stand for the person. Never a name."""
    class_words: str = "person"
    """The ordinary words for what the person is, for prior preservation."""
    prompt: str = "a photo of {}"
    """Caption of every picture; `{}` takes the trigger or the class words."""

    prior_images: int = 8
    """Pictures of the class that the base draws first, so that not everybody becomes the person.
    0 turns prior preservation off."""
    prior_batch: int = 2
    """Class pictures in one step. 1 to 64 while `prior_images` is above 0."""
    prior_weight: float = 1.0
    """Weight of the class pictures' loss. 0 to 10."""

    samples: int = 4
    """Pictures in each of the three sample grids (start, middle, end). 0 to 16."""
    sample_steps: int = 12
    """Denoising steps of a sample and of a class picture. 2 to 100."""
    guidance: float = 3.0
    """Classifier-free guidance of samples and class pictures. 1 to 20."""
    output_policy: str = "full_synthesis"
    """What the outputs will be: `background_only` for the person's own picture before another
    background, `full_synthesis` for a picture made anew. A grant may allow the former only."""
    checkpoint_every: int = 0
    """Steps between checkpoints for a resume; 0 writes one only when interrupted."""

    def __post_init__(self) -> None:
        """Raises `ValueError` that names the first knob out of its range."""
        _check_types(self)
        _check_ranges(self)
        _check_words(self)

    @property
    def instance_prompt(self) -> str:
        """The caption of the person's pictures."""
        return self.prompt.format(self.trigger)

    @property
    def class_prompt(self) -> str:
        """The caption of the class pictures."""
        return self.prompt.format(self.class_words)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, all members."""
        return {**asdict(self), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Parse strictly; members left out take their defaults. Raises `ValueError`."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown knob: {unknown[0]}")
        given = dict(values)
        if isinstance(given.get("targets"), list):
            given["targets"] = tuple(given["targets"])
        # JSON has one kind of number, and canonical JSON writes 1.0 as 1.
        for name in _FLOATS & set(given):
            if type(given[name]) is int:
                given[name] = float(given[name])
        return cls(**given)


_RANGES: Final[dict[str, tuple[float, float]]] = {
    "rank": (1, 256),
    "alpha": (1, 256),
    "steps": (1, 20_000),
    "batch": (1, 64),
    "lr": (1e-7, 1.0),
    "warmup": (0, 5_000),
    "weight_decay": (0, 1),
    "clip": (1e-6, 1e6),
    "min_snr": (0, 100),
    "seed": (0, 2**32 - 1),
    "resolution": (16, 2048),
    "face_margin": (1, 10),
    "prior_images": (0, 500),
    "prior_batch": (1, 64),
    "prior_weight": (0, 10),
    "samples": (0, 16),
    "sample_steps": (2, 100),
    "guidance": (1, 20),
    "checkpoint_every": (0, 20_000),
}
_FLOATS: Final = frozenset(field.name for field in fields(Recipe) if field.type is float)


def _check_types(recipe: Recipe) -> None:
    for field in fields(recipe):
        value, default = getattr(recipe, field.name), field.default
        if type(value) is not type(default):
            raise ValueError(f"{field.name}: {type(default).__name__} expected")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{field.name}: not a number")


def _check_ranges(recipe: Recipe) -> None:
    for name, (low, high) in _RANGES.items():
        if not low <= getattr(recipe, name) <= high:
            raise ValueError(f"{name}: outside {low:g} to {high:g}")
    if recipe.alpha != recipe.rank:
        raise ValueError("alpha: must equal rank")
    if recipe.resolution % 8:
        raise ValueError("resolution: must be a multiple of 8")
    if recipe.warmup >= recipe.steps and recipe.warmup:
        raise ValueError("warmup: must be shorter than steps")


def _check_words(recipe: Recipe) -> None:
    if recipe.method not in METHODS:
        raise ValueError(f"method: one of {METHODS}")
    if recipe.output_policy not in OUTPUT_POLICIES:
        raise ValueError(f"output_policy: one of {OUTPUT_POLICIES}")
    if recipe.decay not in DECAYS:
        raise ValueError(f"decay: one of {DECAYS}")
    if not recipe.targets or not set(recipe.targets) <= set(TARGETS):
        raise ValueError(f"targets: some of {TARGETS}")
    if len(set(recipe.targets)) != len(recipe.targets):
        raise ValueError("targets: one twice")
    for name in ("trigger", "class_words"):
        words = getattr(recipe, name)
        if not 1 <= len(words) <= 60 or not words.replace(" ", "").isalnum():
            raise ValueError(f"{name}: 1 to 60 letters, digits and spaces")
    if recipe.prompt.count("{}") != 1 or recipe.prompt.replace("{}", "").count("{"):
        raise ValueError("prompt: needs one {}")
    if len(recipe.prompt) > 200 or "}" in recipe.prompt.replace("{}", ""):
        raise ValueError("prompt: needs one {} and at most 200 characters")


def load_preset(name: str) -> Recipe:
    """The recipe of `presets/<name>.toml`. Raises `ValueError` for one that does not exist."""
    if name not in preset_names():
        raise ValueError(f"no preset {name!r}")
    with (PRESETS / f"{name}.toml").open("rb") as stream:
        return Recipe.from_dict(tomllib.load(stream))


def preset_names() -> list[str]:
    """The presets that come with the trainer."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))
