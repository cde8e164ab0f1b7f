"""Approving the outputs of a run over HTTP: a challenge, and the assertion that answers it.

Between stages 7 and 8. As with approvals, an API key alone can say no yes.
"""

from __future__ import annotations

from typing import Final

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api import problems
from registry.api.base import ApiView, Input, caller, parsed
from registry.api.views import SignatureInput
from registry.core.refusals import Refusal
from registry.models import Person
from training import selectors
from training.models import Lora
from training.services import outputs

_OBJECT: Final = OpenApiTypes.OBJECT


class CapacityInput(Input):
    """In which capacity the caller answers."""

    by = serializers.CharField(max_length=16)


class OutputsChallenge(ApiView):
    """The first half of approving outputs."""

    @extend_schema(request=CapacityInput, responses=_OBJECT)
    def post(self, request: Request, job_id: str) -> Response:
        """`{challenge_id, options}` for `navigator.credentials.get`."""
        person, by = caller(request).person, parsed(CapacityInput, request)["by"]
        begun = outputs.approve_begin(lora=_lora(person, job_id), person=person, by=by)
        if isinstance(begun, Refusal):
            return problems.refused(begun, instance=request.path)
        return Response(begun)


class Outputs(ApiView):
    """The second half of approving outputs."""

    @extend_schema(request=SignatureInput, responses={201: _OBJECT})
    def post(self, request: Request, job_id: str) -> Response:
        """Store the yes, if the assertion verifies."""
        person, given = caller(request).person, parsed(SignatureInput, request)
        made = outputs.approve_finish(lora=_lora(person, job_id), person=person, **given)
        if isinstance(made, Refusal):
            return problems.refused(made, instance=request.path)
        return Response({"by": made.by, "decision": made.decision}, status=201)


def _lora(person: Person, job_id: str) -> Lora:
    lora = Lora.objects.filter(job=selectors.access_job(person, job_id)).first()
    if lora is None:
        raise Http404
    return lora
