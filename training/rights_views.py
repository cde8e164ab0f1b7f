"""The photographer's step "rights of the pictures": many at once, and what each still lacks.

Stage 5: parse, access, one service, render. Only the company that asks sees the page, and its own
uploads on it while they are open; once sealed, nobody but the people shown sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from registry import selectors as registry
from registry.core.refusals import Refusal
from registry.core.rights import BASES, RESERVED, label
from registry.core.terms import Problem
from registry.models import Person, RightsHolder, TrainingRequest
from registry.views.base import locale, said, signed_in, tell
from training.forms import RightsForm
from training.models import Dataset, Picture, PictureRights
from training.services import datasets, declarations, rights, thumbnails


@require_http_methods(["GET", "POST"])
@signed_in
def picture_rights(request: HttpRequest, person: Person, request_id: str) -> HttpResponse:
    """The table by picture, and the form that sets the ticked ones at once."""
    row = registry.access_own_request(person=person, request_id=request_id)
    dataset = datasets.dataset_open(request=row)
    ticked = request.POST.getlist("pictures")
    form = RightsForm(
        request.POST if request.method == "POST" else None,
        holders=_holders(person, row),
        locale=locale(),
    )
    if request.method == "POST" and form.is_valid():
        wrong = _declare(dataset, person, ticked, form.declared())
        if not wrong:
            messages.success(
                request, _("Recorded for %(count)s picture(s).") % {"count": len(ticked)}
            )
            return redirect("picture-rights", request_id=row.pk)
        _say(request, wrong)
    lines = [_line(line) for line in rights.rights_view(dataset)]
    context = {
        "request_row": row,
        "dataset": dataset,
        "open": dataset.state != Dataset.State.SEALED,
        "lines": lines,
        "ticked": ticked,
        "form": form,
        "lacking": sum(bool(line["missing"]) for line in lines),
        "reserved": sum(line["reservation"] in RESERVED for line in lines),
        "faces": _faces(dataset),
    }
    return render(request, "training/rights.html", context)


def _declare(
    dataset: Dataset, person: Person, ticked: Sequence[str], given: dict[str, Any]
) -> Sequence[Refusal | Problem]:
    """Everything that kept the declaration from being recorded; empty when it was."""
    rows = declarations.pictures_named(dataset, ticked)
    if isinstance(rows, Problem):
        return [rows]
    if not given:
        return [Problem("holder", "変える項目を入れてください。", "Fill in what is to change.")]
    declared = declarations.declaration(given, dataset=dataset, by=person)
    if isinstance(declared, list):
        return declared
    kept = rights.rights_declare(dataset=dataset, pictures=rows, by=person, **declared)
    return [item for item in kept if isinstance(item, Refusal | Problem)]


def _say(request: HttpRequest, wrong: Sequence[Refusal | Problem]) -> None:
    tell(request, [item for item in wrong if isinstance(item, Refusal)])
    for item in wrong:
        if isinstance(item, Problem):
            messages.error(request, item.ja if locale() == "ja" else item.en)


def _holders(person: Person, row: TrainingRequest) -> list[tuple[str, str]]:
    """Whom this company may mean: itself, its people on the case, and whom it named before."""
    known = RightsHolder.objects.filter(pictures__shoot__organisation=row.requester).distinct()
    found = {person.pk: str(person), row.copyright_holder_id: str(row.copyright_holder)}
    found |= {own.pk: str(own) for own in registry.organisations_of(person)}
    found |= {holder.key: str(holder) for holder in known}
    return sorted(found.items(), key=lambda item: item[1])


def _line(line: dict[str, Any]) -> dict[str, Any]:
    record = line["rights"]
    return {
        **line,
        "said": [said(item) for item in line["missing"]],
        "basis": label(BASES, record.basis, locale()) if record else "",
    }


def _faces(dataset: Dataset) -> list[dict[str, Any]]:
    """Faces of the last survey that are nobody's who was cleared: to be masked or asked."""
    rows = list(dataset.pictures.filter(accepted=True))
    report = dataset.curation or {"pictures": []}
    if len(report["pictures"]) != len(rows):
        return []
    return [
        {"picture": row, "name": seen["id"], "number": number, "box": face["box"]}
        for row, seen in zip(rows, report["pictures"], strict=True)
        for number, face in enumerate(seen["faces"])
        if not face["talent"] and not face["bystander"]
    ]


@require_safe
@signed_in
def own_picture(
    request: HttpRequest, person: Person, request_id: str, picture_id: str
) -> HttpResponse:
    """One small picture for the company that sent it, while the set is open; kept by no cache."""
    row = registry.access_own_request(person=person, request_id=request_id)
    picture = _picture(row, picture_id)
    if picture.dataset.state == Dataset.State.SEALED:
        raise Http404
    data = thumbnails.picture_thumbnail(picture=picture)
    if isinstance(data, Refusal):
        raise Http404
    return HttpResponse(
        data, content_type=thumbnails.MEDIA_TYPE, headers={"Cache-Control": "no-store"}
    )


@require_POST
@signed_in
def settle_face(
    request: HttpRequest, person: Person, request_id: str, picture_id: str
) -> HttpResponse:
    """Mask a face that is nobody's here, or name the bystander who is to be asked."""
    row = registry.access_own_request(person=person, request_id=request_id)
    picture = _picture(row, picture_id)
    box = _face_box(picture, request.POST.get("number", ""))
    who = request.POST.get("person", "").strip()
    if who:
        record = PictureRights.objects.filter(picture=picture).first()
        seen = [*(record.bystanders if record else []), {"person": who, "box": box}]
        kept = rights.rights_declare(
            dataset=picture.dataset, pictures=[picture], by=person, bystanders=seen
        )
        _say(request, [item for item in kept if isinstance(item, Refusal | Problem)])
    else:
        made = rights.picture_mask(dataset=picture.dataset, picture=picture, box=box, by=person)
        if isinstance(made, Refusal):
            tell(request, made)
        else:
            messages.success(request, _("Masked. Have the pictures checked again."))
    return redirect("picture-rights", request_id=row.pk)


def _picture(row: TrainingRequest, picture_id: str) -> Picture:
    found = Picture.objects.select_related("dataset__request").filter(
        pk=picture_id, dataset__request=row
    )
    picture = found.first()
    if picture is None:
        raise Http404
    return picture


def _face_box(picture: Picture, number: str) -> list[int]:
    """The box of a face of the last survey, cut to the picture. Raises `Http404`."""
    for face in _faces(picture.dataset):
        if face["picture"].pk == picture.pk and str(face["number"]) == number:
            left, top, right, bottom = face["box"]
            return [
                max(0, left),
                max(0, top),
                min(picture.width, right),
                min(picture.height, bottom),
            ]
    raise Http404
