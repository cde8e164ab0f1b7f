"""Every "no" of the HTTP API, in one shape: RFC 9457 problem details, in Japanese or English.

Not a stage. The sentences come from `registry.core.refusals`, the few that only HTTP knows from
`registry.core.http_problems`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import translation
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from registry.core import http_problems
from registry.core.refusals import CODES, Explanation, Locale, Refusal, explain
from registry.core.terms import Problem
from registry.log.core.errors import VerificationError

MEDIA_TYPE: Final = "application/problem+json"

# Refusals that are not 409 Conflict: what was asked is clear, and the present state forbids it.
_STATUS: Final[Mapping[str, int]] = {
    "malformed": 422,
    "terms_invalid": 422,
    "base_licence": 422,
    "base_licence_unreviewed": 422,
    "base_licence_threshold": 422,
    "base_licence_registration": 422,
    "base_licence_territory": 422,
    "base_licence_field": 422,
    "base_licence_exclusivity": 422,
    "base_licence_share_alike": 422,
    "tool_licence": 503,
    "minor_rule": 422,
    "never_list": 422,
    "not_opened": 422,
    "tick_missing": 422,
    "remark_missing": 422,
    "counter_wider": 422,
    "counter_empty": 422,
    "kind_not_offered": 422,
    "transformation_exceeds": 422,
    "talent_only": 403,
    "requester_unverified": 403,
    "person_erased": 410,
    "recipe_exceeds": 422,
    "image_unreadable": 422,
    "image_too_large": 413,
    "image_too_small": 422,
    "bad_signature": 403,
    "self_approval": 403,
    "worker_unknown": 403,
    "wrong_worker": 403,
    "wrong_audience": 403,
    "unknown_key": 403,
    "wrong_mode": 403,
    "no_token": 403,
    "key_unavailable": 410,
    "link_expired": 410,
    "link_used": 410,
    "registry_unreachable": 503,
    "too_many": 429,
    "engine_missing": 503,
}

_OF_EXCEPTION: Final[tuple[tuple[type[Exception], str], ...]] = (
    (Http404, "not_found"),
    (exceptions.NotFound, "not_found"),
    (PermissionDenied, "forbidden"),
    (exceptions.NotAuthenticated, "not_authenticated"),
    (exceptions.AuthenticationFailed, "not_authenticated"),
    (exceptions.PermissionDenied, "forbidden"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.UnsupportedMediaType, "unsupported_media"),
    (exceptions.ParseError, "bad_request"),
)


def locale() -> Locale:
    """The reader's language: what LocaleMiddleware took from Accept-Language."""
    return "en" if (translation.get_language() or "ja").startswith("en") else "ja"


def refused(
    found: Refusal | Iterable[Refusal | Problem], *, instance: str = "", status: int | None = None
) -> Response:
    """The answer for refusals and form problems; the first refusal names the whole.

    `errors` holds each of them, `missing` the capacities whose approval is missing.
    """
    items = [found] if isinstance(found, Refusal) else list(found)
    refusals = [item for item in items if isinstance(item, Refusal)]
    head = refusals[0] if refusals else Refusal("terms_invalid")
    missing = [r.code.partition(":")[2] for r in refusals if r.kind == "approval_missing"]
    return _response(
        head.code,
        status or _STATUS.get(head.kind, 409),
        explain(head.code, locale()),
        detail=head.detail,
        instance=instance,
        errors=[_error(item) for item in items],
        missing=missing,
    )


def invalid(errors: Mapping[str, Any], *, instance: str = "") -> Response:
    """422 for input that does not have the described shape."""
    listed = [{"field": name, "detail": _text(value)} for name, value in errors.items()]
    texts = explain("terms_invalid", locale())
    return _response("terms_invalid", 422, texts, instance=instance, errors=listed)


def http(code: str, *, instance: str = "") -> Response:
    """The answer for what only HTTP knows, by its code in this module's table."""
    status = http_problems.TEXTS[code][0]
    return _response(code, status, http_problems.explain(code, locale()), instance=instance)


def handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The API's exception handler. None: a defect of ours, which becomes a 500 and is logged."""
    request: Request | None = context.get("request")
    instance = request.path if request is not None else ""
    if isinstance(error, exceptions.ValidationError):
        detail = error.detail if isinstance(error.detail, dict) else {"": error.detail}
        return invalid(detail, instance=instance)
    if isinstance(error, VerificationError):
        code = error.code if error.code.partition(":")[0] in CODES else "malformed"
        return refused(Refusal(code, error.detail), instance=instance)
    for kind, code in _OF_EXCEPTION:
        if isinstance(error, kind):
            response = http(code, instance=instance)
            if code == "not_authenticated":
                response["WWW-Authenticate"] = 'Bearer realm="kyodaku"'
            return response
    return None


def _response(
    code: str,
    status: int,
    texts: Explanation,
    *,
    detail: str = "",
    instance: str = "",
    errors: list[dict[str, str]] | None = None,
    missing: list[str] | None = None,
) -> Response:
    body = {
        "type": f"{settings.PUBLIC_URL}/problems/{code.partition(':')[0]}",
        "title": texts.what,
        "status": status,
        "detail": detail,
        "code": code,
        "next": texts.next,
        "instance": instance,
        "errors": errors or [],
        "missing": missing or [],
    }
    return Response(body, status=status, content_type=MEDIA_TYPE)


def _error(item: Refusal | Problem) -> dict[str, str]:
    if isinstance(item, Problem):
        return {"field": item.field, "detail": item.ja if locale() == "ja" else item.en}
    return {"code": item.code, "detail": item.sentence(locale()), "next": item.next_step(locale())}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    return " ".join(_text(v) for v in value) if isinstance(value, list) else str(value)
