"""Stage 2: people approve, refuse and withdraw.

Only a key can approve; asking, refusing and withdrawing need no key, because no must never be
harder than yes. Whether an approval counts is decided by `registry.core.approvals`, against the
same trust root that every worker holds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from webauthn import generate_authentication_options, options_to_json
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from registry import selectors
from registry.core import approvals as rules
from registry.core import requests as request_rules
from registry.core.ids import new_id
from registry.core.refusals import Refusal
from registry.log.append import append
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import (
    Approval,
    Challenge,
    Credential,
    Grant,
    Guardianship,
    Lane,
    Membership,
    Person,
    Representation,
)
from registry.services import keyring, vault
from registry.services.grants import lock, log_end, move, request_move
from registry.services.parties import challenge_take

logger = logging.getLogger(__name__)

SIGN_WITHIN: Final = timedelta(minutes=10)


@transaction.atomic
def approval_begin(
    *, person: Person, grant: Grant, by: str, at: datetime | None = None
) -> dict[str, Any] | Refusal:
    """`{challenge_id, options}` for `navigator.credentials.get`, or why this person may not sign.

    The challenge is the grant's digest: what the key signs is the grant and nothing else.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    refusal = _may_sign(row, person, by, at)
    if refusal:
        return refusal
    keys = _keys(row, person, by)
    if not keys:
        return Refusal("not_enrolled", by)
    challenge = Challenge.objects.create(
        person=person,
        purpose=Challenge.Purpose.APPROVE,
        value=bytes.fromhex(row.digest),
        grant=row,
        by=by,
        expires_at=min(at + SIGN_WITHIN, row.request.sign_by),
    )
    options = generate_authentication_options(
        rp_id=settings.RP_ID,
        challenge=bytes.fromhex(row.digest),
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=bytes(key.credential_id)) for key in keys
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return {"challenge_id": challenge.id, "options": json.loads(options_to_json(options))}


def _may_sign(grant: Grant, person: Person, by: str, at: datetime) -> Refusal | None:
    """(1) nobody signs their own request for others; (2) it is their lane, and the power behind it
    stands today; (3) it is open."""
    # (1)
    requested = grant.request.submitted_by_id == person.id
    if requested and by in request_rules.NOT_BY_REQUESTER:
        return Refusal("self_approval", by)
    # (2)
    lanes = Lane.objects.filter(grant=grant, person=person, by=by)
    if not lanes.exists():
        return Refusal("bad_signature", f"{person.id} is no {by} here")
    if any(not _stands(lane, request_rules.jst_day(at)) for lane in lanes):
        return Refusal("representation_ended", by)
    # (3)
    refusal = closed(grant)
    if refusal:
        return refusal
    if at >= grant.request.sign_by:
        return Refusal("expired", "time to sign")
    if not lanes.filter(state=Lane.State.ASKED).exists():
        return Refusal("wrong_state", "answered already")
    return None


def _stands(lane: Lane, day: date) -> bool:
    """Whether the person still speaks for the agency, and the agency or guardian for the talent."""
    if lane.by == "agency_officer":
        return Representation.objects.filter(
            id=lane.authority,
            period__contains=day,
            agency__memberships__person=lane.person_id,
            agency__memberships__role=Membership.Role.OFFICER,
            agency__memberships__active=True,
        ).exists()
    if lane.by == "guardian":
        found = Guardianship.objects.filter(id=lane.authority, person=lane.person_id)
        return found.filter(Q(ended_on__isnull=True) | Q(ended_on__gte=day)).exists()
    return True


def closed(grant: Grant) -> Refusal | None:
    """Why a grant can no longer be signed; None while it is asked for."""
    codes = {
        "asking": None,
        "superseded": "approval_replaced",
        "withdrawn": "withdrawn",
        "revoked": "revoked",
        "expired": "expired",
    }
    code = codes.get(grant.state, "wrong_state")
    return None if code is None else Refusal(code, grant.id)


def _keys(grant: Grant, person: Person, by: str) -> list[Credential]:
    """The person's keys that the grant lists; one enrolled later needs a new grant."""
    parties = selectors.core_grant(grant).parties
    listed = {key for p in parties if p.party_id == person.id and p.by == by for key in p.keys}
    return [key for key in selectors.credentials_of(person) if key.thumbprint in listed]


@transaction.atomic
def approval_finish(
    *, person: Person, challenge_id: str, response: Mapping[str, Any], at: datetime | None = None
) -> Approval | Refusal:
    """Verify and store an approval (an AuthenticationResponseJSON); the last makes the grant.

    (1) the challenge is this person's, fresh and unused; (2) the person may still sign; (3) the
    assertion verifies against the grant; (4) it is stored, with its event; (5) with the last
    approval the grant holds.
    """
    at = at or timezone.now()
    # (1)
    challenge = challenge_take(person, challenge_id, Challenge.Purpose.APPROVE, at)
    if challenge is None or challenge.grant_id is None:
        return Refusal("challenge_unknown", challenge_id)
    # (2)
    grant = lock(challenge.grant_id)
    refusal = _may_sign(grant, person, challenge.by, at)
    if refusal:
        return refusal
    # (3)
    checked = _checked(grant, person, challenge.by, response, at)
    if isinstance(checked, Refusal):
        logger.warning("approval of %s by %s: %s", grant.id, person.id, checked.code)
        return checked
    approval, credential = checked
    # (4)
    stored = _store(grant, approval, credential, at)
    # (5)
    if not Lane.objects.filter(grant=grant).exclude(state=Lane.State.SIGNED).exists():
        _make(grant, at)
    return stored


def _checked(
    grant: Grant, person: Person, by: str, response: Mapping[str, Any], at: datetime
) -> tuple[rules.Approval, Credential] | Refusal:
    try:
        parts = response["response"]
        raw_id = canonical.unb64u(response["rawId"])
        # Whoever's key it is: that it must be this person's is for `verify` to say.
        credential = Credential.objects.filter(credential_id=raw_id).first()
        if credential is None or credential.retired_at is not None:
            return Refusal("bad_signature", "no enrolled key")
        approval = rules.Approval.from_payload(
            {
                "format": rules.FORMAT,
                "approval_id": new_id("apv"),
                "by": by,
                "party_id": person.id,
                "grant_digest": grant.digest,
                "asserted_at": at.astimezone(UTC).isoformat(timespec="seconds"),
                "credential_id": canonical.b64u(raw_id),
                "cose_key": canonical.b64u(bytes(credential.cose_key)),
                "authenticator_data": parts["authenticatorData"],
                "client_data_json": parts["clientDataJSON"],
                "signature": parts["signature"],
            }
        )
        rules.verify(approval, selectors.core_grant(grant), keyring.trust_root())
    except VerificationError as error:
        code = "malformed" if error.code == "bad_base64" else error.code
        return Refusal(code, error.detail)
    except (KeyError, TypeError, ValueError) as error:
        return Refusal("malformed", f"assertion: {type(error).__name__}")
    return approval, credential


def _store(
    grant: Grant, approval: rules.Approval, credential: Credential, at: datetime
) -> Approval:
    """One signature may stand for several talents of one agency: every lane of this party."""
    event = append(
        "approval.signed",
        {
            "approval_digest": approval.digest().hex(),
            "approval_id": approval.approval_id,
            "grant_id": grant.id,
            "grant_digest": grant.digest,
            "party_id": approval.party_id,
            "by": approval.by,
            "key": credential.thumbprint,
        },
        at=at,
    )
    lanes = Lane.objects.filter(grant=grant, person_id=approval.party_id, by=approval.by)
    rows: list[Approval] = []
    for lane in lanes.filter(state=Lane.State.ASKED).order_by("id"):
        rows.append(
            Approval.objects.create(
                id=approval.approval_id if not rows else new_id("apv"),
                lane=lane,
                credential=credential,
                payload=approval.to_payload(),
                asserted_at=at,
                event=event,
            )
        )
    lanes.filter(state=Lane.State.ASKED).update(state=Lane.State.SIGNED, decided_at=at)
    return rows[0]


def _make(grant: Grant, at: datetime) -> None:
    """Everybody has signed: the grant holds from here."""
    core = selectors.core_grant(grant)
    if not move(grant, "active", at=at):
        raise RuntimeError(f"grant {grant.id} changed under its lock")
    request_move(grant.request, "cleared")
    event = append(
        "grant.made",
        {
            "grant_id": grant.id,
            "grant_digest": grant.digest,
            "request_id": grant.request_id,
            "dataset_root": core.dataset_root,
            "base_models": [base.sha256 for base in core.base_models],
            "parties": [{"party_id": p.party_id, "by": p.by} for p in core.parties],
        },
        at=at,
    )
    Grant.objects.filter(id=grant.id).update(made_event=event)


@transaction.atomic
def approval_refuse(
    *, person: Person, grant: Grant, by: str, reason: str = "", at: datetime | None = None
) -> Refusal | None:
    """Say no before signing. The reason stays here, never in the log; None: it is done."""
    at = at or timezone.now()
    row = lock(grant.id)
    refusal = closed(row)
    if refusal:
        return refusal
    lanes = Lane.objects.filter(grant=row, person=person, by=by)
    # After signing, a talent withdraws; the other parties have given their word.
    open_lanes = lanes.filter(state=Lane.State.ASKED)
    if open_lanes.update(state=Lane.State.REFUSED, reason=reason, decided_at=at) == 0:
        return Refusal("wrong_state", "not asked, or answered already")
    move(row, "refused", at=at)
    request_move(row.request, "refused")
    append(
        "approval.refused",
        {"grant_id": row.id, "grant_digest": row.digest, "party_id": person.id, "by": by},
        at=at,
    )
    log_end(row, at=at)
    return None


@transaction.atomic
def approval_withdraw(
    *, person: Person, grant: Grant, reason: str = "", at: datetime | None = None
) -> Refusal | None:
    """Withdraw consent: a talent or guardian, at any time, for no reason, without a veto.

    One transaction: (1) it is the person's own consent; (2) the grant ends and every token of it
    reads `withdrawn`; (3) the key shares are destroyed, so the pictures never open again; (4) the
    log tells it. A grant that ended otherwise (its term, a refusal) keeps that state, and the
    pictures go all the same. None: it is done, also when it was done before.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    # (1)
    lanes = Lane.objects.filter(grant=row, person=person, by__in=request_rules.MAY_WITHDRAW)
    by = lanes.order_by("by").values_list("by", flat=True).first()
    if by is None:
        return Refusal("wrong_state", "only the talent or a guardian withdraws")
    if row.state == "withdrawn" or not lanes.exclude(state=Lane.State.WITHDRAWN).exists():
        return None
    # (2)
    ended = move(row, "withdrawn", at=at)
    successor = None if ended else selectors.live_grant(row.request)
    if successor is not None:  # newer pictures took its place while the person was deciding
        return approval_withdraw(person=person, grant=successor, reason=reason, at=at)
    request_move(row.request, "withdrawn")
    lanes.update(state=Lane.State.WITHDRAWN, reason=reason, decided_at=at)
    # (3)
    vault.shares_shred(request=row.request, at=at)
    # (4)
    append(
        "approval.withdrawn",
        {"grant_id": row.id, "grant_digest": row.digest, "party_id": person.id, "by": by},
        at=at,
    )
    if ended:
        log_end(row, at=at)
    return None
