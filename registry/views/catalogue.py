"""The licence catalogue for people: what each model allows, in words, and how that changed.

Stages 1 and 4, and licence drift. Everybody with a login reads the facts; which grants a revision
concerns, each sees of their own cases only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry import selectors
from registry.core import licence_words
from registry.core.licences import Conditions, Reason
from registry.core.refusals import Refusal
from registry.models import ModelRecord, ModelRevision, Person
from registry.services import catalogue, drift
from registry.views.base import locale, said, signed_in

_TOOLS: Final = ("face_pack", "segmentation", "watermark", "other")


@require_safe
@signed_in
def models(request: HttpRequest, person: Person) -> HttpResponse:
    """What can be trained on today, what an operator can complete from a file, parts and tools."""
    rows = [_line(row) for row in catalogue.overview()]
    bases = [row for row in rows if row["record"].kind == "base"]
    return render(
        request,
        "registry/models.html",
        {
            "ready": [row for row in bases if row["record"].sha256],
            "templates": [row for row in bases if not row["record"].sha256],
            "parts": [row for row in rows if row["record"].kind not in ("base", *_TOOLS)],
            "tools": [row for row in rows if row["record"].kind in _TOOLS],
        },
    )


def _line(row: catalogue.Overview) -> dict[str, Any]:
    facts = row.revision.core()
    return {
        "record": row.record,
        "kind": licence_words.word(licence_words.KINDS, row.record.kind, locale()),
        "licence": facts.licence_id,
        "commercial": row.whole.commercial,
        "unreviewed": bool(row.whole.conditions.unreviewed),
        "conditions": _conditions(row.record.name, row.whole.conditions),
        "read_on": row.revision.read_on,
    }


def _conditions(name: str, conditions: Conditions) -> str:
    """The duties in one line, without the record's own name before them."""
    lines = licence_words.lines(name, conditions, locale())
    return lines[0].partition(": ")[2] if lines else ""


@require_safe
@signed_in
def model(request: HttpRequest, person: Person, model_id: str) -> HttpResponse:
    """One record: what it allows with everything inside it, every revision, whom it concerns."""
    record = ModelRecord.objects.filter(pk=model_id).first()
    if record is None:
        raise Http404
    whole = catalogue.effective(record)
    revisions = record.revisions.order_by("-number").prefetch_related("parts__part")
    affected = drift.drift_of(record.current)
    mine = set(selectors.requests_for(person).values_list("id", flat=True))
    return render(
        request,
        "registry/model.html",
        {
            "record": record,
            "kind": licence_words.word(licence_words.KINDS, record.kind, locale()),
            "commercial": whole.commercial,
            "conditions": _conditions(record.name, whole.conditions),
            "unreviewed": whole.conditions.unreviewed,
            "revisions": [_revision(row) for row in revisions],
            "part_of": [row for row in catalogue.bases_with(record) if row.pk != record.pk],
            "affected": [_affected(item) for item in affected if item.grant.request_id in mine],
        },
    )


def _revision(row: ModelRevision) -> dict[str, Any]:
    parts = [
        {"record": part.part, "role": licence_words.word(licence_words.KINDS, part.role, locale())}
        for part in row.parts.all()
    ]
    facts = licence_words.describe(row.core(), locale())
    return {"revision": row, "facts": facts, "parts": parts}


def _affected(item: drift.Affected) -> dict[str, Any]:
    return {"grant": item.grant, "refusals": reasons_said(item.reasons, item.refusals)}


def reasons_said(reasons: Iterable[Reason], refusals: Iterable[Refusal]) -> list[dict[str, str]]:
    """Each refusal in words, with the name of the model whose facts gave it.

    What no part gives (a retired record, a template) stands without one.
    """
    given = [{**said(reason.refusal), "part": reason.part.name} for reason in reasons]
    return given or [{**said(refusal), "part": ""} for refusal in refusals]
