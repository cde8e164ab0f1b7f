"""What the log tells of other tables, held against their rows. Knows none of those tables.

A floor writes `Rule`s: which events speak of a table, what they say of its rows, and how a row is
read. `check` replays every event, those in the outbox at the end, and names the first row that
differs. Trusts the log, which `registry.log.fsck` verifies on its own, and not the rows.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction

from registry.log import models
from registry.log.core import canonical
from registry.log.core.errors import VerificationError

PAGE: Final = 4_096


@dataclass(frozen=True)
class Event:
    """One event as it was logged; `index` is None while it waits in the outbox."""

    index: int | None
    id: str
    kind: str
    at: str
    data: Mapping[str, Any]

    def __str__(self) -> str:
        place = "in the outbox" if self.index is None else f"entry {self.index}"
        return f"{self.kind}, {place}"


@dataclass(frozen=True)
class Row:
    """A row of a table: the key by which the log knows it, its name, what it says."""

    key: str
    name: str
    columns: Mapping[str, object]


class Rule:
    """What the log says about one table. A floor's rule implements `tell` and `rows`.

    `say` keeps what an event says of a key's columns: a value, or a frozenset of allowed values.
    A later event replaces what an earlier one said of the same column.
    """

    table: str
    reads: frozenset[str]

    def __init__(self) -> None:
        self.told: dict[str, dict[str, object]] = {}
        self.by: dict[tuple[str, str], Event] = {}

    def tell(self, event: Event) -> None:
        """Take one event of `reads`; by calling `say`."""
        raise NotImplementedError

    def rows(self) -> Iterable[Row]:
        """Every row that the log must tell of, in a fixed order."""
        raise NotImplementedError

    def gone(self, key: str) -> bool:
        """Whether the row of a told key may be absent; by default it may not."""
        return False

    def say(self, by: Event, key: str, /, **columns: object) -> None:
        """The event says this of the row of `key`."""
        self.told.setdefault(key, {}).update(columns)
        for name in columns:
            self.by[key, name] = by

    def forget(self, key: str) -> None:
        """Whatever was said of a key's columns no longer holds; its row must still be there."""
        self.told[key] = {}

    def said(self, key: str, column: str, default: object = None) -> object:
        """What was last said."""
        return self.told.get(key, {}).get(column, default)


def derived(compute: Callable[[], object]) -> object:
    """What a row's content gives when computed anew; content that is broken gives its fault."""
    try:
        return compute()
    except _BROKEN as error:
        return f"unreadable ({type(error).__name__})"


_BROKEN: Final = (
    VerificationError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    binascii.Error,
)


def check(rules: Sequence[Rule]) -> int:
    """Replay the log against the tables of `rules`; returns how many rows agree.

    (1) every event is given to the rules that read its type; (2) every row is told of, and says
    what was told; (3) every row told of is there. Raises VerificationError `fsck_row` with table,
    row, column and the entry that contradicts it. A column's `frozenset` lists what it may be.
    """
    for event in events():  # (1)
        for rule in rules:
            if event.kind in rule.reads:
                _tell(rule, event)
    count = 0
    for rule in rules:
        seen = set()
        for row in rule.rows():  # (2)
            _compare(rule, row)
            seen.add(row.key)
            count += 1
        for key in rule.told:  # (3)
            if key not in seen and not rule.gone(key):
                teller = next(event for (known, _), event in rule.by.items() if known == key)
                raise _differs(rule, key, f"the row is not there; {teller} tells of it")
    return count


def _tell(rule: Rule, event: Event) -> None:
    """An entry that lacks what its type says is itself the thing that is wrong."""
    try:
        rule.tell(event)
    except (KeyError, TypeError, AttributeError) as error:
        raise VerificationError("fsck_entry", f"{event} does not say its {error}") from error


def _compare(rule: Rule, row: Row) -> None:
    told = rule.told.get(row.key)
    if told is None:
        raise _differs(rule, row.name, "no entry of the log tells of this row")
    for name, expected in told.items():
        found = row.columns[name]
        allowed = expected if isinstance(expected, frozenset) else frozenset({expected})
        if found not in allowed:
            said = " or ".join(sorted(map(repr, allowed)))
            by = rule.by[row.key, name]
            raise _differs(rule, row.name, f"{name} is {found!r}, the log says {said} ({by})")


def _differs(rule: Rule, name: str, why: str) -> VerificationError:
    return VerificationError("fsck_row", f"{rule.table} {name}: {why}")


def events(kinds: Collection[str] | None = None) -> Iterator[Event]:
    """Every event in the order of the log, then those that wait, in the order of writing.

    `kinds` leaves out all other types.
    """
    index = 0
    rows = models.Entry.objects.order_by("index")
    rows = rows if kinds is None else rows.filter(event_type__in=kinds)
    while page := list(rows.filter(index__gte=index)[:PAGE]):
        for row in page:
            yield _event(bytes(row.payload), row.index)
        index = page[-1].index + 1
    for waiting in models.Outbox.objects.order_by("seq"):
        event = _event(bytes(waiting.payload), None)
        if kinds is None or event.kind in kinds:
            yield event


def _event(payload: bytes, index: int | None) -> Event:
    event = canonical.loads(payload)
    return Event(index, event["id"], event["type"], event["at"], event["data"])


@contextmanager
def snapshot() -> Iterator[None]:
    """One moment of the database: entries, tiles, checkpoints and rows as of the same commit.

    Without it, what is written while the check reads would look like a fault. Inside a
    transaction that is open already, that transaction is what is seen.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
