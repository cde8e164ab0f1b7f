"""Erasing a person: what names them goes, and every proof still verifies.

Outside the stages. The person's data key is destroyed, so legal name, birth date and contacts open
for nobody; consent ends as by a withdrawal and takes the keys of the pictures with it; the rows'
own words are emptied. Signatures, grants and the log hold ids only and stay.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core.cases import LIVE_GRANT, MAY_WITHDRAW
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.models import (
    AccessLink,
    ApiKey,
    ContactPoint,
    Grant,
    IdempotencyKey,
    IdentityCheck,
    KeyShare,
    Lane,
    Membership,
    Notice,
    Person,
    Question,
    RequestDraft,
    StageName,
    Talent,
    TrainingRequest,
)
from registry.services import approvals, parties, seats, vault

NAME: Final = ("消去済み", "Erased")


@transaction.atomic
def person_erase(*, person: Person, at: datetime | None = None) -> Refusal | None:
    """Erase a person at their own request; `wrong_state`: it was done before.

    (1) every consent is withdrawn and the pictures' keys are destroyed; (2) roles and keys end; (3)
    what is told in words is emptied; (4) the data key goes; (5) the log tells it.
    """
    at = at or timezone.now()
    row = Person.objects.select_for_update(of=("self",)).get(id=person.id)
    if row.erased_at is not None:
        return Refusal("wrong_state", "erased already")
    # (1)
    _withdraw(row, at)
    # (2)
    for seat in Membership.objects.filter(person=row, active=True).order_by("id"):
        seats.membership_end(membership=seat, at=at)
    ApiKey.objects.filter(person=row, revoked_at=None).update(revoked_at=at)
    for key in row.credentials.filter(retired_at=None).order_by("id"):
        parties.credential_retire(credential=key, at=at)
    # (3)
    _empty(row)
    # (4)
    Person.objects.filter(id=row.id).update(
        display_name=NAME[0],
        display_name_en=NAME[1],
        sealed_name=None,
        data_key=None,
        erased_at=at,
    )
    # (5)
    append("person.erased", {"party_id": row.id}, at=at)
    person.refresh_from_db()
    return None


def _withdraw(person: Person, at: datetime) -> None:
    lanes = Lane.objects.filter(person=person, by__in=MAY_WITHDRAW, grant__state__in=LIVE_GRANT)
    # A guardian of former days takes nothing of hers along.
    lanes = selectors.still_speaks(person, lanes, jst_day(at))
    for grant in Grant.objects.filter(id__in=lanes.values("grant")).order_by("id"):
        done = approvals.approval_withdraw(person=person, grant=grant, at=at)
        if done is not None:
            raise RuntimeError(f"{grant.id} cannot be withdrawn: {done.code}")
    # Pictures of cases that ended otherwise, or were never asked for.
    shares = KeyShare.objects.filter(talent__person=person, wrapped__isnull=False)
    for request in TrainingRequest.objects.filter(id__in=shares.values("request")).order_by("id"):
        vault.shares_shred(request=request, at=at)


def _empty(person: Person) -> None:
    StageName.objects.filter(talent__person=person).delete()
    ContactPoint.objects.filter(person=person).delete()
    Notice.objects.filter(person=person).delete()
    IdempotencyKey.objects.filter(person=person).delete()
    RequestDraft.objects.filter(person=person).delete()
    IdentityCheck.objects.filter(person=person).update(sealed_birth=None, document_sha256="")
    Talent.objects.filter(person=person).update(kana="", sealed_birth=None, never_list=[])
    person.lanes.update(reason="", remarks=[])
    Question.objects.filter(person=person).update(text="")
    Question.objects.filter(replied_by=person).update(reply="")
    AccessLink.objects.filter(person=person).delete()
    person.private_notes.update(sealed_reason=None, sealed_finding=None)
    person.credentials.update(label="")
    person.guardianships.update(relation="", proof_sha256="")
    if person.user_id is not None:
        User.objects.filter(id=person.user_id).update(
            username=f"erased-{person.id}",
            first_name="",
            last_name="",
            email="",
            password="!",  # noqa: S106 — Django's mark of a password that nobody has
            is_active=False,
        )
