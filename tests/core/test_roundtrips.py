"""One marked LoRA in every layout and through every writer: the same verdict, the same t."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import safetensors.numpy

from tests import loras
from tests.core.test_watermark import ID, KEY
from tests.loras import lora
from training.core.watermark import embed
from training.core.watermark_reading import claim, read
from training.core.weights import Array, Weights, adapters, half, to_kohya, write
from training.core.weights import read as read_file

MARKED = embed(lora(loras.sd15(every=4), 16, 7), KEY, ID, 0.05)
T = claim(read(MARKED, KEY), KEY, ID).t


def renamed(down: str, up: str, prefix: str = "") -> Weights:
    """The factors under another layout's names."""
    out: dict[str, Array] = {}
    for module in adapters(MARKED):
        path = prefix + module.stem.removeprefix("unet.")
        out[f"{path}.{down}.weight"] = module.down
        out[f"{path}.{up}.weight"] = module.up
    return Weights(out)


def with_alpha(value: float) -> Weights:
    """Kohya's layout under an alpha: the factors hold what the alpha takes away."""
    kohya = renamed("lora_down", "lora_up", "lora_unet_").tensors
    out: dict[str, Array] = {}
    for name, tensor in kohya.items():
        up = name.endswith("lora_up.weight")
        out[name] = tensor * np.float32(16 / value) if up else tensor
        if up:
            out[name.replace("lora_up.weight", "alpha")] = np.array(value, np.float32)
    return Weights(out)


def without(weights: Weights, ending: str) -> Weights:
    return Weights({k: t for k, t in weights.tensors.items() if not k.endswith(ending)})


def shuffled() -> Weights:
    generator = np.random.default_rng(3)
    names = list(MARKED.tensors)
    return Weights({names[i]: MARKED.tensors[names[i]] for i in generator.permutation(len(names))})


LAYOUTS: dict[str, Callable[[], Weights]] = {
    "kohya": lambda: to_kohya(MARKED),
    "kohya, alpha 4": lambda: with_alpha(4),
    "alphas deleted": lambda: without(with_alpha(4), ".alpha"),
    "PEFT": lambda: renamed("lora_A", "lora_B", "base_model.model."),
    "PEFT, named": lambda: renamed("lora_A.default", "lora_B.default", "base_model.model."),
    "diffusers": lambda: renamed("lora.down", "lora.up", "unet."),
    "diffusion_model.": lambda: renamed("lora_A", "lora_B", "diffusion_model."),
    "names and order shuffled": lambda: loras.renamed(MARKED),
    "order shuffled": shuffled,
    "metadata stripped": lambda: Weights(MARKED.tensors),
    "strange metadata": lambda: Weights(MARKED.tensors, {"ss_tag_frequency": "{}", "x": "y"}),
}


def ours(weights: Weights) -> bytes:
    return write(weights.tensors, weights.metadata)


def common_library(weights: Weights) -> bytes:
    # It writes the memory of a transposed array as it lies.
    tensors = {name: np.ascontiguousarray(t) for name, t in weights.tensors.items()}
    return bytes(safetensors.numpy.save(tensors, weights.metadata or None))


def another_writer(weights: Weights) -> bytes:
    """Tensors in the order of their names backwards, an indented header padded with spaces."""
    header: dict[str, object] = {"__metadata__": weights.metadata}
    body = b""
    for name in sorted(weights.tensors, reverse=True):
        raw = np.ascontiguousarray(weights.tensors[name], "<f4")
        header[name] = {
            "data_offsets": [len(body), len(body) + raw.nbytes],
            "shape": list(raw.shape),
            "dtype": "F32",
        }
        body += raw.tobytes()
    text = json.dumps(header, indent=1, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8 + 64)
    return len(text).to_bytes(8, "little") + text + body


WRITERS = {"ours": ours, "the common library": common_library, "another": another_writer}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_verdict_is_the_same(layout: str, writer: str) -> None:
    reading = read(read_file(WRITERS[writer](LAYOUTS[layout]())), KEY)
    assert reading.artefact_id == ID
    assert reading.modules == len(adapters(MARKED))
    assert claim(reading, KEY, ID).t == pytest.approx(T, rel=1e-3)


@pytest.mark.parametrize("writer", [ours, common_library])
def test_float16_keeps_it(writer: Callable[[Weights], bytes]) -> None:
    reading = read(read_file(writer(half(to_kohya(MARKED)))), KEY)
    assert reading.artefact_id == ID
    assert claim(reading, KEY, ID).t == pytest.approx(T, rel=1e-2)
