"""What a person is told and answers herself: notices, an agency's claim, a paused permission."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from registry import selectors
from registry.core import holds, notices
from registry.core.refusals import Refusal
from registry.models import GrantHold, Organisation, Person
from registry.services import authority, contacts, resume
from registry.views.base import locale, said, signed_in, tell


@require_safe
@signed_in
def matters(request: HttpRequest, person: Person) -> HttpResponse:
    """Everything that the reader must know or answer, newest first."""
    rows = person.notices.filter(contact="").order_by("-created_at", "id")[:100]
    told = [{"row": row, "text": notices.sentence(row.kind, locale())} for row in rows]
    context = {
        "told": told,
        "claims": selectors.claims_on(person),
        "paused": _paused(person),
    }
    page = render(request, "registry/matters.html", context)
    contacts.notices_seen(person=person)
    return page


def _paused(person: Person) -> list[dict[str, object]]:
    """The paused permissions of this person, and whether she can do something about it."""
    lanes = selectors.consents_of(person).filter(grant__state="paused")
    grants = {lane.grant_id: lane.grant for lane in lanes}
    return [{"grant": grant, "request": grant.request} for grant in grants.values()]


@require_POST
@signed_in
def claim_answer(request: HttpRequest, person: Person, claim_id: str) -> HttpResponse:
    """The talent says which agency is hers; it counts once an operator has seen the proof."""
    claim = selectors.access_claim(person=person, claim_id=claim_id)
    answer = request.POST.get("agrees")
    if answer not in ("yes", "no"):
        return HttpResponseBadRequest()
    done = authority.claim_answer(claim=claim, by=person, agrees=answer == "yes")
    if isinstance(done, Refusal):
        tell(request, done)
    else:
        messages.success(
            request, _("Your answer is noted. It counts once the operator has seen the contract.")
        )
    return redirect("my-matters")


@require_safe
@signed_in
def go_on(request: HttpRequest, person: Person, grant_id: str) -> HttpResponse:
    """Why a permission is paused, who has confirmed, and one's own confirmation by key."""
    grant = selectors.access_grant(person=person, grant_id=grant_id)
    now = timezone.now()
    found = resume.voices(grant, at=now)
    mine = resume.voices_of(person, grant, at=now)
    hidden = selectors.hidden_talents(person, grant.request)
    held = GrantHold.objects.filter(grant=grant, lifted_at=None).order_by("placed_at")
    context = {
        "grant": grant,
        "request_row": grant.request,
        "reasons": list(dict.fromkeys(holds.sentence(row.reason, locale()) for row in held)),
        "voices": [_shown(item, hidden) for item in found if isinstance(item, resume.Voice)],
        "refusals": [said(item) for item in found if isinstance(item, Refusal)],
        "mine": not isinstance(mine, Refusal),
        "page": _page_for(mine),
        "has_key": selectors.credentials_of(person).exists(),
    }
    return render(request, "registry/go_on.html", context)


def _page_for(mine: list[resume.Voice] | Refusal) -> str:
    """Where the reader finds what was signed."""
    officer = isinstance(mine, list) and {voice.by for voice in mine} == {"agency_officer"}
    return "agency-request" if officer else "my-request"


def _shown(voice: resume.Voice, hidden: Collection[str]) -> dict[str, object]:
    """A voice by name; the other side of a blend without one (R17)."""
    if voice.subject in hidden:
        return {"by": voice.by, "who": None, "hidden": True, "confirmed": voice.confirmed}
    who: Person | Organisation | None = (
        Organisation.objects.filter(id=voice.agency_id).first()
        if voice.agency_id
        else Person.objects.filter(id=voice.person_id).first()
    )
    return {"by": voice.by, "who": who, "confirmed": voice.confirmed}
