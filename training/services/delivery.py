"""Delivery: one marked copy for one recipient, encrypted to their key, behind a link that ends.

Stage 8. Trusts the sealed master and the grant as of now. Every copy has an artefact id of its own;
which recipient it stands for is known here only, and a keyed commitment to it is what goes out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from registry import selectors
from registry.core import licences, recipients
from registry.core.refusals import Refusal
from registry.log import append
from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from registry.models import Grant, Organisation
from registry.services import blocks, keyring
from training.core import (
    folder,
    model_signature,
    provenance,
    watermark,
    watermark_code,
    watermark_reading,
    weights,
)
from training.core.weights import Weights, WeightsError
from training.models import Delivery, Download, Lora
from training.services import epochs, outputs, packing, probes
from training.services.faults import grant_code
from training.services.objects import object_read, object_store
from training.services.runs import statement_sha256
from training.services.sealing import log_origin, lora_master

LINK_DAYS: Final = 7
ARCHITECTURE: Final = "stable-diffusion-v1/lora"
REGISTRY: Final = "kyodaku"


@dataclass(frozen=True)
class Copy:
    """A marked file before it is encrypted."""

    data: bytes
    epoch: int
    artefact_id: bytes
    file_sha256: str
    tensor_sha256: str


def delivery_make(
    *, lora: Lora, recipient: Organisation, at: datetime | None = None
) -> Delivery | Refusal:
    """Make one recipient's copy. The returned row's `link` is the token of its link, shown once.

    (1) the LoRA is not frozen, its grant holds, its outputs were measured and nobody must look at
    them first, whoever must approve them has, and the recipient is the licensee with a key; (2) a
    fresh artefact id is marked into the master and read back from the very bytes that go out; (3)
    the header says what it is and names nobody; (4) the statement is signed, and the folder as a
    whole; (5) the folder is encrypted to their key; (6) row and `delivery.made`, with the grant
    locked and looked at again.
    """
    at = at or timezone.now()
    # (1)
    refusal = _allowed(lora, recipient, at)
    if refusal is not None:
        return refusal
    master = lora_master(lora)
    if isinstance(master, Refusal):
        return master
    try:
        # (2) (3)
        copy = _copy(lora, master, at)
    except VerificationError as error:
        return Refusal("watermark_unreadable", f"{error.code}: {error.detail}")
    return _deliver(lora, recipient, copy, at)


def _allowed(lora: Lora, recipient: Organisation, at: datetime) -> Refusal | None:
    code = grant_code(Grant.objects.get(pk=lora.job.grant_id), at)
    if code is not None:
        return Refusal(code, lora.pk)
    if lora.state == Lora.State.FROZEN:
        return Refusal("frozen", lora.frozen_code)
    unseen = probes.delivery_refusal(lora)
    if unseen is not None:
        return unseen
    unapproved = outputs.missing(lora)
    if unapproved:
        return unapproved[0]
    if selectors.core_grant(lora.job.grant).terms.prototype:
        return Refusal("scope_prototype_only", lora.pk)
    misused = blocks.blocked(recipient)
    if misused is not None:
        return misused
    if recipient.pk != lora.job.request.licensee_id:
        return Refusal("terms_invalid", "the grant names another licensee")
    if not recipient.delivery_recipient:
        return Refusal("not_enrolled", "the recipient has no delivery key")
    return None


def _copy(lora: Lora, master: Weights, at: datetime) -> Copy:
    epoch = epochs.marking()
    key = epochs.key(epoch)
    host = watermark.measure(master, key)
    artefact = host.fitting(_fresh_artefacts())
    marked = weights.half(_named(host.mark(artefact, _eps(master))))
    bare = weights.write(marked.tensors, {})
    tensor_sha256 = weights.tensor_sha256(bare)
    data = weights.write(marked.tensors, _header(lora, tensor_sha256, artefact, at))
    # What was read back is what goes out, not what was meant to.
    watermark_reading.verify_embedding(weights.read(data), key, artefact)
    digests = hashlib.sha256(data).hexdigest(), weights.tensor_sha256(data)
    return Copy(data, epoch, artefact, *digests)


def _named(marked: Weights) -> Weights:
    """Under the names that A1111, Forge, ComfyUI and diffusers all read. What has none there keeps
    PEFT's, which diffusers reads.
    """
    try:
        return weights.to_kohya(marked)
    except WeightsError as error:
        if error.code != "not_convertible":
            raise
        return marked


def _eps(master: Weights) -> float:
    return watermark.choose_eps(master).eps


def _fresh_artefacts() -> list[bytes]:
    """As many ids as the mark may choose from, none of them delivered."""
    drawn = {secrets.token_bytes(watermark_code.ID_BYTES) for _ in range(2 * watermark.CHOICES)}
    numbers = {int.from_bytes(item, "big"): item for item in drawn}
    used = Delivery.objects.filter(artefact_id__in=numbers).values_list("artefact_id", flat=True)
    for number in used:
        del numbers[number]
    return list(numbers.values())[: watermark.CHOICES]


def _header(lora: Lora, tensor_sha256: str, artefact: bytes, at: datetime) -> dict[str, str]:
    recipe: dict[str, Any] = lora.job.request.recipe
    side = recipe.get("resolution", 0)
    asked = [base.conditions for base in selectors.core_grant(lora.job.grant).base_models]
    return provenance.modelspec_metadata(
        architecture=ARCHITECTURE,
        title=lora.pk,
        grant_digest=lora.job.grant.digest,
        log_origin=log_origin(),
        tensor_sha256=tensor_sha256,
        watermark_profile=lora.watermark_profile,
        at=at,
        resolution=f"{side}x{side}",
        base_duties=sorted({word for c in asked for word in licences.duties(c)}),
        base_notices=sorted({text for c in asked for text in c.notices}),
    )


def artefact_commitment(epoch: int, artefact: bytes) -> str:
    """A keyed commitment to an artefact id (HMAC-SHA-256, hex): provable later, not guessable."""
    key = epochs.key(epoch).derive("commitment")
    return hmac.digest(key, artefact, "sha256").hex()


def _deliver(lora: Lora, recipient: Organisation, copy: Copy, at: datetime) -> Delivery | Refusal:
    link = secrets.token_urlsafe(32)
    row = Delivery(
        lora=lora,
        recipient=recipient,
        epoch=copy.epoch,
        artefact_id=int.from_bytes(copy.artefact_id, "big"),
        file_sha256=copy.file_sha256,
        tensor_sha256=copy.tensor_sha256,
        link_token_hash=_link_hash(link),
        expires_at=at + timedelta(days=LINK_DAYS),
    )
    # (4)
    row.statement = _statement(row, copy, at)
    packed = packing.folder_pack(row, copy.data)
    # (5)
    try:
        to = recipients.parse(recipient.delivery_recipient)
    except VerificationError as error:
        return Refusal("not_enrolled", f"the delivery key: {error.detail}")
    row.object_digest = object_store(recipients.seal(to, packed, label=row.pk))
    # (6) A crash before this leaves a file that nobody can open but its recipient, and no link.
    with transaction.atomic():
        grant = Grant.objects.select_for_update().get(pk=lora.job.grant_id)
        code = grant_code(grant, at)
        if code is not None:
            return Refusal(code, lora.pk)
        unapproved = outputs.missing(lora)  # somebody may have returned them meanwhile
        if unapproved:
            return unapproved[0]
        row.event = append.append("delivery.made", _made_data(row), at=at)
        row.save(force_insert=True)
    row.link = link
    return row


def _statement(row: Delivery, copy: Copy, at: datetime) -> dict[str, Any]:
    facts = provenance.DeliveryFacts(
        delivery_id=row.pk,
        file_sha256=row.file_sha256,
        tensor_sha256=row.tensor_sha256,
        master_tensor_sha256=row.lora.tensor_sha256,
        run_statement_sha256=statement_sha256(row.lora.run_statement),
        grant_digest=row.lora.job.grant.digest,
        watermark_profile=row.lora.watermark_profile,
        licensee=row.recipient_id,
        artefact_commitment=artefact_commitment(copy.epoch, copy.artefact_id),
        registry=REGISTRY,
        at=at,
        lora_id=row.lora_id,
        model_key_sha256=model_signature.key_sha256(keyring.model_public_key()),
    )
    payload = canonical.dumps(provenance.delivery_statement(facts))
    return envelope.sign(provenance.PAYLOAD_TYPE, payload, [keyring.provenance_signer()])


def _made_data(row: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": row.pk,
        "lora_id": row.lora_id,
        "recipient_id": row.recipient_id,
        "file_sha256": row.file_sha256,
        "tensor_sha256": row.tensor_sha256,
        "statement_sha256": statement_sha256(row.statement),
        "watermark_epoch": str(row.epoch),
    }


def link_find(*, link: str, at: datetime | None = None) -> Delivery | Refusal:
    """The delivery that a link would hand out now; looking changes nothing.

    `link_expired` for a link that is unknown or over, `link_used` for one that was used, the
    grant's code when it no longer holds, `frozen` for a frozen LoRA.
    """
    at = at or timezone.now()
    row = (
        Delivery.objects.select_related("lora__job__grant")
        .filter(link_token_hash=_link_hash(link))
        .first()
    )
    if row is None or at >= row.expires_at:
        return Refusal("link_expired")
    if row.link_used_at is not None:
        return Refusal("link_used", row.pk)
    if selectors.core_grant(row.lora.job.grant).terms.prototype:
        return Refusal("scope_prototype_only", row.lora_id)
    code = grant_code(row.lora.job.grant, at)
    if code is not None or row.lora.state == Lora.State.FROZEN:
        return Refusal(code or "frozen", row.lora.frozen_code)
    return row


def delivery_fetch(*, link: str, at: datetime | None = None) -> bytes | Refusal:
    """The encrypted folder behind a link, which ends with it.

    Refused as `link_find` is. Each time is a row and an event; of two at once one gets it.
    """
    at = at or timezone.now()
    row = link_find(link=link, at=at)
    if isinstance(row, Refusal):
        return row
    data = object_read(row.object_digest)
    if isinstance(data, Refusal):
        return data
    with transaction.atomic():
        mine = Delivery.objects.filter(
            pk=row.pk, link_token_hash=_link_hash(link), link_used_at=None
        )
        if not mine.update(link_used_at=at):
            return Refusal("link_used", row.pk)
        Delivery.objects.filter(pk=row.pk, fetched_at=None).update(fetched_at=at)
        told = {"delivery_id": row.pk, "link_number": row.link_number}
        event = append.append("delivery.fetched", told, at=at)
        Download.objects.create(delivery=row, link_number=row.link_number, at=at, event=event)
    return data


def parcel_fetch(*, link: str, at: datetime | None = None) -> tuple[str, bytes] | Refusal:
    """What a link hands out: (file name, archive of the encrypted folder and its proof).

    Refused as `delivery_fetch` is; `registry_unreachable` while the log has not taken the delivery
    in, and then the link was not used. Call it outside a transaction: it waits for the log.
    """
    row = link_find(link=link, at=at)
    if isinstance(row, Refusal):
        return row
    proof = packing.proof(row)
    if isinstance(proof, Refusal):
        return proof
    sealed = delivery_fetch(link=link, at=at)
    if isinstance(sealed, Refusal):
        return sealed
    return f"{row.pk}.zip", folder.parcel_pack(row.pk, recipients.suffix(sealed), sealed, proof)


def link_renew(*, delivery: Delivery, at: datetime | None = None) -> Delivery | Refusal:
    """Put a new link in place of an old one; the returned row's `link` is its token, shown once.

    Refused as a new delivery would be.
    """
    at = at or timezone.now()
    refusal = _allowed(delivery.lora, delivery.recipient, at)
    if refusal is not None:
        return refusal
    link = secrets.token_urlsafe(32)
    Delivery.objects.filter(pk=delivery.pk).update(
        link_token_hash=_link_hash(link),
        expires_at=at + timedelta(days=LINK_DAYS),
        link_number=F("link_number") + 1,
        link_used_at=None,
    )
    delivery.refresh_from_db()
    delivery.link = link
    return delivery


def _link_hash(link: str) -> str:
    return hashlib.sha256(link.encode()).hexdigest()
