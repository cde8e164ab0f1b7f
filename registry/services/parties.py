"""Who there is, who represents whom, and with which keys they approve.

Before stage 1. A key is enrolled by the person, on their own device, and stands in the log before
it can approve anything; nobody enrols a key for somebody else.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from webauthn import (
    generate_registration_options,
    options_to_json,
    verify_registration_response,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from registry import selectors
from registry.core import approvals, authenticator
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log.append import append
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import (
    ApiKey,
    Challenge,
    Credential,
    Guardianship,
    Lane,
    Membership,
    Organisation,
    Person,
    Representation,
    Talent,
)
from registry.services import grants, keyring

ENROL_WITHIN: Final = timedelta(minutes=10)
_RP_NAME: Final = "Kyodaku"
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]


def person_create(
    *, display_name: str, display_name_en: str = "", user: User | None = None
) -> Person:
    """A human being, known by name here and by id everywhere else."""
    return Person.objects.create(
        display_name=display_name, display_name_en=display_name_en, user=user
    )


def talent_create(
    *,
    person: Person,
    birth_date: date | None = None,
    kana: str = "",
    never_list: Sequence[str] = (),
) -> Talent:
    """The person as somebody who is depicted. Without a birth date they count as a minor."""
    return Talent.objects.create(
        person=person, birth_date=birth_date, kana=kana, never_list=sorted(never_list)
    )


def organisation_create(
    *, kind: str, name: str, name_en: str = "", delivery_recipient: str = ""
) -> Organisation:
    """An agency, a studio or a client."""
    return Organisation.objects.create(
        kind=kind, name=name, name_en=name_en, delivery_recipient=delivery_recipient
    )


def membership_add(*, person: Person, organisation: Organisation, role: str) -> Membership:
    """Let a person act for an organisation; adding it again makes it active again."""
    row, _ = Membership.objects.update_or_create(
        person=person, organisation=organisation, role=role, defaults={"active": True}
    )
    return row


def representation_begin(
    *, talent: Talent, agency: Organisation, begun_on: date
) -> Representation | Refusal:
    """An agency represents a talent from a day on; `wrong_state`: another one does already."""
    try:
        with transaction.atomic():
            return Representation.objects.create(
                talent=talent, agency=agency, period=(begun_on, None)
            )
    except IntegrityError:
        return Refusal("wrong_state", "another agency represents this talent in that time")


@transaction.atomic
def representation_end(
    *, representation: Representation, ended_on: date, at: datetime | None = None
) -> Representation:
    """The last day of a representation. What rests on it is paused for review, not inherited.

    Raises `ValueError` for a day before its begin.
    """
    at = at or timezone.now()
    row = Representation.objects.select_for_update().get(id=representation.id)
    if ended_on < row.period.lower:
        raise ValueError("a representation cannot end before it begins")
    row.period = (row.period.lower, ended_on + timedelta(days=1))
    row.save()
    if ended_on < jst_day(at):
        for grant_id in _grants_resting_on(row):
            grants.grant_pause(grant_id=grant_id, reason="representation", ref=row.id, at=at)
    row.refresh_from_db()
    return row


def _grants_resting_on(representation: Representation) -> list[str]:
    lanes = Lane.objects.filter(authority=representation.id, grant__state="active")
    return sorted(set(lanes.values_list("grant_id", flat=True)))


def guardian_begin(*, talent: Talent, person: Person, begun_on: date) -> Guardianship:
    """A guardian speaks for a minor from a day on. Nobody is their own guardian (`ValueError`)."""
    if talent.person_id == person.id:
        raise ValueError("nobody is their own guardian")
    return Guardianship.objects.create(talent=talent, person=person, begun_on=begun_on)


def api_key_create(*, person: Person, organisation: Organisation) -> tuple[ApiKey, str]:
    """A key to the HTTP API; the second value is the only copy of its text that ever exists."""
    if not selectors.organisations_of(person).filter(id=organisation.id).exists():
        raise ValueError("a key is made for somebody who acts for the organisation")
    text = f"kyo_{settings.KYODAKU_MODE}_{secrets.token_urlsafe(32)}"
    row = ApiKey.objects.create(
        organisation=organisation, person=person, prefix=text[:17], digest=api_key_digest(text)
    )
    return row, text


def api_key_digest(text: str) -> str:
    """What is stored of an API key: it has 256 random bits, so one SHA-256 is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


@transaction.atomic
def api_key_revoke(*, api_key: ApiKey, at: datetime | None = None) -> None:
    """The key opens nothing from now on."""
    rows = ApiKey.objects.filter(id=api_key.id, revoked_at__isnull=True)
    rows.update(revoked_at=at or timezone.now())


@transaction.atomic
def credential_enrol_begin(*, person: Person, at: datetime | None = None) -> dict[str, Any]:
    """`{challenge_id, options}`: `options` is a PublicKeyCredentialCreationOptionsJSON."""
    at = at or timezone.now()
    known = [
        PublicKeyCredentialDescriptor(id=bytes(key.credential_id))
        for key in selectors.credentials_of(person)
    ]
    options = generate_registration_options(
        rp_id=settings.RP_ID,
        rp_name=_RP_NAME,
        user_id=person.id.encode(),
        user_name=person.display_name,
        user_display_name=person.display_name,
        challenge=secrets.token_bytes(32),
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=known,
        supported_pub_key_algs=_ALGORITHMS,
    )
    challenge = Challenge.objects.create(
        person=person,
        purpose=Challenge.Purpose.ENROL,
        value=options.challenge,
        expires_at=at + ENROL_WITHIN,
    )
    return {"challenge_id": challenge.id, "options": json.loads(options_to_json(options))}


@transaction.atomic
def credential_enrol_finish(
    *,
    person: Person,
    challenge_id: str,
    response: Mapping[str, Any],
    label: str = "",
    at: datetime | None = None,
) -> Credential | Refusal:
    """Enrol the key in `response` (a RegistrationResponseJSON) for the person who asked.

    (1) the challenge is this person's, for enrolling, fresh and unused; (2) the attestation
    verifies: origin, relying party, user present and verified (WebAuthn 7.1); (3) a software key is
    accepted in test mode only and says so; (4) no key belongs to two people.
    """
    at = at or timezone.now()
    # (1)
    challenge = challenge_take(person, challenge_id, Challenge.Purpose.ENROL, at)
    if challenge is None:
        return Refusal("challenge_unknown", challenge_id)
    # (2)
    verified = _verified(response, bytes(challenge.value))
    if isinstance(verified, Refusal):
        return verified
    # (3)
    assurance = _assurance(verified)
    if assurance == approvals.TEST_ASSURANCE and settings.KYODAKU_MODE != "test":
        return Refusal("wrong_mode", "a software authenticator")
    # (4)
    try:
        with transaction.atomic():
            return _enrol(person, verified, assurance, label, at)
    except IntegrityError:
        return Refusal("wrong_state", "this key is enrolled already")


def _enrol(
    person: Person, verified: VerifiedRegistration, assurance: str, label: str, at: datetime
) -> Credential:
    credential = Credential(
        person=person,
        credential_id=verified.credential_id,
        cose_key=verified.credential_public_key,
        thumbprint=approvals.thumbprint(verified.credential_public_key),
        assurance=assurance,
        label=label[:60],
        enrolled_at=at,
    )
    credential.enrolment_event = append(
        "credential.enrolled",
        {
            "credential_id": credential.id,
            "party_id": person.id,
            "key": credential.thumbprint,
            "assurance": assurance,
        },
        at=at,
    )
    credential.save(force_insert=True)
    return credential


def _verified(response: Mapping[str, Any], challenge: bytes) -> VerifiedRegistration | Refusal:
    trust = keyring.trust_root()
    try:
        client = canonical.loads(canonical.unb64u(response["response"]["clientDataJSON"]))
        verified = verify_registration_response(
            credential=dict(response),
            expected_challenge=challenge,
            expected_rp_id=trust.rp_id,
            expected_origin=list(trust.origins),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
    except (WebAuthnException, VerificationError, ValueError, KeyError, TypeError) as error:
        return Refusal("malformed", f"registration: {type(error).__name__}")
    # webauthn 3 accepts `crossOrigin: true` and `topOrigin`; no key is enrolled inside a frame.
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        return Refusal("malformed", "registration: cross-origin")
    return verified


def _assurance(verified: VerifiedRegistration) -> str:
    soft = uuid.UUID(verified.aaguid).bytes == authenticator.AAGUID
    return approvals.TEST_ASSURANCE if soft else approvals.PASSKEY_ASSURANCE


def challenge_take(
    person: Person, challenge_id: str, purpose: str, at: datetime
) -> Challenge | None:
    """Use up a challenge: it counts once, whatever comes of it. None: unknown, late or used."""
    rows = Challenge.objects.filter(
        id=challenge_id, person=person, purpose=purpose, used_at__isnull=True, expires_at__gt=at
    )
    if rows.update(used_at=at) != 1:
        return None
    return Challenge.objects.select_related("grant__request").get(id=challenge_id)


@transaction.atomic
def credential_retire(*, credential: Credential, at: datetime | None = None) -> Refusal | None:
    """The key approves nothing new. What it signed stays signed; grants asked for need new keys."""
    at = at or timezone.now()
    rows = Credential.objects.filter(id=credential.id, retired_at__isnull=True)
    if rows.update(retired_at=at) != 1:
        return Refusal("wrong_state", "retired already")
    append(
        "credential.retired",
        {
            "credential_id": credential.id,
            "party_id": credential.person_id,
            "key": credential.thumbprint,
        },
        at=at,
    )
    return None
