"""Answers that are no yes: questions, reminders, words for the platform alone, the emergency stop.

Stage 2. A page that takes a flag looks the same, and answers the same, with and without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from registry import selectors
from registry.core.cases import PENDING
from registry.core.refusals import Refusal
from registry.models import Lane, Letter, Person, PrivateNote, Question
from registry.services import letters, questions, welfare
from registry.views.base import NO_STORE, signed_in, tell

_PAGES = {"talent": "my-request", "guardian": "my-request", "agency_officer": "agency-request"}


@require_POST
@signed_in
def ask(request: HttpRequest, person: Person, grant_id: str) -> HttpResponse:
    """A question before answering; without words it is "later", which changes nothing."""
    grant = selectors.access_grant(person=person, grant_id=grant_id)
    lane = Lane.objects.filter(grant=grant, person=person).order_by("by").first()
    if lane is None:
        raise Http404
    welfare_note = bool(request.POST.get("pressed"))
    welfare.note_leave(person=person, pressed=welfare_note)
    text = request.POST.get("question", "")
    if text.strip():
        done = questions.question_ask(person=person, grant=grant, text=text)
        if isinstance(done, Refusal):
            tell(request, done)
        else:
            messages.success(request, _("Your question was sent. The reply will stand here."))
    else:
        messages.success(request, _("Nothing was decided. You can come back until the date shown."))
    return redirect(_PAGES.get(lane.by, "request-detail"), request_id=grant.request_id)


@require_POST
@signed_in
def reply(request: HttpRequest, person: Person, question_id: str) -> HttpResponse:
    """The requester replies to a question."""
    question = Question.objects.filter(id=question_id).select_related("lane__grant").first()
    if question is None:
        raise Http404
    row = selectors.access_own_request(person=person, request_id=question.lane.grant.request_id)
    done = questions.question_reply(question=question, by=person, text=request.POST.get("text", ""))
    if isinstance(done, Refusal):
        tell(request, done)
    return redirect("request-detail", request_id=row.id)


@require_POST
@signed_in
def remind(request: HttpRequest, person: Person) -> HttpResponse:
    """Remind everybody who has not answered in the cases chosen; never more than twice in all."""
    ids = request.POST.getlist("request")[:200]
    seen = selectors.agency_requests(person, "answer") | selectors.requests_for(person).filter(
        requester__in=selectors.organisations_of(person, "ask")
    )
    waiting = Lane.objects.filter(
        grant__request__in=seen.filter(id__in=ids).values("id"),
        grant__state="asking",
        state__in=PENDING,
    ).exclude(person=person)
    told = letters.remind(lanes=waiting.order_by("id"))
    messages.success(request, _("Reminders queued: %(count)s") % {"count": len(told)})
    back = request.POST.get("back", "")
    return redirect(back if back in ("agency-inbox", "requests") else "agency-inbox")


@require_POST
@signed_in
def resend(request: HttpRequest, person: Person, letter_id: str) -> HttpResponse:
    """Send a message again that reached nobody."""
    letter = Letter.objects.filter(id=letter_id).select_related("request").first()
    if letter is None or letter.request is None:
        raise Http404
    row = selectors.access_request(person=person, request_id=letter.request.id)
    mine = selectors.organisations_of(person, "ask").filter(id=row.requester_id).exists()
    if not mine and not selectors.agency_requests(person, "answer").filter(id=row.id).exists():
        raise Http404
    done = letters.letter_again(letter=letter)
    if isinstance(done, Refusal):
        tell(request, done)
    return redirect("request-detail" if mine else "agency-request", request_id=row.id)


# --- the talent and the platform ----------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@signed_in
def private(request: HttpRequest, person: Person) -> HttpResponse:
    """A word to the platform alone. What was said before is never shown here, to nobody."""
    if request.method == "POST":
        welfare.note_leave(
            person=person,
            pressed=bool(request.POST.get("pressed")),
            reason=request.POST.get("reason", "")[:2000],
        )
        messages.success(request, _("Thank you."))
        return redirect("my-consents")
    return render(request, "registry/private.html")


@require_http_methods(["GET", "POST"])
@signed_in
def stop(request: HttpRequest, person: Person) -> HttpResponse:
    """GET asks once; POST stops everything of the talent's at once."""
    if not hasattr(person, "talent"):
        raise Http404
    if request.method == "POST":
        held = welfare.emergency_stop(person=person)
        if isinstance(held, Refusal):
            tell(request, held)
        else:
            messages.success(request, _("Everything of yours is stopped."))
        return redirect("my-consents")
    return render(request, "registry/stop.html")


# --- the platform's operators -------------------------------------------------------------------


def operator(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Operators only; anybody else learns nothing (404)."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not (request.user.is_active and request.user.is_staff):
            raise Http404
        response = view(request, *args, **kwargs)
        response["Cache-Control"] = NO_STORE
        return response

    return login_required(wrapped)


@require_safe
@operator
def flags(request: HttpRequest) -> HttpResponse:
    """The queue: who feels pressed, oldest first."""
    return render(request, "registry/flags.html", {"notes": welfare.open_notes()})


@require_POST
@operator
def flag_settle(request: HttpRequest, note_id: int) -> HttpResponse:
    """Somebody has spoken with her; what was found stays with the note."""
    note = PrivateNote.objects.filter(id=note_id, pressed=True).first()
    finding = request.POST.get("finding", "").strip()
    if note is None:
        raise Http404
    if not finding:
        messages.error(request, _("Write down what you found and did."))
        return redirect("flags")
    try:
        done = welfare.note_review(note=note, by=cast(User, request.user), finding=finding[:2000])
    except PermissionDenied as error:
        raise Http404 from error
    if isinstance(done, Refusal):
        tell(request, done)
    return redirect("flags")
