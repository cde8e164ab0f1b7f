"""A new origin: how a log goes on after history was lost, without ever signing a second one.

An origin names one history. When a backup had to be restored that is older than what witnesses or
readers saw, the old name is finished: its keys sign nothing more. The entries that are left become
the beginning of a log under another name and other keys, and its first new entry says which log it
continues, which checkpoint of it was known last, and where its own history begins.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from registry.log import models, rows, selectors
from registry.log.append import entry_bytes
from registry.log.core import canonical, merkle, tiles
from registry.log.core.checkpoint import (
    Checkpoint,
    LogSigners,
    VerifierKey,
    parse_body,
    parse_note,
    verify_checkpoint,
)
from registry.log.core.errors import Error, VerificationError

OPENED: Final = "log.origin_opened"


class OriginError(Error):
    """A new origin cannot be opened like this; the text says what is missing."""


def open_new(signers: LogSigners, known_note: str, known_vkeys: Sequence[str]) -> str:
    """Begin the log of `signers` with the entries of this database; return the event's id.

    (1) The known checkpoint is signed by the old keys; (2) name and keys are new; (3) this database
    does not continue that checkpoint: else nothing is lost, and the old origin goes on; (4) the
    event is the next entry, before everything that waits; (5) the old export is moved aside, where
    it stays as evidence. Raises OriginError, VerificationError.
    """
    known = verify_checkpoint(known_note, known_vkeys)  # (1)
    _require_new(signers, known, known_vkeys)  # (2)
    size = rows.tree_size()
    if _continues(known, size):  # (3)
        raise OriginError(
            f"this database continues {known.origin} at {known.size}: nothing is lost"
        )
    with transaction.atomic():
        event_id = _append_first(_event(signers, known, known_note, known_vkeys, size))  # (4)
        # A crash before the commit: nothing happened. After it: the export is moved by hand, or
        # by running this again, which finds the event waiting.
    _move_aside(settings.LOG_EXPORT_DIR, known)  # (5)
    return event_id


class Pins:
    """The verifier keys of each part of the log's history: today's, and those of earlier origins.

    What an entry under today's origin says of earlier ones is as good as that entry: it stands in
    the tree that today's keys signed.
    """

    def __init__(self, vkeys: Sequence[str]) -> None:
        opened = models.Entry.objects.filter(event_type=OPENED).order_by("index")
        self._today = tuple(vkeys)
        self._earlier = [
            (row.index, tuple(canonical.loads(bytes(row.payload))["data"]["previous_vkeys"]))
            for row in opened
        ]

    def at(self, size: int) -> tuple[str, ...]:
        """Return the keys that verify a checkpoint of `size`."""
        return next((keys for kept, keys in self._earlier if size <= kept), self._today)


def require_opened(signers: LogSigners) -> None:
    """Refuse to sign under a name that this history does not bear.

    Somebody changed KYODAKU_LOG_ORIGIN under a log that exists: VerificationError `wrong_origin`.
    """
    newest = selectors.latest_checkpoint()
    if newest is None:
        return
    last = parse_body(parse_note(newest.note)[0]).origin
    if last == signers.origin:
        return
    opened = [bytes(row.payload) for row in models.Entry.objects.filter(event_type=OPENED)]
    opened += [bytes(row.payload) for row in models.Outbox.objects.order_by("seq")[:1]]
    for payload in opened:
        event = canonical.loads(payload)
        if event["type"] == OPENED and event["data"]["origin"] == signers.origin:
            return
    raise VerificationError(
        "wrong_origin",
        f"this log is {last}, not {signers.origin}. Put KYODAKU_LOG_ORIGIN back, or open a new"
        " origin with `manage.py log_new_origin`",
    )


def _require_new(signers: LogSigners, known: Checkpoint, known_vkeys: Sequence[str]) -> None:
    old = {VerifierKey.parse(key).public_raw for key in known_vkeys}
    ours = {VerifierKey.parse(key).public_raw for key in signers.vkeys()}
    if signers.origin == known.origin or old & ours:
        raise OriginError(
            f"{known.origin} and its keys are finished. Set KYODAKU_LOG_ORIGIN to another name,"
            " move checkpoint.ed25519 and checkpoint.mldsa44 away from the keys, and run"
            " `manage.py create_keys`"
        )


def _continues(known: Checkpoint, size: int) -> bool:
    if known.size > size:
        return False
    nodes = tiles.TileNodes(selectors.read_tile)
    return merkle.root_from_nodes(known.size, nodes) == known.root


def _event(
    signers: LogSigners, known: Checkpoint, note: str, vkeys: Sequence[str], size: int
) -> dict[str, Any]:
    return {
        "origin": signers.origin,
        "kept": size,
        "previous_origin": known.origin,
        "previous_size": known.size,
        "previous_checkpoint": note,
        "previous_vkeys": list(vkeys),
    }


def _append_first(data: dict[str, Any]) -> str:
    """Write the event before everything that waits: it must be the first of the new origin."""
    now, key = timezone.now(), uuid.uuid4()
    event_id = f"evt_{key.hex}"
    payload = entry_bytes(event_id, OPENED, data, now)
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE log_outbox IN EXCLUSIVE MODE")
        cursor.execute("SELECT coalesce(min(seq), 1) - 1 FROM log_outbox")
        (seq,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO log_outbox (seq, id, payload, created) VALUES (%s, %s, %s, %s)",
            (seq, key, payload, now),
        )
    return event_id


def _move_aside(folder: Path | None, known: Checkpoint) -> None:
    if folder is not None and folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.until-{known.size}"))
