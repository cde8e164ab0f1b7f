"""Approving outputs before delivery (校了), by those who speak for the person shown.

Between stages 7 and 8. When the grant carries the duty `output_approval`, nothing is delivered
until the talent (or guardian, or estate) and the agency have each looked at the samples and said
yes with a key. Who they are is asked of today, not of the day on which the grant was signed.
Silence is never approval. The newest word of each counts, until the first copy is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import authority
from registry.core.parties import Speaker
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log import append
from registry.models import Challenge, Grant, Person
from registry.services import assertions
from registry.services.conflicts import conflict
from registry.services.parties import challenge_take
from training.core import outputs as rules
from training.models import Lora, OutputDecision
from training.services.faults import grant_code

DUTY: Final = "output_approval"
DECIDE_WITHIN: Final = timedelta(minutes=10)
Decision = OutputDecision.Decision


@dataclass(frozen=True)
class Voice:
    """Somebody who decides today, and their newest word. An agency is any of its officers."""

    by: str
    person_id: str
    agency_id: str
    row: OutputDecision | None

    @property
    def approved(self) -> bool:
        """Whether the newest word is yes."""
        return self.row is not None and self.row.decision == Decision.APPROVED


def samples_context(job_id: str) -> str:
    """What binds a sealed sample grid to its run."""
    return f"samples/{job_id}"


def base_samples_context(job_id: str) -> str:
    """The same for what the base model draws alone."""
    return f"base-samples/{job_id}"


def voices(lora: Lora, *, at: datetime | None = None) -> list[Voice | Refusal]:
    """Who decides about the outputs today, or why nobody can; empty without the duty."""
    grant = lora.job.grant
    if DUTY not in selectors.core_grant(grant).terms.duties:
        return []
    rows = list(lora.output_decisions.all())
    standings = selectors.standings_of(grant, jst_day(at or timezone.now()))
    found: list[Voice | Refusal] = []
    for item in authority.wanted(standings):
        voice = item if isinstance(item, Refusal) else _voice(item.speaker, rows)
        if voice not in found:  # one agency, or one guardian, of several talents
            found.append(voice)
    return found


def _voice(speaker: Speaker, rows: Iterable[OutputDecision]) -> Voice:
    said = [row for row in rows if row.by == speaker.by and _of(row, speaker)]
    return Voice(speaker.by, speaker.person_id, speaker.agency_id, said[-1] if said else None)


def _of(row: OutputDecision, speaker: Speaker) -> bool:
    """Whether a decision is this speaker's; an officer's, if they had a seat there that day. That
    it was one that signs was asked when they decided."""
    if not speaker.agency_id:
        return row.person_id == speaker.person_id
    seats = selectors.seats_on(jst_day(row.decided_at)).filter(person=row.person_id)
    return seats.filter(organisation=speaker.agency_id).exists()


def missing(lora: Lora, *, at: datetime | None = None) -> list[Refusal]:
    """One `output_unapproved:{by}` for each whose yes is not there, or why nobody may give it."""
    found = []
    for item in voices(lora, at=at):
        if isinstance(item, Refusal):
            found.append(item)
        elif not item.approved:
            found.append(Refusal(f"output_unapproved:{item.by}", lora.pk))
    return found


def capacities(lora: Lora, person: Person, *, at: datetime | None = None) -> list[str]:
    """In which capacities a person decides about a LoRA's outputs today."""
    agencies = set(selectors.organisations_of(person, "sign").values_list("id", flat=True))
    said = [item for item in voices(lora, at=at) if isinstance(item, Voice)]
    mine = [v.by for v in said if v.person_id == person.pk or v.agency_id in agencies]
    return list(dict.fromkeys(mine))


def _may_decide(lora: Lora, person: Person, by: str, at: datetime) -> Refusal | None:
    """(1) nothing bars the talents; (2) the person is one of those who decide; (3) it is not their
    own side's request; (4) the grant still holds, with its row locked as a delivery locks it: a
    return comes before the first copy or not at all."""
    # (1)
    for item in voices(lora, at=at):
        if isinstance(item, Refusal):
            return item
    # (2)
    if by not in capacities(lora, person, at=at):
        return Refusal("wrong_state", "not asked about these outputs")
    # (3)
    refusal = conflict(lora.job.request, person, by)
    if refusal is not None:
        return refusal
    # (4)
    code = grant_code(Grant.objects.select_for_update().get(pk=lora.job.grant_id), at)
    return None if code is None else Refusal(code, lora.pk)


@transaction.atomic
def approve_begin(
    *, lora: Lora, person: Person, by: str, at: datetime | None = None
) -> dict[str, Any] | Refusal:
    """`{challenge_id, options}` for `navigator.credentials.get`, or why this person may not."""
    at = at or timezone.now()
    refusal = _may_decide(lora, person, by, at)
    if refusal is not None:
        return refusal
    challenge = Challenge(
        person=person,
        purpose=Challenge.Purpose.OUTPUTS,
        grant=lora.job.grant,
        by=by,
        expires_at=at + DECIDE_WITHIN,
    )
    return assertions.asked(challenge, _value(lora, challenge), at)


def _value(lora: Lora, challenge: Challenge) -> bytes:
    return rules.challenge(
        lora_id=lora.pk,
        tensor_sha256=lora.tensor_sha256,
        samples=lora.samples_object,
        party_id=challenge.person_id,
        by=challenge.by,
        nonce=challenge.id,
    )


@transaction.atomic
def approve_finish(
    *,
    lora: Lora,
    person: Person,
    challenge_id: str,
    response: Mapping[str, Any],
    at: datetime | None = None,
) -> OutputDecision | Refusal:
    """Verify a yes to the outputs and store it.

    (1) the challenge is this person's, for these outputs, fresh and unused; (2) the person may
    still decide; (3) the assertion verifies, by a key that may sign; (4) row and event together.
    """
    at = at or timezone.now()
    # (1)
    challenge = challenge_take(person, challenge_id, Challenge.Purpose.OUTPUTS, at)
    if challenge is None or bytes(challenge.value) != _value(lora, challenge):
        return Refusal("challenge_unknown", challenge_id)
    # (2)
    refusal = _may_decide(lora, person, challenge.by, at)
    if refusal is not None:
        return refusal
    # (3)
    assertion = assertions.answered(challenge, response, at, prefix="opa")
    if isinstance(assertion, Refusal):
        return assertion
    # (4)
    said = {"assertion_sha256": assertion.digest().hex()}
    return _store(lora, person, challenge.by, Decision.APPROVED, at, said, assertion.to_payload())


@transaction.atomic
def output_return(
    *, lora: Lora, person: Person, by: str, note: str = "", at: datetime | None = None
) -> OutputDecision | Refusal:
    """Return the outputs with a note, without a key: no must never be harder than yes.

    (1) the person may decide; (2) nothing was delivered yet; (3) row and event together.
    """
    at = at or timezone.now()
    # (1)
    refusal = _may_decide(lora, person, by, at)
    if refusal is not None:
        return refusal
    # (2)
    if lora.deliveries.exists():
        return Refusal("wrong_state", "delivered already: withdraw instead")
    # (3)
    return _store(lora, person, by, Decision.RETURNED, at, {}, None, note[:2000])


def _store(
    lora: Lora,
    person: Person,
    by: str,
    decision: str,
    at: datetime,
    more: Mapping[str, str],
    payload: dict[str, Any] | None,
    note: str = "",
) -> OutputDecision:
    data = {"lora_id": lora.pk, "grant_id": lora.job.grant_id, "party_id": person.pk, "by": by}
    return OutputDecision.objects.create(
        lora=lora,
        person=person,
        by=by,
        decision=decision,
        payload=payload,
        note=note,
        event=append.append(f"output.{decision}", {**data, **more}, at=at),
        decided_at=at,
    )
