"""GPU machines: enrolled with their public keys, approved by an operator, known by a proof.

Stage 4. Trusts a signature by an enrolled key and nothing that a worker says about itself.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from django.db import transaction
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.log import append
from registry.log.core import keys
from registry.log.core.errors import VerificationError
from training.models import TrainingJob, Worker
from training.services.faults import HELD


def worker_enrol(
    *,
    name: str,
    public_raw: bytes,
    hpke_public: bytes,
    pool: str = "default",
    at: datetime | None = None,
) -> Worker | Refusal:
    """Record a worker's keys. It may do nothing until it is approved. `malformed` for bad keys."""
    at = at or timezone.now()
    try:
        keys.load_ed25519_public(public_raw)
        X25519PublicKey.from_public_bytes(hpke_public)
    except (VerificationError, ValueError) as error:
        return Refusal("malformed", type(error).__name__)
    jkt = keys.thumbprint(public_raw)
    with transaction.atomic():
        known = Worker.objects.filter(jkt=jkt).first()
        if known is not None:
            same = bytes(known.hpke_public) == hpke_public
            return known if same else Refusal("wrong_state", "this key is enrolled otherwise")
        worker = Worker.objects.create(
            name=name[:60],
            public_raw=public_raw,
            hpke_public=hpke_public,
            jkt=jkt,
            pool=pool,
            enrolled_at=at,
        )
        append.append("worker.enrolled", {"worker_id": worker.pk, "jkt": jkt}, at=at)
    return worker


def worker_approve(*, worker: Worker, at: datetime | None = None) -> Worker:
    """Let a worker claim jobs. Only the management command calls this: no page, no API."""
    at = at or timezone.now()
    with transaction.atomic():
        changed = Worker.objects.filter(pk=worker.pk, approved_at=None).update(approved_at=at)
        if changed:
            data = {"worker_id": worker.pk, "jkt": worker.jkt}
            append.append("worker.approved", data, at=at)
    worker.refresh_from_db()
    return worker


def worker_revoke(*, worker: Worker, at: datetime | None = None) -> Worker:
    """Take a worker out of service; the jobs it holds are told to stop."""
    at = at or timezone.now()
    with transaction.atomic():
        Worker.objects.filter(pk=worker.pk, revoked_at=None).update(revoked_at=at)
        held = TrainingJob.objects.filter(worker=worker, state__in=HELD)
        held.update(stop_code="worker_unknown")
    worker.refresh_from_db()
    return worker


def worker_by_key(jkt: str, *, at: datetime) -> Worker | Refusal:
    """The approved worker with this key: `worker_unknown` otherwise."""
    worker = Worker.objects.filter(jkt=jkt).first()
    if worker is None or worker.approved_at is None or worker.revoked_at is not None:
        return Refusal("worker_unknown", jkt)
    Worker.objects.filter(pk=worker.pk).update(last_seen_at=at)
    return worker
