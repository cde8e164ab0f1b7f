"""What every view of the HTTP API shares: who calls, how a retry is answered, how a no looks.

Not a stage. Trusts an API key by its hash, or Django's session; both stand for one person, and what
that person may see is decided by `registry.selectors`. Upper floors build their views on `ApiView`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import selectors
from registry.api import problems
from registry.models import ApiKey, IdempotencyKey, Organisation, Person
from registry.services.parties import api_key_digest

REMEMBERED: Final = timedelta(days=1)
_NOTED: Final = timedelta(minutes=1)
# Members of answers that are shown once and stand nowhere in the database.
_SHOWN_ONCE: Final = frozenset({"link"})


@dataclass(frozen=True)
class Caller:
    """Who is calling: a person, and the organisation whose key was used, if one was."""

    person: Person
    organisation: Organisation | None = None
    is_authenticated: bool = True


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer kyo_test_…`: a person acting for an organisation."""

    def authenticate(self, request: Request) -> tuple[Caller, ApiKey] | None:
        """None without a bearer token. Raises `AuthenticationFailed` for a key that is none."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        keys = ApiKey.objects.filter(digest=api_key_digest(text.strip()), revoked_at__isnull=True)
        key = keys.select_related("person", "organisation").first()
        if key is None or key.organisation not in selectors.organisations_of(key.person):
            raise AuthenticationFailed
        now = timezone.now()
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _NOTED)
        keys.filter(stale).update(last_used_at=now)
        # The key lies on a server of that organisation, and opens nothing of another one.
        key.person.acting_for = key.organisation_id
        return Caller(key.person, key.organisation), key

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing key 401 instead of 403."""
        return 'Bearer realm="kyodaku"'


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The key in the OpenAPI description."""

    target_class = ApiKeyAuthentication
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """An HTTP bearer token."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "kyo_…"}


class ApiView(APIView):
    """The base of every view: two ways to authenticate, nobody else, problems in one shape."""

    authentication_classes = (ApiKeyAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated,)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """An answer is for its caller: no browser and no proxy keeps it."""
        response.headers.setdefault("Cache-Control", "private, no-store")
        return super().finalize_response(request, response, *args, **kwargs)

    def get_exception_handler(self) -> Callable[[Exception, Mapping[str, Any]], Response | None]:
        """RFC 9457 for every exception."""
        return problems.handler


class Input(serializers.Serializer[Any]):
    """Input of a fixed shape: an unknown member is a mistake, not a decoration."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown members before the fields are looked at."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError({unknown[0]: ["unknown member"]})
        return super().to_internal_value(data)


def caller(request: Request) -> Caller:
    """Who is calling. Raises `PermissionDenied` for a login that is no person of the registry."""
    user: Any = request.user
    if isinstance(user, Caller):
        return user
    person = Person.objects.filter(user_id=user.pk).first()
    if person is None:
        raise PermissionDenied
    return Caller(person)


def parsed(kind: type[Input], request: Request) -> dict[str, Any]:
    """The request's input, checked. Raises `ValidationError`, which becomes a 422."""
    form = kind(data=request.data)
    form.is_valid(raise_exception=True)
    values: dict[str, Any] = form.validated_data
    return values


Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Answer a repeated POST with the first answer, if it carries an `Idempotency-Key`.

    The key belongs to the caller, path, query and body: for any other of them it is 422, while
    the first is still running 409. A request that failed with a defect of ours may be repeated.
    """

    @functools.wraps(handler)
    def wrapped(self: ApiView, request: Request, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return handler(self, request, **kwargs)
        if len(key) > 128:
            raise serializers.ValidationError({"Idempotency-Key": ["at most 128 characters"]})
        row, made = _remembered(caller(request).person, key, request)
        if not made:
            return _repeated(row, request)
        try:
            response = handler(self, request, **kwargs)
        except BaseException:
            row.delete()
            raise
        row.status, row.body = response.status_code, _kept(response.data)
        row.save(update_fields=["status", "body"])
        return response

    return wrapped


def _remembered(person: Person, key: str, request: Request) -> tuple[IdempotencyKey, bool]:
    IdempotencyKey.objects.filter(created_at__lt=timezone.now() - REMEMBERED).delete()
    values = {"path": request.path[:300], "body_digest": _body_digest(request)}
    return IdempotencyKey.objects.get_or_create(person=person, key=key, defaults=values)


def _repeated(row: IdempotencyKey, request: Request) -> Response:
    if row.path != request.path[:300] or row.body_digest != _body_digest(request):
        return problems.http("idempotency_reused", instance=request.path)
    if row.status == 0:
        return problems.http("idempotency_running", instance=request.path)
    kind = None if row.status < 400 else problems.MEDIA_TYPE
    response = Response(row.body, status=row.status, content_type=kind)
    response["Idempotent-Replayed"] = "true"
    return response


def _kept(body: Any) -> Any:
    """What is remembered of an answer: not the secrets that are shown once."""
    if not isinstance(body, Mapping):
        return body
    return {name: value for name, value in body.items() if name not in _SHOWN_ONCE}


def _body_digest(request: Request) -> str:
    """SHA-256 of query and body: a dry run is another request than the real one."""
    query = request._request.META.get("QUERY_STRING", "").encode()
    return hashlib.sha256(hashlib.sha256(query).digest() + request._request.body).hexdigest()
