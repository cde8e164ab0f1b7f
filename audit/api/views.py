"""Tracing a file, fetching evidence, reporting a use: parse, access, one service, answer. Stage 9.

Whoever holds an API key may ask about any file. Whose it is, beyond that it is registered and how
it stands, is shown only to those who may see the request anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any, Final

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.decorators import method_decorator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core import words
from audit.core.uses import Use
from audit.models import UseReport
from audit.services import evidence, tracing, usage
from audit.services.tracing import Trace
from registry import selectors as registry
from registry.api import problems
from registry.api.base import ApiView, Input, caller, idempotent, parsed
from registry.api.parsers import StrictJSONParser
from registry.core.refusals import Refusal
from registry.models import Person
from training.selectors import access_delivery

_FILE: Final = "application/octet-stream"


class FileParser(BaseParser):
    """Lets a raw body through unread: the view takes its bytes, in memory and never spooled."""

    media_type = _FILE

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """No members."""
        return {}


class UseInput(Input):
    """One use: its line of the grant (a medium), where, from when, how many, and what it shows."""

    medium = serializers.CharField(max_length=40)
    country = serializers.CharField(max_length=20)
    first_day = serializers.DateField()
    quantity = serializers.IntegerField(default=0, min_value=0, max_value=2**31 - 1)
    impressions = serializers.IntegerField(default=0, min_value=0, max_value=2**31 - 1)
    unit_price_jpy = serializers.IntegerField(default=0, min_value=0, max_value=2**31 - 1)
    transformations = serializers.ListField(
        child=serializers.CharField(max_length=40), default=list, max_length=20
    )
    exposure = serializers.CharField(default="full_clothed", max_length=40)
    categories = serializers.ListField(
        child=serializers.CharField(max_length=40), default=list, max_length=20
    )
    name_shown = serializers.BooleanField(default=False)
    stock = serializers.BooleanField(default=False)
    note = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class EvidenceInput(Input):
    """What a pack is about, and as of when."""

    as_of = serializers.DateTimeField(required=False)
    use = serializers.CharField(required=False, max_length=24)


class TraceFile(ApiView):
    """Is this file one of ours, and how does it stand?"""

    parser_classes = (FileParser,)

    @extend_schema(request={_FILE: OpenApiTypes.BINARY}, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        """Recognise an uploaded weights file. "Not found" does not mean unlicensed."""
        person = caller(request).person
        try:
            data = request._request.body
        except RequestDataTooBig:
            return problems.refused(Refusal("malformed", "too large"), status=413)
        if not data:
            return problems.http("bad_request", instance=request.path)
        at = timezone.now()
        found = tracing.trace(data=data, by=person, at=at)
        if isinstance(found, Refusal):
            return problems.refused(found, instance=request.path)
        return Response(_shown(found, person, at))


def _shown(found: Trace | None, person: Person, at: datetime) -> dict[str, Any]:
    """What everybody may know, and for the case's own people whose copy it is."""
    locale = problems.locale()
    if found is None:
        return {"found": False, "sentence": words.not_found(locale)}
    standing = found.standing(at)
    shown: dict[str, Any] = {
        "found": True,
        "how": found.how,
        "band": found.band,
        "lora": found.lora.pk,
        "standing": standing,
        "mode": settings.KYODAKU_MODE,
        "sentence": words.found(found.how, found.lora.pk, standing, locale),
    }
    request = found.lora.job.request
    if registry.requests_for(person).filter(pk=request.pk).exists():
        copies = [row for row in (found.delivery, *found.others) if row is not None]
        mine = [row for row in copies if row.lora.job.request_id == request.pk]
        shown |= {
            "request": request.pk,
            "grant": found.lora.job.grant_id,
            "deliveries": [{"id": row.pk, "recipient": row.recipient_id} for row in mine],
        }
    return shown


class Evidence(ApiView):
    """Everything that proves one delivery, in one file."""

    # Building waits for the log, which sees committed rows only.
    @method_decorator(transaction.non_atomic_requests)
    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Never inside a request-wide transaction."""
        return super().dispatch(*args, **kwargs)

    @extend_schema(
        parameters=[
            OpenApiParameter("as_of", OpenApiTypes.DATETIME, description="an earlier moment"),
            OpenApiParameter("use", str, description="the id of one reported use"),
        ],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, delivery_id: str) -> HttpResponseBase:
        """The evidence pack, as of now or `as_of`, of the delivery or one `use`, for `kyodaku
        verify`."""
        delivery = access_delivery(caller(request).person, delivery_id)
        asked = EvidenceInput(data=request.query_params)
        asked.is_valid(raise_exception=True)
        use = None
        if "use" in asked.validated_data:
            use = get_object_or_404(UseReport, pk=asked.validated_data["use"], delivery=delivery)
        at = asked.validated_data.get("as_of")
        found = evidence.pack_build(delivery=delivery, use=use, at=at)
        if isinstance(found, Refusal):
            return problems.refused(found, instance=request.path)
        response = HttpResponse(found, content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="evidence-{delivery.pk}.zip"'
        response["Cache-Control"] = "no-store"
        return response


class Uses(ApiView):
    """The licensee's reports."""

    parser_classes = (StrictJSONParser,)

    @extend_schema(request=UseInput, responses={201: OpenApiTypes.OBJECT})
    @idempotent
    def post(self, request: Request, delivery_id: str) -> Response:
        """Report one use. It is recorded in any case; `outside` says what was not agreed."""
        person = caller(request).person
        delivery = access_delivery(person, delivery_id)
        values = parsed(UseInput, request)
        note = values.pop("note", "")
        for name in ("transformations", "categories"):
            values[name] = tuple(values[name])
        row = usage.use_report(delivery=delivery, by=person, use=Use(**values), note=note)
        if isinstance(row, Refusal):
            return problems.refused(row, instance=request.path)
        return Response({"id": row.pk, "outside": row.outside, "event": row.event}, status=201)
