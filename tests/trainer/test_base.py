"""The tiny base: shows nobody, is small, has one name, and its autoencoder returns its input."""

import json
import shutil

import numpy as np
import pytest

from tests.trainer.people import BASE, heavy
from training.trainer.base import identity_vae, portraits, tokenizer
from training.trainer.base.digest import base_digest


def test_the_base_is_small_and_says_what_it_is():
    files = [path for path in BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10_000_000
    card = (BASE / "CARD.md").read_text(encoding="utf-8")
    for words in ("cc0-1.0", "Nobody's likeness", "make_base", "Limits"):
        assert words in card


def test_the_base_names_no_folder_of_the_machine_that_made_it():
    for path in BASE.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert "_name_or_path" not in text
        assert not [word for word in ("/home", "/tmp", "/root", "/work") if word in text]  # noqa: S108


def test_only_safetensors_hold_weights():
    assert not [path for path in BASE.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt")]


def test_the_digest_is_the_same_for_a_copy_and_another_for_any_change(tmp_path):
    copy = tmp_path / "anywhere"
    shutil.copytree(BASE, copy)
    name = base_digest(BASE)
    assert base_digest(copy) == name
    config = copy / "unet" / "config.json"
    before = config.read_bytes()
    config.write_bytes(before + b" ")
    assert base_digest(copy) != name
    config.write_bytes(before)
    assert base_digest(copy) == name
    config.rename(copy / "unet" / "config2.json")
    assert base_digest(copy) != name


def test_a_link_in_a_base_or_no_base_at_all_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        base_digest(tmp_path / "missing")
    with pytest.raises(ValueError, match="empty"):
        base_digest(tmp_path)
    (tmp_path / "weights").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "weights")
    with pytest.raises(ValueError, match="plain file"):
        base_digest(tmp_path)


def test_the_same_person_is_drawn_the_same_and_captions_use_known_words():
    rng = np.random.default_rng(3)
    words = set(portraits.vocabulary())
    for _ in range(50):
        person, scene = portraits.any_person(rng), portraits.any_scene(rng)
        one, two = portraits.draw(person, scene), portraits.draw(person, scene)
        assert one.tobytes() == two.tobytes()
        assert set(portraits.caption(person, scene).replace(",", " ,").split()) <= words


def test_every_caption_word_is_one_token_and_the_tables_are_the_shipped_ones():
    words = portraits.vocabulary()
    vocab, merges = tokenizer.tables(words)
    assert all(word + "</w>" in vocab for word in words)
    assert set(tokenizer.byte_symbols()) <= set(vocab)
    shipped = json.loads((BASE / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    assert shipped["model"]["vocab"] == vocab
    assert [tuple(pair) for pair in shipped["model"]["merges"]] == merges


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_the_autoencoder_returns_its_input_as_built_and_as_shipped():
    torch, diffusers = heavy("torch"), heavy("diffusers")
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for vae in (identity_vae.build(), diffusers.AutoencoderKL.from_pretrained(BASE / "vae")):
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.mode()
            back = vae.decode(latents).sample
        assert latents.shape == pixels.shape
        assert float((back - pixels).abs().max()) < 1e-4


@pytest.mark.ml
@pytest.mark.filterwarnings("default")
def test_the_autoencoders_weights_survive_half_precision():
    torch = heavy("torch")
    vae = identity_vae.build()
    for name, value in vae.state_dict().items():
        assert torch.equal(value.half().float(), value), name
