"""What everybody may read: the trust root, the status list, and the log as static tiles.

Beside every stage. Nothing here needs a key, and nothing here is believed by its reader: everything
is signed or proved. Log reads follow C2SP tlog-tiles; what can never change is cached for ever.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from registry.log import selectors as log
from registry.log.core import merkle, tiles
from registry.log.core.errors import VerificationError
from registry.log.models import Entry
from registry.services import keyring, keyset, tokens

_FOR_EVER: Final = "public, max-age=31536000, immutable"


@require_safe
def trust(request: HttpRequest) -> HttpResponse:
    """`trust.json`: to be fetched once and pinned, never to be taken from what is verified."""
    return _file(
        request, keyring.trust_root().to_bytes(), "application/json", "public, max-age=300"
    )


@require_safe
def model_key(request: HttpRequest) -> HttpResponse:
    """`model.pub`: the key (P-256, PEM) under which delivered folders are signed."""
    data = keyring.model_public_key()
    return _file(request, data, "application/x-pem-file", "public, max-age=300")


@require_safe
def key_set(request: HttpRequest) -> HttpResponse:
    """`keyset.json`: verified by whoever pinned the roots, worth nothing to anybody else."""
    data = keyset.document()
    if data is None:
        raise Http404
    return _file(request, data, "application/json", "no-cache")


@require_safe
def status_list(request: HttpRequest) -> HttpResponse:
    """The signed status list of every token, as of this moment."""
    text = tokens.status_list_issue()
    return _file(request, text.encode(), "application/statuslist+jwt", "no-store")


@require_safe
def checkpoint(request: HttpRequest) -> HttpResponse:
    """The newest signed checkpoint."""
    newest = log.latest_checkpoint()
    if newest is None:
        raise Http404
    return _file(request, newest.note.encode(), "text/plain; charset=utf-8", "no-cache")


@require_safe
def tile(request: HttpRequest, path: str) -> HttpResponse:
    """A tile or an entry bundle of the signed tree; 404 for what the tree does not have yet."""
    try:
        level, n, width = tiles.parse_path(f"tile/{path}")
    except VerificationError as error:
        raise Http404 from error
    # tlog-tiles: a tile of level L holds the roots of 256^L leaves each; bundles are like level 0.
    if n * tiles.WIDTH + width > _signed_size() >> (tiles.HEIGHT * (level or 0)):
        raise Http404
    if level is None:
        return _file(request, _bundle(n, width), "application/octet-stream", _FOR_EVER)
    data = log.read_tile(level, n)[: width * merkle.HASH_BYTES]
    return _file(request, data, "application/octet-stream", _FOR_EVER)


@require_safe
def entry(request: HttpRequest, index: int) -> HttpResponse:
    """One entry, exactly the bytes that were hashed."""
    row = Entry.objects.filter(index=index).first() if index < _signed_size() else None
    if row is None:
        raise Http404
    return _file(request, bytes(row.payload), "application/json", _FOR_EVER)


@require_safe
def proof(request: HttpRequest, index: int) -> HttpResponse:
    """The `.tlog-proof` of an entry under the newest checkpoint."""
    if index >= _signed_size():
        raise Http404
    return _file(request, log.tlog_proof(index).encode(), "text/plain; charset=utf-8", "no-cache")


def _signed_size() -> int:
    newest = log.latest_checkpoint()
    return 0 if newest is None else newest.size


def _bundle(n: int, width: int) -> bytes:
    first = n * tiles.WIDTH
    rows = Entry.objects.filter(index__gte=first, index__lt=first + width).order_by("index")
    return tiles.bundle(bytes(payload) for payload in rows.values_list("payload", flat=True))


def _file(request: HttpRequest, data: bytes, kind: str, cache: str) -> HttpResponse:
    """The bytes with their digest as ETag; 304 for whoever has them already."""
    etag = f'"{sha256(data).hexdigest()[:32]}"'
    headers = {"Cache-Control": cache, "ETag": etag}
    response = HttpResponse(data, content_type=kind, headers=headers)
    answer = get_conditional_response(request, etag=etag, response=response)
    return answer if isinstance(answer, HttpResponse) else response
