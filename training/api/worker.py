"""The worker API: claim, fetch, redeem, renew, hand in, report. Signed requests only.

Stages 4 and 6. Parse, one service, answer. A job that is not this worker's answers exactly like one
that does not exist: `lease_lost`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from registry.core.refusals import Refusal
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from training import tasks
from training.api.answers import problem
from training.api.proof import worker_only
from training.core.manifest import is_digest
from training.models import TrainingJob, Worker
from training.services import gate, jobs, runs
from training.services.datasets import dataset_manifest
from training.services.objects import object_read

State = TrainingJob.State
MAX_DETAIL = 300
_LOST = Refusal("lease_lost")


@worker_only("POST")
def claims(request: HttpRequest, worker: Worker) -> HttpResponse:
    """200 with a job and its token, 204 when nothing waits, 409 when the token was refused."""
    claimed = jobs.job_claim(worker=worker)
    if claimed is None:
        return HttpResponse(status=204)
    if isinstance(claimed, Refusal):
        return problem(request, claimed)
    job, token = claimed
    return JsonResponse(
        {
            "job_id": job.pk,
            "fence": job.fence,
            "token": token,
            "recipe": jobs.recipe_of(job.request),
            "base_sha256": job.request.base_model.sha256,
            "audience": jobs.audience_of(worker),
            "lease_seconds": settings.LEASE_SECONDS,
        }
    )


@worker_only("GET")
def manifest(request: HttpRequest, worker: Worker, job_id: str) -> HttpResponse:
    """The pictures of a job that this worker has claimed."""
    job = _held(worker, job_id)
    if job is None:
        return problem(request, _LOST)
    payload = canonical.dumps(dataset_manifest(job.dataset).to_payload())
    return HttpResponse(payload, content_type="application/json")


@worker_only("GET")
def sealed_object(request: HttpRequest, worker: Worker, job_id: str, digest: str) -> HttpResponse:
    """One encrypted picture of that job. Nothing but a digest of the job's own set names one."""
    job = _held(worker, job_id)
    if job is None:
        return problem(request, _LOST)
    own = job.dataset.pictures.filter(accepted=True, object_digest=digest)
    if not is_digest(digest) or not own.exists():
        return problem(request, Refusal("image_unavailable"), status=404)
    data = object_read(digest)
    if isinstance(data, Refusal):
        return problem(request, data)
    return HttpResponse(data, content_type="application/octet-stream")


@worker_only("POST")
def redeem(request: HttpRequest, worker: Worker, job_id: str) -> HttpResponse:
    """Spend the token: `{fence, token}` → the sealed data key and a status list."""
    job, body = _held(worker, job_id, any_state=True), _body(request)
    if job is None:
        return problem(request, _LOST)
    if body is None or not isinstance(body.get("token"), str):
        return problem(request, Refusal("no_token"), status=400)
    released = gate.redeem(worker=worker, job=job, token=body["token"], fence=_fence(body))
    if isinstance(released, Refusal):
        return problem(request, released)
    return JsonResponse(
        {
            "sealed_key": canonical.b64u(released.sealed_key),
            "status_list": released.status_list,
            "lease_until": released.lease_until.isoformat(),
            "worker_id": worker.pk,
        }
    )


@worker_only("POST")
def lease(request: HttpRequest, worker: Worker, job_id: str) -> HttpResponse:
    """Renew: `{fence, step, points}` → a fresh status list, and a code when the run must stop."""
    job, body = _held(worker, job_id), _body(request)
    if job is None or body is None:
        return problem(request, _LOST)
    renewed = gate.lease_renew(
        worker=worker,
        job=job,
        fence=_fence(body),
        step=_whole(body.get("step")),
        points=_points(body.get("points")),
    )
    if isinstance(renewed, Refusal):
        return problem(request, renewed)
    return JsonResponse(
        {
            "status_list": renewed.status_list,
            "lease_until": renewed.lease_until.isoformat(),
            "stop_code": renewed.stop_code,
        }
    )


@worker_only("POST")
def result(request: HttpRequest, worker: Worker, job_id: str) -> HttpResponse:
    """A finished run: 4 bytes of length, `{fence, statement, sample_bytes, base_sample_bytes}`, the
    sealed master, the sealed samples, those of the base model alone."""
    job, parts = _held(worker, job_id), _result_parts(request.body)
    if job is None:
        return problem(request, _LOST)
    if parts is None:
        return problem(request, Refusal("malformed", "result"), status=400)
    head, master, samples, base_samples = parts
    finished = runs.run_finished(
        worker=worker,
        job=job,
        fence=_fence(head),
        master=master,
        statement=head.get("statement", {}),
        samples=samples,
        base_samples=base_samples,
    )
    if isinstance(finished, Refusal):
        return problem(request, finished)
    # A crash here leaves the job in `finalising`; the sweep seals it.
    tasks.wake_sealer(job.pk)
    return JsonResponse({"state": finished.state}, status=202)


@worker_only("POST")
def ended(request: HttpRequest, worker: Worker, job_id: str, end: str) -> HttpResponse:
    """How a run ended otherwise: `stopped` {report}, `refused` or `failed` {code, detail}."""
    job, body = _held(worker, job_id), _body(request)
    if job is None or body is None:
        return problem(request, _LOST)
    told = _ended(worker, job, end, body)
    if isinstance(told, Refusal):
        return problem(request, told)
    return JsonResponse({"state": told.state, "code": told.refusal_code})


def _ended(
    worker: Worker, job: TrainingJob, end: str, body: Mapping[str, Any]
) -> TrainingJob | Refusal:
    fence = _fence(body)
    if end == "stopped":
        report = body.get("report")
        report = report if isinstance(report, dict) else {}
        return runs.run_stopped(worker=worker, job=job, fence=fence, report=report)
    code, detail = str(body.get("code", ""))[:60], str(body.get("detail", ""))[:MAX_DETAIL]
    service = runs.run_refused if end == "refused" else runs.run_failed
    return service(worker=worker, job=job, fence=fence, code=code, detail=detail)


def _held(worker: Worker, job_id: str, *, any_state: bool = False) -> TrainingJob | None:
    rows = TrainingJob.objects.select_related("request__base_model", "grant", "dataset")
    rows = rows.filter(pk=job_id, worker=worker)
    if not any_state:
        rows = rows.filter(state__in=(State.CLAIMED, State.TRAINING))
    return rows.first()


def _body(request: HttpRequest) -> dict[str, Any] | None:
    try:
        body = canonical.loads(request.body)
    except VerificationError:
        return None
    return body if isinstance(body, dict) else None


def _result_parts(body: bytes) -> tuple[dict[str, Any], bytes, bytes, bytes] | None:
    size = int.from_bytes(body[:4], "big")
    if len(body) < 4 or size > len(body) - 4:
        return None
    try:
        head = canonical.loads(body[4 : 4 + size])
    except VerificationError:
        return None
    if not isinstance(head, dict) or not isinstance(head.get("statement"), dict):
        return None
    rest = body[4 + size :]
    sizes = [head.get("sample_bytes", 0), head.get("base_sample_bytes", 0)]
    if any(type(part) is not int or part < 0 for part in sizes) or sum(sizes) >= len(rest):
        return None
    end = len(rest) - sizes[1]
    return head, rest[: end - sizes[0]], rest[end - sizes[0] : end], rest[end:]


def _fence(body: Mapping[str, Any]) -> int:
    """An absent or odd fence is none that was ever given out."""
    fence = body.get("fence")
    return fence if type(fence) is int else -1


def _whole(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _points(value: object) -> list[tuple[int, float]]:
    rows = value[: gate.MAX_POINTS] if isinstance(value, list) else []
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2]
    return [
        (step, float(loss))
        for step, loss in pairs
        if type(step) is int and isinstance(loss, int | float) and math.isfinite(loss)
    ]


urlpatterns = [
    path("claims", claims),
    path("jobs/<str:job_id>/manifest", manifest),
    path("jobs/<str:job_id>/objects/<str:digest>", sealed_object),
    path("jobs/<str:job_id>/redeem", redeem),
    path("jobs/<str:job_id>/lease", lease),
    path("jobs/<str:job_id>/result", result),
    path("jobs/<str:job_id>/stopped", ended, {"end": "stopped"}),
    path("jobs/<str:job_id>/refused", ended, {"end": "refused"}),
    path("jobs/<str:job_id>/failed", ended, {"end": "failed"}),
]
