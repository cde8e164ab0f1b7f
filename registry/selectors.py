"""Reading the registry: who may see what, and the lists that pages and the API show.

No stage of its own. `access_*` answer one question only, "may this person see this row?", and
answer no and "there is none" alike: cross-tenant questions get 404 and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

from django.conf import settings
from django.db.models import Model, Q, QuerySet
from django.http import Http404
from django.utils import timezone

from registry.core import parties
from registry.core.authority import Bound
from registry.core.cases import LIVE_GRANT, MAY_WITHDRAW, PENDING
from registry.core.grants import Grant as CoreGrant
from registry.core.parties import Guards, Heir, Represents, Speaker, Standing
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log import selectors as log
from registry.models import (
    Approval,
    Confirmation,
    ContactPoint,
    Credential,
    Estate,
    Grant,
    Guardianship,
    HandOver,
    IdentityCheck,
    Lane,
    Membership,
    ModelRecord,
    Organisation,
    Person,
    Representation,
    RepresentationClaim,
    StageName,
    Talent,
    Token,
    TrainingRequest,
)

Row = TypeVar("Row", bound=Model)


def organisations_of(person: Person, power: str = "view") -> QuerySet[Organisation]:
    """The organisations for which a person acts today, in a role that has this power."""
    seats = seats_on(_today()).filter(person=person, role__in=parties.roles_with(power))
    return Organisation.objects.filter(id__in=seats.values("organisation"))


def houses_of(person: Person, power: str = "view") -> QuerySet[Organisation]:
    """`organisations_of` as far as the caller may look: with an API key, its own organisation.

    For access alone. Conflicts of role count every organisation of a person.
    """
    rows = organisations_of(person, power)
    return rows.filter(id=person.acting_for) if person.acting_for else rows


def seats_on(day: date) -> QuerySet[Membership]:
    """Who acts for which organisation on a day."""
    return Membership.objects.filter(
        Q(ended_on__isnull=True) | Q(ended_on__gte=day), active=True, begun_on__lte=day
    )


def requests_for(person: Person) -> QuerySet[TrainingRequest]:
    """Every request that a person may see, newest first.

    As the asking or licensed company, as talent or who speaks for one today, as copyright holder,
    as a party of a grant, or as staff of the agency that represents a talent in it now or was asked
    in it.
    """
    mine = houses_of(person)
    lanes = Lane.objects.filter(person=person)
    if person.acting_for:  # as an officer of another house they were not asked through this one
        lanes = lanes.exclude(by="agency_officer")
    asked = lanes.values("grant__request")
    agencies = Representation.objects.filter(agency__in=mine)
    by_authority = Lane.objects.filter(authority__in=agencies.values("id")).values("grant__request")
    today = agencies.filter(period__contains=_today())
    return (
        TrainingRequest.objects.filter(
            Q(requester__in=mine)
            | Q(licensee__in=mine)
            | Q(copyright_holder=person)
            | Q(talents__person=person)
            | Q(talents__in=charges_of(person, _today()))
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
    """The request, if this person may ask for the company that asks; or Http404.

    For what the asking side does. A seat that only looks (a viewer, an accountant) does nothing.
    """
    requester = houses_of(person, "ask")
    return _one(requests_for(person).filter(id=request_id, requester__in=requester))


def access_grant(*, person: Person, grant_id: str) -> Grant:
    """The grant of a request that this person may see; or Http404."""
    seen = requests_for(person).values("id")
    return _one(Grant.objects.filter(id=grant_id, request__in=seen).select_related("request"))


def access_organisation(*, person: Person, organisation_id: str) -> Organisation:
    """An organisation for which this person acts; or Http404."""
    return _one(houses_of(person).filter(id=organisation_id))


def still_speaks(person: Person, lanes: QuerySet[Lane], day: date) -> QuerySet[Lane]:
    """Of lanes of talents and who speaks for them, those in which this person has a say on a day.

    A talent always; a guardian or an estate while they speak for her. Whoever no longer does ends
    nothing: custody that was taken away must not destroy what she allows.
    """
    own = Q(by="talent", person=person)
    return lanes.filter(own | Q(subject__in=charges_of(person, day)))


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
    """What this person agreed to as talent, guardian or estate, newest first, ended ones too.

    And what the talents agreed to for whom the person speaks today without having been asked.
    """
    own = Lane.objects.filter(person=person, by__in=MAY_WITHDRAW)
    taken_over = Lane.objects.filter(by="talent", subject__in=charges_of(person, _today()))
    taken_over = taken_over.exclude(grant__in=own.values("grant"))
    return (
        Lane.objects.filter(Q(id__in=own.values("id")) | Q(id__in=taken_over.values("id")))
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


def address_of(person: Person) -> str:
    """The e-mail address at which a person is told that something waits; empty without one."""
    rows = person.contacts.filter(kind="mail", replaced_at__isnull=True).order_by("-added_at")
    found = next((row.value for row in rows if row.value), None)
    return found or (person.user.email if person.user is not None else "")


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
    """Who represents a talent on a day, an exclusive one before others."""
    return representations_on(talent, day).first()


def representations_on(talent: Talent, day: date) -> QuerySet[Representation]:
    """Every agency that represents a talent on a day; the database lets one be exclusive."""
    found = talent.representations.filter(period__contains=day).select_related("agency")
    return found.order_by("-exclusive", "id")


def guardians_on(talent: Talent, day: date) -> list[Guardianship]:
    """Who speaks for a minor on a day: those whose proof was checked by then."""
    found = talent.guardianships.filter(begun_on__lte=day, checked_on__lte=day)
    found = found.filter(Q(ended_on__isnull=True) | Q(ended_on__gte=day))
    return list(found.select_related("person").order_by("id"))


def estates_on(talent: Talent, day: date) -> list[Estate]:
    """Who speaks for a talent who has died, on a day."""
    found = talent.estates.filter(begun_on__lte=day, checked_on__lte=day)
    found = found.filter(Q(ended_on__isnull=True) | Q(ended_on__gte=day))
    return list(found.select_related("person").order_by("id"))


def charges_of(person: Person, day: date) -> list[str]:
    """The talents for whom a person speaks on a day: minors in their care, estates in their hands.

    Whoever takes over from a guardian, or from a talent who has died, was no party of what was
    signed before; what is signed is theirs to read and to end all the same.
    """
    counts = Q(begun_on__lte=day, checked_on__lte=day)
    counts &= Q(ended_on__isnull=True) | Q(ended_on__gte=day)
    guards = Guardianship.objects.filter(counts, person=person).select_related("talent")
    minors = {row.talent_id for row in guards if row.talent.is_minor(day)}
    estates = Estate.objects.filter(counts, person=person, talent__died_on__lte=day)
    return sorted(minors | set(estates.values_list("talent_id", flat=True)))


def speaks_as(person: Person, request: TrainingRequest, day: date) -> str | None:
    """In which capacity a person speaks for a talent of a request on a day, and so may end it."""
    if request.talents.filter(person=person).exists():
        return "talent"
    talent = request.talents.filter(id__in=charges_of(person, day)).order_by("id").first()
    if talent is None:
        return None
    return "guardian" if talent.died_on is None or talent.died_on > day else "estate"


def standing_on(talent: Talent, day: date) -> Standing:
    """Everything that decides who speaks for a talent on a day."""
    return Standing(
        talent_id=talent.id,
        person_id=talent.person_id,
        minor=talent.is_minor(day),
        representations=tuple(
            Represents(row.id, row.agency_id, frozenset(row.powers))
            for row in representations_on(talent, day)
        ),
        guardians=tuple(
            Guards(row.id, row.person_id, row.custodians) for row in guardians_on(talent, day)
        ),
        heirs=tuple(Heir(row.id, row.person_id) for row in estates_on(talent, day)),
        died=talent.died_on is not None and talent.died_on <= day,
        retired=talent.retired_from is not None and talent.retired_from <= day,
        erased=talent.person.erased_at is not None,
        disputed=talent.claims.filter(state="open").exists(),
        age_alarm=talent.age_alarms.filter(settled_at__isnull=True).exists(),
    )


def speakers_for(talent: Talent, day: date) -> list[Speaker | Refusal]:
    """Who must sign for a talent on a day, or why nobody can."""
    return parties.speakers(standing_on(talent, day))


def standings_of(grant: Grant, day: date) -> list[Standing]:
    """The standing of every talent of a grant on a day."""
    talents = grant.request.talents.select_related("person").order_by("id")
    return [standing_on(row, day) for row in talents]


def bound_parties(grant: Grant) -> list[Bound]:
    """On whose word a grant rests: the signers, or those who confirmed it after its last pause."""
    counted = Confirmation.objects.filter(grant=grant, counted_at__isnull=False)
    newest = counted.order_by("-counted_at").values_list("counted_at", flat=True).first()
    if newest is None:
        found = [
            Bound(p.by, p.subject, p.party_id, "" if p.authority == "self" else p.authority)
            for p in core_grant(grant).parties
            if p.by in (*MAY_WITHDRAW, "agency_officer")
        ]
    else:
        rows = counted.filter(counted_at=newest).order_by("id")
        found = [Bound(row.by, row.subject, row.person_id, row.authority) for row in rows]
    agencies = dict(
        Representation.objects.filter(id__in=[b.authority for b in found]).values_list(
            "id", "agency_id"
        )
    )
    return [replace(party, agency_id=agencies.get(party.authority, "")) for party in found]


def contact_risks_of(talent: Talent, day: date) -> list[str]:
    """How a talent may be reached through her agency, as `registry.core.parties` names it (A02)."""
    agencies = [row.agency for row in representations_on(talent, day)]
    staff = seats_on(day).filter(organisation__in=agencies).exclude(person=talent.person_id)
    theirs = ContactPoint.objects.filter(person__in=staff.values("person"), replaced_at=None)
    own = ContactPoint.objects.filter(person=talent.person_id, replaced_at=None)
    return parties.contact_risks(
        [value for row in own.select_related("person") if (value := row.value)],
        agency_domains=[domain for agency in agencies for domain in agency.domains],
        agency_contacts=[value for row in theirs.select_related("person") if (value := row.value)],
    )


def barred_on(grant: Grant, day: date) -> list[Refusal]:
    """Why nothing that shows these people may be approved, trained or resumed on a day."""
    return [item for row in standings_of(grant, day) for item in parties.barred(row)]


def stage_name_on(talent: Talent, day: date) -> StageName | None:
    """The name under which a talent appeared on a day."""
    found = talent.stage_names.filter(begun_on__lte=day)
    found = found.filter(Q(ended_on__isnull=True) | Q(ended_on__gte=day))
    return found.order_by("-begun_on").first()


def names_of(talent: Talent) -> list[str]:
    """Every name that a talent has or had: none of them stands in anything signed."""
    person = talent.person
    found = [person.display_name, person.display_name_en, talent.kana]
    for row in talent.stage_names.order_by("begun_on"):
        found += [row.name, row.kana, row.romaji]
    legal = person.legal_name
    found += [] if legal is None else legal.words()
    return list(dict.fromkeys(name for name in found if name))


def identity_of(organisation: Organisation, day: date) -> IdentityCheck | None:
    """The proof of who an organisation is, newest first; None: unverified (R03)."""
    found = organisation.identity_checks.filter(level__gte=parties.DOCUMENT, void_at__isnull=True)
    return found.filter(checked_on__lte=day).order_by("-checked_on", "-id").first()


def officers_of(agency: Organisation) -> list[Person]:
    """The people who may sign for an agency, those with an approval key first."""
    members = seats_on(_today()).filter(organisation=agency, role__in=parties.roles_with("sign"))
    people = [m.person for m in members.select_related("person").order_by("id")]
    enrolled = {p.id: credentials_of(p).first() for p in people}
    return sorted(people, key=lambda p: _since(enrolled[p.id]))


def talents() -> QuerySet[Talent]:
    """The directory: every talent who can be asked."""
    found = Talent.objects.filter(person__erased_at__isnull=True).select_related("person")
    return found.order_by("kana", "id")


def base_models() -> QuerySet[ModelRecord]:
    """The base models that a request can name: recorded with their digest, and not retired."""
    rows = ModelRecord.objects.filter(kind="base", retired_at__isnull=True).exclude(sha256="")
    return rows.order_by("name", "id")


def token_of(jti: str) -> Token | None:
    """A minted token with its grant, or None."""
    return Token.objects.filter(jti=jti).select_related("grant").first()


def roles_of(person: Person) -> frozenset[str]:
    """`talent` (or guardian, or estate), and the kinds of the organisations one acts for."""
    roles = set(organisations_of(person).values_list("kind", flat=True))
    guards = Guardianship.objects.filter(person=person, ended_on__isnull=True).exists()
    heirs = Estate.objects.filter(person=person, ended_on__isnull=True).exists()
    if guards or heirs or Talent.objects.filter(person=person).exists():
        roles.add("talent")
    return frozenset(roles)


def agency_talents(person: Person, power: str = "view") -> QuerySet[Talent]:
    """The talents whom this person's agencies represent today; no former ones."""
    agencies = houses_of(person, power).filter(kind=Organisation.Kind.AGENCY)
    held = Representation.objects.filter(agency__in=agencies, period__contains=_today())
    return talents().filter(representations__in=held).distinct()


def access_talent(*, person: Person, talent_id: str) -> Talent:
    """A talent of one's own agency, in a role that may see her file; or Http404."""
    return _one(agency_talents(person, "people").filter(id=talent_id))


def access_membership(*, person: Person, membership_id: str) -> Membership:
    """A role in an organisation where this person gives and takes roles; or Http404."""
    houses = organisations_of(person, "seats")
    rows = Membership.objects.filter(id=membership_id, organisation__in=houses)
    return _one(rows.select_related("person", "organisation"))


def hand_overs_for(person: Person) -> QuerySet[HandOver]:
    """The requests and drafts that this person may take over from somebody who left."""
    houses = organisations_of(person, "ask")
    rows = HandOver.objects.filter(taken_at=None, organisation__in=houses)
    return rows.select_related("organisation", "left_by").order_by("since", "id")


def access_hand_over(*, person: Person, hand_over_id: str) -> HandOver:
    """One of them; or Http404."""
    return _one(hand_overs_for(person).filter(id=hand_over_id))


def claims_on(person: Person) -> QuerySet[RepresentationClaim]:
    """The open claims that this person answers herself."""
    rows = RepresentationClaim.objects.filter(talent__person=person, state="open")
    return rows.select_related("agency", "against__agency").order_by("filed_at", "id")


def access_claim(*, person: Person, claim_id: str) -> RepresentationClaim:
    """One of them; or Http404."""
    return _one(claims_on(person).filter(id=claim_id))


def agency_requests(person: Person, power: str = "view") -> QuerySet[TrainingRequest]:
    """The requests about talents whom this person's agencies represent, or were asked for."""
    agencies = houses_of(person, power).filter(kind=Organisation.Kind.AGENCY)
    rows = Representation.objects.filter(agency__in=agencies)
    asked = Lane.objects.filter(authority__in=rows.values("id")).values("grant__request")
    now = rows.filter(period__contains=_today())
    return requests_for(person).filter(
        Q(id__in=asked)
        | Q(id__in=TrainingRequest.objects.filter(talents__representations__in=now).values("id"))
    )


def may_see_pictures(person: Person, request: TrainingRequest) -> bool:
    """The talent and who speaks for her today, and staff of her agency today.

    Who signed for her once and no longer may keeps the receipt, not the sight of her.
    """
    if speaks_as(person, request, _today()) is not None:
        return True
    return agency_requests(person, "pictures").filter(id=request.id).exists()


def hidden_talents(person: Person, request: TrainingRequest) -> frozenset[str]:
    """The talents of a blend of whom this person may know that there are others, not who (R17).

    The company that asks and the licensee know all of them; a talent and those who speak for her
    know her alone, and whoever holds other rights learns nobody's name from the registry.
    """
    everybody = frozenset(request.talents.values_list("id", flat=True))
    mine = houses_of(person)
    if len(everybody) == 1 or mine.filter(id__in=(request.requester_id, request.licensee_id)):
        return frozenset()
    lanes = Lane.objects.filter(grant__request=request)
    speaks = lanes.filter(person=person, by__in=("talent", "guardian", "estate", "agency_officer"))
    represented = Representation.objects.filter(agency__in=mine)
    own = {
        *request.talents.filter(person=person).values_list("id", flat=True),
        *request.talents.filter(
            representations__in=represented.filter(period__contains=_today())
        ).values_list("id", flat=True),
        *speaks.values_list("subject", flat=True),
        *charges_of(person, _today()),
        *lanes.filter(authority__in=represented.values("id")).values_list("subject", flat=True),
    }
    return everybody - own


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


def expected_parties(
    talents: Iterable[Talent], copyright_holder: Person, at: datetime
) -> list[dict[str, str]]:
    """Who would have to approve a request as of now: `{by, name, name_en}`, before any picture.

    More come with the pictures: rights holders of works, people in the background.
    """
    day = jst_day(at)
    found: list[tuple[str, str, str]] = []
    for talent in talents:
        person = talent.person
        found.append(("talent", person.display_name, person.display_name_en))
        agency = representation_on(talent, day)
        if talent.is_minor(day):
            guards = [row.person for row in guardians_on(talent, day)]
            found += [("guardian", p.display_name, p.display_name_en) for p in guards]
            if not guards:
                found.append(("guardian", "", ""))
        if agency:
            found.append(("agency_officer", agency.agency.name, agency.agency.name_en))
    holder = copyright_holder
    found.append(("photo_copyright", holder.display_name, holder.display_name_en))
    unique = dict.fromkeys(found)
    return [{"by": by, "name": name, "name_en": english} for by, name, english in unique]


def _since(credential: Credential | None) -> tuple[int, float]:
    return (1, 0.0) if credential is None else (0, credential.enrolled_at.timestamp())


def _today() -> date:
    return jst_day(timezone.now())


def _one(rows: QuerySet[Row]) -> Row:
    row = rows.first()
    if row is None:
        raise Http404
    return row
