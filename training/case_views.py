"""A case's answers on pages: what is ticked, read back, offered, returned, accepted. Stage 2.

The services decide. A GET here changes nothing but "looked at"; nothing is ticked for anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from registry import selectors as registry
from registry.core import cases, narrowing
from registry.core.refusals import Refusal
from registry.core.terms import Problem, Terms
from registry.core.vocabulary import VOCABULARY, label
from registry.models import Grant, Lane, Person, Question, TrainingRequest
from registry.services import answers, approvals, letters
from registry.templatetags.kyodaku import yen
from registry.views.base import locale, signed_in, tell
from training import selectors
from training.models import Dataset
from training.services import answers as training_answers
from training.services import curation, datasets, engine

MONEY = frozenset({"fee_jpy", "guarantee_jpy", "price_min_jpy", "price_max_jpy"})
THEIR_PAGE = {
    "talent": "my-request",
    "guardian": "my-request",
    "agency_officer": "agency-request",
}


def context(person: Person, grant: Grant | None, lane: Lane | None) -> dict[str, Any]:
    """What a case's page shows of answers: ticks, difference, remarks, offers, questions, mail."""
    if grant is None:
        return {"items": [], "changes": None, "offers": [], "questions": [], "undelivered": []}
    core = registry.core_grant(grant)
    rows = Question.objects.filter(lane__grant__request=grant.request_id)
    return {
        "items": items(core.terms),
        "changes": changes(grant),
        "offers": [
            _offer(row, grant) for row in Lane.objects.filter(grant=grant, state="countered")
        ],
        "remark_fields": remark_fields(),
        "questions": rows.select_related("person").order_by("asked_at", "id"),
        "undelivered": letters.undelivered(grant.request),
        "cooling_until": _cooling(person, grant, lane),
    }


def _cooling(person: Person, grant: Grant, lane: Lane | None) -> Any:
    if lane is None:
        return None
    until = approvals.cooling_until(grant, person, lane.by)
    return until if until > timezone.now() else None


def remark_fields() -> list[tuple[str, str]]:
    """What a remark may be about, in the reader's language."""
    place = 0 if locale() == "ja" else 1
    return [(name, texts[place]) for name, texts in cases.REMARK_FIELDS.items()]


def items(terms: Terms) -> list[dict[str, str]]:
    """The switches of the scope: code and words."""
    return [
        {"code": item.code, "head": _head(item.member), "words": _item_words(item)}
        for item in narrowing.scope_items(terms)
    ]


def _item_words(item: narrowing.ScopeItem) -> str:
    if item.member == "sell_off_days":
        return _("selling stock after the end")
    return label(item.member, (item.word,), locale())


def _head(member: str) -> str:
    heads = {
        "media": _("Used for"),
        "territory": _("Territory"),
        "likeness_parts": _("Of you"),
        "transformations": _("May be changed"),
        "categories": _("Field opened"),
        "exposure": _("At most"),
        "name_use": _("Your name"),
        "sell_off_days": _("Stock"),
        "start": _("From"),
        "end": _("Until"),
        "quantity": _("Number"),
        "fee_jpy": _("Fee"),
        "duties": _("Duties of the user"),
        "exclusivity": _("Exclusivity"),
        "purpose": _("Purpose"),
        "client": _("Client"),
        "product": _("Work"),
    }
    return heads.get(member, member)


def changes(grant: Grant) -> dict[str, Any] | None:
    """What differs from the content asked before, in words; None for a first grant."""
    if not grant.changes:
        return None
    return {
        "terms": said_changes(grant.changes["terms"]),
        "left_out": grant.changes["left_out"],
        "added": grant.changes["added"],
    }


def said_changes(found: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Differences of terms for people: what it is about, what it was, what it is."""
    return [
        {
            "head": _head(change["member"]),
            "old": _words(change["member"], change["old"]),
            "new": _words(change["member"], change["new"]),
        }
        for change in found
    ]


def _words(member: str, value: Any) -> str:
    if member in MONEY and type(value) is int:
        return yen(value)
    if member in VOCABULARY and value:
        return label(member, value if isinstance(value, list) else [value], locale())
    if isinstance(value, dict):
        return ", ".join(f"{name}: {inner}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or _("none")
    return f"{value:,}" if type(value) is int else str(value)


def _offer(lane: Lane, grant: Grant) -> dict[str, Any]:
    offer = lane.offer or {}
    found = narrowing.differences(grant.payload["terms"], offer.get("terms", {}))
    out, __ = narrowing.pictures_changed(
        grant.pictures, [p for p in grant.pictures if p not in offer.get("left_out", [])]
    )
    return {"lane": lane, "terms": said_changes([vars(c) for c in found]), "left_out": out}


# --- the answer of a party ----------------------------------------------------------------------


def pending(person: Person, request_id: str, by: Collection[str]) -> tuple[Grant, Lane]:
    """The grant that waits for this person in one of these capacities; or Http404."""
    row = registry.access_request(person=person, request_id=request_id)
    grant = registry.grant_of(row)
    if grant is None or grant.state != "asking":
        raise Http404
    lanes = Lane.objects.filter(
        grant=grant, person=person, by__in=by, state__in=cases.PENDING
    ).select_related("grant__request__requester")
    lane = lanes.order_by("by", "id").first()
    if lane is None:
        raise Http404
    return grant, lane


@require_safe
@signed_in
def answer(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """T3: exactly what was ticked, read back in one sentence; then yes, no, or later."""
    grant, lane = pending(person, request_id, tuple(cases.MAY_WITHDRAW))
    core = registry.core_grant(grant)
    ticks = [i.code for i in narrowing.scope_items(core.terms) if i.code in _given(request, "tick")]
    out = [p for p in grant.pictures if p in _given(request, "out")]
    allowed = narrowing.narrowed(core.terms, ticks)
    whole = not out and len(ticks) == len(narrowing.scope_items(core.terms))
    left = narrowing.terms_narrower(core.terms, allowed) and len(out) < max(1, len(grant.pictures))
    page = {
        **context(person, grant, lane),
        "request_row": grant.request,
        "grant": grant,
        "lane": lane,
        "ticks": ticks,
        "out": out,
        "out_places": [grant.pictures.index(p) + 1 for p in out],
        "whole": whole,
        "left": left,
        "sentence": sentence(allowed) if left else "",
        "terms": core.terms,
        "has_key": registry.credentials_of(person).exists(),
    }
    return render(request, "training/my_answer.html", page)


def _given(request: HttpRequest, name: str) -> list[str]:
    return request.GET.getlist(name)[:400]


def sentence(terms: Terms) -> str:
    """What is allowed, read back: for what, where, until when, how many."""
    count = (
        _("up to %(n)s units") % {"n": f"{terms.quantity:,}"}
        if terms.quantity
        else _("no number set")
    )
    return _(
        "You allow pictures for %(media)s, in %(where)s, until %(end)s (%(count)s), "
        "showing %(parts)s, changing: %(changed)s."
    ) % {
        "media": label("media", terms.media, locale()),
        "where": label("territory", terms.territory, locale()),
        "end": date_format(terms.end, "DATE_FORMAT"),
        "count": count,
        "parts": label("likeness_parts", terms.likeness_parts, locale()),
        "changed": label("transformations", terms.transformations, locale()),
    }


@require_POST
@signed_in
def counter(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Offer what was ticked, without the pictures marked: nothing is signed by it."""
    by = str(request.POST.get("by"))
    grant, lane = pending(person, request_id, (by,))
    done = answers.answer_partly(
        person=person,
        grant=grant,
        by=lane.by,
        ticks=request.POST.getlist("tick"),
        left_out=request.POST.getlist("out"),
        pressed=bool(request.POST.get("pressed")),
    )
    return _thanked(request, done, lane, request_id)


@require_POST
@signed_in
def send_back(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Ask for a change, field by field."""
    by = str(request.POST.get("by"))
    grant, lane = pending(person, request_id, (by,))
    pairs = zip(request.POST.getlist("field"), request.POST.getlist("text"), strict=False)
    done = answers.answer_return(
        person=person,
        grant=grant,
        by=lane.by,
        remarks=[{"field": field, "text": text} for field, text in pairs if text.strip()],
        pressed=bool(request.POST.get("pressed")),
    )
    return _thanked(request, done, lane, request_id)


def _thanked(
    request: HttpRequest, done: Refusal | None, lane: Lane, request_id: str
) -> HttpResponse:
    if done is None:
        messages.success(request, _("Thank you. Those who asked will see your answer."))
    else:
        tell(request, done)
    return redirect(THEIR_PAGE.get(lane.by, "request-detail"), request_id=request_id)


@require_http_methods(["GET"])
@signed_in
def offer(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Offer less, for every party that answers on a desk: nothing ticked beforehand."""
    desk = tuple(c for c in ("agency_officer", "photo_copyright", "work_rights", "bystander"))
    grant, lane = pending(person, request_id, desk)
    page = {
        **context(person, grant, lane),
        "request_row": grant.request,
        "grant": grant,
        "lane": lane,
        "places": list(enumerate(grant.pictures, 1)),
        "back": THEIR_PAGE.get(lane.by, "request-detail"),
    }
    return render(request, "training/offer.html", page)


# --- the requester ------------------------------------------------------------------------------


@require_POST
@signed_in
def offer_accept(
    request: HttpRequest, person: Person, request_id: str, lane_id: int
) -> HttpResponse:
    """Take an offer as it is: sealed anew, asked of everybody, signed by nobody yet."""
    row = registry.access_own_request(person=person, request_id=request_id)
    lane = Lane.objects.filter(id=lane_id, grant__request=row).select_related("grant").first()
    if lane is None:
        raise Http404
    faces = engine.engine_open() if (lane.offer or {}).get("left_out") else None
    if isinstance(faces, Refusal):
        tell(request, faces)
        return redirect("request-detail", request_id=row.pk)
    made = training_answers.counter_accept(lane=lane, by=person, engine=faces)
    _told(request, made)
    return redirect("request-detail", request_id=row.pk)


def _told(request: HttpRequest, made: object) -> None:
    if isinstance(made, Grant):
        messages.success(request, _("Everybody has been asked again, for the new content."))
    elif isinstance(made, list):
        tell(request, [item for item in made if isinstance(item, Refusal)])
        for item in made:
            if isinstance(item, Problem):
                messages.error(request, item.ja if locale() == "ja" else item.en)


@require_POST
@signed_in
def recall(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Take what is asked back, to change it."""
    row = registry.access_own_request(person=person, request_id=request_id)
    done = answers.request_recall(request=row, by=person)
    if isinstance(done, Refusal):
        tell(request, done)
    return redirect("request-detail", request_id=row.pk)


@require_POST
@signed_in
def reopen(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Open the sealed pictures for a change, or (`again`) ask again with them as they are."""
    row: TrainingRequest = registry.access_own_request(person=person, request_id=request_id)
    dataset: Dataset = selectors.access_dataset(person, row)
    opened = datasets.dataset_reopen(dataset=dataset)
    if isinstance(opened, Refusal):
        tell(request, opened)
    elif request.POST.get("again"):
        _told(request, curation.dataset_seal(dataset=opened))
    return redirect("request-detail", request_id=row.pk)
