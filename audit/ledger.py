"""The public ledger: every event in words, searched, as of a day, one by one, and as JSON. Stage 9.

Ids and digests only, never a name. Nothing here is believed by its reader: each entry comes with
its proof, and the checkpoint is signed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from audit import selectors
from audit.selectors import Line
from registry.log import selectors as log
from registry.views.base import locale

MAX_INDEX_DIGITS: Final = 15


@dataclass(frozen=True)
class Question:
    """What is looked for: an id or digest, a kind of event, a day, a page, the log as of a day."""

    word: str
    kind: str
    day: date | None
    before: int | None
    as_of: date | None

    @classmethod
    def of(cls, query: QueryDict) -> Question:
        """Read a query; what cannot be read is left out."""
        kind, before = query.get("type", ""), query.get("before", "")
        countable = before.isdecimal() and before.isascii() and len(before) <= MAX_INDEX_DIGITS
        return cls(
            word=query.get("q", "").strip()[:128],
            kind=kind if kind in selectors.EVENTS else "",
            day=_day(query.get("day", "")),
            before=int(before) if countable else None,
            as_of=_day(query.get("as_of", "")),
        )

    def answer(self) -> tuple[list[Line], int | None]:
        """A page of entries and the `before` of the next one."""
        return selectors.entries(
            locale=locale(),
            word=self.word,
            event_type=self.kind,
            day=self.day,
            before=self.before,
            as_of=self.as_of,
        )


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """L1: everything that happened, newest first; ids only."""
    asked = Question.of(request.GET)
    lines, more = asked.answer()
    query = request.GET.copy()
    query["before"] = str(more)
    plain = request.GET.copy()
    plain.pop("before", None)
    context = {
        "lines": lines,
        "more": query.urlencode() if more is not None else "",
        "json": plain.urlencode(),
        "q": asked.word,
        "kind": asked.kind,
        "day": asked.day.isoformat() if asked.day else "",
        "as_of": asked.as_of,
        "kinds": [(name, selectors.event_words(name, locale())) for name in selectors.EVENTS],
        "checkpoint": selectors.checkpoint_as_of(asked.as_of),
        "filtered": bool(asked.word or asked.kind or asked.day or asked.as_of),
    }
    return render(request, "audit/ledger.html", context)


@require_safe
def ledger_json(request: HttpRequest) -> HttpResponse:
    """The same, for programs: `entries`, the signed `checkpoint`, and the address of `next`."""
    asked = Question.of(request.GET)
    lines, more = asked.answer()
    head = selectors.checkpoint_as_of(asked.as_of)
    following = request.GET.copy()
    following["before"] = str(more)
    body = {
        "origin": settings.LOG_ORIGIN,
        "size": head.size if head else 0,
        "checkpoint": head.note if head else "",
        "entries": [_shown(line) for line in lines],
        "next": f"{reverse('ledger-json')}?{following.urlencode()}" if more is not None else None,
    }
    return _json(body)


@require_safe
def entry(request: HttpRequest, index: int) -> HttpResponse:
    """One entry: its words, its exact bytes, its proof and the checkpoint over it."""
    row = selectors.entry(index)
    if row is None:
        raise Http404
    shown = selectors.line(row, locale())
    context = {
        "line": shown,
        "facts": [
            {"name": name, "value": _plain(value), "id": selectors.is_id(value)}
            for name, value in shown.data.items()
        ],
        "raw": bytes(row.payload).decode(),
        "leaf_hash": bytes(row.leaf_hash).hex(),
        "checkpoint": log.latest_checkpoint(),
        "origin": settings.LOG_ORIGIN,
    }
    return render(request, "audit/entry.html", context)


@require_safe
def entry_json(request: HttpRequest, index: int) -> HttpResponse:
    """One entry for programs, with the hash of its leaf."""
    row = selectors.entry(index)
    if row is None:
        raise Http404
    return _json({**_shown(selectors.line(row, locale())), "leaf_hash": bytes(row.leaf_hash).hex()})


def _shown(line: Line) -> dict[str, Any]:
    return {
        "index": line.index,
        "at": line.at.isoformat(),
        "type": line.event_type,
        "words": line.words,
        "data": dict(line.data),
        "page": reverse("ledger-entry", args=[line.index]),
        "bytes": reverse("log-entry", args=[line.index]),
        "proof": reverse("log-proof", args=[line.index]),
    }


def _json(body: dict[str, Any]) -> HttpResponse:
    response = JsonResponse(body, json_dumps_params={"ensure_ascii": False})
    response["Cache-Control"] = "no-cache"
    return response


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
