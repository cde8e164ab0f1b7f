"""From a finished run to a sealed LoRA: read, checked for leaks, proven markable, sketched, logged.

Stage 7. Trusts the master only as far as it parses. The master is never delivered: every delivery
carries a mark of its own, and a run whose weights would not hold one ends here.
"""

from __future__ import annotations

import dataclasses
import secrets
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core.refusals import Refusal
from registry.core.vault import unseal
from registry.log import append
from registry.log.core.errors import VerificationError
from registry.models import Grant
from registry.services import vault
from training.core import (
    fingerprint,
    provenance,
    watermark,
    watermark_code,
    watermark_reading,
    weights,
)
from training.core.weights import Weights
from training.models import Lora, TrainingJob
from training.services import epochs, imaging
from training.services.faults import State, grant_code, job_end
from training.services.objects import object_read
from training.services.runs import master_context, statement_sha256


def lora_seal(*, job: TrainingJob, at: datetime | None = None) -> Lora | Refusal:
    """Seal what a finished run made. Doing it twice returns the same LoRA.

    (1) the run is finished and its grant holds; (2) the master opens and parses, with no name in
    it; (3) a throw-away mark is embedded and read back from a stripped float16 copy, or nothing is
    sealed (`watermark_unreadable`); (4) its lineage sketches; (5) its sample pictures are marked;
    (6) row, state and `lora.sealed`.
    """
    at = at or timezone.now()
    row = TrainingJob.objects.select_related("grant", "request").get(pk=job.pk)
    known = Lora.objects.filter(job=row).first()
    if known is not None:
        return known
    # (1)
    if row.state != State.FINALISING or row.result is None:
        return Refusal("wrong_state", row.state)
    code = grant_code(row.grant, at)
    if code is not None:
        return _ended(row, State.STOPPED, Refusal(code, "before sealing"), at)
    try:
        # (2)
        master = _master(row, row.result["master_object"])
        if isinstance(master, Refusal):
            return _ended(row, State.FAILED, master, at)
        # (3)
        proof = _proven(master)
        # (4)
        sketches = _sketches(master)
    except VerificationError as error:
        refusal = Refusal("watermark_unreadable", f"{error.code}: {error.detail}")
        return _ended(row, State.FAILED, refusal, at)
    # (5)
    lora = Lora(job=row, **sketches)
    marked = _marked(lora, row.result)
    # (6)
    return _seal(lora, proof, marked, at)


def _marked(lora: Lora, result: dict[str, Any]) -> imaging.MarkedSheet | None:
    """A sheet that cannot be opened stays unmarked: the look at the outputs refuses it by name."""
    digest = result.get("samples_object", "")
    found = imaging.sheet_mark(lora, digest) if digest else None
    return None if isinstance(found, Refusal) else found


def lora_master(lora: Lora) -> Weights | Refusal:
    """The unmarked weights, decrypted in memory; `key_unavailable` after a withdrawal."""
    try:
        return _master(lora.job, lora.master_object)
    except VerificationError as error:
        return Refusal("malformed", f"{error.code}: {error.detail}")


def _master(job: TrainingJob, digest: str) -> Weights | Refusal:
    key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
    if isinstance(key, Refusal):
        return key
    data = object_read(digest)
    if isinstance(data, Refusal):
        return data
    read = weights.read(unseal(data, key, context=master_context(job.pk)))
    # What must never stand in a file: the talents' names, however they are or were written.
    names = [name for talent in job.request.talents.all() for name in selectors.names_of(talent)]
    leaks = provenance.scan_for_leaks(read.metadata, read.tensors, names)
    return Refusal("training_failed", leaks[0]) if leaks else read


def _proven(master: Weights) -> watermark_reading.Proof:
    key, artefact = epochs.key(epochs.newest()), secrets.token_bytes(watermark_code.ID_BYTES)
    strength = watermark.choose_eps(master)
    marked = watermark.embed(master, key, artefact, strength.eps)
    return watermark_reading.verify_embedding(marked, key, artefact)


def _sketches(master: Weights) -> dict[str, bytes]:
    key = epochs.lineage_key()
    factors = fingerprint.delivered_sketch(master, key)
    return {
        "sketch": fingerprint.pack(fingerprint.sketch(master, key)),
        "factor_sketch": b"" if factors is None else fingerprint.pack(factors),
    }


def _seal(
    lora: Lora, proof: watermark_reading.Proof, marked: imaging.MarkedSheet | None, at: datetime
) -> Lora | Refusal:
    job = lora.job
    with transaction.atomic():
        # Measuring took its time: a withdrawal meanwhile has ended this, too.
        grant = Grant.objects.select_for_update().get(pk=job.grant_id)
        row = TrainingJob.objects.select_for_update().get(pk=job.pk)
        known = Lora.objects.filter(job=row).first()
        if known is not None:  # somebody else sealed it while this one was measuring
            return known
        code = grant_code(grant, at)
        if code is not None:
            return _ended(row, State.STOPPED, Refusal(code, "before sealing"), at)
        result: dict[str, Any] = row.result or {}
        lora.master_object = result["master_object"]
        lora.tensor_sha256 = result["tensor_sha256"]
        lora.run_statement = result["run_statement"]
        drawn = result.get("samples_object", "")
        lora.samples_object = drawn if marked is None else marked.object_digest
        lora.base_samples_object = result.get("base_samples_object", "")
        lora.watermark_profile = watermark.PROFILE
        lora.self_test = _shown(proof)
        lora.sealed_event = append.append("lora.sealed", _sealed_data(lora), at=at)
        lora.save(force_insert=True)
        if marked is not None:
            imaging.sheet_keep(lora, marked, at)
        row.state = State.DONE
        row.save(update_fields=["state"])
    return lora


def _sealed_data(lora: Lora) -> dict[str, Any]:
    return {
        "lora_id": lora.pk,
        "job_id": lora.job_id,
        "tensor_sha256": lora.tensor_sha256,
        "run_statement_sha256": statement_sha256(lora.run_statement),
        "watermark_profile": lora.watermark_profile,
    }


def _shown(proof: watermark_reading.Proof) -> dict[str, Any]:
    """The self-test's numbers, rounded: they stay on this side."""
    return {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in dataclasses.asdict(proof).items()
    }


def _ended(job: TrainingJob, state: TrainingJob.State, refusal: Refusal, at: datetime) -> Refusal:
    with transaction.atomic():
        job_end(job, state, refusal, at=at, out_of=(State.FINALISING,))
    return refusal


def lora_freeze_sweep(*, at: datetime | None = None) -> int:
    """Freeze every LoRA whose grant no longer holds; returns how many.

    A withdrawal changes the registry's rows; this floor finds out by reading. Delivering and
    fetching look at the grant themselves, so nothing hangs on when this runs.
    """
    at = at or timezone.now()
    open_ = Lora.objects.filter(state=Lora.State.SEALED).select_related("job__grant")
    return sum(_freeze(lora, at) for lora in open_)


def _freeze(lora: Lora, at: datetime) -> bool:
    code = grant_code(lora.job.grant, at)
    if code is None or code == "paused":  # a pause ends; a frozen LoRA stays frozen
        return False
    with transaction.atomic():
        changed = Lora.objects.filter(pk=lora.pk, state=Lora.State.SEALED).update(
            state=Lora.State.FROZEN, frozen_code=code, frozen_at=at
        )
        if changed:
            event = append.append("lora.frozen", {"lora_id": lora.pk, "code": code}, at=at)
            Lora.objects.filter(pk=lora.pk).update(frozen_event=event)
    return bool(changed)


def log_origin() -> str:
    """The log's name, as a delivered file's header says it."""
    return str(settings.LOG_ORIGIN)
