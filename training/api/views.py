"""Pictures, curation, sealing, jobs and deliveries over HTTP: parse, access, one service, answer.

Stages 5 to 8 as a photographer's system uses them. Who may change a data set: whoever acts for the
company that asks. Who may look: whoever may see the request; anybody else gets 404.
"""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import RequestDataTooBig
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
from registry.models import Talent, TrainingRequest
from training import selectors, tasks
from training.api.rights import Mask, Rights
from training.models import Dataset, Picture, TrainingJob
from training.services import curation, datasets, delivery, engine, jobs

_OBJECT: Final = OpenApiTypes.OBJECT
_IMAGE: Final = {"image/*": {"schema": {"type": "string", "format": "binary"}}}


class AcceptInput(Input):
    """A point of the report taken on. `picture` for a point about one picture, `p001` …"""

    code = serializers.CharField(max_length=40)
    reason = serializers.CharField(max_length=2000)
    picture = serializers.CharField(required=False, allow_blank=True, max_length=8, default="")


class LeaveOutInput(Input):
    """Whether a picture is in the set."""

    accepted = serializers.BooleanField()


class Pictures(ApiView):
    """The photographs of a request."""

    @extend_schema(request=_IMAGE, responses={201: _OBJECT})
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """Take in one photograph: the raw bytes of a JPEG, PNG, WebP or TIFF file."""
        dataset = _own_dataset(request, request_id)
        data = _raw(request)
        if isinstance(data, Refusal):
            return _no(request, data)
        row = datasets.picture_add(dataset=dataset, data=data)
        if isinstance(row, Refusal):
            return _no(request, row)
        return Response(selectors.picture_view(row), status=201)


class PictureDetail(ApiView):
    """One photograph of a request."""

    @extend_schema(request=LeaveOutInput, responses=_OBJECT)
    def patch(self, request: Request, request_id: str, picture_id: str) -> Response:
        """Leave a picture out of the set, or take it back in, before it is sealed."""
        dataset = _own_dataset(request, request_id)
        picture = Picture.objects.filter(pk=picture_id, dataset=dataset).first()
        if picture is None:
            raise Http404
        accepted = parsed(LeaveOutInput, request)["accepted"]
        row = datasets.picture_leave_out(dataset=dataset, picture=picture, accepted=accepted)
        if isinstance(row, Refusal):
            return _no(request, row)
        return Response(selectors.picture_view(row))


class References(ApiView):
    """Pictures that say who the talent is; never trained on."""

    @extend_schema(request=_IMAGE, responses={201: _OBJECT})
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """Take in one reference picture; `?talent=` names whose, where there are several."""
        dataset = _own_dataset(request, request_id)
        talent, data = _talent(request, dataset), _raw(request)
        if isinstance(data, Refusal):
            return _no(request, data)
        row = datasets.reference_add(dataset=dataset, talent=talent, data=data)
        if isinstance(row, Refusal):
            return _no(request, row)
        return Response({"id": row.pk, "talent": talent.pk}, status=201)


class Curation(ApiView):
    """The survey of a data set."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request, request_id: str) -> Response:
        """The report with its findings in both languages, and how far a survey is."""
        row = registry.access_request(person=caller(request).person, request_id=request_id)
        dataset = selectors.access_dataset(caller(request).person, row)
        return Response(selectors.dataset_view(dataset))

    @extend_schema(request=None, responses=_OBJECT)
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """Measure every picture. About a third of a second each; `GET` shows how far it is."""
        dataset = _own_dataset(request, request_id)
        faces = engine.engine_open()
        if isinstance(faces, Refusal):
            return _no(request, faces)
        report = curation.dataset_survey(dataset=dataset, engine=faces)
        if isinstance(report, Refusal):
            return _no(request, report)
        dataset.refresh_from_db()
        return Response(selectors.dataset_view(dataset))


class Accept(ApiView):
    """Taking a point of the report on."""

    @extend_schema(request=AcceptInput, responses=_OBJECT)
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """With a reason, which becomes part of what people sign."""
        dataset = _own_dataset(request, request_id)
        given = parsed(AcceptInput, request)
        taken = curation.advice_accept(dataset=dataset, by=caller(request).person, **given)
        if isinstance(taken, Refusal):
            return _no(request, taken)
        return Response(selectors.dataset_view(dataset))


class Seal(ApiView):
    """Sealing a data set."""

    @extend_schema(request=None, responses={201: _OBJECT})
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """Seal the set; the registry then asks everybody for approval of exactly it."""
        grant = curation.dataset_seal(dataset=_own_dataset(request, request_id))
        if isinstance(grant, list):
            return problems.refused(grant, instance=request.path)
        return Response({"grant": grant.pk, "grant_digest": grant.digest}, status=201)


class Jobs(ApiView):
    """Training jobs of a request."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request, request_id: str) -> Response:
        """Newest first."""
        row = registry.access_request(person=caller(request).person, request_id=request_id)
        return Response({"items": [selectors.job_view(job) for job in selectors.jobs_of(row)]})

    @extend_schema(request=None, responses={201: _OBJECT})
    @idempotent
    def post(self, request: Request, request_id: str) -> Response:
        """Queue one run under the grant, and wake a worker."""
        job = jobs.job_create(request=_own_request(request, request_id))
        if not isinstance(job, TrainingJob):
            return problems.refused(job, instance=request.path)
        tasks.wake_worker()
        response = Response(selectors.job_view(job), status=201)
        response["Location"] = f"/api/v1/jobs/{job.pk}"
        return response


class JobDetail(ApiView):
    """One training job."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request, job_id: str) -> Response:
        """State, progress, loss curve; a refusal with its sentences."""
        return Response(selectors.job_view(selectors.access_job(caller(request).person, job_id)))


class Deliveries(ApiView):
    """Copies of the LoRA that a job made."""

    @extend_schema(request=None, responses={201: _OBJECT})
    @idempotent
    def post(self, request: Request, job_id: str) -> Response:
        """Make the licensee's copy. The link is in this answer and never again."""
        job = selectors.access_job(caller(request).person, job_id)
        _own_request(request, job.request_id)
        lora = getattr(job, "lora", None)
        if lora is None:
            return _no(request, Refusal("wrong_state", job.state))
        made = delivery.delivery_make(lora=lora, recipient=job.request.licensee)
        if isinstance(made, Refusal):
            return _no(request, made)
        view = {**selectors.delivery_view(made), "link": f"/d/{made.link}"}
        return Response(view, status=201)


class DeliveryDetail(ApiView):
    """One delivery."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request, delivery_id: str) -> Response:
        """What was delivered to whom, with the signed statement."""
        row = selectors.access_delivery(caller(request).person, delivery_id)
        return Response(selectors.delivery_view(row))


def _own_request(request: Request, request_id: str) -> TrainingRequest:
    return registry.access_own_request(person=caller(request).person, request_id=request_id)


def _own_dataset(request: Request, request_id: str) -> Dataset:
    return datasets.dataset_open(request=_own_request(request, request_id))


def _talent(request: Request, dataset: Dataset) -> Talent:
    """The talent named, or the only one. Raises `Http404` for one outside the request."""
    talents = dataset.request.talents.all()
    named = request.query_params.get("talent")
    found = talents.filter(pk=named).first() if named else talents.first()
    if found is None or (named is None and talents.count() != 1):
        raise Http404
    return found


def _raw(request: Request) -> bytes | Refusal:
    try:
        return bytes(request._request.body)
    except RequestDataTooBig:
        return Refusal("image_too_large", "request body")


def _no(request: Request, refusal: Refusal) -> Response:
    return problems.refused(refusal, instance=request.path)


def routes() -> dict[str, Any]:
    """Addresses under `/api/v1/` and their views."""
    of_request = "requests/<str:request_id>"
    return {
        f"{of_request}/pictures": Pictures,
        f"{of_request}/pictures/<str:picture_id>": PictureDetail,
        f"{of_request}/pictures/<str:picture_id>/mask": Mask,
        f"{of_request}/rights": Rights,
        f"{of_request}/references": References,
        f"{of_request}/curation": Curation,
        f"{of_request}/curation/accept": Accept,
        f"{of_request}/seal": Seal,
        f"{of_request}/jobs": Jobs,
        "jobs/<str:job_id>": JobDetail,
        "jobs/<str:job_id>/deliveries": Deliveries,
        "deliveries/<str:delivery_id>": DeliveryDetail,
    }
