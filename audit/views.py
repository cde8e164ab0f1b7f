"""Public questions: is this file licensed, does this pack hold. Stage 9.

Public pages: they show no name, no score and no recipient. "Not found" accuses nobody, and a fault
of the service is never shown as "not found".
"""

from __future__ import annotations

from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from audit.services import tracing
from audit.services.tracing import Trace
from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from audit.verifier.steps import STEPS, Step, StepError
from audit.verifier.verify import Verdict
from registry import selectors as registry
from registry.core.refusals import Refusal
from registry.core.terms import Terms
from registry.core.vocabulary import CATEGORIES, label
from registry.log.core.errors import VerificationError
from registry.services import keyring, throttle
from registry.services.throttle import VERIFY_ADDRESS, VERIFY_ALL
from registry.views.base import address, locale, said, viewer
from training.core import folder

_ZIP: Final = b"PK\x03\x04"
# Held in memory while it is looked at. People signed in may ask about larger files; what is
# larger still, a whole checkpoint, is traced on one's own machine by `kyodaku trace`.
MAX_STRANGERS_BYTES: Final = 1 << 29
MAX_BYTES: Final = 3 << 30


@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """V: one box. A LoRA is recognised, an evidence pack is verified step by step."""
    context: dict[str, Any] = {}
    file = request.FILES.get("file")
    refusal = _bounded(request, file) if isinstance(file, UploadedFile) else None
    if refusal is not None:
        context = {"refused": said(refusal), **_limit(refusal)}
    elif request.method == "POST" and isinstance(file, UploadedFile):
        data = file.read()
        context = _zip(data) if data.startswith(_ZIP) else _lora(request, data)
        context["name"] = file.name
    elif request.method == "POST":
        context = {"empty": True}
    status = 200 if refusal is None else 429 if refusal.kind == "too_many" else 413
    shown = context | {"now": timezone.now()}
    response = render(request, "audit/verify.html", shown, status=status)
    response["Cache-Control"] = "no-store"
    if refusal is not None and refusal.kind == "too_many":
        response["Retry-After"] = refusal.detail
    return response


def _limit(refusal: Refusal) -> dict[str, object]:
    """How long to wait, or how large a file may be."""
    if refusal.kind == "too_many":
        return {"minutes": (int(refusal.detail) + 59) // 60}
    return {"limit": refusal.detail}


def _bounded(request: HttpRequest, file: UploadedFile[Any]) -> Refusal | None:
    """What a stranger may ask of us: a file of some size, some times. People signed in are known,
    and are not counted."""
    known = viewer(request) is not None
    most = MAX_BYTES if known else MAX_STRANGERS_BYTES
    if file.size is None or file.size > most:
        return Refusal("malformed", f"more than {most >> 20} MiB")
    if known:
        return None
    now, who = timezone.now(), address(request)
    mine = throttle.take(VERIFY_ADDRESS, who, at=now)
    return mine or throttle.take(VERIFY_ALL, "", at=now)


def _lora(request: HttpRequest, data: bytes) -> dict[str, Any]:
    found = tracing.trace(data=data, by=viewer(request))
    if isinstance(found, Refusal):
        return {"refused": said(found)}
    if found is None:
        return {"unknown": True}
    return {"trace": _trace(request, found)}


def _trace(request: HttpRequest, found: Trace) -> dict[str, Any]:
    """What everybody may know; for the people of the case also the way to it."""
    row = found.lora.job.request
    person = viewer(request)
    mine = person is not None and registry.requests_for(person).filter(pk=row.pk).exists()
    return {
        "how": found.how,
        "band": found.band,
        "lora": found.lora.pk,
        "standing": found.standing(timezone.now()),
        "merged": len(found.others),
        "scope": scope(registry.core_grant(found.lora.job.grant).terms),
        "request": row if mine else None,
        "job": found.lora.job if mine else None,
    }


def scope(terms: Terms) -> dict[str, Any]:
    """What a licence covers, for everybody: no client, no fee, no purpose."""
    barred = tuple(word for word in CATEGORIES if word not in terms.categories)
    return {
        "media": label("media", terms.media, locale()),
        "territory": label("territory", terms.territory, locale()),
        "start": terms.start,
        "end": terms.end,
        "transformations": label("transformations", terms.transformations, locale()),
        "exposure": label("exposure", (terms.exposure,), locale()),
        "duties": label("duties", terms.duties, locale()),
        "barred": label("categories", barred, locale()),
        "opened": label("categories", terms.categories, locale()),
    }


def _zip(data: bytes) -> dict[str, Any]:
    if folder.is_parcel(data):
        return {"refused": said(Refusal("still_sealed"))}
    return _pack(data)


def _pack(data: bytes) -> dict[str, Any]:
    try:
        verdict = verifier.verify(packs.read(data), keyring.trust_root())
    except StepError as error:
        steps = [_step(step, ok=True) for step in error.done]
        steps.append(_step(error.failed, ok=False))
        return {
            "pack": {"ok": False, "steps": steps, "rest": _rest(len(steps)), "why": _why(error)}
        }
    except VerificationError as error:
        failed = _step(Step(1, "files", ()), ok=False)
        return {"pack": {"ok": False, "steps": [failed], "rest": _rest(1), "why": _why(error)}}
    return {"pack": _verdict(verdict)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "ok": True,
        "steps": [_step(step, ok=True) for step in verdict.steps],
        "lora": verdict.lora_id,
        "as_of": verdict.as_of,
        "standing": verdict.standing,
        "mode": verdict.mode,
        "grant_digest": verdict.grant_digest,
        "scope": scope(verdict.grant.terms),
    }


def _step(step: Step, *, ok: bool) -> dict[str, Any]:
    return {"number": step.number, "text": step.sentence(locale()), "ok": ok}


def _rest(done: int) -> list[dict[str, Any]]:
    """The steps that were not reached; the last one needs the LoRA itself."""
    place = 0 if locale() == "ja" else 1
    rows = list(STEPS.values())[done:-1]
    return [{"number": done + i, "text": texts[place]} for i, texts in enumerate(rows, start=1)]


def _why(error: VerificationError) -> dict[str, str]:
    return {**said(Refusal(error.code, "")), "detail": error.detail}
