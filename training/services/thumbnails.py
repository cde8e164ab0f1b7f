"""One picture of a sealed or open set, small, for the eyes of the person it shows. Beside stage 5.

Decrypted in memory, made small, encoded again without any metadata, and kept nowhere. Who may look
is decided before this is called.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

from registry.core.refusals import Refusal
from registry.services import vault
from training.models import Dataset, Lora, Picture, ReferencePicture
from training.services.datasets import opened, reference_context
from training.services.outputs import samples_context

SIDE: Final = 320
SAMPLES_SIDE: Final = 1024
MEDIA_TYPE: Final = "image/jpeg"


def picture_thumbnail(*, picture: Picture, side: int = SIDE) -> bytes | Refusal:
    """A JPEG of at most `side` pixels. `key_unavailable` after a withdrawal, for ever."""
    dataset = picture.dataset
    return _small(dataset, picture.object_digest, dataset.pk, side)


def reference_thumbnail(*, reference: ReferencePicture, side: int = SIDE) -> bytes | Refusal:
    """The same for a picture that says who the talent is."""
    dataset = reference.dataset
    return _small(dataset, reference.object_digest, reference_context(dataset), side)


def samples_picture(*, lora: Lora, side: int = SAMPLES_SIDE) -> bytes | Refusal:
    """What the LoRA draws: its sample grid, for those who decide about the outputs."""
    dataset = lora.job.dataset
    return _small(dataset, lora.samples_object, samples_context(lora.job_id), side)


def _small(dataset: Dataset, digest: str, context: str, side: int) -> bytes | Refusal:
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    if isinstance(key, Refusal):
        return key
    data = opened(digest, key, context=context)
    if isinstance(data, Refusal):
        return data
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
