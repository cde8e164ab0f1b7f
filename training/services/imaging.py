"""The pictures that a run drew, marked before anybody sees them (stage 7).

Each sample gets an invisible mark with an id of its own, where it has room for one, and the sheet a
C2PA manifest; ids, picture hashes and the manifest are kept, so that a picture whose manifest was
stripped still leads here. What people look at and sign for is the marked sheet.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from PIL import Image

from registry.core.refusals import Refusal
from registry.core.vault import seal
from registry.log import append
from registry.services import vault
from training.core import image_marks
from training.engines.base import Rgb
from training.engines.rivagan import RivaGan
from training.models import Lora, SamplePicture, SampleSheet
from training.services import c2pa_manifests, samples
from training.services.objects import object_store
from training.services.outputs import samples_context

MARK: Final = RivaGan()
TRIES: Final = 4


@dataclass(frozen=True)
class MarkedSheet:
    """A sheet as it is shown: its sealed object, and what is kept to recognise its pictures.

    `marks` are None for pictures that are too small to take one.
    """

    object_digest: str
    sha256: str
    manifest: bytes
    marks: tuple[int | None, ...]
    hashes: tuple[int, ...]


def sheet_mark(lora: Lora, digest: str) -> MarkedSheet | Refusal:
    """Mark a run's sealed sheet for a LoRA that is about to be sealed.

    Refused as `samples.sheet_open` is; then the sheet stays as it was, and the look at the outputs
    says why it cannot be opened.
    """
    dataset, context = lora.job.dataset, samples_context(lora.job_id)
    sheet = samples.sheet_open(dataset, digest, context)
    if isinstance(sheet, Refusal):
        return sheet
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    if isinstance(key, Refusal):
        return key
    marks, hashes = [], []
    for cell in samples.cells(dataset, sheet):
        marks.append(_marked(cell))
        hashes.append(picture_hash(cell))
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    bound = [number for number in marks if number is not None]
    png, manifest = c2pa_manifests.picture(lora, buffer.getvalue(), bound, MARK.name)
    stored = object_store(seal(png, key, context=context).data)
    digest = hashlib.sha256(png).hexdigest()
    return MarkedSheet(stored, digest, manifest, tuple(marks), tuple(hashes))


def _marked(cell: Rgb) -> int | None:
    """Mark a picture in place and return its id; None where there is no room.

    A picture takes some ids better than others, so of a few the one that reads back best is taken.
    """
    if min(cell.shape[:2]) < image_marks.MIN_SIDE:
        return None
    best, kept, errors = 0, cell, image_marks.BITS + 1
    for _ in range(TRIES):
        number = _fresh()
        marked = MARK.mark(cell, number)
        read = MARK.read(marked)
        wrong = image_marks.BITS if read is None else image_marks.distance(read, number)
        if wrong < errors:
            best, kept, errors = number, marked, wrong
        if not errors:
            break
    cell[...] = kept
    return best


def _fresh() -> int:
    while True:
        number = secrets.randbits(image_marks.BITS)
        if not SamplePicture.objects.filter(mark=number).exists():
            return number


def sheet_keep(lora: Lora, marked: MarkedSheet, at: datetime) -> SampleSheet:
    """Keep what recognises a sheet's pictures, and log `image.made`. Call it in a transaction."""
    sheet = SampleSheet(lora=lora, sha256=marked.sha256, manifest=marked.manifest)
    sheet.event = append.append("image.made", _told(sheet), at=at)
    sheet.save(force_insert=True)
    pairs = zip(marked.marks, marked.hashes, strict=True)
    SamplePicture.objects.bulk_create(
        SamplePicture(sheet=sheet, place=place, mark=number, picture_hash=found)
        for place, (number, found) in enumerate(pairs)
    )
    return sheet


def _told(sheet: SampleSheet) -> dict[str, Any]:
    return {
        "lora_id": sheet.lora_id,
        "sheet_sha256": sheet.sha256,
        "manifest_sha256": manifest_sha256(sheet),
    }


def manifest_sha256(sheet: SampleSheet) -> str:
    """How the log names a sheet's manifest."""
    return hashlib.sha256(bytes(sheet.manifest)).hexdigest()


def picture_hash(rgb: Rgb) -> int:
    """`image_marks.picture_hash` of pixels of any size."""
    small = Image.fromarray(rgb).convert("L").resize((9, 8), Image.Resampling.BOX)
    return image_marks.picture_hash(np.asarray(small, np.float32))
