"""Stage 2: people approve, refuse and withdraw. Asking for a change: `registry.services.answers`.

Only a key can approve; asking, refusing and withdrawing need no key, because no must never be
harder than yes. Whether an approval counts is decided by `registry.core.approvals`, against the
same trust root that every worker holds. A talent's reason is for the platform alone until she
shares it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from webauthn import generate_authentication_options, options_to_json
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from registry import selectors
from registry.core import approvals as rules
from registry.core import cases
from registry.core.ids import new_id
from registry.core.parties import APPROVE, roles_with
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import missing_ticks
from registry.log.append import append
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import (
    Approval,
    Challenge,
    Credential,
    Grant,
    Lane,
    Person,
    Representation,
    Talent,
)
from registry.services import clearance, keyring, lanes, review, vault, welfare
from registry.services.conflicts import conflict
from registry.services.grants import lock, log_end, move, request_move
from registry.services.parties import challenge_take

logger = logging.getLogger(__name__)

SIGN_WITHIN: Final = timedelta(minutes=10)


@transaction.atomic
def approval_begin(
    *,
    person: Person,
    grant: Grant,
    by: str,
    ticks: Collection[str] = (),
    pressed: bool = False,
    at: datetime | None = None,
) -> dict[str, Any] | Refusal:
    """`{challenge_id, options}` for `navigator.credentials.get`, or why this person may not sign.

    What the key signs is the grant, this capacity, the `ticks` (the items that were ticked one by
    one) and a nonce that nobody knows before this call allows it. `pressed` counts whatever comes
    of this call, and changes nothing in the answer.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    welfare.note(row, person, by, pressed=pressed, at=at)
    refusal = may_answer(row, person, by, at) or _not_yet(row, person, by, ticks, at)
    if refusal:
        return refusal
    keys = _keys(row, person, by)
    if not keys:
        return Refusal("not_enrolled", by)
    challenge = Challenge(
        person=person,
        purpose=Challenge.Purpose.APPROVE,
        grant=row,
        by=by,
        ticks=sorted(set(ticks)),
        expires_at=min(at + SIGN_WITHIN, row.request.sign_by),
    )
    challenge.value = rules.challenge(
        row.digest, party_id=person.id, by=by, ticks=challenge.ticks, nonce=challenge.id
    )
    challenge.save(force_insert=True)
    options = generate_authentication_options(
        rp_id=settings.RP_ID,
        challenge=challenge.value,
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=bytes(key.credential_id)) for key in keys
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return {"challenge_id": challenge.id, "options": json.loads(options_to_json(options))}


def may_answer(grant: Grant, person: Person, by: str, at: datetime) -> Refusal | None:
    """(1) nobody answers their own side's request for others; (2) it is their lane, nothing bars
    the talents, and the power behind it stands today; (3) it is open."""
    # (1)
    refusal = conflict(grant.request, person, by)
    if refusal:
        return refusal
    # (2)
    own = Lane.objects.filter(grant=grant, person=person, by=by)
    if not own.exists():
        return Refusal("bad_signature", f"{person.id} is no {by} here")
    day = jst_day(at)
    barred = selectors.barred_on(grant, day)
    if barred:
        return barred[0]
    if by == "talent" and Talent.objects.filter(person=person, died_on__lte=day).exists():
        return Refusal("approval_missing:estate", person.id)
    if any(not _stands(lane, day) for lane in own):
        return Refusal("representation_ended", by)
    # (3)
    refusal = closed(grant)
    if refusal:
        return refusal
    if at >= grant.request.sign_by:
        return Refusal("expired", "time to sign")
    if not own.filter(state__in=cases.PENDING).exists():
        return Refusal("wrong_state", "answered already")
    return None


def _not_yet(
    grant: Grant, person: Person, by: str, ticks: Collection[str], at: datetime
) -> Refusal | None:
    """The time to think runs, or something that needs a tick of its own has none."""
    refusal = cases.cooling(cooling_until(grant, person, by), at=at)
    if refusal is None and by in cases.COOLED:
        refusal = next(iter(missing_ticks(selectors.core_grant(grant).terms, ticks)), None)
    return refusal


def cooling_until(grant: Grant, person: Person, by: str) -> datetime:
    """From when a yes of this person to exactly this content counts."""
    lane = Lane.objects.filter(grant=grant, person=person, by=by).order_by("-asked_at").first()
    asked_at = lane.asked_at if lane is not None and lane.asked_at else grant.created_at
    terms = selectors.core_grant(grant).terms
    return cases.cooling_until(
        by, asked_at=asked_at, territory=terms.territory, hours=settings.COOLING_HOURS
    )


def _stands(lane: Lane, day: date) -> bool:
    """Whether the person still speaks for the agency, and the agency, guardian or estate for the
    talent; an agency whose contract does not cover replicas never does."""
    if lane.by == "agency_officer":
        seats = selectors.seats_on(day).filter(person=lane.person_id, role__in=roles_with("sign"))
        found = Representation.objects.filter(
            id=lane.authority, period__contains=day, agency__in=seats.values("organisation")
        )
        return any(APPROVE in row.powers for row in found)
    if lane.by == "guardian":
        talent = Talent.objects.get(id=lane.subject)
        speaks = {(row.id, row.person_id) for row in selectors.guardians_on(talent, day)}
        return (lane.authority, lane.person_id) in speaks
    if lane.by == "estate":
        talent = Talent.objects.get(id=lane.subject)
        return lane.person_id in {row.person_id for row in selectors.estates_on(talent, day)}
    if lane.by in ("photo_copyright", "work_rights"):
        return clearance.stands(lane, day)
    return True


def _in_office(lane: Lane, day: date) -> bool:
    """Whether this person is still the one who was asked: an officer with a seat that answers, a
    guardian, an heir. What the contract with the talent covers does not matter to a no."""
    if lane.by == "agency_officer":
        seats = selectors.seats_on(day).filter(person=lane.person_id, role__in=roles_with("answer"))
        agencies = seats.values("organisation")
        return Representation.objects.filter(id=lane.authority, agency__in=agencies).exists()
    return lane.by not in ("guardian", "estate") or _stands(lane, day)


def closed(grant: Grant) -> Refusal | None:
    """Why a grant can no longer be signed; None while it is asked for."""
    codes = {
        "asking": None,
        "returned": "returned",
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
    refusal = may_answer(grant, person, challenge.by, at)
    refusal = refusal or _not_yet(grant, person, challenge.by, challenge.ticks, at)
    if refusal:
        return refusal
    # (3)
    checked = _checked(grant, challenge, response, at)
    if isinstance(checked, Refusal):
        logger.warning("approval of %s by %s: %s", grant.id, person.id, checked.code)
        return checked
    approval, credential = checked
    # (4)
    stored = _store(grant, approval, credential, at)
    # (5)
    if lanes.outcome(grant) == "active":
        _make(grant, at)
    return stored


def _checked(
    grant: Grant, challenge: Challenge, response: Mapping[str, Any], at: datetime
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
                "by": challenge.by,
                "party_id": challenge.person_id,
                "grant_digest": grant.digest,
                "ticks": challenge.ticks,
                "nonce": challenge.id,
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
    grant: Grant,
    approval: rules.Approval,
    credential: Credential,
    at: datetime,
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
    own = Lane.objects.filter(grant=grant, person_id=approval.party_id, by=approval.by)
    rows: list[Approval] = []
    for lane in lanes.move(own, "signed", ticks=list(approval.ticks), decided_at=at):
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
    return rows[0]


def _bundle(grant: Grant) -> str:
    rows = selectors.approvals_of(grant)
    return rules.bundle_digest(rules.Approval.from_payload(row.payload) for row in rows).hex()


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
            "approvals": _bundle(grant),
        },
        at=at,
    )
    Grant.objects.filter(id=grant.id).update(made_event=event)
    welfare.hold_if_stopped(grant, at=at)
    # Who signed first may speak for nobody by the time the last one does.
    review.grants_review([grant], at=at)


@transaction.atomic
def approval_refuse(
    *,
    person: Person,
    grant: Grant,
    by: str,
    reason: str = "",
    share_reason: bool = False,
    pressed: bool = False,
    at: datetime | None = None,
) -> Refusal | None:
    """Say no before signing, at once and also while a change is asked for. None: it is done.

    The reason stays here, never in the log. A talent's or guardian's is for the platform alone,
    unless `share_reason`.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    welfare.note(row, person, by, pressed=pressed, reason=reason, at=at)
    refusal = None if row.state == "returned" else closed(row)
    if refusal:
        return refusal
    own = Lane.objects.filter(grant=row, person=person, by=by)
    # A no in somebody's name, too, comes from who speaks for them.
    if any(not _in_office(lane, jst_day(at)) for lane in own):
        return Refusal("representation_ended", by)
    shown = reason if share_reason or by not in welfare.PRIVATE else ""
    # After signing, a talent withdraws; the other parties have given their word.
    if not lanes.move(own, "refused", reason=shown, decided_at=at):
        return Refusal("wrong_state", "not asked, or answered already")
    if not move(row, lanes.outcome(row), at=at):
        raise RuntimeError(f"grant {row.id} changed under its lock")
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
    *,
    person: Person,
    grant: Grant,
    reason: str = "",
    share_reason: bool = False,
    pressed: bool = False,
    at: datetime | None = None,
) -> Refusal | None:
    """Withdraw consent: a talent or who speaks for her, at any time, for no reason, without a veto.

    One transaction: (1) it is the person's own consent, or that of a talent for whom they speak
    today, though they signed nothing; (2) the grant ends and every token of it
    reads `withdrawn`; (3) the key shares are destroyed, so the pictures never open again; (4) the
    log tells it. A grant that ended otherwise (its term, a refusal) keeps that state, and the
    pictures go all the same. None: it is done, also when it was done before.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    # (1)
    day = jst_day(at)
    own = Lane.objects.filter(grant=row, person=person, by__in=cases.MAY_WITHDRAW)
    own = selectors.still_speaks(person, own, day)
    by = own.order_by("by").values_list("by", flat=True).first()
    by = by or selectors.speaks_as(person, row.request, day)
    if by is None:
        return Refusal("wrong_state", "only the talent or who speaks for her withdraws")
    welfare.note(row, person, by, pressed=pressed, reason=reason, at=at)
    done = own.exists() and not own.exclude(state=Lane.State.WITHDRAWN).exists()
    if row.state == "withdrawn" or done:
        return None
    # (2)
    ended = move(row, "withdrawn", at=at)
    successor = None if ended else selectors.live_grant(row.request)
    if successor is not None:  # newer pictures took its place while the person was deciding
        return approval_withdraw(
            person=person, grant=successor, reason=reason, share_reason=share_reason, at=at
        )
    request_move(row.request, "withdrawn")
    lanes.move(own, "withdrawn", reason=reason if share_reason else "", decided_at=at)
    # (3)
    shredded = vault.shares_shred(request=row.request, at=at)
    if not (ended or shredded or own.exists()):
        return None  # no lane tells that they did it before; that nothing was left to end does
    # (4)
    append(
        "approval.withdrawn",
        {"grant_id": row.id, "grant_digest": row.digest, "party_id": person.id, "by": by},
        at=at,
    )
    if ended:
        log_end(row, at=at)
    return None
