"""Sheets of sample pictures: opened as the recipe said, taken apart in the order of their seeds.

Stages 7 and later. A worker made the sheet and is trusted for no more than its recipe: nothing
larger is unpacked.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image

from registry.core.refusals import Refusal
from registry.services import vault
from training.engines.base import Rgb
from training.models import Dataset
from training.services.datasets import opened

COLUMNS: Final = 4  # of a sheet, as the trainer lays it
MAX_SHEETS: Final = 2  # the last row may be half empty


def sheet_open(dataset: Dataset, digest: str, context: str) -> Rgb | Refusal:
    """The pixels of a sealed sheet, writable.

    `image_unreadable` for what is no PNG of the recipe's size, the vault's refusals otherwise.
    """
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    if isinstance(key, Refusal):
        return key
    data = opened(digest, key, context=context)
    if isinstance(data, Refusal):
        return data
    recipe = dataset.request.recipe
    side, count = int(recipe["resolution"]), int(recipe["samples"])
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MAX_SHEETS * side**2 * max(count, COLUMNS):
                return Refusal("image_unreadable", "a sheet of samples larger than its recipe")
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Refusal("image_unreadable", f"samples: {type(error).__name__}")


def cells(dataset: Dataset, sheet: Rgb) -> list[Rgb]:
    """The pictures of a sheet, as views of it."""
    recipe = dataset.request.recipe
    side, count = int(recipe["resolution"]), int(recipe["samples"])
    rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
    places = [(row * side, column * side) for row in range(rows) for column in range(columns)]
    return [sheet[top : top + side, left : left + side] for top, left in places[:count]]
