"""Provenance of a LoRA (stages 7 and 8): the statements that are signed, and what a file's header
may say.

Builds and checks payloads; signing and verifying the envelope (DSSE) is
`registry.log.core.envelope`'s. Two statements: the run's (what was trained, from what, under which
grant: signed by worker and registry) and the delivery's (which marked file went out, made from
which master). Trusts its caller for the facts; holds the form, and that nobody's name, caption or
path gets in.

in-toto Statement v1 with predicate https://slsa.dev/provenance/v1.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from registry.log.core.errors import VerificationError

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
RUN: Final = "urn:kyodaku:build:lora-run:v1"
DELIVERY: Final = "urn:kyodaku:build:lora-delivery:v1"

_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_PSEUDONYM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class ProvenanceError(VerificationError):
    """Not of the form that is signed; `code` says which rule it broke."""


@dataclass(frozen=True)
class RunFacts:
    """What one run was. Digests are 64 lower-case hex digits; names are pseudonymous ids."""

    run_id: str
    master_tensor_sha256: str
    grant_digest: str
    recipe: Mapping[str, Any]
    seed: int
    base_sha256: str
    dataset_root: str
    trainer_version: str
    trainer_sha256: str
    worker: str
    started: datetime
    finished: datetime


@dataclass(frozen=True)
class DeliveryFacts:
    """What one delivery was. The artefact id stays in the registry; a commitment goes out."""

    delivery_id: str
    file_sha256: str
    tensor_sha256: str
    master_tensor_sha256: str
    run_statement_sha256: str
    grant_digest: str
    watermark_profile: str
    licensee: str
    artefact_commitment: str
    registry: str
    at: datetime
    lora_id: str
    model_key_sha256: str


# --- statements -----------------------------------------------------------------------------------


def run_statement(facts: RunFacts) -> dict[str, Any]:
    """The in-toto statement of a run; its subject is the unmarked master, by the digest of its
    tensor bytes.

    Raises ProvenanceError: bad_digest, bad_name, bad_time.
    """
    if facts.finished < facts.started:
        raise ProvenanceError("bad_time", "a run cannot end before it began")
    definition = {
        "buildType": RUN,
        "externalParameters": {
            "grant_digest": _digest(facts.grant_digest),
            "recipe": dict(facts.recipe),
            "seed": facts.seed,
        },
        "internalParameters": {},
        "resolvedDependencies": [
            _resource("base-model", facts.base_sha256),
            _resource("dataset-root", facts.dataset_root),
            {**_resource("trainer", facts.trainer_sha256), "annotations": _version(facts)},
        ],
    }
    details = {
        "builder": {"id": f"urn:kyodaku:worker:{_pseudonym(facts.worker)}"},
        "metadata": {
            "invocationId": _pseudonym(facts.run_id),
            "startedOn": _instant(facts.started),
            "finishedOn": _instant(facts.finished),
        },
    }
    return _statement("master", facts.master_tensor_sha256, definition, details)


def delivery_statement(facts: DeliveryFacts) -> dict[str, Any]:
    """The in-toto statement of a delivery; its subject is the delivered file, byte for byte.

    Raises ProvenanceError: bad_digest, bad_name, bad_time.
    """
    definition = {
        "buildType": DELIVERY,
        "externalParameters": {
            "grant_digest": _digest(facts.grant_digest),
            "licensee": _pseudonym(facts.licensee),
            "watermark_profile": _pseudonym(facts.watermark_profile),
            "artefact_commitment": _digest(facts.artefact_commitment),
            "tensor_sha256": _digest(facts.tensor_sha256),
            # The key under which the whole folder is signed is the registry's word, too.
            "model_key_sha256": _digest(facts.model_key_sha256),
        },
        "internalParameters": {},
        "resolvedDependencies": [
            _resource("master", facts.master_tensor_sha256),
            _resource("run-statement", facts.run_statement_sha256),
        ],
    }
    at = _instant(facts.at)
    details = {
        "builder": {"id": f"urn:kyodaku:registry:{_pseudonym(facts.registry)}"},
        "metadata": {
            "invocationId": _pseudonym(facts.delivery_id),
            "startedOn": at,
            "finishedOn": at,
        },
    }
    return _statement(
        f"{_pseudonym(facts.lora_id)}.safetensors", facts.file_sha256, definition, details
    )


def _statement(
    name: str, sha256: str, definition: dict[str, Any], details: dict[str, Any]
) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_resource(name, sha256)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"buildDefinition": definition, "runDetails": details},
    }


def _resource(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": _digest(sha256)}}


def _version(facts: RunFacts) -> dict[str, str]:
    return {"version": _pseudonym(facts.trainer_version)}


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _HEX64.fullmatch(value):
        raise ProvenanceError("bad_digest", "64 lower-case hex digits are needed")
    return value


def _pseudonym(value: object) -> str:
    if not isinstance(value, str) or not _PSEUDONYM.fullmatch(value):
        raise ProvenanceError("bad_name", "an id of letters, digits and . _ : - is needed")
    return value


def _instant(at: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    if at.utcoffset() is None:
        raise ProvenanceError("bad_time", "a time needs its zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- checking a statement -------------------------------------------------------------------------

_RUN_NAMES: Final = ("base-model", "dataset-root", "trainer")
_DELIVERY_NAMES: Final = ("master", "run-statement")


@dataclass(frozen=True)
class Statement:
    """A well-formed statement: what it is about and what that was made from. Digests in hex."""

    build_type: str
    subject_sha256: str
    grant_digest: str
    dependencies: Mapping[str, str]
    parameters: Mapping[str, Any]


def verify_statement(payload: object, *, build_type: str, subject_sha256: str) -> Statement:
    """Check the payload of an envelope whose signatures the caller has verified, against the file
    in hand.

    (1) in-toto Statement v1 with the SLSA predicate; (2) of the expected kind; (3) exactly one
    subject, the file in hand; (4) every dependency of that kind once, with a digest; (5) a grant.
    Raises ProvenanceError: bad_statement, wrong_kind, wrong_subject, bad_digest.
    """
    outer = _mapping(payload)  # (1)
    if outer.get("_type") != STATEMENT_TYPE or outer.get("predicateType") != PREDICATE_TYPE:
        raise ProvenanceError("bad_statement", "not an in-toto statement of SLSA provenance")
    definition = _mapping(_mapping(outer.get("predicate")).get("buildDefinition"))
    if definition.get("buildType") != build_type:  # (2)
        raise ProvenanceError("wrong_kind", "a statement about something else")
    subjects = _resources(outer.get("subject"))
    if list(subjects.values()) != [_digest(subject_sha256)]:  # (3)
        raise ProvenanceError("wrong_subject", "a statement about another file")
    dependencies = _resources(definition.get("resolvedDependencies"))
    if set(dependencies) != set(_RUN_NAMES if build_type == RUN else _DELIVERY_NAMES):  # (4)
        raise ProvenanceError("bad_statement", "dependencies missing or unknown")
    parameters = _mapping(definition.get("externalParameters"))
    grant = _digest(parameters.get("grant_digest"))  # (5)
    return Statement(build_type, subject_sha256, grant, dependencies, parameters)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProvenanceError("bad_statement", "an object is needed")
    return value


def _resources(value: object) -> dict[str, str]:
    if not isinstance(value, list):
        raise ProvenanceError("bad_statement", "a list of resources is needed")
    named: dict[str, str] = {}
    for item in map(_mapping, value):
        name = item.get("name")
        if not isinstance(name, str) or name in named:
            raise ProvenanceError("bad_statement", "a resource without a name of its own")
        named[name] = _digest(_mapping(item.get("digest")).get("sha256"))
    return named


# --- the header of a delivered file ---------------------------------------------------------------


def modelspec_metadata(
    *,
    architecture: str,
    title: str,
    grant_digest: str,
    log_origin: str,
    tensor_sha256: str,
    watermark_profile: str,
    at: datetime,
    implementation: str = "diffusers",
    resolution: str | None = None,
    licence: str | None = None,
    trigger: str | None = None,
    base_duties: Iterable[str] = (),
    base_notices: Iterable[str] = (),
) -> dict[str, str]:
    """The `__metadata__` of a delivered LoRA: ModelSpec 1.0.1 and our own keys; no name, caption or
    path.

    `base_duties` and `base_notices` are what the base model's licences ask of whoever has the file.
    `title` is the registry's pseudonymous name of the artefact. Readers take a file with any
    metadata but no `ss_base_model_version` for SD 1, so SDXL says what it is. Raises
    ProvenanceError: bad_digest, bad_name, leak.
    """
    fields = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture,
        "modelspec.implementation": implementation,
        "modelspec.title": _pseudonym(title),
        "modelspec.date": _instant(at),
        "modelspec.hash_sha256": "0x" + _digest(tensor_sha256),
        "kyodaku.grant_digest": _digest(grant_digest),
        "kyodaku.log_origin": log_origin,
        "kyodaku.tensor_sha256": tensor_sha256,
        "kyodaku.watermark_profile": _pseudonym(watermark_profile),
    }
    optional = {
        "modelspec.resolution": resolution,
        "modelspec.license": licence,
        "modelspec.trigger_phrase": trigger,
        "kyodaku.base_duties": " ".join(base_duties) or None,
        "kyodaku.base_notices": " | ".join(base_notices) or None,
        "ss_base_model_version": "sdxl_base_v1-0" if "xl" in architecture else None,
    }
    fields |= {key: value for key, value in optional.items() if value is not None}
    if leaks := scan_for_leaks(fields, (), ()):
        raise ProvenanceError("leak", leaks[0])
    return fields


# Values that look like paths by their nature, each with the form it must then have.
_PATH_LIKE: Final = {
    "modelspec.architecture": re.compile(r"[a-z0-9._-]+/(lora|lokr|locon|dora)"),
    "kyodaku.log_origin": re.compile(r"[a-z0-9.-]+(/[a-z0-9._-]+)*"),
    # The wording that a base model's maker prescribes; addresses of licences are common in it.
    "kyodaku.base_notices": re.compile(r"[^\x00-\x1f\x7f]{1,2000}"),
}
_LEAKS: Final = (
    (
        "a path",
        re.compile(
            r"(^|[\s\"'=(\[,;:])(~|\.{1,2})?[/\\]{1,2}\w|\b[A-Za-z]:[/\\]|file:|[\w-]+[/\\][\w-]+[/\\]"
        ),
    ),
    ("an address", re.compile(r"@")),
    (
        "a file name",
        re.compile(
            r"\.(jpe?g|png|webp|heic|tiff?|gif|bmp|raw|cr2|cr3|nef|arw|dng|txt|csv|json|toml|ya?ml|safetensors|ckpt|"
            r"pt|pth|bin|npz|zip|tar|gz|py|caption)\b",
            re.IGNORECASE,
        ),
    ),
)
_TELLTALE_KEYS: Final = re.compile(
    r"tag_frequency|dataset_dirs|caption|output_name|training_comment|_name_or_path|sd_model_name|vae_name|session_id|"
    r"bucket_info|reg_dataset",
    re.IGNORECASE,
)


def scan_for_leaks(
    metadata: Mapping[str, str], tensor_names: Iterable[str], forbidden: Iterable[str]
) -> list[str]:
    """What in a header must not leave the house, one sentence a finding; an empty list when there
    is nothing.

    Paths, addresses, file names, keys by which other trainers give captions and folders away, and
    the caller's forbidden strings (legal names, stage names, file names), without regard to case,
    width or separators.
    """
    findings = [
        f"{key}: a key that carries captions, names or paths"
        for key in metadata
        if _TELLTALE_KEYS.search(key)
    ]
    for key, value in metadata.items():
        if (allowed := _PATH_LIKE.get(key)) and allowed.fullmatch(value):
            continue
        findings += [f"{key}: {what}" for what, pattern in _LEAKS if pattern.search(value)]
    names = list(tensor_names)
    findings += [
        f"tensor {name[:60]}: {what}"
        for name in names
        for what, pattern in _LEAKS[:2]
        if pattern.search(name)
    ]
    return findings + _forbidden(metadata, names, forbidden)


def _forbidden(
    metadata: Mapping[str, str], names: list[str], forbidden: Iterable[str]
) -> list[str]:
    needles = [folded for text in forbidden if len(folded := _fold(text)) >= 2]
    places = [("metadata", f"{key} {value}") for key, value in metadata.items()]
    places += [("tensor name", name) for name in names]
    return [
        f"{place} holds a forbidden string: {text[:60]}"
        for place, text in places
        if any(needle in _fold(text) for needle in needles)
    ]


def _fold(text: str) -> str:
    """NFKC, case-folded, letters and digits only: `Tanaka_Hanako` and `ｔａｎａｋａ hanako` are one
    string.
    """
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
