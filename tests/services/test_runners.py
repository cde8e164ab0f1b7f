"""Three ways to have a worker look, one interface: a message, a process, a Kubernetes Job."""

import datetime
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import kubernetes_validate
import pytest
from celery import current_app
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.services.studio import Studio
from training import tasks
from training.core import pods
from training.models import TrainingJob
from training.runners import NotWoken, Waiting, by_pod, by_process, by_queue
from training.services import jobs
from training.worker.agent import ROOT

JOBS = [Waiting(f"job_{n:020x}", n) for n in range(3)]
TOKEN = "a-token-of-the-cluster"
POD = (ROOT / "docker" / "pod.toml").read_text()


class Server(HTTPServer):
    """Remembers what was asked of it, and answers as it is told."""

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked, self.jobs, self.status = [], {}, 0
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        self.asked.append("a client that does not trust us")


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        self.send_response(self.server.status or self.decide(body))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def decide(self, body):
        """As the cluster's API: 201 for a new name, 409 for one that is there."""
        if not self.path.startswith("/apis/batch/v1/namespaces/"):
            return 204
        job = json.loads(body)
        new = job["metadata"]["name"] not in self.server.jobs
        self.server.jobs.setdefault(job["metadata"]["name"], job)
        return 201 if new else 409

    def log_message(self, *_):
        """Nothing on the terminal."""


@pytest.fixture
def registry():
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def certified(folder):
    """A certificate for 127.0.0.1 that vouches for itself, and its key; in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / "api.key").write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    return folder


@pytest.fixture
def cluster(tmp_path):
    """An API server with a certificate of its own, and the account that Kubernetes would mount."""
    account = certified(tmp_path / "account")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "ca.crt", account / "api.key")
    server = Server(context)
    server.account = account
    yield server
    server.shutdown()
    server.server_close()


def by_job(cluster, **changes):
    url = f"https://127.0.0.1:{cluster.server_port}"
    place = by_pod.Cluster(**({"url": url, "account": cluster.account} | changes))
    return by_pod.ByPod(place, pods.read_pod(POD), registry_url="https://r.example", runtime_s=60)


# --- Kubernetes ------------------------------------------------------------------------------


def test_a_waiting_row_becomes_one_valid_job_however_often_it_is_woken(cluster):
    runner = by_job(cluster)
    assert runner.wake(JOBS) == 3
    assert runner.wake(JOBS) == 0
    assert by_job(cluster).wake([*JOBS, Waiting(JOBS[0].job_id, 7)]) == 1
    assert set(cluster.jobs) == {
        pods.job_name(row.job_id, row.attempt) for row in (*JOBS, Waiting(JOBS[0].job_id, 7))
    }
    for job in cluster.jobs.values():
        kubernetes_validate.validate(job, kubernetes_validate.__version__, strict=True)
    assert {asked[:2] for asked in cluster.asked} == {
        ("/apis/batch/v1/namespaces/kyodaku-runs/jobs", f"Bearer {TOKEN}")
    }


def test_the_cluster_is_asked_for_so_many_at_a_time(cluster):
    many = [Waiting(f"job_{n:020x}", 0) for n in range(50)]
    assert by_job(cluster).wake(many) == pods.read_pod(POD).at_most


@pytest.mark.parametrize("status", [200, 401, 403, 422, 500])
def test_any_other_answer_of_the_cluster_wakes_nobody_and_says_so(cluster, status):
    cluster.status = status
    with pytest.raises(NotWoken, match=str(status)):
        by_job(cluster).wake(JOBS)


def test_a_cluster_with_another_certificate_never_sees_our_token(cluster, tmp_path):
    stranger = certified(tmp_path / "stranger")
    with pytest.raises(NotWoken, match="cluster"):
        by_job(cluster, account=stranger).wake(JOBS)
    assert not [asked for asked in cluster.asked if TOKEN in str(asked)]


def test_without_an_account_or_a_cluster_nobody_is_woken(cluster, tmp_path):
    with pytest.raises(NotWoken):
        by_job(cluster, account=tmp_path / "nothing").wake(JOBS)
    runner = by_job(cluster)
    cluster.shutdown()
    cluster.server_close()
    with pytest.raises(NotWoken):
        runner.wake(JOBS)


def test_the_cluster_is_not_spoken_to_in_clear(cluster):
    with pytest.raises(ValueError, match="https"):
        by_job(cluster, url="http://kubernetes.default.svc")


# --- a process -------------------------------------------------------------------------------


@pytest.fixture
def machine(world, tmp_path):
    """A worker on this machine whose registry is a server of the test's."""
    return Studio(world, tmp_path)


def config_of(machine, registry):
    from dataclasses import replace  # noqa: PLC0415

    return replace(machine.config(), registry_url=f"http://127.0.0.1:{registry.server_port}")


@pytest.mark.django_db
def test_a_waiting_row_starts_one_process_that_looks_and_ends(machine, registry, tmp_path):
    runner = by_process.ByProcess(config_of(machine, registry), tmp_path / "log" / "worker.log")
    assert runner.wake([]) == 0
    assert runner.wake(JOBS) == 1
    assert runner.wake(JOBS) == 0  # it still works
    assert runner.process.wait(60) == 0
    assert [asked[0] for asked in registry.asked] == ["/api/worker/v1/claims"]
    assert runner.wake(JOBS) == 1
    assert runner.process.wait(60) == 0


@pytest.mark.django_db
def test_a_process_that_reached_nobody_says_try_again(machine, registry, tmp_path):
    runner = by_process.ByProcess(config_of(machine, registry), tmp_path / "worker.log")
    registry.status = 503
    runner.wake(JOBS)
    assert runner.process.wait(60) == os.EX_TEMPFAIL


@pytest.mark.django_db
def test_a_worker_that_is_told_to_stop_stops(machine, registry):
    """Also as process 1 of a container, which the kernel would not end by SIGTERM."""
    config = config_of(machine, registry)
    command = [part for part in by_process._command(config) if part != "--once"]
    with subprocess.Popen([str(part) for part in command], cwd=ROOT) as process:
        until = time.monotonic() + 60
        while not registry.asked and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == os.EX_TEMPFAIL


# --- the queue -------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch):
    """What reaches the broker: name, arguments, and the rest of the message's head."""
    found = []

    def keep(*args, **options):
        found.append((args, options))

    with current_app.amqp.producer_pool.acquire(block=True) as producer:
        monkeypatch.setattr(type(producer), "publish", lambda _self, *a, **o: keep(*a, **o))
    return found


def test_a_waiting_row_sends_one_nudge_that_names_nothing_and_does_not_last(sent):
    assert by_queue.ByQueue().wake([]) == 0
    assert by_queue.ByQueue().wake(JOBS) == 1
    ((body, options),) = [(args[0], options) for args, options in sent]
    assert body[:2] == ((), {})
    head = options["headers"]
    assert head["task"] == tasks.nudge_worker.name
    sent_at = datetime.datetime.now(datetime.UTC)
    left = datetime.datetime.fromisoformat(head["expires"]) - sent_at
    assert left <= datetime.timedelta(seconds=by_queue.LIFE_S)
    assert options["routing_key"] == by_queue.QUEUE


def test_a_nudge_is_acknowledged_before_a_run_outlasts_the_brokers_patience():
    assert tasks.nudge_worker.acks_late is False
    assert tasks.seal_lora.acks_late is True


# --- which one, and what happens when it fails -------------------------------------------------


@pytest.fixture(autouse=True)
def _fresh_choice():
    chosen = tasks.runner
    chosen.cache_clear()
    yield
    chosen.cache_clear()


def test_settings_choose_the_runner(settings, tmp_path):
    assert isinstance(tasks.runner(), by_queue.ByQueue)
    tasks.runner.cache_clear()
    settings.RUNNER = "process"
    assert isinstance(tasks.runner(), by_process.ByProcess)
    tasks.runner.cache_clear()
    settings.RUNNER, settings.KUBERNETES_POD = "kubernetes", str(tmp_path / "pod.toml")
    (tmp_path / "pod.toml").write_text(POD)
    assert isinstance(tasks.runner(), by_pod.ByPod)


@pytest.mark.django_db
def test_the_sweep_has_the_runner_wake_somebody_for_every_row_that_waits(
    world, tmp_path, settings, cluster, monkeypatch
):
    settings.STORAGE_DIR = tmp_path / "storage"
    studio = Studio(world, tmp_path)
    job = studio.queued()
    runner = by_job(cluster)
    monkeypatch.setattr(tasks, "runner", lambda: runner)
    tasks.sweep()
    tasks.sweep()
    assert list(cluster.jobs) == [pods.job_name(job.pk, 0)]
    assert jobs.waiting() == [Waiting(job.pk, 0)]
    # The pod claimed it and died: the row's next attempt is another Job.
    TrainingJob.objects.filter(pk=job.pk).update(attempt=1)
    tasks.sweep()
    assert list(cluster.jobs) == [pods.job_name(job.pk, 0), pods.job_name(job.pk, 1)]
    TrainingJob.objects.filter(pk=job.pk).update(state=TrainingJob.State.DONE)
    tasks.sweep()
    assert len(cluster.jobs) == 2


class Away:
    def wake(self, waiting):
        raise NotWoken("cluster: ConnectError")


@pytest.mark.django_db
def test_a_runner_out_of_reach_stops_neither_the_sweep_nor_the_page(monkeypatch, caplog):
    monkeypatch.setattr(tasks, "runner", Away)
    tasks.wake_worker()
    assert tasks.sweep()["frozen"] == 0
    assert "nobody woken" in caplog.text


@pytest.mark.parametrize("broker", ["amqp", "redis"])
def test_a_broker_out_of_reach_stops_no_page(broker):
    """In a program of its own, with nobody listening where its broker should be.

    (The queue in PostgreSQL is away only when the page's own database is.)
    """
    code = (
        "import django, os, sys; django.setup(); from registry import celery;"
        "os.environ['CELERY_BROKER_URL'] = sys.argv[1];"
        "from training import tasks; from training.runners import Waiting;"
        "tasks.jobs.waiting = lambda: [Waiting('job_' + '0' * 20, 0)];"
        "tasks.wake_worker(); tasks.wake_sealer('job_' + '0' * 20)"
    )
    address = f"{broker}://127.0.0.1:1/"
    done = program(code, address)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the sweep") == 2, done.stderr


def program(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_workers_parent_never_loads_the_gpu_stack():
    """Celery's own process forks its children: what it had of CUDA could not be used in them."""
    code = (
        "import sys; from registry.celery import app; app.loader.import_default_modules();"
        "from training import tasks; tasks.runner();"
        "found = {'torch', 'diffusers', 'peft', 'transformers'} & set(sys.modules);"
        "assert 'training.sweep' in app.tasks; sys.exit(', '.join(sorted(found)) or 0)"
    )
    done = program(code)
    assert done.returncode == 0, done.stderr
