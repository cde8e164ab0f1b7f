"""A person's approval keys: enrolled by themselves on their own device, never by anybody else."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry import selectors
from registry.log import selectors as log
from registry.models import Person
from registry.views.base import signed_in


@require_safe
@signed_in
def keys(request: HttpRequest, person: Person) -> HttpResponse:
    """The keys with the log entry that made each public before it could approve anything."""
    rows = [
        {"key": row, "entry": log.entry_by_event(row.enrolment_event)}
        for row in selectors.credentials_of(person)
    ]
    return render(request, "registry/keys.html", {"rows": rows})
