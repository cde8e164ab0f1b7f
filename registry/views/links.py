"""What a link in a message opens: to read, ask, decline and withdraw; never to allow. Stage 2.

No session, and no trace of opening: mail scanners open every link. The second page's form counts
once, and only with the six digits of the message.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from registry import selectors
from registry.core.cases import MAY_WITHDRAW, PENDING
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.models import AccessLink, Grant, Lane
from registry.services import links
from registry.views.base import NO_STORE, locale, said

_HEADERS = {"Cache-Control": NO_STORE, "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


@require_safe
def opened(request: HttpRequest, token: str) -> HttpResponse:
    """What waits for the link's person, and what they allow at present."""
    link = _link(token)
    if isinstance(link, Refusal):
        return _gone(request, link)
    lanes = (
        Lane.objects.filter(person=link.person)
        .select_related("grant__request__requester")
        .order_by("grant__request__sign_by", "id")
    )
    asked = lanes.filter(state__in=PENDING, grant__state="asking")
    given = lanes.filter(
        state="signed", by__in=MAY_WITHDRAW, grant__state__in=("asking", "active", "paused")
    )
    given = selectors.still_speaks(link.person, given, jst_day(timezone.now()))
    page = {"token": token, "asked": map(_card, asked), "given": map(_card, given)}
    return _page(request, "registry/link.html", page)


def _card(lane: Lane) -> dict[str, Any]:
    return {"lane": lane, "text": selectors.core_grant(lane.grant).text(locale())}


@require_http_methods(["GET", "POST"])
def act(request: HttpRequest, token: str, grant_id: str, action: str) -> HttpResponse:
    """GET: the form, which changes nothing. POST: the act, once, with the digits."""
    link = _link(token)
    if isinstance(link, Refusal):
        return _gone(request, link)
    rows = Grant.objects.filter(id=grant_id, lanes__person=link.person).distinct()
    grant = rows.select_related("request__requester").first()
    if grant is None or action not in links.ACTIONS:
        raise Http404
    page: dict[str, Any] = {"token": token, "grant": grant, "action": action}
    if request.method == "POST":
        done = links.act(
            token=token,
            grant=grant,
            action=action,
            form=request.POST.get("form", "")[:600],
            code=request.POST.get("code", "")[:40],
            text=request.POST.get("text", "")[:2000],
        )
        if done is None:
            return _page(request, "registry/link_done.html", page)
        if done.code == "link_expired":
            return _gone(request, done)
        page["refusal"] = said(done)
        page["text"] = request.POST.get("text", "")[:2000]
    page["form"] = links.form_token(link, grant.id, action)
    return _page(request, "registry/link_act.html", page)


def _link(token: str) -> AccessLink | Refusal:
    link = links.link_find(token, at=timezone.now())
    if link is None:
        raise Http404
    return link


def _gone(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    return _page(request, "registry/link_gone.html", {"refusal": said(refusal)}, status=410)


def _page(
    request: HttpRequest, template: str, page: dict[str, Any], status: int = 200
) -> HttpResponse:
    response = render(request, template, page, status=status)
    for name, value in _HEADERS.items():
        response[name] = value
    return response
