"""The tests' database: DATABASE_URL if it is set, else an embedded server of this run alone.

The server starts when the first test asks for a database; tests of the cores never do.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import settings as settings_of_hypothesis

from registry.local import env
from registry.local.postgres import Server

# A slow machine is no failure: no test here is about time.
settings_of_hypothesis.register_profile("kyodaku", deadline=None)
settings_of_hypothesis.load_profile("kyodaku")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """The address of a PostgreSQL server; its own database is for tests that start programs."""
    if not settings.OWN_DATABASE:
        yield settings.DATABASE_URL
        return
    home = Path(tempfile.mkdtemp(prefix="kyodaku-pg-"))
    try:
        with Server(home, durable=False) as server:
            settings.DATABASE_URL = server.url
            connections["default"].settings_dict.update(env.database(server.url))
            yield server.url
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(database_url: str) -> None:
    """pytest-django's hook: start the server before it makes its test database."""
