"""Receipts and rights statements over HTTP, for a party's own systems. After stages 2 and 3."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import selectors
from registry.api import problems
from registry.api.base import ApiView, caller
from registry.core import odrl
from registry.core.refusals import Refusal
from registry.services import receipts


class Receipt(ApiView):
    """The caller's own consent receipt."""

    @extend_schema(
        responses=OpenApiTypes.OBJECT,
        parameters=[
            OpenApiParameter("by", str, required=True, description="the capacity signed in")
        ],
    )
    def get(self, request: Request, grant_id: str) -> HttpResponse | Response:
        """ISO/IEC TS 27560 with its evidence, exactly the bytes that `kyodaku verify` reads."""
        person = caller(request).person
        grant = selectors.access_grant(person=person, grant_id=grant_id)
        found = receipts.receipt_of(
            person=person, grant=grant, by=request.query_params.get("by", "")
        )
        if isinstance(found, Refusal):
            return problems.refused(found, instance=request.path)
        return HttpResponse(found, content_type="application/json")


class Odrl(ApiView):
    """A grant for partners' rights systems."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, grant_id: str) -> Response:
        """An ODRL 2.2 Agreement; an export, never read back."""
        grant = selectors.access_grant(person=caller(request).person, grant_id=grant_id)
        core = selectors.core_grant(grant)
        policy = odrl.agreement(core, issuer=settings.PUBLIC_URL, state=grant.state)
        return Response(policy, content_type="application/ld+json")
