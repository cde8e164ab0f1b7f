"""The embedded database's programs work as roles that can do no more than they need."""

import psycopg
import pytest
from pgmq.install import get_embedded_install_sql

from registry.local import roles
from registry.local.postgres import Server


@pytest.fixture
def url(home):
    with Server(home, durable=False) as server:
        roles.create(server.url)
        roles.create(server.url)  # a second start changes nothing
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS theirs (n int)")
            if connection.execute("SELECT to_regnamespace('pgmq')").fetchone() == (None,):
                connection.execute(get_embedded_install_sql().encode())
            connection.execute("SELECT pgmq.create('older')")
        yield server.url


@pytest.mark.parametrize("role", [roles.APPLICATION, roles.SEQUENCER])
def test_a_program_is_its_role_from_its_first_statement(url, role):
    with psycopg.connect(roles.taken_on(url, role)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO theirs VALUES (1)")


def test_the_application_has_the_queue_to_itself(url):
    roles.lend_queue(url)
    roles.lend_queue(url)
    with psycopg.connect(roles.taken_on(url, roles.APPLICATION)) as connection:
        for queue in ("older", "newer"):
            connection.execute("SELECT pgmq.create(%s)", (queue,))
            connection.execute("SELECT pgmq.send(%s, '{}')", (queue,))
            assert connection.execute("SELECT * FROM pgmq.read(%s, 1, 1)", (queue,)).fetchone()
    with (
        psycopg.connect(roles.taken_on(url, roles.SEQUENCER)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT pgmq.send('older', '{}')")
