"""The consent receipt as files: the printed form and the machine file beside it. After stage 2."""

from __future__ import annotations

from typing import Final

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from registry import selectors
from registry.core.grants import CAPACITIES
from registry.core.refusals import Refusal
from registry.models import Person
from registry.services import receipts
from registry.views.base import locale, signed_in, tell

_TYPES: Final = {"pdf": "application/pdf", "json": "application/json"}


@require_safe
@signed_in
def receipt_file(
    request: HttpRequest, person: Person, grant_id: str, by: str, form: str
) -> HttpResponse:
    """One's own receipt in one capacity. `form` is `pdf` or `json`."""
    if by not in CAPACITIES or form not in _TYPES:
        raise Http404
    grant = selectors.access_grant(person=person, grant_id=grant_id)
    files = receipts.receipt_files(person=person, grant=grant, by=by, locale=locale())
    if isinstance(files, Refusal):
        tell(request, files)
        return redirect("receipt", grant_id=grant.id)
    data = files.printed if form == "pdf" else files.machine
    name = f'attachment; filename="{files.name}.{form}"'
    headers = {"Content-Disposition": name}
    return HttpResponse(data, content_type=_TYPES[form], headers=headers)
