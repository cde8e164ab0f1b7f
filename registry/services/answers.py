"""Answers besides yes and no: looking at it, asking for a change, offering less. Stage 2.

A return or a counter-offer ends nothing and signs nothing: the grant can no longer be signed, the
requester changes or accepts, and a new grant goes to everybody for signatures of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import cases, narrowing, term_rules
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Problem, Terms
from registry.log.append import append
from registry.log.core import canonical
from registry.models import Grant, Lane, Person, TrainingRequest
from registry.services import lanes, letters, welfare
from registry.services.approvals import may_answer
from registry.services.grants import lock, move, request_move
from registry.services.requests import objections


@transaction.atomic
def lane_open(*, person: Person, grant: Grant, at: datetime | None = None) -> None:
    """The person has looked at exactly this content; told once, and nothing follows from it."""
    at = at or timezone.now()
    waiting = Lane.objects.filter(
        grant=grant, grant__state="asking", person=person, state__in=("asked", "unreachable")
    )
    if not waiting.exists():
        return
    row = lock(grant.id)
    if row.state != "asking":
        return
    for by in {lane.by for lane in lanes.move(waiting, "opened", opened_at=at)}:
        append("approval.opened", _named(row, person, by), at=at)


@transaction.atomic
def lane_unreachable(*, lane: Lane, at: datetime | None = None) -> bool:
    """No message reaches this person. They may still answer; nobody may for them."""
    at = at or timezone.now()
    row = lock(lane.grant_id)
    if row.state != "asking":
        return False
    if not lanes.move(Lane.objects.filter(id=lane.id), "unreachable"):
        return False
    append("approval.undelivered", _named(row, lane.person, lane.by), at=at)
    return True


@transaction.atomic
def answer_return(
    *,
    person: Person,
    grant: Grant,
    by: str,
    remarks: Iterable[Mapping[str, Any]],
    pressed: bool = False,
    at: datetime | None = None,
) -> Refusal | None:
    """Ask for a change: who wants what changed, field by field. None: it is done.

    Refusals: those of answering at all, and `remark_missing`.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    welfare.note(row, person, by, pressed=pressed, at=at)
    given = cases.remarks_of(remarks)
    refusal = may_answer(row, person, by, at) or (given if isinstance(given, Refusal) else None)
    if refusal or isinstance(given, Refusal):
        return refusal
    _answered(row, person, by, "returned", at, remarks=[asdict(item) for item in given])
    data = {"remarks": _commitment(row, [asdict(item) for item in given])}
    append("approval.returned", {**_named(row, person, by), **data}, at=at)
    return None


@transaction.atomic
def answer_counter(
    *,
    person: Person,
    grant: Grant,
    by: str,
    terms: Terms,
    left_out: Collection[str] = (),
    pressed: bool = False,
    at: datetime | None = None,
) -> Refusal | None:
    """Offer less: narrower terms, and pictures (by id) left out. None: it is done.

    Refusals: those of answering at all; `counter_wider` for anything that is not less (the detail
    names the members); `counter_empty` where nothing differs, or nothing is left.
    """
    at = at or timezone.now()
    row = lock(grant.id)
    welfare.note(row, person, by, pressed=pressed, at=at)
    refusal = may_answer(row, person, by, at) or _no_offer(row, terms, left_out, at)
    if refusal:
        return refusal
    offer = {"terms": terms.to_payload(), "left_out": sorted(set(left_out))}
    _answered(row, person, by, "countered", at, offer=offer)
    data = {"offer": _commitment(row, offer)}
    append("approval.countered", {**_named(row, person, by), **data}, at=at)
    return None


def answer_partly(
    *,
    person: Person,
    grant: Grant,
    by: str,
    ticks: Collection[str],
    left_out: Collection[str] = (),
    pressed: bool = False,
    at: datetime | None = None,
) -> Refusal | None:
    """Allow only what was ticked: the same as offering the rest away. See `answer_counter`."""
    asked = selectors.core_grant(grant).terms
    return answer_counter(
        person=person,
        grant=grant,
        by=by,
        terms=narrowing.narrowed(asked, ticks),
        left_out=left_out,
        pressed=pressed,
        at=at,
    )


def _no_offer(
    grant: Grant, terms: Terms, left_out: Collection[str], at: datetime
) -> Refusal | None:
    asked = selectors.core_grant(grant).terms
    wider = narrowing.wider(asked, terms)
    unknown = set(left_out) - set(grant.pictures)
    if wider or unknown:
        return Refusal("counter_wider", ", ".join([*wider, *(["pictures"] if unknown else [])]))
    same = terms == asked and not left_out
    nothing = set(left_out) >= set(grant.pictures) if grant.pictures else False
    if same or nothing or term_rules.problems(terms, today=jst_day(at)):
        return Refusal("counter_empty", "the same" if same else "nothing left")
    return None


def _answered(
    grant: Grant, person: Person, by: str, state: str, at: datetime, **values: Any
) -> None:
    own = Lane.objects.filter(grant=grant, person=person, by=by)
    lanes.move(own, state, decided_at=at, **values)
    if not move(grant, lanes.outcome(grant), at=at):
        raise RuntimeError(f"grant {grant.id} changed under its lock")
    request_move(grant.request, "returned")
    letters.tell_requester(grant.request, at=at)


# --- the requester's side -----------------------------------------------------------------------


@transaction.atomic
def request_recall(
    *, request: TrainingRequest, by: Person, at: datetime | None = None
) -> Refusal | None:
    """The requester takes what is being asked back to change it. None: it is done.

    Raises `PermissionDenied` for anybody who does not act for the requester.
    """
    at = at or timezone.now()
    _requester(request, by)
    grant = selectors.live_grant(request)
    if grant is None:
        return Refusal("wrong_state", request.state)
    row = lock(grant.id)
    if row.state != "asking" or not move(row, "returned", at=at):
        return Refusal("wrong_state", row.state)
    request_move(row.request, "returned")
    append("request.recalled", {**_case(row), "party_id": by.id}, at=at)
    return None


@transaction.atomic
def request_amend(
    *,
    request: TrainingRequest,
    by: Person,
    terms: Terms | None = None,
    sign_by: datetime | None = None,
    at: datetime | None = None,
) -> TrainingRequest | list[Refusal | Problem]:
    """Change the terms or the time to answer before they are asked (again), or say why not.

    `wrong_state` unless pictures are being gathered or a change was asked for. Nothing is asked by
    this: sealing the pictures makes the new grant. Raises `PermissionDenied`.
    """
    at = at or timezone.now()
    _requester(request, by)
    row = TrainingRequest.objects.select_for_update(no_key=True).get(id=request.id)
    if row.state not in ("submitted", "returned"):
        return [Refusal("wrong_state", row.state)]
    wanted = terms or Terms.from_payload(row.terms)
    found = objections(
        wanted,
        talents=list(row.talents.select_related("person").order_by("id")),
        base_model=row.base_model,
        licensee=row.licensee,
        recipe=row.recipe,
        max_runs=row.max_runs,
        sign_by=sign_by or row.sign_by,
        at=at,
    )
    if found:
        return found
    row.terms, row.sign_by = wanted.to_payload(), sign_by or row.sign_by
    row.save(update_fields=["terms", "sign_by", "updated_at"])
    append("request.amended", {"request_id": row.id, "party_id": by.id}, at=at)
    return row


@transaction.atomic
def counter_take(
    *, lane: Lane, by: Person, at: datetime | None = None
) -> list[str] | list[Refusal | Problem]:
    """Accept an offer: the request asks for exactly it from now on. Returns the pictures left out.

    The floor above leaves them out of the data set and seals it anew; then everybody signs.
    Refusals: `wrong_state` unless this offer is on the table. Raises `PermissionDenied`.
    """
    at = at or timezone.now()
    grant = lock(lane.grant_id)
    _requester(grant.request, by)
    row = Lane.objects.get(id=lane.id)
    if grant.state != "returned" or row.state != "countered" or row.offer is None:
        refusals: list[Refusal | Problem] = [Refusal("wrong_state", row.state)]
        return refusals
    done = request_amend(
        request=grant.request, by=by, terms=Terms.from_payload(row.offer["terms"]), at=at
    )
    if not isinstance(done, TrainingRequest):
        return done
    left_out: list[str] = row.offer["left_out"]
    return left_out


def offers(request: TrainingRequest) -> Sequence[Lane]:
    """The counter-offers on the table, oldest first."""
    grant = selectors.live_grant(request)
    if grant is None or grant.state != "returned":
        return []
    found = Lane.objects.filter(grant=grant, state="countered").select_related("person")
    return list(found.order_by("decided_at", "id"))


def _requester(request: TrainingRequest, by: Person) -> None:
    if not selectors.organisations_of(by, "ask").filter(id=request.requester_id).exists():
        raise PermissionDenied


def _commitment(grant: Grant, what: Any) -> str:
    """A digest that cannot be guessed by who sees only the log: the nonce is in the grant."""
    value = {"nonce": grant.payload["nonce"], "value": what}
    return canonical.digest("kyodaku/answer/v1", value).hex()


def _named(grant: Grant, person: Person, by: str) -> dict[str, str]:
    return {
        "grant_id": grant.id,
        "grant_digest": grant.digest,
        "party_id": person.id,
        "by": by,
    }


def _case(grant: Grant) -> dict[str, str]:
    return {
        "grant_id": grant.id,
        "grant_digest": grant.digest,
        "request_id": grant.request_id,
    }
