"""Consent receipts of one person in one case: the machine file and the printed form.

After stage 2. Gathers and decides nothing; `registry.core.receipts` verifies what is handed out
before it leaves, as its holder will verify it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from registry import selectors
from registry.core import receipts as core
from registry.core.approvals import Approval as CoreApproval
from registry.core.receipts import Receipt, Verified
from registry.core.refusals import Locale, Refusal
from registry.log import selectors as log
from registry.log.core import canonical
from registry.models import Approval, Grant, Lane, Person
from registry.services import keyring, receipt_pdf

LOG_WAIT_S = 10.0


@dataclass(frozen=True)
class Files:
    """What a signer takes home. The printed form holds the machine file as an attachment."""

    name: str
    machine: bytes
    printed: bytes


def receipt_of(*, person: Person, grant: Grant, by: str) -> bytes | Refusal:
    """The machine file of a person's approval in one capacity, verified before it leaves.

    Given also after the grant has ended: what was signed was signed. Refusals: `wrong_state`
    without an approval, `registry_unreachable` while the log has not taken it in. Call it outside
    a transaction. Raises `VerificationError` for a receipt that its holder could not verify.
    """
    row = (
        Approval.objects.filter(lane__grant=grant, lane__person=person, lane__by=by)
        .select_related("lane")
        .order_by("asserted_at", "id")
        .first()
    )
    if row is None:
        return Refusal("wrong_state", "nothing was signed")
    try:
        entry = log.wait_for(row.event, LOG_WAIT_S)
    except TimeoutError as error:
        return Refusal("registry_unreachable", str(error))
    receipt = Receipt(
        grant=selectors.core_grant(grant),
        approval=CoreApproval.from_payload(row.payload),
        entry=bytes(entry.payload).decode(),
        proof=log.tlog_proof(entry.index),
    )
    data = canonical.dumps(receipt.to_payload(settings.PUBLIC_URL))
    core.verify(data, keyring.trust_root())
    return data


def receipt_files(*, person: Person, grant: Grant, by: str, locale: Locale) -> Files | Refusal:
    """Both forms. The printed one is in the reader's language and names people."""
    machine = receipt_of(person=person, grant=grant, by=by)
    if isinstance(machine, Refusal):
        return machine
    verified = core.verify(machine, keyring.trust_root())
    printed = receipt_pdf.draw(_sheet(verified, grant, person), machine, locale)
    return Files(f"kyodaku-{verified.receipt.approval.approval_id}", machine, printed)


def _sheet(verified: Verified, grant: Grant, person: Person) -> receipt_pdf.Sheet:
    request = grant.request
    return receipt_pdf.Sheet(
        verified=verified,
        signer=person.display_name,
        requester=request.requester.name,
        licensee=request.licensee.name,
        state=grant.state,
        withdraw_at=f"{settings.PUBLIC_URL}/my/",
        answers=_answers(grant),
    )


def _answers(grant: Grant) -> tuple[tuple[str, str], ...]:
    """Everybody's capacity and answer, as the case stands now."""
    lanes = Lane.objects.filter(grant=grant).order_by("by", "id")
    return tuple((lane.by, lane.state) for lane in lanes)
