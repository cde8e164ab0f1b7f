"""Stage 1 and the way into stage 2: a request is filed, pictures are sealed, the grant is asked.

Decides nothing itself: `registry.core.requests` and `registry.core.grants` do. Trusts `training` to
give the Merkle root and the curation digest of what it sealed; every worker recomputes both.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import cases, grants, licences, narrowing, parties
from registry.core import requests as rules
from registry.core.grants import Grant as CoreGrant
from registry.core.ids import new_id
from registry.core.refusals import Refusal
from registry.core.rights import Sheet
from registry.core.terms import Problem, Terms, check_person
from registry.log.append import append
from registry.log.core import canonical
from registry.models import (
    Grant,
    Lane,
    ModelRecord,
    Organisation,
    Person,
    Talent,
    TrainingRequest,
)
from registry.services import blocks, catalogue, clearance, lanes, letters
from registry.services import rights as rights_records
from registry.services.grants import lock, move, request_move


def request_check(
    *,
    by: Person,
    requester: Organisation,
    licensee: Organisation,
    talents: Sequence[Talent],
    base_model: ModelRecord,
    terms: Terms,
    recipe: Mapping[str, Any],
    max_runs: int,
    sign_by: datetime,
    at: datetime | None = None,
) -> list[Refusal | Problem]:
    """Everything that would keep a request from being filed; nothing is written or logged.

    Raises `PermissionDenied` when `by` does not act for the requester in a role that may ask.
    """
    at = at or timezone.now()
    if not selectors.organisations_of(by, "ask").filter(id=requester.id).exists():
        raise PermissionDenied
    found: list[Refusal | Problem] = []
    # R03: who asks is known by name. An unverified requester may draft, not submit.
    if selectors.identity_of(requester, rules.jst_day(at)) is None:
        found.append(Refusal("requester_unverified", requester.id))
    misused = blocks.blocked(requester)
    if misused is not None:
        found.append(misused)
    return found + objections(
        terms,
        talents=talents,
        base_model=base_model,
        licensee=licensee,
        recipe=recipe,
        max_runs=max_runs,
        sign_by=sign_by,
        at=at,
    )


@transaction.atomic
def request_submit(
    *,
    by: Person,
    requester: Organisation,
    licensee: Organisation,
    talents: Sequence[Talent],
    copyright_holder: Person,
    base_model: ModelRecord,
    terms: Terms,
    recipe: Mapping[str, Any],
    max_runs: int,
    sign_by: datetime,
    at: datetime | None = None,
) -> TrainingRequest | list[Refusal | Problem]:
    """File a request, or say everything that keeps it from being filed.

    A refusal that no correction of the form can lift is logged. Raises `PermissionDenied` when `by`
    does not act for the requester in a role that may ask.
    """
    at = at or timezone.now()
    found = request_check(
        by=by,
        requester=requester,
        licensee=licensee,
        talents=talents,
        base_model=base_model,
        terms=terms,
        recipe=recipe,
        max_runs=max_runs,
        sign_by=sign_by,
        at=at,
    )
    if found:
        _log_refusal(requester, by, base_model, found, at)
        return found
    request = TrainingRequest.objects.create(
        requester=requester,
        submitted_by=by,
        licensee=licensee,
        copyright_holder=copyright_holder,
        base_model=base_model,
        terms=terms.to_payload(),
        recipe=dict(recipe),
        max_runs=max_runs,
        sign_by=sign_by,
        state="submitted",
    )
    request.talents.set(talents)
    rights_records.holder_of(person=copyright_holder)
    append("request.submitted", _logged(request, talents), at=at)
    return request


def objections(
    terms: Terms,
    *,
    talents: Sequence[Talent],
    base_model: ModelRecord,
    licensee: Organisation,
    recipe: Mapping[str, Any],
    max_runs: int,
    sign_by: datetime,
    at: datetime,
) -> list[Refusal | Problem]:
    """Everything that keeps this content from being asked for; see `rules.decide`."""
    day = rules.jst_day(at)
    found: list[Refusal | Problem] = []
    misused = blocks.blocked(licensee)
    if misused is not None:
        found.append(misused)
    for talent in talents:
        found += parties.barred(selectors.standing_on(talent, day))
    found += rules.decide(
        terms,
        subjects=[subject(talent, at) for talent in talents],
        base=catalogue.as_core(base_model, licensee, at=at),
        recipe=recipe,
        max_runs=max_runs,
        sign_by=sign_by,
        at=at,
        adult_rated=licensee.adult_rated,
    )
    if any(item.code in licences.CODES for item in found if isinstance(item, Refusal)):
        found = _by_part(found, catalogue.reasons(base_model, terms, licensee, at=at))
    return found + _named(recipe, talents)


def _by_part(
    found: Iterable[Refusal | Problem], named: Iterable[Refusal]
) -> list[Refusal | Problem]:
    """The licences' refusals of the whole, each told with the name of the model that gave it.

    One that no part gives (a retired record, a template) stays as it is.
    """
    parts = list(named)
    kept = [
        item
        for item in found
        if not (isinstance(item, Refusal) and item.code in {part.code for part in parts})
    ]
    return [*kept, *parts]


def _named(recipe: Mapping[str, Any], talents: Sequence[Talent]) -> list[Problem]:
    """The recipe stands in signed statements for ever, so its words name none of the talents."""
    words = _bare(" ".join(value for value in recipe.values() if isinstance(value, str)))
    for talent in talents:
        names = map(_bare, selectors.names_of(talent))
        if any(len(name) > 1 and name in words for name in names):
            return [Problem("recipe", "本人の名前は使えません。", "Do not use a talent's name.")]
    return []


def _bare(text: str) -> str:
    return "".join(text.split()).casefold()


def subject(talent: Talent, at: datetime) -> rules.Subject:
    """What the rules need to know of a talent as of a moment."""
    day = rules.jst_day(at)
    return rules.Subject(
        talent_id=talent.id,
        minor=talent.is_minor(day),
        # A talent who has died is spoken for by the estate, whatever the age was.
        has_guardian=bool(selectors.guardians_on(talent, day) or selectors.estates_on(talent, day)),
        never=frozenset(talent.never_list),
        opened=frozenset(talent.opened_list),
    )


def _logged(request: TrainingRequest, talents: Sequence[Talent]) -> dict[str, Any]:
    return {
        "request_id": request.id,
        "requester": request.requester_id,
        "licensee": request.licensee_id,
        "talents": sorted(talent.id for talent in talents),
        "base_sha256": request.base_model.sha256,
        "max_runs": request.max_runs,
    }


def _log_refusal(
    requester: Organisation,
    by: Person,
    base: ModelRecord,
    found: Iterable[Refusal | Problem],
    at: datetime,
) -> None:
    codes = sorted({item.code for item in found if isinstance(item, Refusal)})
    if codes:
        data = {"requester": requester.id, "party_id": by.id, "base_sha256": base.sha256}
        append("request.refused", {**data, "codes": codes}, at=at)


@transaction.atomic
def request_seal_dataset(
    *,
    request: TrainingRequest,
    dataset_root: str,
    count: int,
    bytes: int,
    curation_digest: str,
    rights: Sheet,
    pictures: Sequence[str] = (),
    at: datetime | None = None,
) -> Grant | list[Refusal]:
    """Fix the content of the grant and ask every party; any earlier grant is superseded.

    `rights` says of every photograph whose it is and what it shows. `pictures` are the pictures'
    ids in their order: what differs from the grant before is told by position.

    (1) the request may be asked for; (2) every right is on record, everybody concerned is found and
    has a key; (3) the grant holds as such; (4) the older grant's approvals are void; (5) the new
    one is asked for.
    """
    at = at or timezone.now()
    row = TrainingRequest.objects.select_for_update(no_key=True).get(id=request.id)
    # (1)
    refusals = _not_askable(row, at)
    if refusals:
        return refusals
    # (2)
    row.retouchers.set(Person.objects.filter(id__in=rights.retouchers()))
    case = clearance.case_of(row, rights, at)
    if isinstance(case, list):
        return case
    grant = _grant(
        row,
        case,
        pictures=(dataset_root, count, bytes),
        curation_digest=curation_digest,
        at=at,
    )
    # (3)
    refusals = grants.check(grant, at=at)
    if refusals:
        return refusals
    # (4)
    older = selectors.grant_of(row)
    _supersede(row, grant.grant_id, at)
    # (5)
    changes = {} if older is None else _changes(older, grant, pictures)
    return _ask(row, grant, pictures, changes, at)


def _changes(older: Grant, grant: CoreGrant, pictures: Sequence[str]) -> dict[str, Any]:
    """What the new grant differs in from the one before it, for those who answered that one."""
    found = narrowing.differences(older.payload["terms"], grant.terms.to_payload())
    gone, added = narrowing.pictures_changed(older.pictures, pictures)
    same_pictures = older.payload["dataset"]["root"] == grant.dataset_root
    return {
        "before": older.id,
        "terms": [vars(change) for change in found],
        "left_out": [] if same_pictures else gone,
        "added": [] if same_pictures else added,
    }


def _not_askable(request: TrainingRequest, at: datetime) -> list[Refusal]:
    if not cases.may_move(cases.REQUEST_STATES, request.state, "in_clearance"):
        return [Refusal("wrong_state", request.state)]
    if at >= request.sign_by:
        return [Refusal("expired", "time to sign")]
    terms = Terms.from_payload(request.terms)
    refusals = []
    for talent in request.talents.order_by("id"):
        who = subject(talent, at)
        refusals += check_person(
            terms,
            minor=who.minor,
            never=who.never,
            opened=who.opened,
            adult_rated=request.licensee.adult_rated,
        )
    return refusals


def _grant(
    request: TrainingRequest,
    case: clearance.Case,
    *,
    pictures: tuple[str, int, int],
    curation_digest: str,
    at: datetime,
) -> CoreGrant:
    root, count, size = pictures
    terms = Terms.from_payload(request.terms)
    nonce = secrets.token_hex(16)
    bases = (catalogue.as_core(request.base_model, request.licensee, at=at),)
    return CoreGrant(
        grant_id=new_id("grt"),
        request_id=request.id,
        mode=settings.KYODAKU_MODE,
        nonce=nonce,
        created_at=_iso(at),
        sign_by=_iso(request.sign_by),
        parties=case.parties,
        dataset_root=root,
        dataset_count=count,
        dataset_bytes=size,
        curation_digest=curation_digest,
        base_models=bases,
        terms=terms,
        recipe_limits=rules.limits_of(request.recipe),
        max_runs=request.max_runs,
        licensee=request.licensee_id,
        # The nonce keeps the fee from being guessed by whoever sees only this commitment.
        fee_commitment=canonical.digest(
            "kyodaku/fee/v1", {"fee_jpy": terms.fee_jpy, "nonce": nonce}
        ).hex(),
        text_sha256=grants.text_digests(
            terms,
            pictures=count,
            max_runs=request.max_runs,
            bases=bases,
            clearances=case.clearances,
        ),
        clearances=case.clearances,
    )


def _supersede(request: TrainingRequest, successor: str, at: datetime) -> None:
    older = selectors.live_grant(request)
    if older is None:
        return
    grant = lock(older.id)
    lanes.dismiss(grant, successor=successor, at=at)
    if not move(grant, "superseded", at=at):
        raise RuntimeError(f"grant {grant.id} changed under its lock")
    append(
        "grant.superseded",
        {"grant_id": grant.id, "grant_digest": grant.digest, "successor": successor},
        at=at,
    )


def _ask(
    request: TrainingRequest,
    grant: CoreGrant,
    pictures: Sequence[str],
    changes: Mapping[str, Any],
    at: datetime,
) -> Grant:
    row = Grant.objects.create(
        id=grant.grant_id,
        request=request,
        payload=grant.to_payload(),
        canonical=grant.canonical(),
        digest=grant.digest().hex(),
        state="asking",
        pictures=list(pictures),
        changes=dict(changes),
    )
    Lane.objects.bulk_create(
        Lane(
            grant=row,
            person_id=party.party_id,
            by=party.by,
            subject=party.subject,
            authority="" if party.authority == "self" else party.authority,
            state=Lane.State.ASKED,
            asked_at=at,
        )
        for party in grant.parties
    )
    request_move(request, "in_clearance")
    letters.tell_lanes(row, at=at)
    append(
        "grant.asked",
        {
            "grant_id": row.id,
            "grant_digest": row.digest,
            "request_id": request.id,
            "dataset_root": grant.dataset_root,
            "curation_digest": grant.curation_digest,
            "rights_digest": grant.clearances.rights_digest,
            "parties": [{"party_id": p.party_id, "by": p.by} for p in grant.parties],
        },
        at=at,
    )
    return row


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
