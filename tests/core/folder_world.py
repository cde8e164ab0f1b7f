"""A delivered folder in memory, every signature real: the registry's keys are `pack_world`'s, the
folder is signed by the stock tool with a key on P-256 made here."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from model_signing import hashing, signing

from audit.verifier import folder as verifier
from audit.verifier.folder import Delivered
from registry.core.trust import TrustRoot
from registry.log.core import canonical
from registry.log.core.checkpoint import LogSigners
from registry.log.core.tlog_proof import TlogProof, format_proof
from tests.core import pack_world as world
from tests.loras import lora, tiny
from training.core import folder, model_signature, weights
from training.core.model_signature import PUBLIC_KEY, SIGNATURE

NAME = world.DELIVERY_ID
ADAPTER = folder.adapter_name(world.LORA_ID)
PROOF = NAME + folder.PROOF_SUFFIX
AT = world.START + timedelta(hours=1)


@dataclass(frozen=True)
class Parts:
    """A folder's files, its proof, and the case that its statements are about."""

    files: dict[str, bytes]
    proof: bytes
    trust: TrustRoot

    def verify(self, proof: bytes | None = None, **changes: bytes | None) -> Delivered:
        """Verify with some files replaced, or taken away (None)."""
        files: dict[str, bytes | None] = {**self.files, **changes}
        kept = {name: data for name, data in files.items() if data is not None}
        return verifier.verify(kept, self.proof if proof is None else proof, PROOF, self.trust)


@functools.cache
def key(name: str) -> tuple[bytes, bytes]:
    """(private, public) in PEM, by the owner's name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()) >> 1
    private = ec.derive_private_key(seed, ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def signed(files: Mapping[str, bytes], owner: str = "registry", **options: Any) -> bytes:
    """The stock tool's bundle over these files, in canonical form."""
    with tempfile.TemporaryDirectory() as made:
        place, private = Path(made) / NAME, Path(made) / "key.pem"
        place.mkdir()
        for name, data in files.items():
            (place / name).write_bytes(data)
        private.write_bytes(key(owner)[0])
        bundle = Path(made) / "bundle"
        config = hashing.Config()
        if options.get("algorithm"):
            config.use_file_serialization(hashing_algorithm=options["algorithm"])
        config.set_ignored_paths(
            paths=[place / name for name in (SIGNATURE, *options.get("ignored", ()))],
            ignore_git_paths=False,
        )
        signer = signing.Config()
        signer.set_hashing_config(config).use_elliptic_key_signer(private_key=private)
        signer.sign(place, bundle)
        return model_signature.canonical_form(bundle.read_bytes())


def resigned(files: Mapping[str, bytes], owner: str = "registry") -> dict[str, bytes]:
    """The same files under a new signature by this owner's key."""
    rest = {name: data for name, data in files.items() if name != SIGNATURE}
    rest[PUBLIC_KEY] = key(owner)[1]
    return {**rest, SIGNATURE: signed(rest, owner)}


@functools.cache
def _case() -> world.World:
    return world.build()


def adapter(seed: int = 2, /, **header: str) -> bytes:
    """A LoRA file whose header says what a delivered one's does."""
    tensors = weights.to_kohya(lora(tiny()[:4], 4, seed=seed)).tensors
    said = {
        "kyodaku.tensor_sha256": weights.tensor_sha256(weights.write(tensors, {})),
        "kyodaku.grant_digest": _case().grant.digest().hex(),
        "kyodaku.log_origin": world.LOG_ORIGIN,
    }
    return weights.write(tensors, said | header)


def delivery(file: bytes, **changes: Any) -> dict[str, Any]:
    """The delivery's envelope; `signers` and the facts may be spoiled."""
    grant, master, run = _made()
    facts = {"model_key_sha256": model_signature.key_sha256(key("registry")[1])}
    return world.delivery_envelope(grant, file, master, run, AT, **{**facts, **changes})


@functools.cache
def _made() -> tuple[Any, bytes, dict[str, Any]]:
    grant = _case().grant
    master = weights.write(lora(tiny()[:4], 4, seed=1).tensors, {})
    run = world.run_envelope(grant, master, AT - timedelta(minutes=6), AT - timedelta(minutes=1))
    return grant, master, run


def entry(file: bytes, envelope: Mapping[str, Any], **changes: str) -> dict[str, str]:
    """The data of `delivery.made`."""
    payload = canonical.unb64(envelope["payload"])
    return {
        "delivery_id": NAME,
        "lora_id": world.LORA_ID,
        "recipient_id": world.LICENSEE,
        "file_sha256": hashlib.sha256(file).hexdigest(),
        "tensor_sha256": weights.tensor_sha256(file),
        "statement_sha256": hashlib.sha256(payload).hexdigest(),
        **changes,
    }


def proof_of(
    data: Mapping[str, str],
    *,
    kind: str = "delivery.made",
    at: Any = AT,
    signers: LogSigners | None = None,
) -> bytes:
    """A proof of one entry, among others."""
    log = world.MemoryLog(signers or world.log_signers())
    log.append("lora.sealed", {"lora_id": world.LORA_ID, "job_id": world.JOB_ID}, at)
    index = log.append(kind, data, at)
    log.append("delivery.fetched", {"delivery_id": NAME}, at)
    path = tuple(log.tree().inclusion_proof(index))
    return format_proof(TlogProof(index, path, log.checkpoint(at), log.entries[index])).encode()


def parts(
    file: bytes | None = None,
    envelope: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    proof: bytes | None = None,
) -> Parts:
    """The whole folder, honest but for what is given."""
    file = adapter() if file is None else file
    envelope = delivery(file) if envelope is None else envelope
    files = {
        ADAPTER: file,
        folder.DELIVERY: canonical.dumps(envelope),
        folder.RUN: canonical.dumps(_made()[2] if run is None else run),
        folder.README: folder.page(
            lora_id=world.LORA_ID,
            delivery_id=NAME,
            grant_digest=_case().grant.digest().hex(),
            site=world.ISSUER,
        ),
    }
    proof = proof_of(entry(file, envelope)) if proof is None else proof
    return Parts(resigned(files), proof, world.trust_root())


@functools.cache
def honest() -> Parts:
    """The folder as it should be."""
    return parts()
