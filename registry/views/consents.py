"""The talent's own pages: what is asked, what is allowed, taking it back, and the receipt. Stage 2.

Withdrawing needs the session alone and two taps; approving needs a key and happens in
`registry.api`, where the assertion is verified.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from registry import selectors
from registry.core.cases import LIVE_GRANT, MAY_WITHDRAW
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Terms
from registry.core.vocabulary import label
from registry.forms import DeclineForm, RefuseForm, WithdrawForm
from registry.models import EmergencyStop, Grant, Lane, Person
from registry.services import approvals
from registry.views.base import locale, signed_in, tell


@require_safe
@signed_in
def consents(request: HttpRequest, person: Person) -> HttpResponse:
    """T4: what was asked, what is in force, and what has ended."""
    asked = [lane for lane in selectors.lanes_open_to(person) if lane.by in MAY_WITHDRAW]
    given = list(selectors.consents_of(person))
    rows = Lane.objects.filter(id__in=[lane.id for lane in given])
    today = jst_day(timezone.now())
    mine = set(selectors.still_speaks(person, rows, today).values_list("id", flat=True))
    active = [lane for lane in given if lane.id in mine and _holds(lane)]
    context = {
        "asked": [_card(lane) for lane in asked],
        "active": [_card(lane) for lane in active],
        "ended": [_card(lane) for lane in given if lane not in active],
        "has_key": selectors.credentials_of(person).exists(),
        "stopped": EmergencyStop.objects.filter(
            talent__person=person, lifted_at__isnull=True
        ).first(),
        "may_stop": hasattr(person, "talent"),
    }
    return render(request, "registry/consents.html", context)


def _holds(lane: Lane) -> bool:
    """Given, and not ended since: in force, or waiting for the others."""
    return lane.state == Lane.State.SIGNED and lane.grant.state in LIVE_GRANT


def _card(lane: Lane) -> dict[str, object]:
    terms = Terms.from_payload(lane.grant.request.terms)
    return {
        "lane": lane,
        "grant": lane.grant,
        "request": lane.grant.request,
        "terms": terms,
        "use": label("media", terms.media, locale()),
    }


@require_http_methods(["GET", "POST"])
@signed_in
def withdraw(request: HttpRequest, person: Person, grant_id: str) -> HttpResponse:
    """GET asks once; POST takes the consent back at once. A reason is never needed."""
    grant = _own(person, grant_id)
    form = WithdrawForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        context = {"grant": grant, "request_row": grant.request, "form": form}
        return render(request, "registry/withdraw.html", context)
    done = approvals.approval_withdraw(person=person, grant=grant, **form.cleaned_data)
    if isinstance(done, Refusal):
        tell(request, done)
        return redirect("my-consents")
    messages.success(
        request, _("Your consent is withdrawn. Training and every new use have been stopped.")
    )
    return redirect("receipt", grant_id=grant.id)


def _own(person: Person, grant_id: str) -> Grant:
    """A grant in which this person may withdraw; or Http404."""
    grant = selectors.access_grant(person=person, grant_id=grant_id)
    if selectors.speaks_as(person, grant.request, jst_day(timezone.now())) is None:
        raise Http404
    return grant


@require_POST
@signed_in
def refuse(request: HttpRequest, person: Person, grant_id: str) -> HttpResponse:
    """Decline in one's own capacity; the agency and the other parties write a reason."""
    grant = selectors.access_grant(person=person, grant_id=grant_id)
    kind = DeclineForm if request.POST.get("by") in MAY_WITHDRAW else RefuseForm
    form = kind(request.POST)
    if not form.is_valid():
        for problem in form.errors.get("reason", [_("Please try again.")]):
            messages.error(request, str(problem))
        return redirect(_page_for(str(request.POST.get("by"))), request_id=grant.request_id)
    done = approvals.approval_refuse(person=person, grant=grant, **form.cleaned_data)
    if isinstance(done, Refusal):
        tell(request, done)
    else:
        messages.success(request, _("You declined. Those who asked will see it."))
    return redirect("receipt", grant_id=grant.id)


def _page_for(by: str) -> str:
    """The page on which a capacity reads and answers."""
    if by in MAY_WITHDRAW:
        return "my-request"
    return "agency-request" if by == "agency_officer" else "request-detail"


@require_safe
@signed_in
def receipt(request: HttpRequest, person: Person, grant_id: str) -> HttpResponse:
    """One's own answers in a case, each with its place in the log and its proof."""
    grant = selectors.access_grant(person=person, grant_id=grant_id)
    answers = selectors.answers_in_log(person=person, grant=grant)
    context = {
        "grant": grant,
        "request_row": grant.request,
        "answers": answers,
        "pending": any(answer.index is None for answer in answers),
        "own": Lane.objects.filter(grant=grant, person=person, by__in=MAY_WITHDRAW).exists(),
        "signed_as": selectors.signed_as(person=person, grant=grant),
    }
    page = (
        "registry/_receipt.html" if request.headers.get("HX-Request") else "registry/receipt.html"
    )
    return render(request, page, context)
