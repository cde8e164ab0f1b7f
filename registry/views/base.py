"""What every page shares: who is looking, in which language, and how a no is told.

Not a stage. Trusts Django's session for who is looking; what that person may see is decided by
`registry.selectors`, and everything else is 404.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import translation

from registry.core import refusals
from registry.core.refusals import Locale, Refusal
from registry.models import Person

View = Callable[..., HttpResponse]
NO_STORE: Final = "private, no-store"


def locale() -> Locale:
    """The reader's language."""
    return "en" if (translation.get_language() or "ja").startswith("en") else "ja"


def viewer(request: HttpRequest) -> Person | None:
    """The person who is signed in; None for nobody, or for a login that is no person."""
    if not request.user.is_authenticated:
        return None
    return Person.objects.filter(user_id=request.user.pk).first()


def address(request: HttpRequest) -> str:
    """Where a request comes from; behind a proxy, what that proxy added last."""
    seen = str(request.META.get("REMOTE_ADDR", ""))
    if settings.BEHIND_PROXY:
        seen = request.headers.get("X-Forwarded-For", seen).rpartition(",")[2].strip()
    return seen[:64]


def signed_in(view: View) -> View:
    """Sign in first; the view gets the person as its second argument, and is never cached.

    Raises `PermissionDenied` for a login that belongs to no person of the registry.
    """

    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        person = viewer(request)
        if person is None:
            raise PermissionDenied
        response = view(request, person, *args, **kwargs)
        response.headers.setdefault("Cache-Control", NO_STORE)
        return response

    return login_required(wrapped)


def said(refusal: Refusal) -> dict[str, str]:
    """A refusal for a page: what happened and what to do next, in the reader's language."""
    if refusal.kind not in refusals.CODES:
        return {"code": refusal.code, "what": refusal.code, "next": refusal.detail}
    texts = refusals.explain(refusal.code, locale())
    return {"code": refusal.code, "what": texts.what, "next": texts.next}


def tell(request: HttpRequest, found: Refusal | Iterable[Refusal]) -> None:
    """Show each refusal once at the top of the next page."""
    items = [found] if isinstance(found, Refusal) else list(found)
    for text in dict.fromkeys(" ".join((t["what"], t["next"])) for t in map(said, items)):
        messages.error(request, text)
