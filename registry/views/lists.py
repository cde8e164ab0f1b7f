"""What waits for whom: the agency's inbox, the photographer's requests. Stage 2."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from registry import selectors
from registry.core.cases import PENDING
from registry.core.terms import Terms
from registry.core.vocabulary import label
from registry.models import Person, TrainingRequest
from registry.views.base import locale, signed_in


@require_safe
@signed_in
def inbox(request: HttpRequest, person: Person) -> HttpResponse:
    """Every case of the agency's talents, those that wait for an answer first."""
    rows = [_line(row, person) for row in selectors.agency_requests(person)]
    view = request.GET.get("view", "")
    if view in VIEWS:
        rows = [row for row in rows if _in_view(row, view)]
    waiting = [row for row in rows if row["mine"]]
    waiting.sort(key=lambda row: row["request"].sign_by)
    rest = [row for row in rows if not row["mine"]]
    page = {"waiting": waiting, "rest": rest, "views": list(VIEWS.items()), "view": view}
    page["remindable"] = any(row["remindable"] for row in rows)
    return render(request, "registry/inbox.html", page)


# Saved views of the inbox: what waits for me, for others, who cannot be reached, what is due soon.
VIEWS: Final = {
    "mine": gettext_lazy("Needs my answer"),
    "waiting": gettext_lazy("Waiting for others"),
    "unreachable": gettext_lazy("Cannot be reached"),
    "soon": gettext_lazy("Due within three days"),
}
SOON: Final = timedelta(days=3)


def _in_view(row: dict[str, Any], view: str) -> bool:
    states = {lane.state for lane in row["lanes"]}
    asking = row["grant"] is not None and row["grant"].state == "asking"
    found: dict[str, bool] = {
        "mine": row["mine"],
        "waiting": asking and not row["mine"] and bool(states & PENDING),
        "unreachable": asking and "unreachable" in states,
        "soon": asking and row["request"].sign_by <= timezone.now() + SOON,
    }
    return found[view]


@require_safe
@signed_in
def requests(request: HttpRequest, person: Person) -> HttpResponse:
    """Every case that this person may see, newest first."""
    rows = [_line(row, person) for row in selectors.requests_for(person)]
    may_ask = selectors.organisations_of(person, "ask").exists()
    return render(request, "registry/requests.html", {"rows": rows, "may_ask": may_ask})


def _line(row: TrainingRequest, person: Person) -> dict[str, Any]:
    """One case in a list: who, for what, until when, and who has answered."""
    grant = selectors.grant_of(row)
    lanes = selectors.lanes_for(grant) if grant else []
    terms = Terms.from_payload(row.terms)
    return {
        "request": row,
        "grant": grant,
        "lanes": lanes,
        "talents": [talent.person for talent in row.talents.select_related("person")],
        "use": label("media", terms.media, locale()),
        "product": terms.product,
        "remindable": grant is not None and grant.state == "asking",
        "late": row.sign_by <= timezone.now(),
        "mine": grant is not None
        and grant.state == "asking"
        and any(lane.person_id == person.id and lane.state in PENDING for lane in lanes),
    }
