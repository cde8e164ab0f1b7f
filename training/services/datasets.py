"""Taking in photographs: normalised, encrypted at once, named by digest.

Stage 5, first half. Trusts nothing about an upload. A picture is plain only in memory; on disk it
lies under the data set's key, which needs the key share of every talent in the request.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.core.vault import unseal
from registry.log import append
from registry.log.core.errors import VerificationError
from registry.models import Talent, TrainingRequest
from registry.services import vault
from training.core import manifest as manifest_core
from training.core import pictures, reservations
from training.core.manifest import Item, Manifest
from training.models import Dataset, Picture, ReferencePicture
from training.services.objects import object_read, object_store

MAX_PICTURES = 200
MAX_REFERENCES = 20


def dataset_open(*, request: TrainingRequest) -> Dataset:
    """The request's data set, made with its key on first use."""
    with transaction.atomic():
        TrainingRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        found = Dataset.objects.filter(request=request).first()
        if found is not None:
            return found
        dataset = Dataset.objects.create(request=request)
        vault.dataset_key_create(request=request, dataset_id=dataset.id)
    return dataset


def picture_add(*, dataset: Dataset, data: bytes) -> Picture | Refusal:
    """Normalise, encrypt and keep one photograph. The same photograph again returns its row.

    Refusals: `image_unreadable`, `image_too_large`, `image_too_small`, `wrong_state` once sealed,
    `key_unavailable` after a withdrawal.
    """
    plain = pictures.normalise(data)
    if isinstance(plain, Refusal):
        return plain
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.id)
    if isinstance(key, Refusal):
        return key
    with transaction.atomic():
        row = open_for_change(dataset)
        if isinstance(row, Refusal):
            return row
        if row.pictures.count() >= MAX_PICTURES:
            return Refusal("curation_blocked", f"more than {MAX_PICTURES} pictures")
        known = row.pictures.filter(file_sha256=plain.file_sha256).first()
        if known is not None:
            return known
        digest = object_store(vault_core.seal(plain.data, key, context=row.id).data)
        # A crash here leaves an encrypted object that no row names: unreachable, and harmless.
        return picture_row(row, plain, digest, signals=reservations.read(data).to_payload())


def picture_row(
    dataset: Dataset, plain: pictures.Picture, digest: str, *, signals: dict[str, Any]
) -> Picture:
    """The row of a stored picture, last in the set. Called with the data set's row locked."""
    last = dataset.pictures.aggregate(last=Max("position"))["last"]
    row = Picture.objects.create(
        dataset=dataset,
        position=0 if last is None else last + 1,
        object_digest=digest,
        file_sha256=plain.file_sha256,
        pixel_sha256=plain.pixel_sha256,
        width=plain.width,
        height=plain.height,
        bytes=len(plain.data),
        notes=list(plain.notes),
        signals=signals,
    )
    reopen(dataset)
    return row


def picture_leave_out(
    *, dataset: Dataset, picture: Picture, accepted: bool = False
) -> Picture | Refusal:
    """Take one picture out of the set (or back in) before it is sealed; `wrong_state` after."""
    with transaction.atomic():
        row = open_for_change(dataset)
        if isinstance(row, Refusal):
            return row
        picture.accepted = accepted
        picture.save(update_fields=["accepted"])
        reopen(row)
    return picture


def reference_add(*, dataset: Dataset, talent: Talent, data: bytes) -> ReferencePicture | Refusal:
    """Keep one picture that shows who the talent is, encrypted like the others.

    Refusals: those of `picture_add`, and `no_references` for a talent outside the request.
    """
    plain = pictures.normalise(data)
    if isinstance(plain, Refusal):
        return plain
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.id)
    if isinstance(key, Refusal):
        return key
    with transaction.atomic():
        row = open_for_change(dataset)
        if isinstance(row, Refusal):
            return row
        if not row.request.talents.filter(pk=talent.pk).exists():
            return Refusal("no_references", "not a talent of this request")
        if row.references.filter(talent=talent).count() >= MAX_REFERENCES:
            return Refusal("no_references", f"more than {MAX_REFERENCES} reference pictures")
        sealed = vault_core.seal(plain.data, key, context=reference_context(row))
        reference, _ = ReferencePicture.objects.get_or_create(
            dataset=row,
            talent=talent,
            file_sha256=plain.file_sha256,
            defaults={"object_digest": object_store(sealed.data)},
        )
        reopen(row)
    return reference


def reference_context(dataset: Dataset) -> str:
    """Bound into sealed references, so that none can be passed off as a picture of the set."""
    return f"{dataset.id}/reference"


def dataset_reopen(*, dataset: Dataset, at: datetime | None = None) -> Dataset | Refusal:
    """Open a sealed set for a change that somebody asked for, before anything ran under it.

    Only while the registry has the request as returned: what people are looking at, or have all
    signed, never changes under them. The key and the talents' shares stay, the report too until a
    picture changes; sealing anew makes a new grant, and every approval of the old one is void.
    """
    at = at or timezone.now()
    with transaction.atomic():
        request = TrainingRequest.objects.select_for_update(no_key=True).get(pk=dataset.request_id)
        row = Dataset.objects.select_for_update().get(pk=dataset.pk)
        if row.state != Dataset.State.SEALED or request.state != "returned":
            return Refusal("wrong_state", f"{row.state}, request {request.state}")
        row.state, row.sealed_at = Dataset.State.CURATED, None
        row.save(update_fields=["state", "sealed_at"])
        data = {"dataset_id": row.pk, "request_id": request.pk, "dataset_root": row.root}
        append.append("dataset.reopened", data, at=at)
    dataset.refresh_from_db()
    return dataset


def open_for_change(dataset: Dataset) -> Dataset | Refusal:
    """The data set's row, locked; `wrong_state` once it is sealed."""
    rows = Dataset.objects.select_for_update(of=("self",)).select_related("request")
    row = rows.get(pk=dataset.pk)
    if row.state == Dataset.State.SEALED:
        return Refusal("wrong_state", "the data set is sealed")
    return row


def reopen(dataset: Dataset) -> None:
    """A change after the survey: its report no longer describes the set."""
    Dataset.objects.filter(pk=dataset.pk).update(
        state=Dataset.State.UPLOADING, curation=None, curation_digest="", surveyed=0
    )


def dataset_manifest(dataset: Dataset) -> Manifest:
    """The manifest of the pictures that are in, from the rows. Raises `ValueError` for none."""
    rows = dataset.pictures.filter(accepted=True)
    return Manifest(dataset.id, tuple(_item(row) for row in rows))


def _item(row: Picture) -> Item:
    box: manifest_core.Box | None = tuple(row.box) if row.box else None
    return Item(
        object=row.object_digest,
        file_sha256=row.file_sha256,
        pixel_sha256=row.pixel_sha256,
        width=row.width,
        height=row.height,
        bytes=row.bytes,
        box=box,
    )


def opened(digest: str, key: bytes, *, context: str) -> bytes | Refusal:
    """One stored object, decrypted; a refusal where it is missing, changed or another's."""
    data = object_read(digest)
    if isinstance(data, Refusal):
        return data
    try:
        return unseal(data, key, context=context)
    except VerificationError as error:
        return Refusal(error.code, error.detail)
