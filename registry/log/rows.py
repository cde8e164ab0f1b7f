"""The sequencer's and the proofs' own way to the tables: binary, in bulk, without the ORM.

Every byte that is hashed passes here. PostgreSQL's text form of bytea costs a hexadecimal round
trip per row, which at ten thousand events a second is the largest part of the work.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import connection
from psycopg.pq import Format

from registry.log.core import tiles


@dataclass(frozen=True)
class Leaf:
    """An outbox row on its way into the tree; `words` are what it can be looked up by."""

    event_id: str
    event_type: str
    at: datetime
    payload: bytes
    hash: bytes
    words: tuple[str, ...] = ()


@contextmanager
def _cursor() -> Iterator[psycopg.Cursor[Any]]:
    """A binary cursor on Django's connection; its errors are Django's, as everywhere else."""
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.format = Format.BINARY
        yield cursor


def take_outbox(limit: int) -> list[tuple[int, bytes]]:
    """Delete up to `limit` rows from the outbox and return (seq, payload), oldest first.

    By deleting, not by `seq > last seen`: a row that commits late, with a lower number than rows
    already taken, is simply found by a later pass. Only the sequencer deletes, under its lock.
    """
    with _cursor() as cursor:
        cursor.execute(
            "DELETE FROM log_outbox WHERE seq = ANY(ARRAY("
            "SELECT seq FROM log_outbox ORDER BY seq LIMIT %s)) RETURNING seq, payload",
            [limit],
        )
        return sorted(cursor.fetchall())


def insert_entries(size: int, leaves: Sequence[Leaf]) -> None:
    """Insert leaves as entries `size` and up, with their words."""
    with _cursor() as cursor:
        with cursor.copy(
            "COPY log_entry (index, event_id, event_type, leaf_hash, payload, at)"
            " FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(["int8", "varchar", "varchar", "bytea", "bytea", "timestamptz"])
            for index, leaf in enumerate(leaves, size):
                copy.write_row(
                    (index, leaf.event_id, leaf.event_type, leaf.hash, leaf.payload, leaf.at)
                )
        with cursor.copy("COPY log_subject (word, index) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_subject_rows(size, leaves))


def _subject_rows(size: int, leaves: Sequence[Leaf]) -> bytes:
    """PostgreSQL's binary COPY: a header, for each row its fields with their lengths, a trailer.

    Neighbours in the index go in together: sorted, the rows cost half as much to insert.
    """
    named = [(word.encode(), size + i) for i, leaf in enumerate(leaves) for word in leaf.words]
    pack, parts = struct.pack, [b"PGCOPY\n\xff\r\n\0", bytes(8)]
    for word, index in sorted(named):
        parts += (pack(">hi", 2, len(word)), word, pack(">iq", 8, index))
    return b"".join([*parts, pack(">h", -1)])


def tree_size() -> int:
    """Return the number of entries: the highest index and one."""
    with _cursor() as cursor:
        cursor.execute("SELECT index FROM log_entry ORDER BY index DESC LIMIT 1")
        row = cursor.fetchone()
    return 0 if row is None else int(row[0]) + 1


def recorded_head() -> tuple[int, bytes] | None:
    """Return size and root of the newest recorded checkpoint, signed or not."""
    with _cursor() as cursor:
        cursor.execute("SELECT size, root FROM log_checkpoint ORDER BY size DESC LIMIT 1")
        row = cursor.fetchone()
    return None if row is None else (int(row[0]), bytes(row[1]))


def read_entries(first: int, last: int) -> list[tuple[int, bytes, bytes]]:
    """Return (index, leaf hash, payload) of entries `first` to `last` exclusive, as stored."""
    with _cursor() as cursor:
        cursor.execute(
            "SELECT index, leaf_hash, payload FROM log_entry"
            " WHERE index >= %s AND index < %s ORDER BY index",
            [first, last],
        )
        return cursor.fetchall()


def write_tiles(changed: Iterable[tiles.Tile]) -> None:
    """Insert new tiles and widen present ones."""
    with _cursor() as cursor:
        cursor.executemany(
            "INSERT INTO log_tile (level, n, width, data) VALUES (%s, %s, %s, %b)"
            " ON CONFLICT (level, n) DO UPDATE SET width = excluded.width, data = excluded.data",
            [(tile.level, tile.n, tile.width, tile.data) for tile in changed],
        )


def read_tile(level: int, n: int) -> bytes | None:
    """Return the data of a tile row at its present width, or None."""
    with _cursor() as cursor:
        cursor.execute("SELECT data FROM log_tile WHERE level = %s AND n = %s", [level, n])
        row = cursor.fetchone()
    return None if row is None else bytes(row[0])
