"""The evidence pack of one delivery, or of one use of it, as of a moment: all proof in one file.
Stage 9.

Gathers and decides nothing: the pack is verified with the pinned trust root before it leaves, as
everybody else will verify it. A withdrawal ends the use, not the evidence: a pack can be made after
it and then says `withdrawn`; as of an earlier moment, it says how things stood then.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.models import UseReport
from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from registry.core import jose
from registry.core import tokens as core_tokens
from registry.core.refusals import Refusal
from registry.core.tokens import Claims
from registry.log import append, replay
from registry.log import selectors as log
from registry.log.core import canonical
from registry.log.core.tlog_proof import TlogProof, format_proof
from registry.log.models import Entry
from registry.models import Approval
from registry.replay import consent
from registry.services import keyring, tokens
from training.core.manifest import Manifest
from training.models import Delivery
from training.services.datasets import dataset_manifest

LOG_WAIT_S: Final = 10.0
# The oldest list that a gate takes, and the clocks of both sides.
_FRESH: Final = timedelta(seconds=settings.STATUS_MAX_AGE + 2 * core_tokens.SKEW_S)


def pack_build(
    *, delivery: Delivery, use: UseReport | None = None, at: datetime | None = None
) -> bytes | Refusal:
    """The zipped pack of a delivery, or of one reported `use` of it, as of `at` (by default now).

    (1) `at`, to the second, lies between what the pack is about and the moment whose status list
    no gate takes any more, or `wrong_state`;
    (2) every entry is under a signed checkpoint, or `registry_unreachable`; (3) the files, and a
    status list as of `at`; (4) the pack verifies; (5) `evidence.exported` is logged. Raises
    `StepError` when (4) fails: that is our defect, and such a pack does not leave. Call it outside
    a transaction: (2) waits for the log.
    """
    now = timezone.now()
    as_of = (at or now).replace(microsecond=0)
    if delivery.lora.job.admission is None:
        return Refusal("no_token", delivery.lora.job_id)
    # What is committed may not be in the log yet, so a list made from the log could call a token
    # valid that has just been withdrawn. Only the rows say how things stand while a gate listens.
    latest = now if at is None else now - _FRESH
    refusal = _untimely(delivery, use, as_of, latest)  # (1)
    if refusal is not None:
        return refusal
    claims = _claims(delivery)
    try:
        entries = _entry_files(delivery, use)  # (2)
    except TimeoutError as error:
        return Refusal("registry_unreachable", str(error))
    files = {**_case_files(delivery, claims), **entries}  # (3)
    files[verifier.STATUS_AS_OF] = _status_list(as_of, earlier=at is not None).encode()
    page = verifier.header(
        as_of=as_of,
        lora_id=delivery.lora_id,
        delivery_id=delivery.pk,
        use_id="" if use is None else use.pk,
        names={*files, verifier.PACK},
    )
    files[verifier.PACK] = canonical.dumps(page)
    verdict = verifier.verify(files, keyring.trust_root())  # (4)
    with transaction.atomic():  # (5)
        data = {
            "delivery_id": delivery.pk,
            "lora_id": delivery.lora_id,
            "standing": verdict.standing,
        }
        if use is not None:
            data["use_id"] = use.pk
        append.append("evidence.exported", data)
    return packs.write(files)


def _untimely(
    delivery: Delivery, use: UseReport | None, as_of: datetime, latest: datetime
) -> Refusal | None:
    """Nothing is proved as of a moment to come, or before it was there."""
    if use is not None and use.delivery_id != delivery.pk:
        return Refusal("wrong_state", "a use of another delivery")
    made = delivery.created_at if use is None else use.reported_at
    if not made.replace(microsecond=0) <= as_of <= latest:
        return Refusal("wrong_state", f"as of {as_of.isoformat()}")
    return None


def _status_list(as_of: datetime, *, earlier: bool) -> str:
    """The list of now from the rows; one of an earlier moment from what the log told until then."""
    if not earlier:
        return tokens.status_list_issue(at=as_of)
    told = consent.Tokens()
    for event in replay.events(told.reads):
        if datetime.fromisoformat(event.at) < as_of + timedelta(seconds=1):
            told.tell(event)
    statuses = {jti: told.said(jti, "status", 0) for jti in told.told}
    held = {jti: status for jti, status in statuses.items() if isinstance(status, int) and status}
    return tokens.status_list_issue(at=as_of, statuses=held)


def _claims(delivery: Delivery) -> Claims:
    """The token with which the run was admitted, its signature checked."""
    pinned = keyring.trust_root().token_keys
    text = _admission(delivery)["token"]
    return Claims.from_payload(jose.read(text, typ=core_tokens.TYPE, pinned=pinned))


def _admission(delivery: Delivery) -> dict[str, Any]:
    """What the gate saw; `pack_build` has looked that it is there."""
    return dict(delivery.lora.job.admission or {})


def _case_files(delivery: Delivery, claims: Claims) -> dict[str, bytes]:
    job, admission = delivery.lora.job, _admission(delivery)
    worker = b"" if job.worker is None else bytes(job.worker.public_raw)
    files = {
        verifier.GRANT: claims.grant.canonical(),
        **{name: claims.grant.text(loc).encode() for loc, name in verifier.TEXTS.items()},
        verifier.TOKEN: admission["token"].encode(),
        verifier.STATUS: admission["status_list"].encode(),
        verifier.CURATION: canonical.dumps(job.dataset.curation),
        verifier.RIGHTS: canonical.dumps(job.dataset.rights),
        verifier.MANIFEST: canonical.dumps(_leaves(dataset_manifest(job.dataset))),
        verifier.WORKER: canonical.b64u(worker).encode(),
        verifier.RUN: canonical.dumps(delivery.lora.run_statement),
        verifier.DELIVERY: canonical.dumps(delivery.statement),
    }
    for approval in claims.approvals:
        files[verifier.approval_name(approval)] = canonical.dumps(approval.to_payload())
    return files


def _leaves(manifest: Manifest) -> dict[str, Any]:
    return verifier.leaves(vars(item) for item in manifest.items)


def _entry_files(delivery: Delivery, use: UseReport | None) -> dict[str, bytes]:
    """Each entry of the case with its proof, all under the newest checkpoint."""
    names = [*_events(delivery), *([] if use is None else [use.event])]
    entries = [log.wait_for(event, LOG_WAIT_S) for event in names]
    entries += _token_entries(delivery)
    newest = log.latest_checkpoint()
    if newest is None:
        raise TimeoutError("the log has no signed checkpoint yet")
    files = {}
    for entry in entries:
        path = tuple(log.inclusion(entry.index, newest.size))
        proof = format_proof(TlogProof(entry.index, path, newest.note))
        files[f"entries/{entry.index}.json"] = bytes(entry.payload)
        files[f"proofs/{entry.index}.tlog-proof"] = proof.encode()
    return files


def _events(delivery: Delivery) -> Iterator[str]:
    """The ids of the events that the rows of the case name; doubles are one file in the end."""
    job = delivery.lora.job
    approvals = Approval.objects.filter(lane__grant=job.grant).select_related("credential")
    for approval in approvals:
        yield approval.credential.enrolment_event
        yield approval.event
    yield from (job.dataset.sealed_event, job.grant.made_event)
    yield from (job.admitted_event, job.ended_event, delivery.lora.sealed_event, delivery.event)


def _token_entries(delivery: Delivery) -> list[Entry]:
    """`token.minted` and `token.redeemed`, by the token's id. Both were appended before the
    admission, whose entry was waited for."""
    named = log.entries_about(delivery.lora.job.token_jti)
    return list(named.filter(event_type__in=("token.minted", "token.redeemed")).order_by("index"))
