"""Database roles: who may do what to the log's tables, said in PostgreSQL's own terms.

Triggers are guard rails that an owner can lift; privileges are held by the server. The owner of the
tables cannot log in. The application may put events into the outbox and read; the sequencer may
take them out and add to the log; nobody may change or delete an entry. A superuser still can, which
`fsck` and everybody's checkpoints show.
"""

from collections.abc import Iterator
from typing import Final

from django.apps import apps
from django.db import connection, transaction
from psycopg import sql

from registry.log.core.errors import Error

OWNER: Final = "kyodaku_log_owner"

# table: (application, sequencer). Everybody of the two may read every table of the log.
RIGHTS: Final = {
    "log_outbox": ("INSERT", "DELETE"),
    "log_entry": ("", "INSERT"),
    "log_subject": ("", "INSERT"),
    "log_tile": ("", "INSERT, UPDATE (width, data)"),
    "log_checkpoint": ("", "INSERT, UPDATE (note)"),
    "log_anchor": ("INSERT, UPDATE", "INSERT, UPDATE"),
    "log_timestamp": ("INSERT", ""),
}


class RolesError(Error):
    """The roles cannot be set up like this; the text says why."""


@transaction.atomic
def apply(application: str, sequencer: str) -> None:
    """Give two existing login roles their rights; repeat it after every migration.

    Needs a role that may create roles and owns the tables, or a superuser. Raises RolesError when
    a role is missing, is a superuser, or is both.
    """
    _require_plain(application, sequencer)
    with connection.cursor() as cursor:
        for statement in _statements(application, sequencer):
            cursor.execute(statement)


def _require_plain(application: str, sequencer: str) -> None:
    if application == sequencer:
        raise RolesError("the application and the sequencer are two roles")
    for name in (application, sequencer):
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [name])
            row = cursor.fetchone()
        if row is None:
            raise RolesError(f"there is no role {name}: CREATE ROLE {name} LOGIN PASSWORD '...'")
        if row[0]:
            raise RolesError(f"{name} is a superuser, whom no privilege binds")


def _statements(application: str, sequencer: str) -> Iterator[sql.Composed]:
    owner, app, seq = map(sql.Identifier, (OWNER, application, sequencer))
    quoted = sql.Literal(OWNER)
    yield sql.SQL(
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = {}) THEN"
        " CREATE ROLE {} NOLOGIN; END IF; END $$"
    ).format(quoted, owner)
    yield sql.SQL("GRANT {} TO CURRENT_USER").format(owner)  # who migrates may act as the owner
    yield sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(app, seq)
    yield sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(owner)
    for table in _other_tables():
        yield sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(
            sql.Identifier(table), app
        )
    yield sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(app)
    for table, rights in RIGHTS.items():
        name = sql.Identifier(table)
        yield sql.SQL("ALTER TABLE {} OWNER TO {}").format(name, owner)
        yield sql.SQL("REVOKE ALL ON {} FROM PUBLIC, {}, {}").format(name, app, seq)
        for role, granted in zip((app, seq), rights, strict=True):
            words = sql.SQL(f"SELECT, {granted}" if granted else "SELECT")
            yield sql.SQL("GRANT {} ON {} TO {}").format(words, name, role)


def _other_tables() -> list[str]:
    """Every table of the site but the log's; the sequencer has nothing to look for in them."""
    return sorted(
        {
            model._meta.db_table
            for model in apps.get_models(include_auto_created=True)
            if model._meta.managed and model._meta.app_label != "log"
        }
        | {"django_migrations"}
    )
