"""The pages of one case and of one job: parse, access, one service, render. Stages 2 and 5 to 8.

The three readers of a case (agency, talent, photographer) see the same grant in three orders; what
each may do is decided by the services. A job's page fetches its own middle again while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from registry import selectors as registry
from registry.core import clearance
from registry.core.cases import MAY_WITHDRAW, PENDING
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Terms
from registry.core.vocabulary import CATEGORIES, label
from registry.models import Grant, Lane, ModelRecord, Person, TrainingRequest
from registry.services import answers
from registry.views.base import NO_STORE, locale, said, signed_in, tell
from registry.views.catalogue import reasons_said
from training import case_views, selectors, tasks
from training.models import Dataset, Delivery, Lora, Picture, ReferencePicture, TrainingJob
from training.services import (
    curation,
    curation_report,
    datasets,
    delivery,
    drift,
    engine,
    jobs,
    outputs,
    rights,
    thumbnails,
)

State = TrainingJob.State
FINAL: Final = frozenset({State.DONE, State.REFUSED, State.STOPPED, State.FAILED})


# --- a case -----------------------------------------------------------------------------------


@require_safe
@signed_in
def agency_request(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """A2: what is asked, the pictures and their curation, who has answered, one's own answer."""
    row = registry.access_request(person=person, request_id=request_id)
    if not registry.agency_requests(person).filter(pk=row.pk).exists():
        raise Http404
    return render(request, "training/agency_request.html", _case(person, row, ("agency_officer",)))


@require_safe
@signed_in
def my_request(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """T2 and T3, on a phone: what is allowed, what is not, the pictures, yes or no."""
    row = registry.access_request(person=person, request_id=request_id)
    lanes = Lane.objects.filter(grant__request=row, person=person, by__in=MAY_WITHDRAW)
    today = jst_day(timezone.now())
    if not lanes.exists() and registry.speaks_as(person, row, today) is None:
        raise Http404
    return render(request, "training/my_request.html", _case(person, row, tuple(MAY_WITHDRAW)))


@require_safe
@signed_in
def request_detail(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """P4: how far the case is, what is missing, and what can be done now."""
    row = registry.access_request(person=person, request_id=request_id)
    by = ("photo_copyright", "work_rights", "bystander", "estate")
    context = _case(person, row, by)
    own = registry.organisations_of(person, "ask").filter(pk=row.requester_id).exists()
    context |= {"own": own, "jobs": selectors.jobs_of(row)}
    context["sitters"] = list(row.talents.select_related("person")) if own else []
    return render(request, "training/request_detail.html", context)


def _may_withdraw(person: Person, row: TrainingRequest, mine: Sequence[Lane]) -> bool:
    """Who signed for the talent, and who speaks for her today without having been asked."""
    own = [lane for lane in mine if lane.by in MAY_WITHDRAW]
    if own:
        return any(lane.state == Lane.State.SIGNED for lane in own)
    return registry.speaks_as(person, row, jst_day(timezone.now())) is not None


def _case(person: Person, row: TrainingRequest, by: Sequence[str]) -> dict[str, Any]:
    """What every page of a case shows. `by`: the capacities in which its reader answers there."""
    grant = registry.grant_of(row)
    hidden = registry.hidden_talents(person, row)
    lanes = registry.lanes_for(grant) if grant else []
    open_now = grant is not None and grant.state == "asking" and timezone.now() < row.sign_by
    mine = [lane for lane in lanes if lane.person_id == person.pk and lane.by in by]
    dataset = Dataset.objects.filter(request=row).first()
    lane = next((x for x in mine if open_now and x.state in PENDING), None)
    if grant is not None and lane is not None:
        answers.lane_open(person=person, grant=grant)
    return {
        **case_views.context(person, grant, lane),
        "request_row": row,
        "grant": grant,
        "lanes": lanes,
        "lane": lane,
        "answered": next((x for x in mine if x.state not in PENDING), None),
        "may_withdraw": _may_withdraw(person, row, mine)
        and grant is not None
        and grant.state in ("asking", "active", "paused"),
        "has_key": registry.credentials_of(person).exists(),
        "replaced": Grant.objects.filter(request=row, state="superseded").count(),
        "talents": [
            talent.person for talent in row.talents.select_related("person").exclude(pk__in=hidden)
        ],
        "hidden": hidden,
        "blend": _blend(grant, hidden),
        "machine": _machine(dataset),
        "scope": _scope(Terms.from_payload(row.terms), row),
        "text": registry.core_grant(grant).text(locale()) if grant else "",
        "text_easy": registry.core_grant(grant).text("ja-easy") if grant else "",
        **_pictures(person, row, dataset),
    }


def _blend(grant: Grant | None, hidden: frozenset[str]) -> dict[str, Any] | None:
    """What a blend's page says of it: the reader's own share, and that there are others (R17)."""
    found = registry.core_grant(grant).clearances if grant else None
    if found is None or len(found.shares) < 2:
        return None
    own = [share.talent for share in found.shares if share.talent not in hidden] if hidden else []
    seen = clearance.seen_by(found, own[0] if len(own) == 1 else "")
    others = ", ".join(f"{share / 10:.1f}%" for share in seen["others_permille"])
    own_share = f"{seen['own_permille'] / 10:.1f}" if seen["own_permille"] else ""
    return {"people": seen["people"], "own": own_share, "others": others}


def _machine(dataset: Dataset | None) -> list[dict[str, Any]]:
    """The lanes that nobody signs, in the reader's words."""
    names = {
        "base_licence": _("Licence of the base model"),
        "tool_licence": _("Licences of our own tools"),
        "curation": _("Check of the pictures"),
    }
    return [
        {
            **lane,
            "word": names[lane["kind"]],
            "said": said(lane["refusal"]) if lane["refusal"] else None,
        }
        for lane in rights.machine_lanes(dataset)
    ]


def _scope(terms: Terms, row: TrainingRequest) -> dict[str, Any]:
    """The terms in the reader's words, the allowed apart from the barred."""
    words = {
        name: label(name, getattr(terms, name), locale())
        for name in ("media", "territory", "transformations", "likeness_parts", "duties")
    }
    barred = tuple(word for word in CATEGORIES if word not in terms.categories)
    return {
        **words,
        "terms": terms,
        "exposure": label("exposure", (terms.exposure,), locale()),
        "name_use": label("name_use", (terms.name_use,), locale()),
        "exclusivity": label("exclusivity", (terms.exclusivity,), locale()),
        "barred": label("categories", barred, locale()),
        "opened": label("categories", terms.categories, locale()),
        "max_runs": row.max_runs,
    }


def _pictures(person: Person, row: TrainingRequest, dataset: Dataset | None) -> dict[str, Any]:
    """The data set with its findings; the pictures themselves only for those whom they show."""
    if dataset is None:
        return {"dataset": None, "findings": [], "pictures": [], "may_look": False}
    view = selectors.dataset_view(dataset)
    may_look = registry.may_see_pictures(person, row)
    return {
        "dataset": dataset,
        "findings": [
            {**finding, "reasons": _reasons(finding, view["acceptances"])}
            for finding in _together(view["findings"])
        ],
        "count": dataset.pictures.filter(accepted=True).count(),
        "references": view["references"],
        "may_look": may_look,
        "readable": may_look and selectors.pictures_readable(row),
        "pictures": selectors.pictures_shown(person, dataset) if may_look else [],
        "reference_pictures": selectors.references_shown(person, dataset) if may_look else [],
    }


def _together(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for one advice about many pictures; what a person must look at stays single."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in findings:
        single = tuple(row["pictures"]) if row["kind"] == "review" else ()
        line = found.setdefault((row["code"], row["kind"], *single), {**row, "pictures": []})
        line["pictures"] = sorted({*line["pictures"], *row["pictures"]})
    return list(found.values())


def _reasons(finding: Mapping[str, Any], taken: Sequence[Mapping[str, str]]) -> list[str]:
    """The reasons given for a finding; one given for a single picture counts for that one."""
    fits = [
        item["reason"]
        for item in taken
        if item["code"] == finding["code"]
        and (item["picture"] in finding["pictures"] or not item["picture"])
    ]
    return list(dict.fromkeys(fits))


@require_safe
@signed_in
def picture(request: HttpRequest, person: Person, request_id: str, picture_id: str) -> HttpResponse:
    """One small picture, for the talent and the talent's side only; kept by no cache."""
    row = registry.access_request(person=person, request_id=request_id)
    found = Picture.objects.select_related("dataset__request").filter(
        pk=picture_id, dataset__request=row
    )
    shown = found.first() if registry.may_see_pictures(person, row) else None
    if shown is not None:
        allowed = {row.pk for _place, row in selectors.pictures_shown(person, shown.dataset)}
        shown = shown if shown.pk in allowed else None
    return _image(None if shown is None else thumbnails.picture_thumbnail(picture=shown))


@require_safe
@signed_in
def reference(
    request: HttpRequest, person: Person, request_id: str, reference_id: str
) -> HttpResponse:
    """One small reference picture, for the same eyes: she must see who is taken for her."""
    row = registry.access_request(person=person, request_id=request_id)
    found = ReferencePicture.objects.select_related("dataset__request").filter(
        pk=reference_id, dataset__request=row
    )
    shown = found.first() if registry.may_see_pictures(person, row) else None
    if shown is not None and shown not in selectors.references_shown(person, shown.dataset):
        raise Http404
    return _image(None if shown is None else thumbnails.reference_thumbnail(reference=shown))


@require_safe
@signed_in
def report(request: HttpRequest, person: Person, request_id: str, form: str) -> HttpResponse:
    """How the pictures were checked, as a file to keep or to print."""
    row = registry.access_request(person=person, request_id=request_id)
    dataset = selectors.access_dataset(person, row)
    if form not in curation_report.FORMS:
        raise Http404
    made = curation_report.report_file(dataset=dataset, person=person, form=form, locale=locale())
    if isinstance(made, Refusal):
        raise Http404
    name = f'attachment; filename="curation-{row.pk}.{form}"'
    headers = {"Cache-Control": "no-store", "Content-Disposition": name}
    return HttpResponse(made, content_type=curation_report.FORMS[form], headers=headers)


def _image(data: bytes | Refusal | None) -> HttpResponse:
    if data is None or isinstance(data, Refusal):
        raise Http404
    return HttpResponse(
        data, content_type=thumbnails.MEDIA_TYPE, headers={"Cache-Control": "no-store"}
    )


# --- the photographer's steps ------------------------------------------------------------------


@require_POST
@signed_in
def upload(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Take in photographs, or references; every one that is refused is named with its reason."""
    row = registry.access_own_request(person=person, request_id=request_id)
    dataset = datasets.dataset_open(request=row)
    taken = 0
    for file in request.FILES.getlist("files"):
        whose = request.POST.get("talent", "")
        added = _take(dataset, file.read(), request.POST.get("kind") == "references", whose)
        if isinstance(added, Refusal):
            text = said(added)
            messages.error(request, f"{file.name}: {text['what']} {text['next']}")
        else:
            taken += 1
    if taken:
        messages.success(request, _("Pictures taken in: %(count)s") % {"count": taken})
    return redirect("request-detail", request_id=row.pk)


def _take(dataset: Dataset, data: bytes, reference: bool, whose: str) -> object:
    if not reference:
        return datasets.picture_add(dataset=dataset, data=data)
    talents = list(dataset.request.talents.all())
    if len(talents) > 1:
        talents = [talent for talent in talents if talent.pk == whose]
    if not talents:
        return Refusal("no_references", "say whom the references show")
    return datasets.reference_add(dataset=dataset, talent=talents[0], data=data)


@require_POST
@signed_in
def survey(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Measure every picture."""
    row = registry.access_own_request(person=person, request_id=request_id)
    dataset = selectors.access_dataset(person, row)
    faces = engine.engine_open()
    done = (
        faces
        if isinstance(faces, Refusal)
        else curation.dataset_survey(dataset=dataset, engine=faces)
    )
    if isinstance(done, Refusal):
        tell(request, done)
    return redirect("request-detail", request_id=row.pk)


@require_POST
@signed_in
def accept(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Take a point of the report on, with a reason that everybody who signs will read."""
    row = registry.access_own_request(person=person, request_id=request_id)
    dataset = selectors.access_dataset(person, row)
    given = {name: request.POST.get(name, "")[:2000] for name in ("code", "reason", "picture")}
    taken = curation.advice_accept(dataset=dataset, by=person, **given)
    if isinstance(taken, Refusal):
        tell(request, taken)
    return redirect("request-detail", request_id=row.pk)


@require_POST
@signed_in
def seal(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Seal the set and ask everybody for approval of exactly it."""
    row = registry.access_own_request(person=person, request_id=request_id)
    grant = curation.dataset_seal(dataset=selectors.access_dataset(person, row))
    if isinstance(grant, Grant):
        messages.success(request, _("The pictures are sealed and everybody has been asked."))
    else:
        tell(request, grant)
    return redirect("request-detail", request_id=row.pk)


@require_POST
@signed_in
def job_start(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """Queue one run under the grant and wake a machine."""
    row = registry.access_own_request(person=person, request_id=request_id)
    job = jobs.job_create(request=row)
    if not isinstance(job, TrainingJob):
        tell(request, job)
        return redirect("request-detail", request_id=row.pk)
    tasks.wake_worker()
    return redirect("job", job_id=job.pk)


# --- a job ------------------------------------------------------------------------------------


@require_safe
@signed_in
def job(request: HttpRequest, person: Person, job_id: str) -> HttpResponse:
    """How a run goes: state, progress, loss, what came of it."""
    return render(request, "training/job.html", _job(person, selectors.access_job(person, job_id)))


@require_safe
@signed_in
def job_live(request: HttpRequest, person: Person, job_id: str) -> HttpResponse:
    """The middle of the job's page; it asks for itself again until the run has ended."""
    return render(request, "training/_job.html", _job(person, selectors.access_job(person, job_id)))


def _job(person: Person, row: TrainingJob) -> dict[str, Any]:
    lora = Lora.objects.filter(job=row).first()
    copies = selectors.deliveries_of(lora) if lora else []
    own = registry.organisations_of(person, "ask").filter(pk=row.request.requester_id).exists()
    probe = selectors.probe_view(lora) if lora else None
    clear = probe is not None and not probe["open"]
    sealed = lora is not None and lora.state == Lora.State.SEALED
    holds = sealed and clear and row.grant.state == "active"
    return {
        "job": row,
        "holds": holds,
        "request_row": row.request,
        "final": row.state in FINAL and not (sealed and probe is None),
        "steps": _steps(row, measured=probe is not None),
        "eta": _eta(row, timezone.now()),
        "plot": plot(selectors.loss_curve(row)),
        "refusal": said(Refusal(row.refusal_code, row.reason)) if row.refusal_code else None,
        "wiped": (row.stop_report or {}).get("wiped") or {},
        "lora": lora,
        "deliveries": [_delivery(copy, holds=holds) for copy in copies],
        "outputs": _outputs(person, lora) if lora else None,
        "probe": probe,
        "waits": sealed and not clear,
        "show_samples": lora is not None and _may_see_samples(person, lora),
        "own": own,
    }


def _outputs(person: Person, lora: Lora) -> dict[str, Any]:
    """Who must approve the outputs, what each has said, and what this reader may say."""
    found = outputs.voices(lora)
    return {
        "parties": [item for item in found if isinstance(item, outputs.Voice)],
        "barred": [said(item) for item in found if isinstance(item, Refusal)],
        "mine": outputs.capacities(lora, person),
        "has_key": registry.credentials_of(person).exists(),
    }


def _may_see_samples(person: Person, lora: Lora) -> bool:
    """Those whose pictures they come from, who decide, and who asked for them."""
    row = lora.job.request
    own = registry.organisations_of(person, "pictures").filter(pk=row.requester_id).exists()
    seen = own or bool(outputs.capacities(lora, person)) or registry.may_see_pictures(person, row)
    return bool(lora.samples_object) and seen and selectors.pictures_readable(row)


@require_safe
@signed_in
def samples(request: HttpRequest, person: Person, job_id: str) -> HttpResponse:
    """What the LoRA draws, in one picture; kept by no cache."""
    lora = Lora.objects.filter(job=selectors.access_job(person, job_id)).first()
    if lora is None or not _may_see_samples(person, lora):
        raise Http404
    return _image(thumbnails.samples_picture(lora=lora))


@require_POST
@signed_in
def return_outputs(request: HttpRequest, person: Person, job_id: str) -> HttpResponse:
    """Return the outputs, in one's own capacity; approving them needs a key."""
    lora = Lora.objects.filter(job=selectors.access_job(person, job_id)).first()
    if lora is None:
        raise Http404
    done = outputs.output_return(
        lora=lora,
        person=person,
        by=request.POST.get("by", ""),
        note=request.POST.get("note", ""),
    )
    if isinstance(done, Refusal):
        tell(request, done)
    else:
        messages.success(request, _("Your answer about the outputs is recorded."))
    return redirect("job", job_id=job_id)


def _steps(row: TrainingJob, *, measured: bool) -> list[dict[str, Any]]:
    """The run as a short list of stages, each done, under way or still to come."""
    order = [State.QUEUED, State.CLAIMED, State.TRAINING, State.FINALISING, State.DONE]
    names = [
        _("In the queue"),
        _("Permission checked at the gate"),
        _("Training"),
        _("Watermark and seal"),
        _("Measure what it draws"),
    ]
    ended = row.state in FINAL and row.state != State.DONE
    reached = 2 if row.step else 1 if row.started_at else 0
    at = reached if ended else order.index(State(row.state))
    # Sealed and not yet measured: the last stage is under way.
    return [
        {"name": name, "state": _stage(number, at, ended=ended, done=measured)}
        for number, name in enumerate(names)
    ]


def _stage(number: int, at: int, *, ended: bool, done: bool) -> str:
    if done or number < at:
        return "done"
    if number == at:
        return "ended" if ended else "now"
    return "later"


def _eta(row: TrainingJob, now: datetime) -> timedelta | None:
    """The time left at the pace so far; None while there is no pace."""
    if row.state != State.TRAINING or row.started_at is None or row.step < 1:
        return None
    pace = (now - row.started_at) / row.step
    return timedelta(seconds=round((pace * max(0, row.steps_total - row.step)).total_seconds()))


def _delivery(row: Delivery, *, holds: bool) -> dict[str, Any]:
    return {
        "row": row,
        "holds": holds,
        "expired": not holds or row.expires_at <= timezone.now(),
        "evidence": reverse("api-evidence", kwargs={"delivery_id": row.pk}),
    }


WIDTH, LEFT, BOTTOM, TOP = 640, 72, 190, 14


def plot(points: Sequence[Sequence[float]]) -> Mapping[str, Any] | None:
    """A loss curve as SVG coordinates: the line, and three labelled levels; None without points."""
    if not points:
        return None
    losses = [loss for _step, loss in points]
    low, high = min(losses), max(losses)
    span, last = (high - low) or 1.0, max(points[-1][0], 1)

    def x(step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 8) * step / last, 1)

    def y(loss: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (loss - low) / span, 1)

    levels = sorted({low, (low + high) / 2, high})
    return {
        "line": " ".join(f"{x(step)},{y(loss)}" for step, loss in points),
        "levels": [{"y": y(level), "text": f"{level:.3f}"} for level in levels],
        "dot": {"x": x(points[-1][0]), "y": y(losses[-1])},
        "first": f"{losses[0]:.3f}",
        "last": f"{losses[-1]:.3f}",
        "step": int(points[-1][0]),
    }


# --- deliveries -------------------------------------------------------------------------------


@require_POST
@signed_in
def deliver(request: HttpRequest, person: Person, job_id: str) -> HttpResponse:
    """Make the licensee's copy. Its link stands in this answer and never again."""
    row = _own_job(person, job_id)
    lora = Lora.objects.filter(job=row).first()
    if lora is None:
        raise Http404
    made = delivery.delivery_make(lora=lora, recipient=row.request.licensee)
    return _with_link(request, person, row, made)


@require_POST
@signed_in
def renew(request: HttpRequest, person: Person, job_id: str, delivery_id: str) -> HttpResponse:
    """A new link in place of one that ended."""
    row = _own_job(person, job_id)
    copy = Delivery.objects.filter(pk=delivery_id, lora__job=row).first()
    if copy is None:
        raise Http404
    return _with_link(request, person, row, delivery.link_renew(delivery=copy))


def _own_job(person: Person, job_id: str) -> TrainingJob:
    row = selectors.access_job(person, job_id)
    registry.access_own_request(person=person, request_id=row.request_id)
    return row


def _with_link(
    request: HttpRequest, person: Person, row: TrainingJob, made: Delivery | Refusal
) -> HttpResponse:
    if isinstance(made, Refusal):
        tell(request, made)
        return redirect("job", job_id=row.pk)
    link = request.build_absolute_uri(reverse("delivery-download", kwargs={"link": made.link}))
    context = _job(person, row) | {"link": link, "link_until": made.expires_at}
    response = render(request, "training/job.html", context)
    response["Cache-Control"] = NO_STORE
    return response


# --- licence drift ----------------------------------------------------------------------------


@require_safe
@signed_in
def model_drift(request: HttpRequest, person: Person, model_id: str) -> HttpResponse:
    """What was made on a model and is or is not covered by its newest licence facts.

    Each sees their own cases; an operator (`is_staff`) sees all of them.
    """
    record = ModelRecord.objects.filter(pk=model_id).first()
    if record is None:
        raise Http404
    found = drift.drift_of(record.current)
    if not request.user.is_staff:
        mine = set(registry.requests_for(person).values_list("id", flat=True))
        found = [item for item in found if item.grant.request_id in mine]
    affected = [
        {"row": item, "refusals": reasons_said(item.reasons, item.refusals)} for item in found
    ]
    context = {"record": record, "revision": record.current, "affected": affected}
    return render(request, "training/model_drift.html", context)
