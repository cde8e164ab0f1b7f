"""The model card that is written beside the tiny base."""

from pathlib import Path

CARD = """---
license: cc0-1.0
library_name: diffusers
pipeline_tag: text-to-image
---
# kyodaku-tiny

A text-to-image model of about two million parameters that draws 32 x 32 pixel portraits. It exists
so that the whole chain from consent to evidence can be run and tested on a laptop in a minute.

- **Nobody's likeness.** It was trained only on procedural drawings (`portraits.py`): ellipses and
  lines with random colours and sizes. No photograph and no picture of a real person went in.
- **Licence.** CC0-1.0, for the weights and for the drawings. Use it for anything.
- **How it was made.** `python -m training.trainer.base.make_base`, fixed seed, {steps} steps of 8
  pictures, {cpu:.0f} CPU seconds on one thread. UNet (24, 48, 96) with cross-attention at 8 x 8,
  a two-layer text encoder trained along, whose pooled words also join the time embedding;
  velocity prediction, averaged weights, saved in fp16.
- **The autoencoder is not trained.** Its weights are written down so that it returns its input
  (`identity_vae.py`); it stays in fp32. The pipeline therefore diffuses RGB pixels directly.
- **Layout.** An ordinary diffusers folder: `StableDiffusionPipeline.from_pretrained` loads it, and
  PEFT trains it by the same code path as a real base.

Limits, plainly: the pictures are tiny and cartoon-like, the words steer colours more than shapes,
and a LoRA trained on photographs with this base shows colours, hair and clothing of the person, not
a photographic likeness. It proves the machinery, not picture quality.
"""


def write_card(folder: Path, *, steps: int, cpu_seconds: float) -> None:
    """Write `CARD.md` into the model folder."""
    text = CARD.format(steps=steps, cpu=cpu_seconds)
    (folder / "CARD.md").write_text(text, encoding="utf-8")
