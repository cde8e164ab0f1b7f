"""Questions before an answer: they end nothing, delay nothing and are no yes. Stage 2."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core.refusals import Refusal
from registry.models import Grant, Lane, Person, Question

MAX_TEXT: Final = 1000
MAX_QUESTIONS: Final = 20


@transaction.atomic
def question_ask(
    *, person: Person, grant: Grant, text: str, at: datetime | None = None
) -> Refusal | None:
    """A party of the grant asks. `remark_missing` for nothing, and for more than anybody reads."""
    at = at or timezone.now()
    lane = Lane.objects.filter(grant=grant, person=person).order_by("by").first()
    if lane is None:
        return Refusal("wrong_state", "not asked")
    asked = Question.objects.filter(lane__grant=grant, person=person).count()
    if not text.strip() or asked >= MAX_QUESTIONS:
        return Refusal("remark_missing", f"{asked} questions")
    Question.objects.create(lane=lane, person=person, text=text.strip()[:MAX_TEXT], asked_at=at)
    return None


@transaction.atomic
def question_reply(
    *, question: Question, by: Person, text: str, at: datetime | None = None
) -> Refusal | None:
    """Whoever asks for the permission replies, once. Raises `PermissionDenied` for anybody else."""
    request = question.lane.grant.request
    if not selectors.organisations_of(by).filter(id=request.requester_id).exists():
        raise PermissionDenied
    if not text.strip():
        return Refusal("remark_missing", "reply")
    rows = Question.objects.filter(id=question.id, replied_at__isnull=True)
    done = rows.update(
        reply=text.strip()[:MAX_TEXT], replied_by=by, replied_at=at or timezone.now()
    )
    return None if done else Refusal("wrong_state", "answered already")
