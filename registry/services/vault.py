"""The key shares of talents: made when pictures arrive, destroyed when consent goes.

Beside stage 5. A data set's key exists only while it is being used; it is derived from the shares
of all talents of the request, so destroying any of them makes the pictures unreadable for ever.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from registry.core import vault
from registry.core.refusals import Refusal
from registry.log.append import append
from registry.models import KeyShare, TrainingRequest
from registry.services import keyring


@transaction.atomic
def dataset_key_create(*, request: TrainingRequest, dataset_id: str) -> bytes | Refusal:
    """Make the shares that are missing and return the data set's key.

    A share that was destroyed is never made again: `key_unavailable`.
    """
    for talent in request.talents.order_by("id"):
        wrapped = vault.wrap(vault.new_key(), keyring.root_key())
        KeyShare.objects.get_or_create(
            talent=talent, request=request, defaults={"wrapped": wrapped}
        )
    return dataset_key(request=request, dataset_id=dataset_id)


def dataset_key(*, request: TrainingRequest, dataset_id: str) -> bytes | Refusal:
    """The 32-byte key of a data set, or `key_unavailable` if a share is missing or destroyed."""
    talents = set(request.talents.values_list("id", flat=True))
    rows = KeyShare.objects.filter(request=request, talent__in=talents, wrapped__isnull=False)
    shares = {
        row.talent_id: vault.unwrap(bytes(row.wrapped), keyring.root_key())
        for row in rows
        if row.wrapped is not None
    }
    if not talents or set(shares) != talents:
        return Refusal("key_unavailable", request.id)
    return vault.dataset_key(shares, dataset_id)


def shares_shred(*, request: TrainingRequest, at: datetime) -> int:
    """Destroy every key share of a request, inside the caller's transaction; returns how many."""
    shredded = 0
    for row in KeyShare.objects.filter(request=request, wrapped__isnull=False).order_by("id"):
        rows = KeyShare.objects.filter(id=row.pk, wrapped__isnull=False)
        if rows.update(wrapped=None, shredded_at=at):
            append(
                "keyshare.shredded",
                {"talent_id": row.talent_id, "request_id": request.id},
                at=at,
            )
            shredded += 1
    return shredded
