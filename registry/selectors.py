"""Reading the registry: who may see what, and the lists that pages and the API show.

No stage of its own. `access_*` answer one question only, "may this person see this row?", and
answer no and "there is none" alike: cross-tenant questions get 404 and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

from django.conf import settings
from django.db.models import Model, Q, QuerySet
from django.http import Http404
from django.utils import timezone

from registry.core.cases import LIVE_GRANT, PENDING
from registry.core.grants import Grant as CoreGrant
from registry.core.requests import jst_day
from registry.log import selectors as log
from registry.models import (
    Approval,
    Credential,
    Grant,
    Guardianship,
    Lane,
    Membership,
    ModelRecord,
    Organisation,
    Person,
    Representation,
    Talent,
    Token,
    TrainingRequest,
)

Row = TypeVar("Row", bound=Model)

# What the agency's and the photographer's people may look at; an officer alone may sign.
_STAFF: Final = ("officer", "manager", "viewer", "photographer")


def organisations_of(person: Person) -> QuerySet[Organisation]:
    """The organisations for which a person acts now."""
    return Organisation.objects.filter(
        memberships__person=person, memberships__active=True, memberships__role__in=_STAFF
    ).distinct()


def requests_for(person: Person) -> QuerySet[TrainingRequest]:
    """Every request that a person may see, newest first.

    As the asking or licensed company, as talent, as copyright holder, as a party of a grant, or as
    staff of the agency that represents a talent in it now or was asked in it.
    """
    mine = organisations_of(person)
    asked = Lane.objects.filter(person=person).values("grant__request")
    agencies = Representation.objects.filter(agency__in=mine)
    by_authority = Lane.objects.filter(authority__in=agencies.values("id")).values("grant__request")
    today = agencies.filter(period__contains=_today())
    return (
        TrainingRequest.objects.filter(
            Q(requester__in=mine)
            | Q(licensee__in=mine)
            | Q(copyright_holder=person)
            | Q(talents__person=person)
            | Q(talents__representations__in=today)
            | Q(id__in=asked)
            | Q(id__in=by_authority)
        )
        .distinct()
        .select_related("requester", "licensee", "base_model", "submitted_by")
        .order_by("-created_at", "id")
    )


def access_request(*, person: Person, request_id: str) -> TrainingRequest:
    """The request, or Http404."""
    return _one(requests_for(person).filter(id=request_id))


def access_own_request(*, person: Person, request_id: str) -> TrainingRequest:
    """The request, if this person acts for the company that asks; or Http404."""
    requester = organisations_of(person)
    return _one(requests_for(person).filter(id=request_id, requester__in=requester))


def access_grant(*, person: Person, grant_id: str) -> Grant:
    """The grant of a request that this person may see; or Http404."""
    seen = requests_for(person).values("id")
    return _one(Grant.objects.filter(id=grant_id, request__in=seen).select_related("request"))


def access_organisation(*, person: Person, organisation_id: str) -> Organisation:
    """An organisation for which this person acts; or Http404."""
    return _one(organisations_of(person).filter(id=organisation_id))


def lanes_for(grant: Grant) -> list[Lane]:
    """The parties of a grant and how far each is, in the order of the grant."""
    order = {(p.party_id, p.by): i for i, p in enumerate(core_grant(grant).parties)}
    lanes = Lane.objects.filter(grant=grant).select_related("person", "approval")
    return sorted(lanes, key=lambda lane: (order.get((lane.person_id, lane.by), 99), lane.id))


def lanes_open_to(person: Person) -> QuerySet[Lane]:
    """What waits for this person's answer, soonest deadline first."""
    return (
        Lane.objects.filter(person=person, state__in=PENDING, grant__state="asking")
        .select_related("grant__request__requester")
        .order_by("grant__request__sign_by", "id")
    )


def consents_of(person: Person) -> QuerySet[Lane]:
    """What this person has agreed to as talent or guardian, newest first, ended ones included."""
    return (
        Lane.objects.filter(person=person, by__in=("talent", "guardian"))
        .exclude(state__in=PENDING)
        .select_related("grant__request__requester", "grant__request__licensee")
        .order_by("-decided_at", "id")
    )


def grant_of(request: TrainingRequest) -> Grant | None:
    """The newest grant of a request, live or not."""
    return Grant.objects.filter(request=request).order_by("-created_at", "-id").first()


def live_grant(request: TrainingRequest) -> Grant | None:
    """The grant being asked for or holding; at most one."""
    return Grant.objects.filter(request=request, state__in=LIVE_GRANT).first()


def core_grant(grant: Grant) -> CoreGrant:
    """The signed object of a row. Raises `ValueError` if the row was tampered with."""
    return CoreGrant.from_payload(grant.payload)


def state_of(request: TrainingRequest) -> str:
    """The state as the database has it now, whatever the object in memory says."""
    return TrainingRequest.objects.values_list("state", flat=True).get(id=request.id)


def approvals_of(grant: Grant) -> list[Approval]:
    """The approvals of a grant whose lanes still stand, one a signature."""
    rows = Approval.objects.filter(lane__grant=grant, lane__state=Lane.State.SIGNED)
    found = {row.payload["approval_id"]: row for row in rows.select_related("lane", "credential")}
    return sorted(found.values(), key=lambda row: (row.lane.by, row.lane.person_id))


def signed_as(*, person: Person, grant: Grant) -> list[str]:
    """The capacities in which a person signed a grant, whatever became of it since."""
    rows = Approval.objects.filter(lane__grant=grant, lane__person=person)
    return list(rows.order_by("lane__by").values_list("lane__by", flat=True).distinct())


def credentials_of(person: Person) -> QuerySet[Credential]:
    """The keys with which a person may approve now, oldest first."""
    return person.credentials.filter(retired_at__isnull=True).order_by("enrolled_at", "id")


def signing_keys(person: Person, at: datetime) -> list[Credential]:
    """The keys that a new grant may list: the person's first, and later ones that have waited."""
    waited = at - timedelta(hours=settings.NEW_KEY_WAIT_HOURS)
    first = person.credentials.order_by("enrolled_at", "id").first()
    return [
        key
        for key in credentials_of(person)
        if (first is not None and key.pk == first.pk) or key.enrolled_at <= waited
    ]


def representation_on(talent: Talent, day: date) -> Representation | None:
    """Who represents a talent on a day; the database lets there be only one."""
    return talent.representations.filter(period__contains=day).select_related("agency").first()


def guardians_on(talent: Talent, day: date) -> list[Guardianship]:
    """Who speaks for a minor on a day."""
    found = talent.guardianships.filter(begun_on__lte=day).select_related("person")
    return list(found.filter(Q(ended_on__isnull=True) | Q(ended_on__gte=day)).order_by("id"))


def officers_of(agency: Organisation) -> list[Person]:
    """The people who may sign for an agency, those with an approval key first."""
    members = Membership.objects.filter(organisation=agency, role="officer", active=True)
    people = [m.person for m in members.select_related("person").order_by("id")]
    enrolled = {p.id: credentials_of(p).first() for p in people}
    return sorted(people, key=lambda p: _since(enrolled[p.id]))


def talents() -> QuerySet[Talent]:
    """The directory: every talent who can be asked."""
    return Talent.objects.select_related("person").order_by("kana", "id")


def base_models() -> QuerySet[ModelRecord]:
    """The base models that a request can name: recorded with their digest, and not retired."""
    rows = ModelRecord.objects.filter(kind="base", retired_at__isnull=True).exclude(sha256="")
    return rows.order_by("name", "id")


def token_of(jti: str) -> Token | None:
    """A minted token with its grant, or None."""
    return Token.objects.filter(jti=jti).select_related("grant").first()


def roles_of(person: Person) -> frozenset[str]:
    """`talent` (or guardian), and the kinds of the organisations for which the person acts."""
    roles = set(organisations_of(person).values_list("kind", flat=True))
    guards = Guardianship.objects.filter(person=person, ended_on__isnull=True)
    if Talent.objects.filter(person=person).exists() or guards.exists():
        roles.add("talent")
    return frozenset(roles)


def agency_requests(person: Person) -> QuerySet[TrainingRequest]:
    """The requests about talents whom this person's agencies represent, or were asked for."""
    agencies = organisations_of(person).filter(kind=Organisation.Kind.AGENCY)
    rows = Representation.objects.filter(agency__in=agencies)
    asked = Lane.objects.filter(authority__in=rows.values("id")).values("grant__request")
    now = rows.filter(period__contains=_today())
    return requests_for(person).filter(
        Q(id__in=asked)
        | Q(id__in=TrainingRequest.objects.filter(talents__representations__in=now).values("id"))
    )


def may_see_pictures(person: Person, request: TrainingRequest) -> bool:
    """The talent, those who were asked to sign for the talent, and staff of the talent's agency."""
    talent = request.talents.filter(person=person).exists()
    by = ("talent", "guardian", "agency_officer")
    asked = Lane.objects.filter(grant__request=request, person=person, by__in=by).exists()
    return talent or asked or agency_requests(person).filter(id=request.id).exists()


@dataclass(frozen=True)
class Answer:
    """One answer of a person as the log tells it; `index` is None until it is sequenced."""

    event_type: str
    at: datetime
    index: int | None


_ANSWERS: Final = ("approval.signed", "approval.refused", "approval.withdrawn")


def answers_in_log(*, person: Person, grant: Grant) -> list[Answer]:
    """What this person said in a case, oldest first."""
    ids = (person.id, grant.id)
    entries = log.entries_about(*ids).filter(event_type__in=_ANSWERS, at__gte=grant.created_at)
    found = [Answer(row.event_type, row.at, row.index) for row in entries.order_by("index")]
    for event in log.waiting_about(*ids):
        if event["type"] in _ANSWERS:
            found.append(Answer(event["type"], datetime.fromisoformat(event["at"]), None))
    return found


def _since(credential: Credential | None) -> tuple[int, float]:
    return (1, 0.0) if credential is None else (0, credential.enrolled_at.timestamp())


def _today() -> date:
    return jst_day(timezone.now())


def _one(rows: QuerySet[Row]) -> Row:
    row = rows.first()
    if row is None:
        raise Http404
    return row
