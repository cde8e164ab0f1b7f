"""The queue inside PostgreSQL: installs pgmq's SQL, once.

Not a stage. The messages it will carry are nudges; nothing rests on them. Trusts the pinned
package `pgmq`, whose SQL this is, and a role that may create a schema.
"""

import psycopg
from pgmq.install import get_embedded_install_sql

LOCK = 7_300_118_405  # any number that nobody else uses: one installer at a time


def install(url: str) -> bool:
    """Install pgmq's SQL in the database at `url` unless its schema exists; True when done now.

    The script cannot be run twice, so the look and the installation share one transaction under
    an advisory lock. A crash inside leaves nothing.
    """
    with psycopg.connect(url) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'pgmq'").fetchone()
        if found is None:
            connection.execute(get_embedded_install_sql().encode())
        return found is None
