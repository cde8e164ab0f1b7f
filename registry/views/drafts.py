"""P1: a photographer writes a request, in three steps and a check. Stage 1.

Each step is a form of its own that works without scripts; with htmx what is typed is kept as it is
typed, and the text that people would sign stands beside it. Nothing is asked before the check.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from registry import selectors
from registry.core import wording
from registry.core.refusals import Refusal
from registry.core.request_form import STEPS, step_of
from registry.core.terms import explicit_items
from registry.models import Person, RequestDraft, TrainingRequest
from registry.services import drafts as service
from registry.services.drafts import Reading
from registry.views import draft_fields
from registry.views.base import locale, said, signed_in

ORDER: Final = (*STEPS, "check")
TITLES: Final = {
    "who": gettext_lazy("Whom to ask"),
    "use": gettext_lazy("What for"),
    "terms": gettext_lazy("On which terms"),
    "check": gettext_lazy("Check and send"),
}


@require_http_methods(["GET", "POST"])
@signed_in
def drafts(request: HttpRequest, person: Person) -> HttpResponse:
    """GET: the drafts that were begun. POST: a new one."""
    if not selectors.organisations_of(person, "ask").exists():
        raise Http404
    if request.method == "POST":
        begun = service.draft_begin(by=person)
        if isinstance(begun, Refusal):
            messages.error(request, _("There are 20 drafts already. Finish or discard one first."))
            return redirect("request-new")
        return redirect("draft-step", draft_id=begun.id, step="who")
    rows = RequestDraft.objects.filter(person=person).order_by("-updated_at")
    shown = [{"draft": row, "title": _title(row)} for row in rows]
    return render(request, "registry/drafts.html", {"rows": shown})


def _title(row: RequestDraft) -> str:
    return str((row.data.get("product") or [""])[0])


@require_http_methods(["GET", "POST"])
@signed_in
def step(request: HttpRequest, person: Person, draft_id: str, step: str) -> HttpResponse:
    """One step. POST keeps it, then goes on if the step is whole, or shows what is not."""
    row = _own(person, draft_id)
    if step not in STEPS:
        raise Http404
    if request.method != "POST":
        shown = "show" in request.GET
        return _page(request, person, row, step, show=shown)
    row = service.draft_save(draft=row, step=step, typed=_typed(request))
    place = ORDER.index(step)
    if request.POST.get("go") == "back":
        return _to(row, ORDER[max(place - 1, 0)])
    reading = service.draft_read(draft=row)
    if reading.at(step):
        return _page(request, person, row, step, show=True, reading=reading, status=422)
    return _to(row, ORDER[place + 1])


@require_POST
@signed_in
def live(request: HttpRequest, person: Person, draft_id: str) -> HttpResponse:
    """Keep what is being typed, and draw the text and the list of people anew."""
    row = _own(person, draft_id)
    row = service.draft_save(draft=row, step=request.POST.get("step", ""), typed=_typed(request))
    return render(request, "registry/_draft_aside.html", _aside(service.draft_read(draft=row)))


@require_POST
@signed_in
def discard(request: HttpRequest, person: Person, draft_id: str) -> HttpResponse:
    """Throw the draft away."""
    service.draft_discard(draft=_own(person, draft_id))
    messages.success(request, _("The draft was discarded."))
    return redirect("request-new")


@require_http_methods(["GET", "POST"])
@signed_in
def check(request: HttpRequest, person: Person, draft_id: str) -> HttpResponse:
    """The whole text, who must approve, what is missing; POST files it, or nothing."""
    row = _own(person, draft_id)
    status = 200
    if request.method == "POST":
        filed = service.draft_submit(draft=row)
        if isinstance(filed, TrainingRequest):
            messages.success(request, _("The request stands. Now send the pictures."))
            return redirect("request-detail", request_id=filed.id)
        reading, status = filed, 422
    else:
        reading = service.draft_read(draft=row)
    missing = [
        {
            "step": step_of(p.field),
            "field": p.field,
            "label": _label(p.field),
            "text": p.ja if locale() == "ja" else p.en,
        }
        for p in reading.problems
    ]
    context = _frame(row, "check") | _aside(reading) | {"missing": missing}
    context["refusals"] = [said(item) for item in reading.refusals]
    return render(request, "registry/draft_check.html", context, status=status)


def _page(
    request: HttpRequest,
    person: Person,
    row: RequestDraft,
    step: str,
    *,
    show: bool,
    reading: Reading | None = None,
    status: int = 200,
) -> HttpResponse:
    """A step; a page that is opened for the first time blames nobody."""
    reading = reading or service.draft_read(draft=row)
    problems = reading.at(step) if show else []
    context = _frame(row, step) | _aside(reading)
    context["groups"] = draft_fields.drawn(step, row, person, problems)
    context["count"] = len(problems)
    return render(request, "registry/draft_step.html", context, status=status)


def _frame(row: RequestDraft, step: str) -> dict[str, Any]:
    steps = [
        {"name": name, "title": TITLES[name], "number": n, "current": name == step}
        for n, name in enumerate(ORDER, 1)
    ]
    return {"draft": row, "step": step, "steps": steps, "title": TITLES[step]}


def _aside(reading: Reading) -> dict[str, Any]:
    """The text as it would be signed, once every word is one, and who would have to approve."""
    try:
        text = wording.render(reading.terms, locale(), pictures=0, max_runs=reading.max_runs)
    except KeyError:
        text = ""
    lanes = []
    if reading.talents and reading.holder:
        lanes = selectors.expected_parties(reading.talents, reading.holder, timezone.now())
    return {
        "text": text,
        "expected": lanes,
        "ticks": [wording.item_label(item, locale()) for item in explicit_items(reading.terms)]
        if text
        else [],
        "ready": reading.ready,
        "open": {name: len(reading.at(name)) for name in STEPS},
    }


def _label(field: str) -> str:
    for groups in draft_fields.FIELDS.values():
        for _group, fields in groups:
            for item in fields:
                if item.name == field:
                    return str(item.label)
    return field


def _typed(request: HttpRequest) -> dict[str, list[str]]:
    return {name: request.POST.getlist(name) for name in request.POST}


def _to(row: RequestDraft, step: str) -> HttpResponse:
    if step == "check":
        return redirect("draft-check", draft_id=row.id)
    return redirect("draft-step", draft_id=row.id, step=step)


def _own(person: Person, draft_id: str) -> RequestDraft:
    """One's own draft, or Http404."""
    row = RequestDraft.objects.filter(id=draft_id, person=person).first()
    if row is None:
        raise Http404
    return row
