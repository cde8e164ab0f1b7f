"""How a person is reached, and what they must be told: contact points and notices.

Beside stage 2 (A01, A02). A new key or contact is told to the places that were known before it:
whoever took over a telephone cannot also answer the old one.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry.core import parties as rules
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Problem
from registry.models import ContactPoint, Notice, Person

# How long a place that was replaced still hears of changes.
REMEMBERED: Final = timedelta(days=30)


@transaction.atomic
def contact_add(
    *, person: Person, kind: str, value: str, at: datetime | None = None
) -> ContactPoint | Problem:
    """A further contact, unverified; the verified ones are told. `Problem`: not one."""
    at = at or timezone.now()
    tidy = rules.tidy_contact(kind, value)
    if isinstance(tidy, Problem):
        return tidy
    row = ContactPoint(person=person, kind=kind, added_at=at)
    row.sealed_value = person.seal(tidy, row.id)
    places_tell(person=person, kind="contact_added", subject=row.id, at=at)
    row.save(force_insert=True)
    return row


@transaction.atomic
def contact_verify(*, contact: ContactPoint, at: datetime | None = None) -> Refusal | None:
    """The person answered there. Older contacts of the kind are replaced and remembered."""
    at = at or timezone.now()
    if ContactPoint.objects.filter(id=contact.id, verified_at=None).update(verified_at=at) != 1:
        return Refusal("wrong_state", "verified already")
    older = ContactPoint.objects.filter(person=contact.person_id, kind=contact.kind)
    older.filter(replaced_at=None, added_at__lt=contact.added_at).update(replaced_at=at)
    return None


def places_tell(*, person: Person, kind: str, subject: str, at: datetime) -> int:
    """A notice for every place that is verified, or was until lately; returns how many."""
    known = ContactPoint.objects.filter(person=person, verified_at__isnull=False)
    known = known.filter(Q(replaced_at=None) | Q(replaced_at__gt=at - REMEMBERED))
    day, told = jst_day(at), 0
    for contact in known.order_by("id"):
        told += notice_give(
            person_id=person.id, kind=kind, subject=subject, due_on=day, contact=contact.id
        )
    return told


def notice_give(
    *, person_id: str, kind: str, subject: str, due_on: date, contact: str = ""
) -> bool:
    """Tell somebody something, once; False: told before."""
    _, made = Notice.objects.get_or_create(
        person_id=person_id,
        kind=kind,
        subject=subject,
        contact=contact,
        defaults={"due_on": due_on},
    )
    return made


def notices_seen(*, person: Person, at: datetime | None = None) -> int:
    """The person has read what stands on the page; returns how many were new."""
    unseen = Notice.objects.filter(person=person, contact="", seen_at=None)
    return unseen.update(seen_at=at or timezone.now())
