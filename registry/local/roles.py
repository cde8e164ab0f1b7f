"""The embedded database's roles: each program works as one that can do no more than it needs.

Not a stage. On one computer every program belongs to one user, who holds the only password; so the
roles cannot log in and programs take them on as they connect (`role` in the connection options).
That binds what the programs do, not somebody who has taken one over: for that, use roles with
passwords of their own, as docker/README.md says.
"""

from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

APPLICATION: Final = "kyodaku_app"  # web, workers, the demonstration
SEQUENCER: Final = "kyodaku_sequencer"


def create(url: str) -> None:
    """Make the two roles that do not exist yet."""
    with psycopg.connect(url) as connection:
        for name in (APPLICATION, SEQUENCER):
            found = connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)
            ).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))


def lend_queue(url: str) -> None:
    """Give the application what pgmq keeps: its functions make, index and drop queues' tables."""
    app = sql.Identifier(APPLICATION)
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'pgmq' AND c.relkind IN ('r', 'p')"
        ).fetchall()
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA pgmq TO {}").format(app))
        for (name,) in tables:
            table = sql.Identifier("pgmq", name)
            connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, app))
        for kind in ("SEQUENCES", "FUNCTIONS"):
            grant = sql.SQL(f"GRANT ALL ON ALL {kind} IN SCHEMA pgmq TO {{}}")
            connection.execute(grant.format(app))


def taken_on(url: str, role: str) -> str:
    """Return the address under which a program works as `role`."""
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}options={quote(f'-c role={role}', safe='')}"
