"""The rights of the photographs over HTTP: parse, access, one service, answer. Stage 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import selectors as registry
from registry.api import problems
from registry.api.base import ApiView, Input, caller, idempotent, parsed
from registry.core.refusals import Refusal
from registry.core.terms import Problem
from training import selectors
from training.models import Dataset, Picture, PictureRights
from training.services import datasets, declarations, rights

_OBJECT: Final = OpenApiTypes.OBJECT


class ShootInput(Input):
    """When, for whom and for what the pictures were taken."""

    shot_on = serializers.DateField()
    client = serializers.CharField(max_length=200)
    purpose = serializers.CharField(max_length=300)


class WorkInput(Input):
    """A character, costume or work that is seen: by id, or by title, which proposes it."""

    kind = serializers.CharField(max_length=20)
    work = serializers.CharField(required=False, max_length=24)
    title = serializers.CharField(required=False, max_length=200)


class BystanderInput(Input):
    """Somebody beside the talents who is asked: who, and where their face is, in pixels."""

    person = serializers.CharField(max_length=24)
    box = serializers.ListField(child=serializers.IntegerField(), min_length=4, max_length=4)


class RightsInput(Input):
    """The rights of these pictures, or of all; a member left out stays as it was."""

    pictures = serializers.ListField(
        child=serializers.CharField(max_length=24), required=False, max_length=200
    )
    shoot = ShootInput(required=False)
    holder = serializers.CharField(required=False, max_length=24)
    basis = serializers.CharField(required=False, max_length=40)
    moral_rights = serializers.BooleanField(required=False)
    credit_line = serializers.CharField(required=False, allow_blank=True, max_length=200)
    original_sha256 = serializers.CharField(required=False, allow_blank=True, max_length=64)
    operations = serializers.ListField(
        child=serializers.CharField(max_length=20), required=False, max_length=20
    )
    retoucher = serializers.CharField(required=False, allow_blank=True, max_length=24)
    works = WorkInput(many=True, required=False)
    bystanders = BystanderInput(many=True, required=False)
    creator_note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    exposure = serializers.CharField(required=False, max_length=20)


class MaskInput(Input):
    """The box to paint over: left, top, right, bottom in pixels."""

    box = serializers.ListField(child=serializers.IntegerField(), min_length=4, max_length=4)


class Rights(ApiView):
    """The rights of a request's photographs."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request, request_id: str) -> Response:
        """Each picture that is in, what is on record, and what it still lacks."""
        return _shown(_own_dataset(request, request_id))

    @extend_schema(request=RightsInput, responses=_OBJECT)
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """Declare the rights of many pictures at once: all of it, or nothing and every reason."""
        dataset = _own_dataset(request, request_id)
        given, by = parsed(RightsInput, request), caller(request).person
        rows = declarations.pictures_named(dataset, given.pop("pictures", None))
        if isinstance(rows, Problem):
            return problems.refused([rows], instance=request.path)
        declared = declarations.declaration(_plain(given), dataset=dataset, by=by)
        if isinstance(declared, list):
            return problems.refused(declared, instance=request.path)
        kept = rights.rights_declare(dataset=dataset, pictures=rows, by=by, **declared)
        wrong = [item for item in kept if not isinstance(item, PictureRights)]
        if wrong:
            return problems.refused(wrong, instance=request.path)
        return _shown(dataset)


class Mask(ApiView):
    """Painting a bystander over."""

    @extend_schema(request=MaskInput, responses={201: _OBJECT})
    @idempotent
    def post(self, request: Request, request_id: str, picture_id: str) -> Response:
        """A masked version takes the picture's place; check the pictures again afterwards."""
        dataset = _own_dataset(request, request_id)
        picture = Picture.objects.filter(pk=picture_id, dataset=dataset).first()
        if picture is None:
            raise Http404
        box, by = parsed(MaskInput, request)["box"], caller(request).person
        made = rights.picture_mask(dataset=dataset, picture=picture, box=box, by=by)
        if isinstance(made, Refusal):
            return problems.refused(made, instance=request.path)
        return Response(selectors.picture_view(made), status=201)


def _own_dataset(request: Request, request_id: str) -> Dataset:
    row = registry.access_own_request(person=caller(request).person, request_id=request_id)
    return datasets.dataset_open(request=row)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ordered dictionaries of the serializers as plain ones: they go into JSON columns."""
    return {
        name: [dict(item) if isinstance(item, Mapping) else item for item in value]
        if isinstance(value, list)
        else value
        for name, value in given.items()
    }


def _shown(dataset: Dataset) -> Response:
    return Response({"items": [_line(line) for line in rights.rights_view(dataset)]})


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    record = line["rights"]
    return {
        "name": line["name"],
        "picture": line["picture"].pk,
        "holder": record.holder.key if record else None,
        "basis": record.basis if record else None,
        "shoot": record.shoot_id if record else None,
        "moral_rights": bool(record and record.moral_rights),
        "exposure": record.exposure if record else None,
        "works": line["works"],
        "reservation": line["reservation"],
        "creators": line["creators"],
        "metadata_stripped": line["stripped"],
        "missing": [
            {**(selectors.refusal_view(item.code) or {}), "code": item.code}
            for item in line["missing"]
        ],
    }
