"""What no page can mean: an address with a NUL in it. Not a stage.

PostgreSQL's text has no NUL, so a query with one would end as a defect (500). It is nobody's
address, therefore 404, whoever asks and whatever is there.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.defaults import page_not_found

NUL = "\0"


class NulIsNothing:
    """404 for a NUL in path or query, and for one in a form that reached the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at path and query before any view does."""
        if NUL in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return page_not_found(request, Http404())
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """What a form brought along: the driver's refusal of a NUL, and nothing else."""
        if isinstance(error, ValueError | DataError) and "NUL" in str(error):
            return page_not_found(request, Http404())
        return None
