"""`append`: the one way into the log.

The event is written to the outbox in the caller's transaction: it exists if and only if the change
it tells of is committed. The sequencer gives it an index afterwards. Callers are trusted to pass
pseudonymous ids and commitments only; what is in a leaf can never be taken out.
"""

import re
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from registry.log.core import canonical
from registry.log.core.tiles import MAX_ENTRY_BYTES

_EVENT_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
MAX_EVENT_TYPE: Final = 64


def append(event_type: str, data: Mapping[str, Any], *, at: datetime | None = None) -> str:
    """Write an event to the outbox and return its id, `evt_<32 hex>`.

    `event_type` is a permanent word, `subject.past_tense`; `data` any JSON object with an RFC 8785
    form; `at` the event's time, by default now. Raises RuntimeError outside transaction.atomic,
    ValueError for what cannot be logged (bad type, no canonical form, more than 65,535 bytes).
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an event is appended in the transaction of the change it tells of")
    if not _EVENT_TYPE.fullmatch(event_type) or len(event_type) > MAX_EVENT_TYPE:
        raise ValueError(f"not an event type: {event_type!r}")
    now = timezone.now()
    key = _ordered_uuid(now)
    event_id = f"evt_{key.hex}"
    payload = entry_bytes(event_id, event_type, data, at or now)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO log_outbox (id, payload, created) VALUES (%s, %s, %s)",
            (key, payload, now),
        )
    # A crash here, or a rollback by the caller: neither the change nor its event exists.
    return event_id


def _ordered_uuid(now: datetime) -> uuid.UUID:
    """Return a version 7 UUID (RFC 9562, 5.7): milliseconds, then 74 random bits.

    The entry says its time anyway, and ids that ascend keep the index over them in few pages.
    """
    value = int(now.timestamp() * 1000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)  # variant


def entry_bytes(event_id: str, event_type: str, data: Mapping[str, Any], at: datetime) -> bytes:
    """Return a leaf's bytes: JCS of v, id, type, at, data. Members are only ever added."""
    event = {
        "v": 1,
        "id": event_id,
        "type": event_type,
        "at": timestamp(at),
        "data": dict(data),
    }
    payload = canonical.dumps(event)
    if len(payload) > MAX_ENTRY_BYTES:  # tlog-tiles bundles have a uint16 length
        raise ValueError(f"an event has at most {MAX_ENTRY_BYTES} bytes, not {len(payload)}")
    return payload


def timestamp(at: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds and a Z; ValueError for a naive datetime."""
    if at.tzinfo is None:
        raise ValueError("an event's time has a time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
