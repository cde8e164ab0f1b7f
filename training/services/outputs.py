"""Approving outputs before delivery (校了), by those who speak for the person shown.

Between stages 7 and 8. When the grant carries the duty `output_approval`, nothing is delivered
until the talent (or guardian, or estate) and the agency have each looked at the samples and said
yes. Silence is never approval. The newest word of each counts, until the first copy is made.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import transaction
from django.utils import timezone

from registry.core.grants import Party
from registry.core.refusals import Refusal
from registry.log import append
from registry.models import Grant, Person
from registry.selectors import core_grant
from training.models import Lora, OutputDecision
from training.services.faults import grant_code

DUTY: Final = "output_approval"
# Who speaks for the person shown. A photographer's or a base model's rights end at the training.
DECIDES: Final = ("talent", "guardian", "estate", "agency_officer")
Decision = OutputDecision.Decision


def samples_context(job_id: str) -> str:
    """What binds a sealed sample grid to its run."""
    return f"samples/{job_id}"


def required(grant: Grant) -> list[Party]:
    """Those who must approve the outputs of a grant; nobody without the duty."""
    core = core_grant(grant)
    if DUTY not in core.terms.duties:
        return []
    return [party for party in core.parties if party.by in DECIDES]


def missing(lora: Lora) -> list[Refusal]:
    """One `output_unapproved:{by}` for each party whose yes is not there."""
    newest = {(row.person_id, row.by): row.decision for row in lora.output_decisions.all()}
    return [
        Refusal(f"output_unapproved:{party.by}", lora.pk)
        for party in required(lora.job.grant)
        if newest.get((party.party_id, party.by)) != Decision.APPROVED
    ]


def capacities(lora: Lora, person: Person) -> list[str]:
    """In which capacities a person decides about a LoRA's outputs."""
    return [p.by for p in required(lora.job.grant) if p.party_id == person.pk]


@transaction.atomic
def output_decide(
    *,
    lora: Lora,
    person: Person,
    by: str,
    approve: bool,
    note: str = "",
    at: datetime | None = None,
) -> OutputDecision | Refusal:
    """Say yes to the outputs, or return them with a note.

    (1) the person is one of those who decide; (2) the grant still holds; (3) nothing was delivered
    yet; (4) row and event together. Refusals: `wrong_state`, and the code of an ended grant.
    """
    at = at or timezone.now()
    # (1)
    if by not in capacities(lora, person):
        return Refusal("wrong_state", "not asked about these outputs")
    # The row is locked as a delivery locks it: a return comes before the first copy or not at all.
    grant = Grant.objects.select_for_update().get(pk=lora.job.grant_id)
    # (2)
    code = grant_code(grant, at)
    if code is not None:
        return Refusal(code, lora.pk)
    # (3)
    if not approve and lora.deliveries.exists():
        return Refusal("wrong_state", "delivered already: withdraw instead")
    # (4)
    word = "output.approved" if approve else "output.returned"
    data = {"lora_id": lora.pk, "grant_id": grant.pk, "party_id": person.pk, "by": by}
    return OutputDecision.objects.create(
        lora=lora,
        person=person,
        by=by,
        decision=Decision.APPROVED if approve else Decision.RETURNED,
        note=note[:2000],
        event=append.append(word, data, at=at),
        decided_at=at,
    )
