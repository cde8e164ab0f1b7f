"""Reading the whole log for people: events in words, searched by id, kind and day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from audit.core import events as audit_events
from registry.core import events as registry_events
from registry.core.refusals import Locale
from registry.core.terms import JST
from registry.log import selectors as log
from registry.log.core import canonical
from registry.log.models import Checkpoint, Entry
from training.core import events as training_events

EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    **registry_events.EVENTS,
    **training_events.EVENTS,
    **audit_events.EVENTS,
}
PAGE: Final = 50


@dataclass(frozen=True)
class Line:
    """One entry for people: its place, its time, its words, and the ids that it names."""

    index: int
    at: datetime
    event_type: str
    words: str
    ids: tuple[tuple[str, str], ...]
    data: Mapping[str, Any]


def event_words(event_type: str, locale: Locale) -> str:
    """What happened, in words; the type itself where a newer version wrote it."""
    texts = EVENTS.get(event_type)
    return event_type if texts is None else texts[0 if locale == "ja" else 1]


def entries(
    *,
    locale: Locale,
    word: str = "",
    event_type: str = "",
    day: date | None = None,
    before: int | None = None,
    as_of: date | None = None,
) -> tuple[list[Line], int | None]:
    """A page of signed entries, newest first, and the `before` of the next page (None: the last).

    `word` is an id or digest that the entry names; `day` a calendar day in Japan. With `as_of` the
    log is shown as it was published at the end of that day.
    """
    newest = checkpoint_as_of(as_of)
    rows = Entry.objects.filter(index__lt=newest.size if newest else 0).order_by("-index")
    if before is not None:
        rows = rows.filter(index__lt=before)
    if event_type:
        rows = rows.filter(event_type=event_type)
    if day is not None:
        start = datetime.combine(day, time(), JST)
        rows = rows.filter(at__gte=start, at__lt=start + timedelta(days=1))
    if word:
        rows = rows.filter(index__in=log.entries_about(word).values("index"))
    found = list(rows[: PAGE + 1])
    more = found[PAGE - 1].index if len(found) > PAGE else None
    return [line(row, locale) for row in found[:PAGE]], more


def checkpoint_as_of(day: date | None) -> Checkpoint | None:
    """The newest signed checkpoint at the end of a day in Japan; None as `day`: the newest."""
    if day is None:
        return log.latest_checkpoint()
    end = datetime.combine(day, time(), JST) + timedelta(days=1)
    return Checkpoint.objects.exclude(note="").filter(at__lt=end).order_by("-size").first()


def entry(index: int) -> Entry | None:
    """One entry under the newest signed checkpoint."""
    newest = log.latest_checkpoint()
    signed = newest is not None and index < newest.size
    return Entry.objects.filter(index=index).first() if signed else None


def line(row: Entry, locale: Locale) -> Line:
    """An entry in words."""
    data: dict[str, Any] = canonical.loads(bytes(row.payload))["data"]
    ids = tuple((name, value) for name, value in data.items() if is_id(value))
    words = event_words(row.event_type, locale)
    return Line(row.index, row.at, row.event_type, words, ids, data)


def is_id(value: object) -> bool:
    """Whether a value is a pseudonymous id, as opposed to a digest, a count or a word."""
    return isinstance(value, str) and len(value) == 24 and value[3] == "_" and value.isascii()
