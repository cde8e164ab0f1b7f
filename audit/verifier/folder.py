"""`verify`: a delivered folder with its proof, offline, against pinned keys. Stage 9, pure.

What a licensee holds in hand, without the case behind it (that is the evidence pack): every file is
the one that went out, the registry says so under its own keys, and its log shows it. Each file is
covered by one numbered step, which names it when it was changed. Trusts the trust root alone: the
key that signed the folder counts because the registry's statement names it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from audit.verifier.history import Entry, parse_entry
from audit.verifier.steps import Step, Walk
from audit.verifier.verify import only_known_signers, same, signers, statement_of
from registry.core.trust import TrustRoot
from registry.log.core import canonical, envelope, tlog_proof
from registry.log.core.errors import VerificationError
from training.core import archive, folder, model_signature, provenance, weights
from training.core.archive import malformed
from training.core.model_signature import PUBLIC_KEY, SIGNATURE
from training.core.provenance import Statement

MADE: Final = "delivery.made"
# More than a delivery has, so that a few too many are named and thousands are not even listed.
_MOST_FILES: Final = 16


@dataclass(frozen=True)
class Delivered:
    """A folder that verified. `index` and `at` are its entry's in the log."""

    steps: tuple[Step, ...]
    mode: str
    lora_id: str
    delivery_id: str
    licensee: str
    grant_digest: str
    file_sha256: str
    index: int
    at: datetime


def verify(
    files: Mapping[str, bytes], proof: bytes, proof_name: str, trust: TrustRoot
) -> Delivered:
    """Verify a folder and its proof. Raises `StepError` at the first broken step.

    (1) folder: exactly the files of a delivery; (2) bundle: each is the one that was signed with
    the folder's key, under SHA-256; (3) delivered: the registry says that this file went out, and
    names that key; (4) made: the run's record is the one that the delivery names, the registry
    signed it; (5) header: the file says the same of itself; (6) entry: the log of the pinned keys
    shows this delivery.
    """
    walk = Walk({**files, proof_name: proof})
    names = sorted(files)
    with walk.step("folder", *names):  # (1)
        lora_id = folder.lora_of(names)
    adapter = folder.adapter_name(lora_id)
    with walk.step("bundle", *names):  # (2)
        key = _check_bundle(walk, names)
    with walk.step("delivered", folder.DELIVERY, adapter):  # (3)
        delivery, payload, signer = _delivery(walk, adapter, key, trust)
    with walk.step("made", folder.RUN):  # (4)
        _check_run(walk.json(folder.RUN), delivery, trust)
    with walk.step("header", adapter):  # (5)
        _check_header(walk.bytes(adapter), delivery, trust)
    with walk.step("entry", proof_name):  # (6)
        entry = _entry(walk.text(proof_name), trust)
        _check_entry(entry, lora_id, delivery, payload)
        if not trust.could_sign(signer, int(entry.at.timestamp())):
            raise VerificationError("unknown_key", "signed with a key that no longer counted")
    return Delivered(
        steps=tuple(walk.done),
        mode=trust.mode,
        lora_id=lora_id,
        delivery_id=str(entry.data["delivery_id"]),
        licensee=str(delivery.parameters["licensee"]),
        grant_digest=delivery.grant_digest,
        file_sha256=delivery.subject_sha256,
        index=entry.index,
        at=entry.at,
    )


def is_folder(path: Path) -> bool:
    """Whether this is a delivered folder, or what is left of one, rather than an evidence pack."""
    parts = any((path / name).exists() for name in (folder.DELIVERY, SIGNATURE))
    return parts and not (path / "pack.json").exists()


def load(path: Path) -> dict[str, bytes]:
    """The files of a folder: regular files only, nothing hidden, no folder inside.

    Nothing is opened before all of them together are no larger than a delivery. Raises
    `VerificationError("malformed")`; `OSError` when it cannot be read.
    """
    with os.scandir(path) as entries:
        found = list(itertools.islice(entries, _MOST_FILES + 1))
    if len(found) > _MOST_FILES:
        raise malformed("more files than a delivery has")
    sizes = {entry.name: _size(entry) for entry in sorted(found, key=lambda entry: entry.name)}
    if sum(sizes.values()) > archive.MAX_BYTES:
        raise malformed(f"larger than {archive.MAX_BYTES} bytes")
    return {name: _content(path / name, size) for name, size in sizes.items()}


def _size(entry: os.DirEntry[str]) -> int:
    if not entry.is_file(follow_symlinks=False):
        raise malformed(f"{entry.name[:80]!r} is not a regular file")
    size = entry.stat(follow_symlinks=False).st_size
    if not entry.name.endswith(".safetensors") and size > folder.MAX_PAGE_BYTES:
        raise malformed(f"{entry.name[:80]!r} is larger than {folder.MAX_PAGE_BYTES} bytes")
    return size


def _content(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(size + 1)
    if len(data) != size:
        raise malformed(f"{path.name[:80]!r} changed while it was read")
    return data


def _check_bundle(walk: Walk, names: list[str]) -> str:
    """Every file but the signature has the digest that was signed; returns the key's."""
    bundle = walk.bytes(SIGNATURE)
    hint, public = model_signature.key_of(bundle), walk.bytes(PUBLIC_KEY)
    same(model_signature.key_sha256(public), hint, "unknown_key", f"not the key of {SIGNATURE}")
    walk.bytes(SIGNATURE)  # what fails from here on is named by this file
    covered = model_signature.verify(bundle, public)
    for name in names:
        if name == SIGNATURE:
            continue
        found = hashlib.sha256(walk.bytes(name)).hexdigest()
        same(found, covered.pop(name, None), "file_changed", f"{name} is not what was signed")
    if covered:
        raise malformed(f"{min(covered)[:80]!r} was signed and is missing")
    return model_signature.key_sha256(public)


def _delivery(walk: Walk, adapter: str, key: str, trust: TrustRoot) -> tuple[Statement, bytes, str]:
    signed = walk.json(folder.DELIVERY)
    names = signers(signed)
    if len(names) != 1 or not names <= set(trust.provenance_keys):
        raise VerificationError("unknown_key", "a delivery is signed by the registry alone")
    payload = envelope.verify(
        signed, trust.provenance_keys, payload_type=provenance.PAYLOAD_TYPE, threshold=1
    )
    stated, found = statement_of(payload, provenance.DELIVERY)
    same(found.parameters.get("model_key_sha256"), key, "unknown_key", f"{PUBLIC_KEY}: another key")
    same(stated["subject"][0]["name"], adapter, "wrong_subject", "a statement about another file")
    digest = hashlib.sha256(walk.bytes(adapter)).hexdigest()
    same(digest, found.subject_sha256, "wrong_subject", "another file than was delivered")
    return found, payload, min(names)


def _check_run(signed: Mapping[str, Any], delivery: Statement, trust: TrustRoot) -> None:
    """The registry vouches for the worker's signature; an evidence pack proves it, too."""
    payload = envelope.verify(
        signed, trust.provenance_keys, payload_type=provenance.PAYLOAD_TYPE, threshold=1
    )
    _, run = statement_of(payload, provenance.RUN)
    digest = hashlib.sha256(payload).hexdigest()
    same(digest, delivery.dependencies["run-statement"], "wrong_subject", "another run")
    same(run.subject_sha256, delivery.dependencies["master"], "wrong_subject", "another master")
    same(run.grant_digest, delivery.grant_digest, "wrong_subject", "another grant")


def _check_header(data: bytes, delivery: Statement, trust: TrustRoot) -> None:
    header, tensors = weights.read(data).metadata, weights.tensor_sha256(data)
    same(tensors, delivery.parameters.get("tensor_sha256"), "wrong_subject", "other tensors")
    same(header.get("kyodaku.tensor_sha256"), tensors, "wrong_subject", "the header's digest")
    same(header.get("kyodaku.grant_digest"), delivery.grant_digest, "wrong_subject", "grant")
    same(header.get("kyodaku.log_origin"), trust.log_origin, "unknown_key", "another log")


def _entry(text: str, trust: TrustRoot) -> Entry:
    proof = tlog_proof.inspect_proof(text)
    if proof.extra is None:
        raise malformed("a proof without its entry")
    only_known_signers(proof.note, trust.checkpoint_vkeys)
    index, head = tlog_proof.verify(
        text, proof.extra, trust.checkpoint_vkeys, witnesses=trust.witness_quorum
    )
    same(head.origin, trust.log_origin, "unknown_key", "another log")
    return parse_entry(index, proof.extra, canonical.loads(proof.extra))


def _check_entry(entry: Entry, lora_id: str, delivery: Statement, payload: bytes) -> None:
    stated = canonical.loads(payload)["predicate"]["runDetails"]["metadata"]
    wanted = {
        "delivery_id": stated["invocationId"],
        "lora_id": lora_id,
        "recipient_id": delivery.parameters["licensee"],
        "file_sha256": delivery.subject_sha256,
        "tensor_sha256": delivery.parameters["tensor_sha256"],
        "statement_sha256": hashlib.sha256(payload).hexdigest(),
    }
    same(entry.kind, MADE, "wrong_subject", f"an entry of type {entry.kind}")
    for name, value in wanted.items():
        same(entry.data.get(name), value, "wrong_subject", f"the entry of another delivery: {name}")
    when = datetime.fromisoformat(stated["finishedOn"])
    same(entry.at.replace(microsecond=0), when, "wrong_subject", "logged at another time")
