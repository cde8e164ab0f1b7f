"""Admission: everything that must hold before the trainer opens a picture. No torch, no Django.

Stage 6, first half. Trusts only `trust.json` (placed by the operator, out of band) and the two
private keys that the agent hands over on standard input. The job, the token, the key release and
the sealed objects come from the registry and are believed only as far as they verify.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from registry.core import tokens, vault
from registry.core.tokens import Claims
from registry.core.trust import TrustRoot
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer
from training.core.manifest import Item, Manifest, verify_items
from training.trainer.base.digest import base_digest
from training.trainer.config import Recipe
from training.trainer.dataset import Box

KEY_RELEASE: Final = "kyodaku/key-release/v1"
JOB_MEMBERS: Final = frozenset(
    {"job_id", "recipe", "base_path", "base_sha256", "audience", "output"}
)


@dataclass(frozen=True)
class Job:
    """`job.json`: what the agent asks this process to do. Not signed; the token decides."""

    job_id: str
    recipe: Recipe
    base_path: Path
    base_sha256: str
    audience: str
    output: str

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Parse strictly. Raises `VerificationError("malformed")`."""
        payload = read_json(folder / "job.json")
        if set(payload) != JOB_MEMBERS or payload["output"] != "out":
            raise VerificationError("malformed", "job.json members")
        words = {k: payload[k] for k in JOB_MEMBERS - {"recipe"}}
        if not all(isinstance(word, str) for word in words.values()):
            raise VerificationError("malformed", "job.json types")
        try:
            recipe = Recipe.from_dict(payload["recipe"])
        except (TypeError, ValueError) as error:
            raise VerificationError("recipe_exceeds", str(error)) from error
        return cls(**{**words, "recipe": recipe, "base_path": Path(words["base_path"])})


@dataclass(frozen=True)
class Handover:
    """The first line on standard input: the worker's two private keys and a fresh status list."""

    worker_seed: bytes = field(repr=False)
    hpke_private: bytes = field(repr=False)
    status_token: str

    @classmethod
    def parse(cls, line: Mapping[str, Any]) -> "Handover":
        """Raises `VerificationError("malformed")`."""
        try:
            seed, private = bytes.fromhex(line["worker_key"]), bytes.fromhex(line["hpke_key"])
            status_token = line["status_list"]
        except (KeyError, TypeError, ValueError) as error:
            raise VerificationError("malformed", "first line") from error
        if len(seed) != 32 or len(private) != 32 or not isinstance(status_token, str):
            raise VerificationError("malformed", "first line")
        return cls(seed, private, status_token)


@dataclass(frozen=True)
class Admission:
    """A verified job with its pictures in memory. Made only by `admit`."""

    job_id: str
    grant_digest: str
    dataset_root: str
    base_sha256: str
    base_path: Path
    recipe: Recipe
    pictures: tuple[bytes, ...] = field(repr=False)
    boxes: tuple[Box | None, ...] = field(repr=False)
    data_key: bytes = field(repr=False)
    trust: TrustRoot = field(repr=False)
    status_uri: str
    status_index: int
    status_token: str = field(repr=False)
    ends_at: datetime

    def binding(self) -> bytes:
        """What a checkpoint belongs to: this job's bytes, base and recipe, and no other's."""
        parts = {
            "job_id": self.job_id,
            "grant_digest": self.grant_digest,
            "dataset_root": self.dataset_root,
            "base_sha256": self.base_sha256,
            "recipe": self.recipe.to_dict(),
        }
        return canonical.digest("kyodaku/checkpoint-binding/v1", parts)


Admit = Callable[[Path, Mapping[str, Any], datetime], Admission]


def admit(folder: Path, first_line: Mapping[str, Any], at: datetime) -> Admission:
    """Decide whether the job in `folder` may run at `at`, and open its pictures in memory.

    Raises `VerificationError` with the code of the first step that fails:

    (1) a token is there, and the whole of `tokens.verify` holds for this worker's key: people's
        signatures, status list, log inclusion, limits, term;
    (2) the recipe is the run that the token names;
    (3) the base model's folder has the digest that the job and the grant name;
    (4) the data key opens: it was released to this worker for this token;
    (5) every sealed object opens;
    (6) the Merkle root over the very bytes that are then decoded is the one people signed.
    """
    job, handover = Job.read(folder), Handover.parse(first_line)
    trust = _trust(folder)
    # (1)
    claims = _verified_token(folder, job, handover, trust, at)
    # (2)
    check_recipe(job.recipe, claims)
    # (3)
    check_base(job, claims)
    grant_digest = claims.grant.digest().hex()
    # (4) No token, no key; no key, no pixels: the gate is cryptographic, not this function.
    data_key = _data_key(folder, handover, claims.jti, grant_digest)
    # (5)
    manifest, pictures = open_pictures(folder / "sealed", data_key)
    # (6)
    check_root(manifest, pictures, claims.grant.dataset_root, claims.grant.dataset_count)
    latest = at + timedelta(seconds=claims.run.max_runtime_s)
    return Admission(
        job_id=claims.job_id,
        grant_digest=grant_digest,
        dataset_root=claims.grant.dataset_root,
        base_sha256=job.base_sha256,
        base_path=job.base_path,
        recipe=job.recipe,
        pictures=pictures,
        boxes=tuple(_face(item) for item in manifest.items),
        data_key=data_key,
        trust=trust,
        status_uri=claims.status_uri,
        status_index=claims.status_index,
        status_token=handover.status_token,
        ends_at=min(latest, claims.grant.terms.ends_at()),
    )


def _verified_token(
    folder: Path, job: Job, handover: Handover, trust: TrustRoot, at: datetime
) -> Claims:
    return tokens.verify(
        read_text(folder / "token.jws", missing="no_token"),
        trust=trust,
        audience=job.audience,
        job_id=job.job_id,
        jkt=Ed25519Signer.from_seed(handover.worker_seed).kid,
        status_token=handover.status_token,
        at=at,
    )


def check_recipe(recipe: Recipe, claims: Claims) -> None:
    """The recipe must be the run that was approved, not merely smaller. `recipe_exceeds`."""
    asked = (recipe.method, recipe.rank, recipe.steps, recipe.resolution, recipe.output_policy)
    run = claims.run
    if asked != (run.method, run.rank, run.steps, run.resolution, run.output_policy):
        raise VerificationError("recipe_exceeds", "not the run that the token names")


def check_base(job: Job, claims: Claims) -> None:
    """Recompute the base model's digest from its files. `base_model_mismatch`."""
    if job.base_sha256 not in {base.sha256 for base in claims.grant.base_models}:
        raise VerificationError("base_model_mismatch", "not a base of the grant")
    try:
        found = base_digest(job.base_path)
    except (OSError, ValueError) as error:
        raise VerificationError("base_model_mismatch", type(error).__name__) from error
    if found != job.base_sha256:
        raise VerificationError("base_model_mismatch", "the files have another digest")


def open_pictures(folder: Path, data_key: bytes) -> tuple[Manifest, tuple[bytes, ...]]:
    """Decrypt all objects of `manifest.json`, in its order.

    Raises `VerificationError`: `malformed`, `image_unavailable`, `key_unavailable`,
    `dataset_mismatch`. The manifest is not signed: an object added, dropped or moved changes the
    Merkle root, a changed one does not decrypt, and a false box only moves a crop.
    """
    manifest = Manifest.from_payload(read_json(folder / "manifest.json"))
    # `Manifest` lets only 64 hex digits through as an object's name, so this is no path of theirs.
    pictures = tuple(
        _open(folder / f"{item.object}.bin", data_key, manifest.dataset_id)
        for item in manifest.items
    )
    return manifest, pictures


def check_root(manifest: Manifest, pictures: tuple[bytes, ...], root: str, count: int) -> None:
    """The root recomputed from the pictures' bytes against the one that was signed."""
    opened = {item.object: data for item, data in zip(manifest.items, pictures, strict=True)}
    if verify_items(manifest, opened) != root or len(pictures) != count:
        raise VerificationError("dataset_mismatch", "Merkle root")


def _face(item: Item) -> Box | None:
    if item.box is None:
        return None
    left, top, right, bottom = item.box
    return float(left), float(top), float(right), float(bottom)


def read_text(path: Path, *, missing: str = "malformed") -> str:
    """A small text file. Raises `VerificationError(missing)`."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise VerificationError(missing, path.name) from error


def read_json(path: Path) -> dict[str, Any]:
    """A strict JSON object. Raises `VerificationError("malformed")`."""
    try:
        payload = canonical.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise VerificationError("malformed", path.name) from error
    if not isinstance(payload, dict):
        raise VerificationError("malformed", path.name)
    return payload


def write_manifest(manifest: Manifest) -> bytes:
    """The bytes of `sealed/manifest.json`."""
    return canonical.dumps(manifest.to_payload())


def write_key_release(sealed: bytes) -> bytes:
    """The bytes of `key.json` for the output of `vault.release`."""
    return json.dumps({"format": KEY_RELEASE, "sealed": canonical.b64u(sealed)}).encode()


def _trust(folder: Path) -> TrustRoot:
    try:
        return TrustRoot.from_bytes((folder / "trust.json").read_bytes())
    except (OSError, ValueError) as error:
        raise VerificationError("malformed", "trust.json") from error


def _data_key(folder: Path, handover: Handover, jti: str, grant_digest: str) -> bytes:
    payload = read_json(folder / "key.json")
    try:
        if payload["format"] != KEY_RELEASE:
            raise VerificationError("malformed", "key.json format")
        sealed = canonical.unb64u(payload["sealed"])
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationError("malformed", "key.json") from error
    return vault.receive(sealed, handover.hpke_private, jti=jti, grant_digest=grant_digest)


def _open(path: Path, data_key: bytes, context: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VerificationError("image_unavailable", path.name) from error
    return vault.unseal(data, data_key, context=context)
