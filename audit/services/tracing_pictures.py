"""Which LoRA drew this picture? For pictures that the platform drew itself. Stage 9.

Three ways, the surest first: a C2PA manifest that the registry signed over exactly these pixels;
the invisible mark, which has no key and can be copied; the look of the picture. The last two open
an inquiry and prove nothing. A picture that somebody made elsewhere with a delivered LoRA is not
found: its provenance rests on the LoRA's watermark, not on the picture's.
"""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
from PIL import Image

from registry.log.core.errors import VerificationError
from training.core import image_marks
from training.engines.base import Rgb
from training.models import Lora, SamplePicture
from training.services import c2pa_manifests, imaging

Way = Literal["manifest", "imagemark", "alike"]
_STARTS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
MAX_PIXELS: Final = 50_000_000


def is_picture(data: bytes) -> bool:
    """Whether the file begins like a PNG, a JPEG or a WebP."""
    return data.startswith(_STARTS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def find(data: bytes) -> tuple[Way, str] | None:
    """How a picture was recognised, and the id of its LoRA; None for nothing.

    Raises `VerificationError("malformed")` for a picture that cannot be decoded or is too large.
    """
    form, rgb = _decoded(data)
    found = c2pa_manifests.lora_in(data, form)
    if found is not None and Lora.objects.filter(pk=found).exists():
        return "manifest", found
    read = imaging.MARK.read(rgb)
    marked = SamplePicture.objects.exclude(mark=None).values_list("mark", "sheet__lora")
    known = {mark: lora for mark, lora in marked if mark is not None}
    number = None if read is None else image_marks.named(read, known)
    if number is not None:
        return "imagemark", known[number]
    looks = imaging.picture_hash(rgb)
    for lora, kept in SamplePicture.objects.values_list("sheet__lora", "picture_hash").iterator():
        if image_marks.alike(looks, int(kept)):
            return "alike", lora
    return None


def _decoded(data: bytes) -> tuple[str, Rgb]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise VerificationError("malformed", "a picture of more than 50 megapixels")
            return str(image.format), np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VerificationError("malformed", f"picture: {type(error).__name__}") from error
