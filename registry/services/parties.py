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
from registry.core import approvals, assertion, authenticator, recipients
from registry.core import parties as rules
from registry.core.parties import LegalName
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Problem
from registry.log.append import append
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import (
    ApiKey,
    Challenge,
    Credential,
    Membership,
    Organisation,
    Person,
    Representation,
    StageName,
    Talent,
)
from registry.services import keyring
from registry.services.contacts import places_tell
from registry.services.review import talent_review

ENROL_WITHIN: Final = timedelta(minutes=10)
_RP_NAME: Final = "Kyodaku"
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]


@transaction.atomic
def person_create(
    *,
    display_name: str,
    display_name_en: str = "",
    user: User | None = None,
    legal_name: LegalName | None = None,
) -> Person | Problem:
    """A human being, known by name here and by id everywhere else; `Problem`: not a name."""
    name = rules.tidy_name(display_name, "display_name")
    name_en = rules.tidy_name(display_name_en, "display_name_en", needed=False)
    legal = tidy_legal_name(legal_name)
    if isinstance(name, Problem):
        return name
    if isinstance(name_en, Problem):
        return name_en
    if isinstance(legal, Problem):
        return legal
    row = Person(display_name=name, display_name_en=name_en, user=user)
    row.legal_name = legal
    row.save()
    return row


def tidy_legal_name(name: LegalName | None) -> LegalName | Problem | None:
    """Every part as it is stored, or the first part that is no name."""
    if name is None:
        return None
    parts = {
        field: rules.tidy_name(text, field, needed=field in ("family", "given"))
        for field, text in name.to_payload().items()
    }
    for value in parts.values():
        if isinstance(value, Problem):
            return value
    return LegalName.from_payload(parts)


@transaction.atomic
def talent_create(
    *,
    person: Person,
    birth_date: date | None = None,
    kana: str = "",
    never_list: Sequence[str] = (),
    named_since: date | None = None,
) -> Talent | Problem:
    """The person as somebody who is depicted, under the stage name that they are known by.

    Without a birth date they count as a minor.
    """
    reading = rules.tidy_name(kana, "kana", needed=False)
    if isinstance(reading, Problem):
        return reading
    talent = Talent(person=person, kana=reading, never_list=sorted(never_list))
    talent.birth_date = birth_date
    talent.save(force_insert=True)
    StageName.objects.create(
        talent=talent,
        name=person.display_name,
        kana=reading,
        romaji=person.display_name_en,
        begun_on=named_since or jst_day(timezone.now()),
    )
    return talent


def organisation_create(
    *,
    kind: str,
    name: str,
    name_en: str = "",
    delivery_recipient: str = "",
    domains: Sequence[str] = (),
) -> Organisation | Problem:
    """An agency, a studio, a publisher …; `kind` is a word of `registry.core.parties`."""
    if kind not in rules.ORGANISATIONS:
        return Problem("kind", "この種類の組織はありません。", "There is no such kind.")
    tidy = rules.tidy_name(name, "name")
    tidy_en = rules.tidy_name(name_en, "name_en", needed=False)
    if isinstance(tidy, Problem):
        return tidy
    if isinstance(tidy_en, Problem):
        return tidy_en
    if delivery_recipient and (no := _no_recipient(delivery_recipient)) is not None:
        return no
    return Organisation.objects.create(
        kind=kind,
        name=tidy,
        name_en=tidy_en,
        delivery_recipient=delivery_recipient,
        domains=sorted(domain.strip().lower() for domain in domains),
    )


def _no_recipient(text: str) -> Problem | None:
    try:
        recipients.parse(text)
    except VerificationError as error:
        return Problem(
            "delivery_recipient",
            "納品用の鍵として読めません。`kyodaku keygen` が表示した公開鍵を登録してください。"
            f"({error.detail})",
            "This is no delivery key. Register the public key that `kyodaku keygen` printed. "
            f"({error.detail})",
        )
    return None


@transaction.atomic
def delivery_key_set(
    *, organisation: Organisation, recipient: str, at: datetime | None = None
) -> Organisation | Problem:
    """Encrypt an organisation's deliveries to this key from now on; earlier ones stay."""
    no = _no_recipient(recipient)
    if no is not None:
        return no
    row = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    row.delivery_recipient = recipient
    row.save(update_fields=["delivery_recipient"])
    digest = hashlib.sha256(recipient.encode()).hexdigest()
    told = {"organisation_id": row.pk, "key_sha256": digest}
    append("recipient.changed", told, at=at or timezone.now())
    return row


@transaction.atomic
def membership_add(*, person: Person, organisation: Organisation, role: str) -> Membership:
    """Let a person act for an organisation; adding it again makes it active again.

    Raises `ValueError` for a role that is none.
    """
    if role not in rules.ROLES:
        raise ValueError(f"not a role: {role}")
    day = jst_day(timezone.now())
    old = Membership.objects.select_for_update().filter(
        person=person, organisation=organisation, role=role
    )
    held = old.first()
    if held is not None and held.active and (held.ended_on is None or held.ended_on >= day):
        return held
    values = {"active": True, "begun_on": day, "ended_on": None}
    row, _ = Membership.objects.update_or_create(
        person=person, organisation=organisation, role=role, defaults=values
    )
    data = {"member_id": row.id, "party_id": person.id, "organisation": organisation.id}
    append("member.joined", {**data, "role": role})
    return row


def representation_begin(
    *,
    talent: Talent,
    agency: Organisation,
    begun_on: date,
    ended_on: date | None = None,
    powers: Sequence[str] = rules.REPRESENTATION_POWERS,
    exclusive: bool = True,
    at: datetime | None = None,
) -> Representation | Refusal:
    """An agency represents a talent from a day on; `wrong_state`: another one does already.

    `ended_on` is the last day. Raises `ValueError` for an unknown power or an end before the begin.
    """
    if not set(powers) <= set(rules.REPRESENTATION_POWERS):
        raise ValueError("unknown power")
    if ended_on is not None and ended_on < begun_on:
        raise ValueError("a representation cannot end before it begins")
    upper = None if ended_on is None else ended_on + timedelta(days=1)
    try:
        with transaction.atomic():
            row = Representation.objects.create(
                talent=talent,
                agency=agency,
                period=(begun_on, upper),
                powers=sorted(powers),
                exclusive=exclusive,
            )
            append("representation.begun", _dated(row, begun_on), at=at)
            return row
    except IntegrityError:
        return Refusal("wrong_state", "another agency represents this talent in that time")


def _dated(row: Representation, day: date) -> dict[str, str]:
    return {
        "representation_id": row.id,
        "talent_id": row.talent_id,
        "agency": row.agency_id,
        "day": day.isoformat(),
    }


@transaction.atomic
def representation_end(
    *, representation: Representation, ended_on: date, at: datetime | None = None
) -> Representation:
    """The last day of a representation: transfer, leaving, independence, also a day to come.

    What rests on it is paused for review, not inherited: at once, or on the day by
    `registry.services.sweep`. Raises `ValueError` for a day before its begin.
    """
    at = at or timezone.now()
    row = Representation.objects.select_for_update().get(id=representation.id)
    if ended_on < row.period.lower:
        raise ValueError("a representation cannot end before it begins")
    row.period = (row.period.lower, ended_on + timedelta(days=1))
    row.save()
    append("representation.ended", _dated(row, ended_on), at=at)
    talent_review(talent=row.talent, at=at)
    row.refresh_from_db()
    return row


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
    # A01: whoever took over a device cannot also answer where the person was reached before.
    places_tell(person=person, kind="key_enrolled", subject=credential.id, at=at)
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
    try:
        # The library takes small-order points and other forms; a worker would refuse them later.
        assertion.load_key(verified.credential_public_key)
    except VerificationError as error:
        return Refusal("malformed", f"registration: {error.detail}")
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
