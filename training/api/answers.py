"""A `Refusal` as a plain Django answer, for the views that don't go through the API framework.

Not a stage. The document itself is built in one place, `registry.api.problems`.
"""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse

from registry.api import problems
from registry.core import refusals
from registry.core.refusals import Refusal
from registry.log.core.errors import VerificationError


def refused(error: VerificationError) -> Refusal:
    """A broken proof as a refusal; codes of the parsers below count as `malformed`."""
    known = error.code.partition(":")[0] in refusals.CODES
    return Refusal(error.code if known else "malformed", error.detail)


def problem(request: HttpRequest, refusal: Refusal, *, status: int | None = None) -> HttpResponse:
    """`application/problem+json` for one refusal, in the language that was asked for."""
    answer = problems.refused(refusal, instance=request.path, status=status)
    content = json.dumps(answer.data, ensure_ascii=False)
    return HttpResponse(content, status=answer.status_code, content_type=problems.MEDIA_TYPE)
