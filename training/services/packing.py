"""From a marked file to the folder that is delivered, and from the folder to the parcel (stage 8).

Signs with the stock OpenSSF tool and reads the result back with our own verifier before anything
leaves. Trusts its caller for the file; decides nothing about who may have it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from django.conf import settings

from registry.core.refusals import Refusal
from registry.log import selectors as log
from registry.log.core import canonical
from registry.services import keyring
from training.core import folder, model_signature
from training.core.model_signature import PUBLIC_KEY, SIGNATURE, ModelSignatureError
from training.models import Delivery
from training.services import c2pa_manifests

LOG_WAIT_S: Final = 10.0
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it


def folder_pack(row: Delivery, data: bytes) -> bytes:
    """The archive of one delivery's folder: adapter, statements, page, and one signature over all.

    `row` needs its statement. Raises VerificationError when what was signed does not read back.
    """
    files = {
        folder.adapter_name(row.lora_id): data,
        folder.RUN: canonical.dumps(row.lora.run_statement),
        folder.DELIVERY: canonical.dumps(row.statement),
        folder.README: folder.page(
            lora_id=row.lora_id,
            delivery_id=row.pk,
            grant_digest=row.lora.job.grant.digest,
            site=settings.PUBLIC_URL,
        ),
        PUBLIC_KEY: keyring.model_public_key(),
        folder.sidecar_name(row.lora_id): c2pa_manifests.sidecar(row.lora, data),
    }
    files[SIGNATURE] = _signed(row.pk, files)
    covered = model_signature.verify(files[SIGNATURE], files[PUBLIC_KEY])
    found = {name: hashlib.sha256(files[name]).hexdigest() for name in files if name != SIGNATURE}
    if covered != found:
        raise ModelSignatureError("bad_statement", "the signature covers other files")
    return folder.pack(files)


def _signed(name: str, files: Mapping[str, bytes]) -> bytes:
    # Only here: it loads Sigstore, which no request needs but this.
    from model_signing import hashing, signing  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=_room(sum(map(len, files.values())))) as made:
        # The tool reads files: a folder that is ours alone (0700), in memory where there is room.
        place, signature = Path(made) / name, Path(made) / name / SIGNATURE
        place.mkdir()
        for file, data in files.items():
            (place / file).write_bytes(data)
        config = hashing.Config()  # type: ignore[no-untyped-call]
        config.set_ignored_paths(paths=[signature], ignore_git_paths=False)
        keyring.model_key()  # refuses a key file that others can read
        signer = signing.Config()  # type: ignore[no-untyped-call]
        signer.set_hashing_config(config)
        signer.use_elliptic_key_signer(private_key=settings.KEYS_DIR / keyring.MODEL_KEY)
        signer.sign(place, signature)
        return model_signature.canonical_form(signature.read_bytes())


def _room(size: int) -> Path | None:
    """Memory if it holds the folder twice, else wherever temporary files go."""
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * size:
        return _MEMORY
    return None


def proof(row: Delivery) -> str | Refusal:
    """The delivery's entry with its inclusion proof, under the newest checkpoint.

    `registry_unreachable` while the log has not taken it in. Call it outside a transaction.
    """
    try:
        entry = log.wait_for(row.event, LOG_WAIT_S)
    except TimeoutError as error:
        return Refusal("registry_unreachable", str(error))
    return log.tlog_proof(entry.index, extra=bytes(entry.payload))
