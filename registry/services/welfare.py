"""What protects a talent from her own side: private words, "I was pressed", the emergency stop.

Stage 2 and after (abuse case A26). A flag leaves no trace that an agency or a requester could see:
no event, no state, the same answer and the same work with and without it. Only the platform's
operators see it; while it stands, nothing is minted for her, and the code tells no cause.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from webauthn import (
    generate_authentication_options,
    options_to_json,
    verify_authentication_response,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from registry import selectors
from registry.core import cases
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import (
    Challenge,
    EmergencyStop,
    Grant,
    Guardianship,
    Lane,
    Person,
    PrivateNote,
    Review,
    Talent,
)
from registry.services import keyring
from registry.services.grants import grant_pause, grant_resume
from registry.services.parties import challenge_take

# Capacities whose words are for the platform alone: those that speak as, or for, the talent.
PRIVATE: Final = cases.MAY_WITHDRAW
STOP: Final = "talent_stop"
LIFT_WITHIN: Final = timedelta(minutes=10)


def note(
    grant: Grant,
    person: Person,
    by: str,
    *,
    pressed: bool = False,
    reason: str = "",
    at: datetime,
) -> None:
    """Keep what a talent or guardian says to the platform beside an answer, empty or not.

    Always the same work, so that nobody can tell by time or size whether anything was said.
    """
    if by not in PRIVATE:
        return
    lanes = Lane.objects.filter(grant=grant, person=person, by=by).order_by("id")
    about: list[tuple[str, Lane | None]] = [(lane.subject, lane) for lane in lanes]
    if not about:  # who speaks for her today was asked in no lane
        charges = selectors.charges_of(person, jst_day(at))
        talents = grant.request.talents.filter(Q(person=person) | Q(id__in=charges))
        about = [(talent.id, None) for talent in talents.order_by("id")]
    for talent_id, lane in about:
        row = PrivateNote(talent_id=talent_id, person=person, lane=lane, pressed=pressed, at=at)
        row.reason = reason
        row.save()


@transaction.atomic
def note_leave(
    *, person: Person, pressed: bool, reason: str = "", at: datetime | None = None
) -> None:
    """The flag alone, without an answer, at any time. Nothing happens for who is no talent."""
    at = at or timezone.now()
    for talent in _talents_of(person):
        row = PrivateNote(talent=talent, person=person, pressed=pressed, at=at)
        row.reason = reason
        row.save()


def _talents_of(person: Person) -> QuerySet[Talent]:
    guarded = Guardianship.objects.filter(person=person, ended_on__isnull=True)
    own = Talent.objects.filter(person=person)
    return (own | Talent.objects.filter(id__in=guarded.values("talent"))).distinct()


def open_notes() -> QuerySet[PrivateNote]:
    """The operators' queue: every flag that nobody has looked at, oldest first."""
    found = PrivateNote.objects.filter(pressed=True, reviewed_at__isnull=True)
    return found.select_related("talent__person", "person", "lane__grant__request").order_by("at")


@transaction.atomic
def note_review(
    *, note: PrivateNote, by: User, finding: str, at: datetime | None = None
) -> Refusal | None:
    """An operator has spoken with her: the flag no longer holds anything up.

    Raises `PermissionDenied` for anybody but the platform's operators.
    """
    _operator(by)
    note.finding = finding.strip()
    rows = PrivateNote.objects.filter(id=note.id, pressed=True, reviewed_at__isnull=True)
    done = rows.update(
        reviewed_at=at or timezone.now(), reviewed_by=by, sealed_finding=note.sealed_finding
    )
    return None if done else Refusal("wrong_state", "looked at already")


@transaction.atomic
def review_open(*, talent: Talent, by: User, cause: str, at: datetime | None = None) -> Review:
    """An operator looks at something, for whatever cause. Raises `PermissionDenied`."""
    _operator(by)
    return Review.objects.create(
        talent=talent, cause=cause.strip(), opened_at=at or timezone.now(), opened_by=by
    )


@transaction.atomic
def review_close(*, review: Review, by: User, at: datetime | None = None) -> Refusal | None:
    """The look is over. Raises `PermissionDenied`."""
    _operator(by)
    rows = Review.objects.filter(id=review.id, closed_at__isnull=True)
    done = rows.update(closed_at=at or timezone.now(), closed_by=by)
    return None if done else Refusal("wrong_state", "closed already")


def _operator(user: User) -> None:
    if not (user.is_active and user.is_staff):
        raise PermissionDenied


def mint_refusals(talents: Iterable[Talent]) -> list[Refusal]:
    """Why nothing is minted for these talents now: `paused` by herself, or `under_review`.

    The refusal for a review names nobody and no cause: an operator's own look at a case gives the
    same.
    """
    ids = [talent.id for talent in talents]
    stops = EmergencyStop.objects.filter(talent__in=ids, lifted_at__isnull=True)
    refusals = [Refusal("paused", STOP)] if stops.exists() else []
    flagged = PrivateNote.objects.filter(talent__in=ids, pressed=True, reviewed_at__isnull=True)
    looked_at = Review.objects.filter(talent__in=ids, closed_at__isnull=True)
    if flagged.exists() or looked_at.exists():
        refusals.append(Refusal("under_review", ""))
    return refusals


# --- emergency stop -----------------------------------------------------------------------------


@transaction.atomic
def emergency_stop(*, person: Person, at: datetime | None = None) -> Refusal | list[str]:
    """Pause everything of this talent at once; hers alone, with no reason and nobody's veto.

    Every grant in force that shows her is held, its tokens are suspended and running jobs stop;
    nothing new is minted. Returns the grants held now. `wrong_state` for somebody who is no talent.
    """
    at = at or timezone.now()
    talent = Talent.objects.select_for_update(no_key=True).filter(person=person).first()
    if talent is None:
        return Refusal("wrong_state", "only a talent has this")
    if not EmergencyStop.objects.filter(talent=talent, lifted_at__isnull=True).exists():
        stop = EmergencyStop.objects.create(talent=talent, placed_at=at)
        append("talent.stopped", {"talent_id": talent.id, "stop_id": stop.id}, at=at)
    # Also what is still being signed: `grant_pause` waits for a last signature that is on its way,
    # and one that comes later finds this stop (`hold_if_stopped`).
    live = _grants_of(talent, cases.LIVE_GRANT)
    return [id_ for id_ in live if grant_pause(grant_id=id_, reason=STOP, ref=talent.id, at=at)]


def _grants_of(talent: Talent, states: Iterable[str]) -> list[str]:
    rows = Grant.objects.filter(request__talents=talent, state__in=states)
    return list(rows.order_by("id").values_list("id", flat=True))


def hold_if_stopped(grant: Grant, *, at: datetime) -> None:
    """A grant made while the stop of one of its talents stands is held from its first moment."""
    stops = EmergencyStop.objects.filter(
        talent__in=grant.request.talents.all(), lifted_at__isnull=True
    )
    for stop in stops:
        grant_pause(grant_id=grant.id, reason=STOP, ref=stop.talent_id, at=at)


@transaction.atomic
def lift_begin(*, person: Person, at: datetime | None = None) -> dict[str, Any] | Refusal:
    """`{challenge_id, options}` for `navigator.credentials.get`: going on is a yes."""
    at = at or timezone.now()
    keys = list(selectors.signing_keys(person, at))
    if not EmergencyStop.objects.filter(talent__person=person, lifted_at__isnull=True).exists():
        return Refusal("wrong_state", "nothing is stopped")
    if not keys:
        return Refusal("not_enrolled", "talent")
    options = generate_authentication_options(
        rp_id=settings.RP_ID,
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=bytes(key.credential_id)) for key in keys
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    challenge = Challenge.objects.create(
        person=person,
        purpose=Challenge.Purpose.RESUME,
        value=options.challenge,
        expires_at=at + LIFT_WITHIN,
    )
    return {"challenge_id": challenge.id, "options": json.loads(options_to_json(options))}


@transaction.atomic
def lift_finish(
    *, person: Person, challenge_id: str, response: Mapping[str, Any], at: datetime | None = None
) -> Refusal | list[str]:
    """Verify the talent's own key (WebAuthn 7.2) and end her stop."""
    at = at or timezone.now()
    challenge = challenge_take(person, challenge_id, Challenge.Purpose.RESUME, at)
    if challenge is None:
        return Refusal("challenge_unknown", challenge_id)
    trust = keyring.trust_root()
    try:
        raw_id = canonical.unb64u(response["rawId"])
        key = next(
            key for key in selectors.signing_keys(person, at) if bytes(key.credential_id) == raw_id
        )
        verify_authentication_response(
            credential=dict(response),
            expected_challenge=bytes(challenge.value),
            expected_rp_id=trust.rp_id,
            expected_origin=list(trust.origins),
            credential_public_key=bytes(key.cose_key),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, VerificationError, StopIteration, ValueError, KeyError, TypeError):
        return Refusal("bad_signature", "resume")
    return emergency_lift(person=person, at=at)


@transaction.atomic
def emergency_lift(*, person: Person, at: datetime | None = None) -> Refusal | list[str]:
    """End one's own stop; every other cause that holds a grant stays. Returns what holds again.

    The caller has checked a key of hers: going on is a yes, and only a key says yes.
    """
    at = at or timezone.now()
    talent = Talent.objects.select_for_update(no_key=True).filter(person=person).first()
    rows = EmergencyStop.objects.filter(talent=talent, lifted_at__isnull=True)
    if talent is None or rows.update(lifted_at=at) == 0:
        return Refusal("wrong_state", "nothing is stopped")
    append("talent.resumed", {"talent_id": talent.id}, at=at)
    lifted = [
        id_
        for id_ in _grants_of(talent, ("paused",))
        if grant_resume(grant_id=id_, reason=STOP, ref=talent.id, by=person, at=at)
    ]
    # Another talent's stop is a hold of its own, as is every other cause: they stay.
    return [id_ for id_ in _grants_of(talent, ("active",)) if id_ in lifted]
