"""Letting a paused grant go on over HTTP: a challenge, and the assertion that answers it.

Between stages 2 and 4. As with approvals, an API key alone can sign nothing.
"""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import selectors
from registry.api import present, problems
from registry.api.base import ApiView, caller, parsed
from registry.api.views import SignatureInput
from registry.core.refusals import Refusal
from registry.services import resume

_OBJECT = OpenApiTypes.OBJECT


class GoOnChallenge(ApiView):
    """The first half of confirming a paused grant."""

    @extend_schema(request=None, responses=_OBJECT)
    def post(self, request: Request, grant_id: str) -> Response:
        """`{challenge_id, options}` for `navigator.credentials.get`."""
        person = caller(request).person
        grant = selectors.access_grant(person=person, grant_id=grant_id)
        begun = resume.confirm_begin(person=person, grant=grant)
        if isinstance(begun, Refusal):
            return problems.refused(begun, instance=request.path)
        return Response(begun)


class GoOn(ApiView):
    """The second half of confirming a paused grant."""

    @extend_schema(request=SignatureInput, responses={201: _OBJECT})
    def post(self, request: Request, grant_id: str) -> Response:
        """Store the confirmation, if the assertion verifies; the last one lets the grant go on."""
        person, given = caller(request).person, parsed(SignatureInput, request)
        grant = selectors.access_grant(person=person, grant_id=grant_id)
        made = resume.confirm_finish(person=person, **given)
        if isinstance(made, Refusal):
            return problems.refused(made, instance=request.path)
        grant.refresh_from_db()
        return Response(present.grant(grant, person), status=201)
