"""The page behind a delivery link, and the parcel. Stage 8.

Mail scanners and previews open links, so opening one changes nothing: the file comes by POST, once.
Whoever has the link may take it; whoever has the recipient's key can open it.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from registry.core.refusals import Refusal
from registry.views.base import NO_STORE, said
from training.api.answers import problem
from training.services import delivery


# The link is the secret and there is no session to ride on: `curl -X POST` is as good a client.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def parcel(request: HttpRequest, link: str) -> HttpResponse:
    """GET says what it is and until when; POST hands it out and ends the link."""
    if request.method == "POST":
        return _handed_out(request, link)
    row = delivery.link_find(link=link)
    if isinstance(row, Refusal):
        return _refused(request, row)
    response = render(request, "training/parcel.html", {"delivery": row})
    response["Cache-Control"] = NO_STORE
    return response


def _handed_out(request: HttpRequest, link: str) -> HttpResponse:
    fetched = delivery.parcel_fetch(link=link)
    if isinstance(fetched, Refusal):
        return _refused(request, fetched)
    name, data = fetched
    response = HttpResponse(data, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = NO_STORE
    return response


def _refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """A page for people, problem details for programs; the status is the same."""
    answer = problem(request, refusal)
    if "text/html" not in request.headers.get("Accept", ""):
        return answer
    context = {"refused": said(refusal)}
    return render(request, "training/parcel.html", context, status=answer.status_code)
