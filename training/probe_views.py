"""Pages about what a LoRA draws: the operators' queue of outputs that look like somebody else.

Thin: parse, ask a service, render. Only the platform's operators see whom a sample resembles; that
somebody is registered is hers to tell.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from registry.core.refusals import Refusal
from registry.models import Talent
from registry.views.answers import operator
from registry.views.base import tell
from training.models import OutputProbe
from training.services import probes, thumbnails


@require_safe
@operator
def lookalikes(request: HttpRequest) -> HttpResponse:
    """The queue: held outputs, oldest first, with the samples and whom they resemble."""
    rows = [_row(probe) for probe in probes.held()]
    return render(request, "training/lookalikes.html", {"rows": rows})


def _row(probe: OutputProbe) -> dict[str, Any]:
    return {"probe": probe, "talents": Talent.objects.filter(pk__in=probe.resembles)}


@require_safe
@operator
def lookalike_samples(request: HttpRequest, probe_id: str) -> HttpResponse:
    """What the LoRA draws, for the operator who must look."""
    lora = _held(probe_id).lora
    if not lora.samples_object:
        raise Http404
    data = thumbnails.samples_picture(lora=lora)
    if isinstance(data, Refusal):
        raise Http404
    return HttpResponse(data, content_type=thumbnails.MEDIA_TYPE)


@require_POST
@operator
def lookalike_settle(request: HttpRequest, probe_id: str) -> HttpResponse:
    """Set free, or keep back for good; either with a reason."""
    reason, release = request.POST.get("reason", ""), request.POST.get("decision") == "release"
    if not reason.strip():
        messages.error(request, _("Write down what you saw and why you decided so."))
        return redirect("lookalikes")
    if request.POST.get("decision") not in ("release", "uphold"):
        raise Http404
    by = cast(User, request.user)
    refusal = probes.probe_settle(probe=_held(probe_id), by=by, release=release, reason=reason)
    if refusal is not None:
        tell(request, refusal)
    return redirect("lookalikes")


def _held(probe_id: str) -> OutputProbe:
    found = probes.held().filter(pk=probe_id).first()
    if found is None:
        raise Http404
    return found
