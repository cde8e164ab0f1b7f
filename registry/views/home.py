"""The front door, and the way from it to one's own inbox."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from registry import selectors
from registry.views.base import viewer


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Signed out: what this is. Signed in: what waits for you."""
    person = viewer(request)
    if person is None:
        return render(request, "registry/home.html")
    roles = selectors.roles_of(person)
    if "talent" in roles:
        return redirect("my-consents")
    if not roles and request.user.is_staff:
        return redirect("flags")
    return redirect("agency-inbox" if "agency" in roles else "requests")
