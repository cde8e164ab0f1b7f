"""What every code means and what to do next: where the API's `type` addresses lead. Not a stage."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry.core import http_problems, refusals
from registry.core.refusals import Explanation
from registry.views.base import locale


@require_safe
def problems(request: HttpRequest) -> HttpResponse:
    """Every code with its sentence, in alphabetical order."""
    codes = sorted({*refusals.CODES, *http_problems.TEXTS})
    rows = [{"code": code, **vars(_explained(code))} for code in codes]
    return render(request, "registry/problems.html", {"rows": rows})


@require_safe
def problem(request: HttpRequest, code: str) -> HttpResponse:
    """One code; 404 for a word that is none."""
    if code not in refusals.CODES and code not in http_problems.TEXTS:
        raise Http404
    texts = _explained(code)
    return render(request, "registry/problem.html", {"code": code, **vars(texts)})


def _explained(code: str) -> Explanation:
    if code in http_problems.TEXTS:
        return http_problems.explain(code, locale())
    return refusals.explain(code, locale())
