"""Encrypted objects in a folder and in a bucket of a real S3-compatible server: one behaviour."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from registry.core.refusals import Refusal
from registry.local import bucket
from tests.services.studio import Studio, lora_sealed
from training.models import Lora
from training.services import objects

DATA = bytes(range(256)) * 300
NAME = "kyodaku-objects"


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def store(request, settings, tmp_path, monkeypatch):
    """Where objects lie, and how somebody at that store changes or removes one."""
    if request.param == "folder":
        settings.STORAGE_DIR = tmp_path
        return Folder(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    endpoint = request.getfixturevalue("endpoint")
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=NAME)
    place = bucket.storage(NAME, endpoint, "us-east-1")
    settings.STORAGES = {**settings.STORAGES, objects.BUCKET: place}
    request.addfinalizer(lambda: empty(client))  # noqa: PT021 - only for this kind
    return Bucket(client)


def empty(client):
    for row in client.list_objects_v2(Bucket=NAME).get("Contents", []):
        client.delete_object(Bucket=NAME, Key=row["Key"])
    client.delete_bucket(Bucket=NAME)
    client.close()


class Folder:
    def __init__(self, home):
        self.home = home

    def names(self):
        return sorted(
            str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()
        )

    def write(self, key, data):
        (self.home / key).write_bytes(data)

    def remove(self, key):
        (self.home / key).unlink()


class Bucket:
    def __init__(self, client):
        self.client = client

    def names(self):
        found = self.client.list_objects_v2(Bucket=NAME).get("Contents", [])
        return sorted(row["Key"] for row in found)

    def write(self, key, data):
        self.client.put_object(Bucket=NAME, Key=key, Body=data)

    def remove(self, key):
        self.client.delete_object(Bucket=NAME, Key=key)


def test_what_is_stored_is_read_back_and_named_by_its_digest(store):
    digest = objects.object_store(DATA)
    assert objects.object_store(DATA) == digest
    assert store.names() == [f"objects/{digest[:2]}/{digest}"]
    assert objects.object_exists(digest)
    assert objects.object_read(digest) == DATA
    assert objects.object_read(objects.object_store(b"")) == b""


def test_what_the_store_changed_is_noticed(store):
    digest = objects.object_store(DATA)
    store.write(f"objects/{digest[:2]}/{digest}", DATA[:-1])
    answer = objects.object_read(digest)
    assert isinstance(answer, Refusal)
    assert answer.code == "dataset_mismatch"


def test_what_the_store_lost_is_not_there(store):
    digest = objects.object_store(DATA)
    store.remove(f"objects/{digest[:2]}/{digest}")
    assert not objects.object_exists(digest)
    answer = objects.object_read(digest)
    assert isinstance(answer, Refusal)
    assert answer.code == "image_unavailable"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_a_name_that_is_no_digest_is_never_asked_for(store, name):
    assert not objects.object_exists(name)
    answer = objects.object_read(name)
    assert isinstance(answer, Refusal)
    assert answer.code == "image_unavailable"


@pytest.fixture
def away(settings, monkeypatch):
    """A bucket at an address where nobody listens."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    place = bucket.storage(NAME, "http://127.0.0.1:1", "us-east-1")
    return {**settings.STORAGES, objects.BUCKET: place}


def test_a_store_out_of_reach_is_not_told_as_a_missing_object(settings, away):
    settings.STORAGES = away
    for act in (objects.object_exists, objects.object_read):
        with pytest.raises(objects.StoreUnreachable):
            act("0" * 64)
    with pytest.raises(objects.StoreUnreachable):
        objects.object_store(DATA)


@pytest.mark.django_db
def test_a_finished_run_waits_for_a_store_that_is_away(
    world, tmp_path, settings, away, monkeypatch
):
    settings.STORAGE_DIR, settings.LEASE_SECONDS = tmp_path / "storage", 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    studio = Studio(world, tmp_path)
    job = studio.queued()
    assert studio.run().state == "finished"
    here = settings.STORAGES
    settings.STORAGES = away
    with pytest.raises(objects.StoreUnreachable):
        lora_sealed(job=job)
    job.refresh_from_db()
    assert job.state == "finalising"
    settings.STORAGES = here
    assert isinstance(lora_sealed(job=job), Lora)
