"""A3 and A8: the agency's talents as of today, and who acts for an organisation in which role."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from registry import selectors
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Terms
from registry.core.vocabulary import label
from registry.models import Lane, Person, Talent
from registry.services import seats
from registry.views.base import locale, signed_in, tell


@require_safe
@signed_in
def talents(request: HttpRequest, person: Person) -> HttpResponse:
    """A3: whom the reader's agencies represent today, by reading, with what needs attention."""
    files = set(selectors.agency_talents(person, "people").values_list("id", flat=True))
    rows = [_line(row, row.id in files) for row in selectors.agency_talents(person)]
    return render(request, "registry/talents.html", {"rows": rows})


def _line(row: Talent, file: bool) -> dict[str, Any]:
    day = jst_day(timezone.now())
    representation = selectors.representation_on(row, day)
    standing = selectors.standing_on(row, day)
    return {
        "talent": row,
        "person": row.person,
        "file": file,
        "representation": representation,
        "leaves": representation is not None and representation.period.upper is not None,
        "standing": standing,
    }


@require_safe
@signed_in
def talent(request: HttpRequest, person: Person, talent_id: str) -> HttpResponse:
    """A3: one talent's file: names of today, representation, who speaks for her, consents."""
    row = selectors.access_talent(person=person, talent_id=talent_id)
    day = jst_day(timezone.now())
    mine = selectors.agency_requests(person).filter(talents=row)
    lanes = Lane.objects.filter(grant__request__in=mine, person=row.person, subject=row.id)
    context = {
        "line": _line(row, True),
        "talent": row,
        "person": row.person,
        "legal": row.person.legal_name,
        "born": row.birth_date,
        "guardians": selectors.guardians_on(row, day),
        "estates": selectors.estates_on(row, day),
        "risks": selectors.contact_risks_of(row, day),
        "contacts": row.person.contacts.filter(replaced_at=None).order_by("added_at"),
        "consents": [
            {
                "grant": lane.grant,
                "request": lane.grant.request,
                "use": label("media", Terms.from_payload(lane.grant.request.terms).media, locale()),
                "end": Terms.from_payload(lane.grant.request.terms).end,
            }
            for lane in lanes.select_related("grant__request__licensee").order_by("-id")
        ],
    }
    return render(request, "registry/talent.html", context)


@require_safe
@signed_in
def members(request: HttpRequest, person: Person) -> HttpResponse:
    """A8: who acts for the reader's organisations, and what waits for a colleague."""
    day = jst_day(timezone.now())
    may = set(selectors.organisations_of(person, "seats").values_list("id", flat=True))
    houses = [
        {
            "organisation": house,
            "may": house.id in may,
            "seats": selectors.seats_on(day)
            .filter(organisation=house)
            .select_related("person")
            .order_by("role", "id"),
        }
        for house in selectors.organisations_of(person).order_by("name", "id")
    ]
    context = {"houses": houses, "hand_overs": selectors.hand_overs_for(person)}
    return render(request, "registry/members.html", context)


@require_POST
@signed_in
def member_end(request: HttpRequest, person: Person, membership_id: str) -> HttpResponse:
    """End a role today: API keys of the organisation close, open work waits for a colleague."""
    row = selectors.access_membership(person=person, membership_id=membership_id)
    done = seats.membership_end(membership=row)
    if isinstance(done, Refusal):
        tell(request, done)
    else:
        messages.success(request, _("The role has ended. Open requests wait for a colleague."))
    return redirect("members")


@require_POST
@signed_in
def take_over(request: HttpRequest, person: Person, hand_over_id: str) -> HttpResponse:
    """Take over a request of somebody who left."""
    row = selectors.access_hand_over(person=person, hand_over_id=hand_over_id)
    done = seats.hand_over_take(hand_over=row, by=person)
    if isinstance(done, Refusal):
        tell(request, done)
    else:
        messages.success(request, _("The request is yours now."))
    return redirect("members")
