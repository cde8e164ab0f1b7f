"""What an intruder would try, done for real: each function returns the code with which it failed.

They act with more power than anybody outside has (the worker's own keys, the storage, the data-set
key), because that is what the refusals must hold against.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from django.conf import settings
from django.db import transaction
from PIL import Image

from audit.demo.people import Unexpected
from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.models import TrainingRequest
from registry.services import keyring, tokens, vault
from training.core import pictures, weights
from training.models import Picture, TrainingJob
from training.services.datasets import dataset_manifest
from training.services.objects import object_read, object_store
from training.trainer import admission
from training.trainer.base.digest import base_digest
from training.worker import keys
from training.worker.client import Client


def train_without_token(request_id: str) -> str:
    """Start the trainer on the real sealed pictures with the worker's own keys, but no token."""
    request = TrainingRequest.objects.get(pk=request_id)
    dataset = request.datasets.get()
    manifest = dataset_manifest(dataset)
    own = keys.load(Path(settings.WORKER_DIR) / "keys")
    with tempfile.TemporaryDirectory(prefix="kyodaku-") as name:
        folder = Path(name)
        (folder / "sealed").mkdir()
        for item in manifest.items:
            (folder / "sealed" / f"{item.object}.bin").write_bytes(_bytes(item.object))
        (folder / "sealed" / "manifest.json").write_bytes(admission.write_manifest(manifest))
        (folder / "trust.json").write_bytes(keyring.trust_root().to_bytes())
        base = base_folder(request.base_model.sha256)
        job = {
            "job_id": "job_" + "0" * 20,
            "recipe": request.recipe,
            "base_path": str(base),
            "base_sha256": request.base_model.sha256,
            "audience": "pool:default",
            "output": "out",
        }
        (folder / "job.json").write_text(json.dumps(job))
        line = {
            "worker_key": own.seed.hex(),
            "hpke_key": own.hpke_private.hex(),
            "status_list": tokens.status_list_issue(),
        }
        return _refused_by_trainer(folder, json.dumps(line) + "\n")


def _refused_by_trainer(folder: Path, first_line: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "training.trainer.train", str(folder)],
        input=first_line,
        capture_output=True,
        text=True,
        cwd=settings.BASE_DIR,
        timeout=120,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    refused = [event["code"] for event in events if event["event"] == "refused"]
    return str(refused[-1]) if refused else f"exit {done.returncode}: {done.stderr[-300:]}"


def base_folder(sha256: str) -> Path:
    """Where the base model with this digest lies on this machine."""
    for root in settings.BASES_DIR:
        for folder in sorted(
            path for path in root.iterdir() if (path / "model_index.json").exists()
        ):
            if base_digest(folder) == sha256:
                return folder
    raise Unexpected("the base model is not on this machine")


def _bytes(digest: str) -> bytes:
    data = object_read(digest)
    if isinstance(data, Refusal):
        raise Unexpected(data.code)
    return data


@contextmanager
def swapped_picture(request_id: str, other: bytes) -> Iterator[None]:
    """Somebody with the storage, the database and the data-set key puts another picture in.

    The new object decrypts and every row fits; only the Merkle root that people signed does not.
    """
    request = TrainingRequest.objects.get(pk=request_id)
    dataset = request.datasets.get()
    row = Picture.objects.filter(dataset=dataset, accepted=True).earliest("position")
    before = {name: getattr(row, name) for name in _SWAPPED}
    plain = pictures.normalise(other)
    key = vault.dataset_key(request=request, dataset_id=dataset.pk)
    if isinstance(plain, Refusal) or isinstance(key, Refusal):
        raise Unexpected("the picture cannot be sealed")
    # It is in the set already, left out: make it another file.
    altered = pictures.normalise(_brighter(plain.data))
    if isinstance(altered, Refusal):
        raise Unexpected(altered.code)
    sealed = vault_core.seal(altered.data, key, context=dataset.pk)
    values = {
        "object_digest": object_store(sealed.data),
        "file_sha256": altered.file_sha256,
        "pixel_sha256": altered.pixel_sha256,
        "width": altered.width,
        "height": altered.height,
        "bytes": len(altered.data),
    }
    with transaction.atomic():
        Picture.objects.filter(pk=row.pk).update(**values)
    try:
        yield
    finally:
        Picture.objects.filter(pk=row.pk).update(**before)


_SWAPPED = ("object_digest", "file_sha256", "pixel_sha256", "width", "height", "bytes")


def _brighter(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data)).point(lambda value: min(255, value + 12))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def present_again(job_id: str) -> str:
    """Present the token of a finished run once more, as the worker that held it."""
    job = TrainingJob.objects.get(pk=job_id)
    own = keys.load(Path(settings.WORKER_DIR) / "keys")
    answer = Client(settings.PUBLIC_URL, own.signer).redeem(
        job.pk, job.fence, (job.admission or {})["token"]
    )
    return answer.code if isinstance(answer, Refusal) else "released"


def disguise(data: bytes) -> bytes:
    """Rename every module, strip the metadata, convert to fp16 at another scale."""
    tensors = {}
    for number, module in enumerate(weights.adapters(weights.strip(weights.read(data)))):
        stem = f"block_{number:03d}"
        tensors[f"{stem}.lora_A.weight"] = (0.5 * module.down).astype(np.float16)
        tensors[f"{stem}.lora_B.weight"] = (2.0 * module.scale * module.up).astype(np.float16)
    return weights.write(tensors, {})
