"""Conflicts of role: nobody answers for another what they, or their side, asked for. Stage 2."""

from __future__ import annotations

from registry import selectors
from registry.core import cases
from registry.core.refusals import Refusal
from registry.models import Person, TrainingRequest


def conflict(request: TrainingRequest, person: Person, by: str) -> Refusal | None:
    """`self_approval` where this person may not answer in this capacity; see `cases.conflict`."""
    filed = person.id in request_people(request)
    works_there = selectors.organisations_of(person).filter(id=request.requester_id).exists()
    retouched = request.retouchers.filter(id=person.id).exists()
    return cases.conflict(by, filed=filed, their_side=filed or works_there or retouched)


def request_people(request: TrainingRequest) -> frozenset[str]:
    """Whoever filed a request or took it over from somebody who left (R02, R21)."""
    taken = request.hand_overs.filter(taken_by__isnull=False).values_list("taken_by_id", flat=True)
    return frozenset({request.submitted_by_id, *taken})
