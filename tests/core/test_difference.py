"""What was merged into a checkpoint is found, and what was not is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import checkpoints, loras
from training.core import weights
from training.core.difference import RANK, difference, opened
from training.core.watermark import embed
from training.core.watermark_code import Key
from training.core.watermark_reading import read, search
from training.core.weights import Array, Weights, WeightsError, adapters

KEY = Key("1", bytes(range(32)))
ID, OTHER = bytes.fromhex("0123456789ab"), bytes.fromhex("ba9876543210")
MODULES = loras.sd15(every=2)


@pytest.fixture(scope="module")
def base() -> dict[str, Array]:
    """A base model in half precision, with what no LoRA changes beside it."""
    dice = np.random.default_rng(1)
    found: dict[str, Array] = {
        f"{path}.weight": (dice.standard_normal((m, n), np.float32) * 0.03).astype(np.float16)
        for path, m, n in MODULES
    }
    found["unet.norm.weight"] = np.ones(320, np.float16)
    found["unet.small.weight"] = np.ones((4, 320), np.float16)
    return found


def merged(base: dict[str, Array], *parts: tuple[Weights, float]) -> dict[str, Array]:
    """LoRAs at their strengths in the base, rounded to half precision like any checkpoint."""
    made = dict(base)
    for lora, strength in parts:
        for item in adapters(lora):
            name = f"{item.stem}.weight"
            wide = made[name].astype(np.float32) + strength * item.scale * (item.up @ item.down)
            made[name] = wide.astype(np.float32)
    return {name: array.astype(np.float16) for name, array in made.items()}


def stored(folder: Path, name: str, tensors: dict[str, Array]) -> Path:
    path = folder / f"{name}.safetensors"
    path.write_bytes(weights.write(tensors, {}))
    return path


def marked(seed: int, artefact: bytes) -> Weights:
    return embed(loras.lora(MODULES, 16, seed), KEY, artefact, 0.02)


def test_a_merged_lora_is_found_by_its_mark(tmp_path: Path, base: dict[str, Array]) -> None:
    one = stored(tmp_path, "one", merged(base, (marked(3, ID), 0.8)))
    found = difference(opened(one), opened(stored(tmp_path, "base", base)))
    assert max(item.rank for item in adapters(found)) <= RANK
    assert read(weights.half(found), KEY).artefact_id == ID


def test_two_merged_loras_are_both_found(tmp_path: Path, base: dict[str, Array]) -> None:
    both = merged(base, (marked(3, ID), 0.7), (marked(4, OTHER), 0.7))
    found = difference(
        opened(stored(tmp_path, "both", both)), opened(stored(tmp_path, "base", base))
    )
    hits = search(read(found, KEY), KEY, [ID, OTHER, bytes(6)])
    assert {hit.artefact_id for hit in hits} == {ID, OTHER}


def test_an_unmarked_lora_in_a_checkpoint_names_nobody(
    tmp_path: Path, base: dict[str, Array]
) -> None:
    plain = merged(base, (loras.lora(MODULES, 16, 3), 0.8))
    found = difference(
        opened(stored(tmp_path, "plain", plain)), opened(stored(tmp_path, "base", base))
    )
    assert read(found, KEY).artefact_id is None
    assert search(read(found, KEY), KEY, [ID, OTHER]) == []


def test_a_folder_is_one_model_and_progress_is_told(tmp_path: Path, base: dict[str, Array]) -> None:
    """As diffusers stores it; layers that are equal, vectors and slim matrices are left out."""
    changed = merged(base, (marked(3, ID), 0.8))
    names = sorted(base)
    for half, some in (("unet", names[::2]), ("text_encoder", names[1::2])):
        (tmp_path / half).mkdir()
        stored(tmp_path / half, "model", {name: base[name] for name in some})
    told: list[tuple[int, int]] = []
    found = difference(
        opened(stored(tmp_path, "changed", changed)),
        opened(tmp_path / "unet") | opened(tmp_path / "text_encoder"),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (len(MODULES), len(MODULES))
    assert len(adapters(found)) == len(MODULES)
    assert len(opened(tmp_path)) == len(base)


def test_what_cannot_be_compared_is_named(tmp_path: Path, base: dict[str, Array]) -> None:
    one = opened(stored(tmp_path, "base", base))
    other = {f"other.{name}": array for name, array in base.items()}
    for changed, code in ((other, "base_mismatch"), (base, "no_difference")):
        with pytest.raises(WeightsError) as raised:
            difference(opened(stored(tmp_path, "changed", changed)), one)
        assert raised.value.code == code
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError) as raised:
        opened(tmp_path / "empty")
    assert raised.value.code == "base_mismatch"


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_layer_that_is_no_number_is_refused(
    tmp_path: Path, base: dict[str, Array], value: float
) -> None:
    name = f"{MODULES[0][0]}.weight"
    path = stored(tmp_path, "spoilt", {name: base[name].copy()})
    data = bytearray(path.read_bytes())
    data[-2:] = np.float16(value).tobytes()
    path.write_bytes(data)
    with pytest.raises(WeightsError) as raised:
        difference(opened(path), opened(stored(tmp_path, "base", base)))
    assert raised.value.code == "not_finite"


def test_layers_of_the_largest_numbers_do_not_overflow(tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    plain = {"a.weight": np.zeros((16, 24), np.float32)}
    large = dice.standard_normal((16, 1)) @ dice.standard_normal((1, 24))
    changed = {"a.weight": (large / np.abs(large).max() * 3e38).astype(np.float32)}
    found = difference(
        opened(stored(tmp_path, "large", changed)), opened(stored(tmp_path, "plain", plain))
    )
    (module,) = adapters(found)
    assert np.isfinite(module.up).all()
    assert np.isfinite(module.down).all()
    again = (module.up.astype(np.float64) @ module.down).astype(np.float32)
    assert np.allclose(again, changed["a.weight"], rtol=1e-3)


@pytest.mark.parametrize(("eps", "twice"), [(0.02, False), (0.025, True)])
def test_a_mark_is_read_under_the_rounding_of_an_8_bit_checkpoint(eps: float, twice: bool) -> None:
    """Rounding moves such a layer by more than the LoRA does; from one look at it, the payload
    does not decode.
    """
    file = embed(loras.lora(loras.sd15(every=4), 16, 7), KEY, ID, eps)
    changed, plain = checkpoints.merged(file, "F8_E4M3", 1, twice=twice)
    assert read(difference(changed, plain), KEY).artefact_id == ID
