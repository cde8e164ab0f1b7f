"""Key epochs of the watermark: which secret marks today, and which secrets read.

Stages 7 to 9. Averages over many marked files of one epoch begin to show its probes (about 10^5 of
them, measured on a simulation), so an epoch ends well before. A new epoch has a key file of its
own; the old ones are read with for ever. Trusts the rows for the numbers and the files for the
secrets: a file that is missing is an error, never an epoch left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.log import append
from registry.services import keyring
from training.core.watermark_code import Key
from training.models import Delivery, WatermarkEpoch

FIRST: Final = 1


def marking() -> int:
    """The epoch that marks the next file; a new one where the present one is full."""
    number = newest()
    if Delivery.objects.filter(epoch=number).count() < settings.WATERMARK_EPOCH_FILES:
        return number
    return rotate(after=number)


def newest() -> int:
    """The number of the newest epoch; the first needs no row."""
    found = WatermarkEpoch.objects.order_by("-number").values_list("number", flat=True).first()
    return FIRST if found is None else int(found)


def rotate(*, after: int, at: datetime | None = None) -> int:
    """Begin the epoch after `after`, once: whoever comes later is told the same number.

    The key file comes first. A crash between the two leaves a file that the next attempt takes up.
    """
    at, number = at or timezone.now(), after + 1
    keyring.create_watermark(number)
    with transaction.atomic():
        row, made = WatermarkEpoch.objects.get_or_create(number=number, defaults={"begun_at": at})
        if made:
            row.event = append.append("watermark.rotated", {"epoch": str(number)}, at=at)
            row.save(update_fields=["event"])
    return number


def key(number: int) -> Key:
    """The key of one epoch. Raises `KeyFileError`, which names the file."""
    return Key(str(number), keyring.watermark_secret(number))


def keys() -> list[Key]:
    """Every epoch's key, the newest first: a file may be of any."""
    return [key(number) for number in range(newest(), FIRST - 1, -1)]


def lineage_key() -> Key:
    """The key of lineage sketches: one for all, or they could not be compared."""
    return Key(str(FIRST), keyring.secret("lineage.key"))
