"""The talent's own rules: what she never allows, and what she opened. Stage 1.

Her own session alone comes here; her agency has no page to widen anything.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from registry.core import vocabulary as words
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import OPENABLE
from registry.core.vocabulary import NOT_FOR_MINORS
from registry.models import Person, Talent
from registry.services import wishes as service
from registry.views.base import locale, said, signed_in


@require_http_methods(["GET", "POST"])
@signed_in
def wishes(request: HttpRequest, person: Person) -> HttpResponse:
    """Both lists, unticked unless she ticked them; POST replaces them."""
    talent = Talent.objects.filter(person=person).first()
    if talent is None:
        raise Http404
    never, opened = talent.never_list, talent.opened_list
    problems: list[str] = []
    if request.method == "POST":
        never, opened = request.POST.getlist("never"), request.POST.getlist("opened")
        done = service.wishes_set(by=person, talent=talent, never=never, opened=opened)
        if isinstance(done, Talent):
            messages.success(request, _("Your rules are kept. They hold for every new request."))
            return redirect("my-rules")
        problems = [_said(item) for item in done]
    minor = talent.is_minor(jst_day(timezone.now()))
    context = {
        "opened": [
            _box(word, opened) for word in OPENABLE if not (minor and word in NOT_FOR_MINORS)
        ],
        "never": [_box(word, never) for word in service.RULED_OUT],
        "problems": list(dict.fromkeys(problems)),
    }
    return render(request, "registry/wishes.html", context, status=422 if problems else 200)


def _said(item: Any) -> str:
    if isinstance(item, Refusal):
        return " ".join((said(item)["what"], said(item)["next"]))
    return str(item.ja if locale() == "ja" else item.en)


def _box(word: str, ticked: list[str]) -> dict[str, Any]:
    tables = (words.CATEGORIES, words.TERRITORY, words.MEDIA, words.TRANSFORMATIONS, words.EXPOSURE)
    table = next(labels for labels in tables if word in labels)
    label = words.names(table, (word,), locale())
    return {"value": word, "label": label, "on": word in ticked}
