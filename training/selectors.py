"""Reading training's rows for pages and the API: who may see which, and what they see.

Trusts the registry to say which requests a person may see; anything else is 404.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import get_language

from registry import selectors as registry
from registry.core import refusals
from registry.core.refusals import Refusal
from registry.models import Person, TrainingRequest
from training.core.curation_advice import ADVICE
from training.core.probes import VERDICTS, WORDS
from training.models import (
    Dataset,
    Delivery,
    Lora,
    OutputProbe,
    Picture,
    ReferencePicture,
    TrainingJob,
)

SHOWN_POINTS = 400


def access_dataset(person: Person, request: TrainingRequest) -> Dataset:
    """The data set of a request that the person works on. Raises `Http404`."""
    registry.access_request(person=person, request_id=request.pk)
    dataset = Dataset.objects.select_related("request").filter(request=request).first()
    if dataset is None:
        raise Http404
    return dataset


def access_job(person: Person, job_id: str) -> TrainingJob:
    """A job whose request the person may see. Raises `Http404`."""
    rows = TrainingJob.objects.select_related("request", "grant", "dataset", "lora")
    job = rows.filter(pk=job_id).first()
    if job is None:
        raise Http404
    registry.access_request(person=person, request_id=job.request_id)
    return job


def access_delivery(person: Person, delivery_id: str) -> Delivery:
    """A delivery whose request the person may see, or whose recipient they act for."""
    rows = Delivery.objects.select_related("lora__job__grant", "lora__job__request", "recipient")
    delivery = rows.filter(pk=delivery_id).first()
    if delivery is None:
        raise Http404
    acts_for = registry.houses_of(person)
    if not acts_for.filter(pk=delivery.recipient_id).exists():
        registry.access_request(person=person, request_id=delivery.lora.job.request_id)
    return delivery


def jobs_of(request: TrainingRequest) -> list[TrainingJob]:
    """A request's jobs, newest first."""
    return list(TrainingJob.objects.filter(request=request).order_by("-created_at"))


def job_view(job: TrainingJob) -> dict[str, Any]:
    """A job as the API and its page show it: state, progress, loss curve, reason with texts."""
    lora = Lora.objects.filter(job=job).first()
    deliveries = list(lora.deliveries.values_list("pk", flat=True)) if lora else []
    return {
        "id": job.pk,
        "request": job.request_id,
        "state": job.state,
        "attempt": job.attempt,
        "step": job.step,
        "steps": job.steps_total,
        "points": loss_curve(job),
        "refusal": refusal_view(job.refusal_code, job.reason),
        "stop_report": job.stop_report,
        "lora": None if lora is None else {"id": lora.pk, "state": lora.state},
        "probe": None if lora is None else probe_view(lora),
        "deliveries": deliveries,
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
    }


def probe_view(lora: Lora) -> dict[str, Any] | None:
    """What a LoRA's samples showed, in bands, counts and words; whose they are stays out of it.

    The parties of a blend may not know of each other (R17), so the talents are in no order of ids
    and without them.
    """
    row = OutputProbe.objects.filter(lora=lora).first()
    if row is None:
        return None
    report, ja = row.report, (get_language() or "ja").startswith("ja")
    talents = [
        {key: one[key] for key in ("match", "weak", "unlike", "other", "verdict")}
        | {"said": VERDICTS[one["verdict"]][0 if ja else 1]}
        for one in report["talents"]
    ]
    findings = [
        {
            "code": item["code"],
            "kind": item["kind"],
            "samples": item["samples"],
            "text": WORDS[item["code"]][0 if ja else 1],
            "ja": WORDS[item["code"]][0],
            "en": WORDS[item["code"]][1],
        }
        for item in report["findings"]
    ]
    return {
        "samples": report["samples"],
        "faces": report["faces"],
        "talents": sorted(talents, key=str),
        "findings": findings,
        "report_digest": row.report_digest,
        "held": row.held,
        "decision": row.decision,
        "open": bool(row.held) and row.decision != "released",
    }


def loss_curve(job: TrainingJob) -> list[list[float]]:
    """At most `SHOWN_POINTS` points [step, loss], evenly thinned."""
    points = list(job.points.values_list("step", "loss"))
    every = max(1, -(-len(points) // SHOWN_POINTS))
    return [[step, loss] for step, loss in points[::every]]


def refusal_view(code: str, detail: str = "") -> dict[str, str] | None:
    """A code with what it means and what to do, in both languages; `None` without a code."""
    if not code:
        return None
    refusal = Refusal(code, detail)
    if refusal.kind not in refusals.CODES:
        return {"code": code}
    return {
        "code": code,
        "ja": refusal.sentence("ja"),
        "en": refusal.sentence("en"),
        "next_ja": refusal.next_step("ja"),
        "next_en": refusal.next_step("en"),
    }


def picture_view(picture: Picture) -> dict[str, Any]:
    """One picture as the API shows it: no hash of it."""
    return {
        "id": picture.pk,
        "position": picture.position,
        "width": picture.width,
        "height": picture.height,
        "bytes": picture.bytes,
        "accepted": picture.accepted,
        "notes": picture.notes,
        "advice": picture.advice,
    }


def dataset_view(dataset: Dataset) -> dict[str, Any]:
    """A data set with its findings in both languages, and what has been taken on."""
    pictures = [picture_view(row) for row in dataset.pictures.all()]
    findings = (dataset.curation or {}).get("findings", [])
    return {
        "id": dataset.pk,
        "request": dataset.request_id,
        "state": dataset.state,
        "surveyed": dataset.surveyed,
        "pictures": pictures,
        "references": dataset.references.count(),
        "findings": [finding_view(finding) for finding in findings],
        "acceptances": dataset.acceptances,
        "curation_digest": dataset.curation_digest,
        "root": dataset.root,
        "count": dataset.count,
        "sealed_at": _iso(dataset.sealed_at),
    }


def finding_view(finding: dict[str, Any]) -> dict[str, Any]:
    """One finding with its sentences. `kind` is the finding's own: a third alike only warns."""
    advice = ADVICE[finding["code"]]
    texts = {
        name: getattr(advice, name)
        for name in ("ja", "en", "why_ja", "why_en", "next_ja", "next_en")
    }
    return {**finding, **texts}


def pictures_shown(person: Person, dataset: Dataset) -> list[tuple[int, Picture]]:
    """The pictures that a person of a talent's side may look at, each with its place in the set.

    In a blend only those in which somebody is seen for whom this person speaks: the others stay
    unnamed, and unseen. Before the survey nobody knows who is in which.
    """
    rows = list(dataset.pictures.filter(accepted=True))
    hidden = registry.hidden_talents(person, dataset.request)
    if not hidden:
        return list(enumerate(rows, 1))
    seen = (dataset.curation or {}).get("pictures", [])
    if len(seen) != len(rows):
        return []
    own = {talent.pk for talent in dataset.request.talents.all()} - hidden
    return [
        (place, row)
        for place, (row, record) in enumerate(zip(rows, seen, strict=True), 1)
        if own & {face["talent"] for face in record["faces"]}
    ]


def references_shown(person: Person, dataset: Dataset) -> list[ReferencePicture]:
    """The reference pictures of those talents for whom this person speaks."""
    hidden = registry.hidden_talents(person, dataset.request)
    return list(dataset.references.exclude(talent__in=hidden))


def pictures_readable(request: TrainingRequest) -> bool:
    """Whether the pictures of a request can still be opened: no talent's key share is destroyed."""
    return not request.key_shares.filter(wrapped__isnull=True).exists()


def deliveries_of(lora: Lora) -> QuerySet[Delivery]:
    """The copies of a LoRA, the oldest first, with the times they were handed out."""
    rows = lora.deliveries.select_related("recipient").prefetch_related("downloads")
    return rows.order_by("created_at")


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery without its link and without its artefact id."""
    return {
        "id": delivery.pk,
        "lora": delivery.lora_id,
        "recipient": delivery.recipient_id,
        "file_sha256": delivery.file_sha256,
        "tensor_sha256": delivery.tensor_sha256,
        "statement": delivery.statement,
        "event": delivery.event,
        "expires_at": _iso(delivery.expires_at),
        "fetched_at": _iso(delivery.fetched_at),
        "link_number": delivery.link_number,
        "link_used_at": _iso(delivery.link_used_at),
        "downloads": [
            {"at": _iso(row.at), "link_number": row.link_number} for row in delivery.downloads.all()
        ],
    }


def _iso(at: Any) -> str | None:
    return None if at is None else at.isoformat()
