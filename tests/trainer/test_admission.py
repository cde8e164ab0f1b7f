"""Admission: what must hold before a picture is opened. The token is tested with its core."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from registry.core import vault
from registry.log.core.errors import VerificationError
from tests.trainer.people import INDEX, NOW, QUICK, STATUS_URI, TRUST, photographs
from training.core.manifest import Item, Manifest
from training.trainer import admission
from training.trainer.base.digest import base_digest

DATASET = "dst_0123456789abcdef0123"
DATA_KEY, WORKER_SEED, HPKE_PRIVATE = b"d" * 32, b"w" * 32, b"h" * 32
GRANT_DIGEST = bytes.fromhex("ab" * 32)


@dataclasses.dataclass
class World:
    folder: Path
    claims: SimpleNamespace
    line: dict[str, Any]

    def admit(self):
        return admission.admit(self.folder, self.line, NOW)

    def items(self) -> list[Item]:
        payload = json.loads((self.folder / "sealed" / "manifest.json").read_text())
        return list(Manifest.from_payload(payload).items)

    def relist(self, items: list[Item]) -> None:
        path = self.folder / "sealed" / "manifest.json"
        path.write_bytes(admission.write_manifest(Manifest(DATASET, tuple(items))))

    def write(self, name: str, value: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(value))

    def job(self, **changes) -> dict[str, Any]:
        return {**json.loads((self.folder / "job.json").read_text()), **changes}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Alice's admitted job: her pictures sealed, the key released to bob's worker."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "weights").write_bytes(b"base")
    folder = tmp_path / "job"
    (folder / "sealed").mkdir(parents=True)
    items = tuple(_sealed(folder, picture) for picture in photographs(4))
    manifest = Manifest(DATASET, items)
    (folder / "sealed" / "manifest.json").write_bytes(admission.write_manifest(manifest))
    (folder / "trust.json").write_bytes(TRUST.to_bytes())
    (folder / "token.jws").write_text("e30.e30.e30")
    public = X25519PrivateKey.from_private_bytes(HPKE_PRIVATE).public_key().public_bytes_raw()
    released = vault.release(DATA_KEY, public, jti="jti", grant_digest=GRANT_DIGEST.hex())
    (folder / "key.json").write_bytes(admission.write_key_release(released))
    job = {
        "job_id": "job_0123456789abcdef0123",
        "recipe": QUICK.to_dict(),
        "base_path": str(base),
        "base_sha256": base_digest(base),
        "audience": "pool",
        "output": "out",
    }
    (folder / "job.json").write_text(json.dumps(job))
    claims = _claims(job, manifest)
    monkeypatch.setattr(admission, "_verified_token", lambda *_: claims)
    line = {
        "worker_key": WORKER_SEED.hex(),
        "hpke_key": HPKE_PRIVATE.hex(),
        "status_list": "list",
    }
    return World(folder, claims, line)


def _sealed(folder, picture: bytes) -> Item:
    """Seal a picture into the job's folder; its line in the manifest."""
    sealed = vault.seal(picture, DATA_KEY, context=DATASET)
    (folder / "sealed" / f"{sealed.digest}.bin").write_bytes(sealed.data)
    digest = hashlib.sha256(picture).hexdigest()
    return Item(sealed.digest, digest, "00" * 32, 64, 64, len(picture), (1, 1, 20, 30))


def _claims(job, manifest):
    grant = SimpleNamespace(
        digest=lambda: GRANT_DIGEST,
        dataset_root=manifest.root(),
        dataset_count=manifest.count,
        base_models=(SimpleNamespace(sha256=job["base_sha256"]),),
        terms=SimpleNamespace(ends_at=lambda: NOW.replace(year=2027)),
    )
    run = SimpleNamespace(
        output_policy="full_synthesis",
        method="lora",
        rank=QUICK.rank,
        steps=QUICK.steps,
        resolution=QUICK.resolution,
        max_runtime_s=600,
    )
    return SimpleNamespace(
        job_id=job["job_id"],
        jti="jti",
        grant=grant,
        run=run,
        status_uri=STATUS_URI,
        status_index=INDEX,
    )


def refused(world) -> str:
    with pytest.raises(VerificationError) as caught:
        world.admit()
    return caught.value.code


def test_a_job_whose_every_part_holds_is_admitted_with_its_pictures(world):
    admitted = world.admit()
    assert sorted(admitted.pictures) == sorted(photographs(4))
    assert admitted.boxes[0] == (1.0, 1.0, 20.0, 30.0)
    assert admitted.data_key == DATA_KEY
    assert (admitted.ends_at - NOW).total_seconds() == 600


def test_an_admission_shows_neither_keys_nor_pictures(world):
    shown = repr(world.admit())
    assert "dddd" not in shown
    assert "PNG" not in shown


def test_a_key_released_for_another_token_opens_nothing(world):
    world.claims.jti = "another"
    assert refused(world) == "no_token"


def test_a_key_released_to_another_worker_opens_nothing(world):
    world.line["hpke_key"] = "6d" * 32
    assert refused(world) == "no_token"


def test_a_picture_swapped_after_approval_is_refused(world):
    kept = world.items()[:3]
    world.relist([*kept, _sealed(world.folder, photographs(5)[4])])
    assert refused(world) == "dataset_mismatch"


def test_a_picture_swapped_under_the_approved_hash_is_refused(world):
    first, *rest = world.items()
    swapped = _sealed(world.folder, photographs(5)[4])
    world.relist([dataclasses.replace(first, object=swapped.object), *rest])
    assert refused(world) == "dataset_mismatch"


def test_a_picture_dropped_or_added_is_refused(world):
    items = world.items()
    world.relist(items[:3])
    assert refused(world) == "dataset_mismatch"
    world.relist([*items, _sealed(world.folder, photographs(5)[4])])
    assert refused(world) == "dataset_mismatch"


def test_a_changed_byte_in_a_sealed_object_is_refused(world):
    path = next((world.folder / "sealed").glob("*.bin"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert refused(world) == "dataset_mismatch"


def test_a_missing_object_is_refused(world):
    next((world.folder / "sealed").glob("*.bin")).unlink()
    assert refused(world) == "image_unavailable"


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", 7])
def test_an_object_name_that_is_no_digest_is_refused(world, name):
    manifest = json.loads((world.folder / "sealed" / "manifest.json").read_text())
    manifest["items"][0]["object"] = name
    world.write("sealed/manifest.json", manifest)
    assert refused(world) == "malformed"


def test_a_base_model_with_one_more_file_is_refused(world):
    base = world.job()["base_path"]
    with open(os.path.join(base, "extra"), "w") as stream:
        stream.write("x")
    assert refused(world) == "base_model_mismatch"


def test_a_base_model_that_the_grant_does_not_name_is_refused(world):
    world.claims.grant.base_models = ()
    assert refused(world) == "base_model_mismatch"


def test_a_base_model_that_is_missing_is_refused(world):
    shutil.rmtree(world.job()["base_path"])
    assert refused(world) == "base_model_mismatch"


@pytest.mark.parametrize("change", [{"steps": 13}, {"rank": 4, "alpha": 4}, {"resolution": 64}])
def test_a_recipe_other_than_the_approved_run_is_refused(world, change):
    world.write("job.json", world.job(recipe={**QUICK.to_dict(), **change}))
    assert refused(world) == "recipe_exceeds"


@pytest.mark.parametrize("change", [{"extra": 1}, {"output": "../elsewhere"}, {"audience": 3}])
def test_a_job_file_of_another_shape_is_refused(world, change):
    world.write("job.json", world.job(**change))
    assert refused(world) == "malformed"


@pytest.mark.parametrize("line", [{}, {"worker_key": "00", "hpke_key": "00", "status_list": "x"}])
def test_a_first_line_without_keys_is_refused(world, line):
    world.line = line
    assert refused(world) == "malformed"


def test_the_program_refuses_a_job_without_a_token_and_says_so(world):
    (world.folder / "token.jws").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "training.trainer.train", str(world.folder)],
        input=json.dumps(world.line) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    (event,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["event"], event["code"]) == ("refused", "no_token")
    assert not (world.folder / "out").exists()


def test_the_program_refuses_a_token_that_nobody_signed(world):
    done = subprocess.run(
        [sys.executable, "-m", "training.trainer.train", str(world.folder)],
        input=json.dumps(world.line) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["code"] == "malformed"
