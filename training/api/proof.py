"""Who is asking the worker API: whoever signed this very request with an approved worker's key.

Stage 4. Trusts nothing in the request but the proof: its method, address and body are inside what
was signed, its id is used once, and its time may differ from ours by a minute at most.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from registry.core import dpop
from registry.core.refusals import Refusal
from registry.log.core.errors import VerificationError
from registry.models import SeenProof
from training.api.answers import problem, refused
from training.models import Worker
from training.services import workers

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Worker, P], HttpResponse]


def worker_only(method: str) -> Callable[[View[P]], Callable[..., HttpResponse]]:
    """A view for approved workers, called as view(request, worker, …).

    (1) the method; (2) a proof for exactly this request; (3) an approved worker's key; (4) never
    seen before: a stranger's proofs are not worth remembering.
    """

    def decorate(view: View[P]) -> Callable[..., HttpResponse]:
        @csrf_exempt  # no cookie is looked at: the proof is the only credential
        @functools.wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != method:  # (1)
                return HttpResponseNotAllowed([method])
            worker = _worker(request, method)
            if isinstance(worker, HttpResponse):
                return worker
            return view(request, worker, *args, **kwargs)

        return checked

    return decorate


def _worker(request: HttpRequest, method: str) -> Worker | HttpResponse:
    at = timezone.now()
    try:
        # (2) Our own public address, not the Host header: that is the client's to choose.
        url = settings.PUBLIC_URL + request.path
        header = request.headers.get("DPoP", "")
        proof = dpop.verify(header, method=method, url=url, body=request.body, at=at)
    except VerificationError as error:
        return problem(request, refused(error), status=401)
    except RequestDataTooBig:
        return problem(request, Refusal("image_too_large", "request body"), status=413)
    # (3)
    worker = workers.worker_by_key(proof.jkt, at=at)
    if isinstance(worker, Refusal):
        return problem(request, worker, status=403)
    # (4)
    try:
        with transaction.atomic():
            SeenProof.objects.create(jti=proof.jti, jkt=proof.jkt)
    except IntegrityError:
        return problem(request, Refusal("replayed", "proof of possession"), status=401)
    return worker
