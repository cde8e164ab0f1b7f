"""Who somebody really is: checks of identity documents, and doubts about an age.

Before stage 1 (R03, A24). How old a face looks is an alarm and never a proof: only a document that
somebody looked at settles it.
"""

from __future__ import annotations

from datetime import date, datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.core import parties as rules
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.models import AgeAlarm, IdentityCheck, Organisation, Person, Talent
from registry.services.review import talent_review


@transaction.atomic
def person_check(
    *,
    person: Person,
    kind: str,
    checked_by: str,
    birth_date: date | None = None,
    document_sha256: str = "",
    at: datetime | None = None,
) -> IdentityCheck:
    """Record that somebody looked at a person's proof of identity.

    The birth date on the document becomes the talent's, and settles a doubt about the age when the
    proof goes that far. Raises `ValueError` for an unknown kind.
    """
    at = at or timezone.now()
    row = _check(kind, checked_by, document_sha256, at)
    row.person = person
    # A check with a date voids what older documents said of it.
    if birth_date is not None:
        row.sealed_birth = person.seal(birth_date.isoformat(), f"{row.id}:birth_date")
        person.identity_checks.filter(void_at__isnull=True).update(void_at=at)
    row.save(force_insert=True)
    append("identity.checked", {**_logged(row), "party_id": person.id}, at=at)
    talent = Talent.objects.filter(person=person).first()
    if talent is not None and birth_date is not None and row.level >= rules.DOCUMENT:
        talent.birth_date = birth_date
        talent.save(update_fields=["sealed_birth"])
        _settle(talent, row, at)
        talent_review(talent=talent, at=at)
    return row


def organisation_check(
    *,
    organisation: Organisation,
    kind: str,
    checked_by: str,
    document_sha256: str = "",
    at: datetime | None = None,
) -> IdentityCheck:
    """Record that somebody looked at an organisation's proof of identity: it may file requests.

    Raises `ValueError` for an unknown kind.
    """
    at = at or timezone.now()
    with transaction.atomic():
        row = _check(kind, checked_by, document_sha256, at)
        row.organisation = organisation
        row.save(force_insert=True)
        append("identity.checked", {**_logged(row), "organisation": organisation.id}, at=at)
    return row


def _check(kind: str, checked_by: str, document_sha256: str, at: datetime) -> IdentityCheck:
    if kind not in rules.IDENTITY_LEVELS:
        raise ValueError(f"not a kind of identity proof: {kind}")
    if not checked_by:
        raise ValueError("somebody checked it: say who")
    return IdentityCheck(
        kind=kind,
        level=rules.IDENTITY_LEVELS[kind],
        checked_by=checked_by,
        document_sha256=document_sha256,
        checked_on=jst_day(at),
    )


def _logged(row: IdentityCheck) -> dict[str, str | int]:
    return {"check_id": row.id, "kind": row.kind, "level": row.level}


@transaction.atomic
def age_doubt(*, talent: Talent, source: str, at: datetime | None = None) -> AgeAlarm | Refusal:
    """Raise the alarm that a talent may be younger than recorded: everything stops (A24).

    `source` is `curation` or `operator`. `wrong_state`: a document has proven the birth date on
    record already, or the alarm stands.
    """
    at = at or timezone.now()
    if age_is_proven(talent):
        return Refusal("wrong_state", "the birth date is proven by a document")
    try:
        with transaction.atomic():
            row = AgeAlarm.objects.create(
                talent=talent, source=AgeAlarm.Source(source), raised_at=at
            )
    except IntegrityError:
        return Refusal("wrong_state", "the alarm stands already")
    append("age.doubted", {"talent_id": talent.id, "source": source}, at=at)
    talent_review(talent=talent, at=at)
    return row


def age_is_proven(talent: Talent) -> bool:
    """Whether a document that still counts shows the birth date on record."""
    born = talent.birth_date
    checks = talent.person.identity_checks.filter(level__gte=rules.DOCUMENT, void_at__isnull=True)
    return born is not None and any(
        talent.person.unseal(row.sealed_birth, f"{row.id}:birth_date") == born.isoformat()
        for row in checks
    )


def _settle(talent: Talent, check: IdentityCheck, at: datetime) -> None:
    open_ = AgeAlarm.objects.filter(talent=talent, settled_at__isnull=True)
    if open_.update(settled_at=at, settled_by=check):
        append("age.settled", {"talent_id": talent.id, "check_id": check.id}, at=at)
