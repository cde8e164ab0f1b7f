"""The same task on every queue that the site may run on: PostgreSQL, memory, RabbitMQ, Redis."""

import os
import subprocess
import sys
import threading
import warnings

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from psycopg.conninfo import make_conninfo

from registry.celery import app as site
from registry.local import broker, env
from tests.chaos import brokers

PGMQ = {"init_extension": False, "use_notify": True, "polling_interval": 1, "wait_time_seconds": 0}


@pytest.fixture(scope="module", params=["pgmq", "memory", *brokers.KINDS])
def queue(request, tmp_path_factory):
    """The kind of queue, and its address: a real server's, started here."""
    if request.param not in brokers.KINDS:
        yield request.param, f"{request.param}://localhost"
        return
    wanted = brokers.missing(request.param)
    if wanted:
        pytest.skip(f"NO {request.param.upper()}: {wanted}")
    with brokers.Broker(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield request.param, server.url


@pytest.fixture
def app(request, queue):
    """A Celery application with the site's settings, on one of the queues."""
    options, (kind, address) = {}, queue
    if kind == "pgmq":
        url = request.getfixturevalue("database_url")
        broker.install(url)
        options = {**PGMQ, "conn_string": make_conninfo(**env.conninfo(env.database(url)))}
    app = Celery("probe", broker=address, set_as_current=False)
    names = ("task_acks_late", "worker_enable_remote_control", "worker_prefetch_multiplier")
    app.conf.update({name: site.conf[name] for name in names})
    app.conf.broker_transport_options = options
    app.conf.task_default_queue = f"probe_{kind}"
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
        # Anybody at the broker can write one for later: it must not keep the others waiting.
        ping.apply_async((9,), countdown=7200)
        ping.delay(1)
        assert woken.wait(30)
    assert seen == [1, 2]


def test_the_site_sends_nothing_that_decides():
    assert site.conf.task_acks_late
    assert not site.conf.task_reject_on_worker_lost  # or one that kills its worker comes for ever
    assert not site.conf.result_backend
    assert site.conf.worker_enable_remote_control is False
    assert site.conf.accept_content == ["json"]


def test_a_long_run_keeps_no_message_waiting_and_the_parent_loads_no_torch():
    """Brokers deliver again what nobody has acknowledged for long; CUDA does not survive a fork."""
    code = (
        "from registry.celery import app; app.loader.import_default_modules(); import sys;"
        "assert app.tasks['training.nudge_worker'].acks_late is False;"
        "assert app.tasks['training.seal_lora'].acks_late is None or app.conf.task_acks_late;"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
