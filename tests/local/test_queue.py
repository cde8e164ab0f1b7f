"""The same task on the queue in PostgreSQL and on the one in memory: the transport is young."""

import threading
import warnings

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from psycopg.conninfo import make_conninfo

from registry.celery import app as site
from registry.local import broker, env

PGMQ = {"init_extension": False, "use_notify": True, "polling_interval": 1, "wait_time_seconds": 0}


@pytest.fixture(params=["pgmq", "memory"])
def app(request):
    """A Celery application with the site's settings, on one of the two queues."""
    options = {}
    if request.param == "pgmq":
        url = request.getfixturevalue("database_url")
        broker.install(url)
        options = {**PGMQ, "conn_string": make_conninfo(**env.conninfo(env.database(url)))}
    app = Celery("probe", broker=f"{request.param}://localhost", set_as_current=False)
    names = ("task_acks_late", "worker_enable_remote_control", "worker_prefetch_multiplier")
    app.conf.update({name: site.conf[name] for name in names})
    app.conf.broker_transport_options = options
    app.conf.task_default_queue = f"probe_{request.param}"
    yield app
    app.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_message_wakes_a_worker_and_the_worker_can_wake_another(app):
    seen = []
    woken = threading.Event()

    @app.task(name=f"probe.ping.{app.conf.task_default_queue}", shared=False)
    def ping(number):
        seen.append(number)
        if number == 1:
            ping.delay(2)
        else:
            woken.set()

    with warnings.catch_warnings(), start_worker(app, pool="solo", perform_ping_check=False):
        warnings.simplefilter("ignore")
        ping.delay(1)
        assert woken.wait(30)
    assert seen == [1, 2]


def test_the_site_sends_nothing_that_decides():
    assert site.conf.task_acks_late
    assert not site.conf.result_backend
    assert site.conf.worker_enable_remote_control is False
    assert site.conf.accept_content == ["json"]
