"""`verify`: the whole evidence pack, offline, against pinned keys. Stage 9, pure.

Trusts the trust root that the caller pinned and nothing in the pack: not its dates, not the
registry's word for a signature, no key that it brings along. No clock, no network, no settings.
Each file is covered by one numbered step, so a changed byte anywhere fails with the step that names
that file. `inspect` says what a pack claims and verifies nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audit.verifier import pack as packs
from audit.verifier.history import Case, Entry, check_history, parse_entry, reported
from audit.verifier.steps import Step, Walk
from registry.core import approvals as approvals_module
from registry.core import clearance, jose, status_list, tokens
from registry.core.approvals import Approval
from registry.core.grants import Grant
from registry.core.rights import Sheet
from registry.core.tokens import Claims
from registry.core.trust import TrustRoot
from registry.core.vocabulary import TEXT_LOCALES, TextLocale
from registry.log.core import canonical, checkpoint, envelope, keys, merkle, tlog_proof
from registry.log.core.errors import VerificationError
from training.core import curation, provenance, weights
from training.core.provenance import Statement
from training.trainer.config import Recipe

PACK: Final = "pack.json"
GRANT: Final = "grant.json"
TEXTS: Final[dict[TextLocale, str]] = {locale: f"text.{locale}.txt" for locale in TEXT_LOCALES}
TOKEN: Final = "token.jws"  # noqa: S105 - a file's name
STATUS: Final = "status.jws"
STATUS_AS_OF: Final = "status-as-of.jws"
CURATION: Final = "curation.json"
MANIFEST: Final = "manifest.json"
RIGHTS: Final = "rights.json"
WORKER: Final = "worker.pub"
RUN: Final = "run.dsse.json"
DELIVERY: Final = "delivery.dsse.json"
LEAVES: Final = "kyodaku/leaves/v1"
LORA: Final = "(the LoRA file)"
FIXED: Final = frozenset(
    {PACK, GRANT, *TEXTS.values(), TOKEN, STATUS, STATUS_AS_OF, CURATION, MANIFEST, WORKER, RUN}
    | {DELIVERY, RIGHTS}
)
_LEAF_TYPES: Final = {"file_sha256": str, "pixel_sha256": str, "width": int, "height": int}
# A run's times come from the worker's clock.
_CLOCKS: Final = timedelta(seconds=60)


@dataclass(frozen=True)
class Verdict:
    """A pack that verified: what was allowed, to whom, and how it stands as of the pack's date.

    `standing` is `in_force` or a refusal code (`withdrawn`, `revoked`, `paused`, `expired`): the
    training was covered either way, a further use is covered only when in force. `use` is what the
    licensee reported, in a pack of one use: its `outside` lists what the terms did not cover.
    """

    steps: tuple[Step, ...]
    mode: str
    lora_id: str
    delivery_id: str
    grant: Grant
    grant_digest: str
    file_sha256: str
    redeemed_at: datetime
    as_of: datetime
    standing: str
    lora_checked: bool
    use: Mapping[str, Any] | None = None


def verify(files: Mapping[str, bytes], trust: TrustRoot, lora: bytes | None = None) -> Verdict:
    """Verify a pack, and the LoRA file if it is given. Raises `StepError` at the first broken step.

    (1) files: `pack.json` lists exactly the files that are there;
    (2) log: every entry is included in one checkpoint signed by every pinned log key;
    (3) token: it verified whole, with the status list of then, at the moment it was redeemed;
    (4) grant: the bytes are those that the token carries;
    (5) text: what people read has the digests that they signed;
    (6) approvals: one per party, each by a key of its own, over this grant;
    (7) curation: the report has the digest that people signed;
    (8) pictures: the leaves lead to the Merkle root that people signed, were all curated, and
        belong to whom the signed rights sheet says, as many as the grant counts for each;
    (9) worker: the key is the one to which the token was bound;
    (10) run: signed by that worker and by the registry, about this grant, base, pictures, recipe;
    (11) delivery: signed by the registry, made from that run's master, for the grant's licensee;
    (12) history: every entry belongs to this case, is linked to it by digest, and is in order;
    (13) standing: the status list issued at the pack's date, and `pack.json` says what was proved;
    (14) lora: the file in hand is byte for byte the delivered one.
    """
    walk = Walk(files)
    entry_files = (*walk.under("entries"), *walk.under("proofs"))
    with walk.step("files", PACK):  # (1)
        header = _header(walk)
    with walk.step("log", *entry_files):  # (2)
        entries = _entries(walk, trust)
        redeemed = _only(entries, "token.redeemed")
    with walk.step("token", TOKEN, STATUS):  # (3)
        claims = _token(walk, trust, redeemed.at)
        grant, digest = claims.grant, claims.grant.digest().hex()
    with walk.step("grant", GRANT):  # (4)
        same(walk.bytes(GRANT), grant.canonical(), "approval_replaced", "another grant")
    with walk.step("text", *TEXTS.values()):  # (5)
        for locale, name in TEXTS.items():
            found = hashlib.sha256(walk.bytes(name)).hexdigest()
            same(found, grant.text_sha256[locale], "approval_text_mismatch", name)
    with walk.step("approvals", *walk.under("approvals")):  # (6)
        approvals = _approvals(walk, claims, trust)
    with walk.step("curation", CURATION):  # (7)
        report = walk.json(CURATION)
        found = canonical.digest(curation.FORMAT, report).hex()
        same(found, grant.curation_digest, "curation_mismatch", "digest")
    with walk.step("pictures", MANIFEST, RIGHTS):  # (8)
        _check_pictures(walk.json(MANIFEST), grant, report)
        _check_rights(Sheet.from_payload(walk.json(RIGHTS)), grant, report)
    with walk.step("worker", WORKER):  # (9)
        worker = canonical.unb64u(walk.text(WORKER))
        keys.load_ed25519_public(worker)
        same(keys.thumbprint(worker), claims.jkt, "wrong_worker", "the token names another key")
    with walk.step("run", RUN):  # (10)
        run, run_digest = _run(walk.json(RUN), claims, worker, trust, redeemed.at)
    with walk.step("delivery", DELIVERY):  # (11)
        delivery, delivery_digest = _delivery(walk.json(DELIVERY), grant, digest, trust)
        made_from = delivery.dependencies
        same(made_from["master"], run.subject_sha256, "wrong_subject", "another master")
        same(made_from["run-statement"], run_digest, "wrong_subject", "another run")
    with walk.step("history", *entry_files):  # (12)
        case = Case(claims, approvals, run, run_digest, delivery, delivery_digest)
        ids, used = check_history(entries, case), reported(entries)
    with walk.step("standing", STATUS_AS_OF, PACK):  # (13)
        as_of, standing = _standing(walk.text(STATUS_AS_OF), header, claims, trust)
        _check_header(walk.json(PACK), ids, as_of, entries)
    if lora is not None:
        with walk.step("lora", LORA):  # (14)
            _check_lora(lora, delivery)
    return Verdict(
        steps=tuple(walk.done),
        mode=claims.mode,
        lora_id=ids["lora_id"],
        delivery_id=ids["delivery_id"],
        grant=grant,
        grant_digest=digest,
        file_sha256=delivery.subject_sha256,
        redeemed_at=redeemed.at,
        as_of=as_of,
        standing=standing,
        lora_checked=lora is not None,
        use=None if used is None else used.data,
    )


def header(
    *, as_of: datetime, lora_id: str, delivery_id: str, names: Iterable[str], use_id: str = ""
) -> dict[str, Any]:
    """The content of `pack.json` for a pack of these files (which include `pack.json`).

    `use_id` is empty in the pack of a delivery as such.
    """
    return {
        "format": packs.FORMAT,
        "as_of": _instant(as_of),
        "lora_id": lora_id,
        "delivery_id": delivery_id,
        "use_id": use_id,
        "files": sorted(names),
    }


def leaves(pictures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `manifest.json`: of each picture exactly the members of its Merkle leaf."""
    rows = [{name: picture[name] for name in _LEAF_TYPES} for picture in pictures]
    return {"format": LEAVES, "leaves": sorted(rows, key=lambda row: str(row["file_sha256"]))}


def inspect(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What a pack CLAIMS. It verifies nothing; `VerificationError` when it cannot be read."""
    walk = Walk(files)
    with walk.step("files", PACK, GRANT):
        claimed = walk.json(PACK)
        grant = Grant.from_payload(walk.json(GRANT))
    return {**claimed, "grant_id": grant.grant_id, "terms": grant.terms.to_payload()}


# --- (1) (13) the pack's own page -----------------------------------------------------------------


def _header(walk: Walk) -> dict[str, Any]:
    claimed = walk.json(PACK)
    members = {"format", "as_of", "lora_id", "delivery_id", "use_id", "files"}
    if set(claimed) != members or claimed["format"] != packs.FORMAT:
        raise VerificationError("malformed", "not the page of an evidence pack")
    if claimed["files"] != sorted(walk.names):
        raise VerificationError("malformed", "pack.json lists other files than there are")
    if absent := FIXED - walk.names:
        raise VerificationError("malformed", f"{min(absent)} is missing")
    if not isinstance(claimed["as_of"], str):
        raise VerificationError("malformed", "as_of")
    return claimed


def _standing(
    status: str, claimed: Mapping[str, Any], claims: Claims, trust: TrustRoot
) -> tuple[datetime, str]:
    """The list must be signed, about this registry's tokens, and issued at the pack's date."""
    as_of = datetime.fromisoformat(claimed["as_of"])
    if as_of.tzinfo is None:
        raise VerificationError("malformed", "as_of without a time zone")
    listed = status_list.verify(status, trust, uri=claims.status_uri, at=as_of)
    same(listed.issued_at, as_of, "status_stale", "issued at another time than as_of")
    code = listed.code(claims.status_index)
    if code is None and as_of >= claims.grant.terms.ends_at():
        code = "expired"
    return as_of, code or "in_force"


def _check_header(
    claimed: Mapping[str, Any], ids: Mapping[str, str], as_of: datetime, entries: Sequence[Entry]
) -> None:
    same(claimed["as_of"], _instant(as_of), "malformed", "as_of")
    for name in ("lora_id", "delivery_id", "use_id"):
        same(claimed[name], ids[name], "malformed", f"{name} is not what the log says")
    if as_of + timedelta(seconds=tokens.SKEW_S) < max(entry.at for entry in entries):
        raise VerificationError("malformed", "as_of is earlier than what the pack holds")


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- (2) the log ----------------------------------------------------------------------------------


def _entries(walk: Walk, trust: TrustRoot) -> list[Entry]:
    """Every entry with its proof, all under one and the same checkpoint; by index."""
    names = walk.under("entries")
    proofs = {name.replace("entries/", "proofs/")[:-5] + ".tlog-proof" for name in names}
    if proofs != set(walk.under("proofs")):
        raise VerificationError("malformed", "entries and proofs do not pair")
    notes: set[str] = set()
    entries = [_entry(walk, name, trust, notes) for name in names]
    if len(notes) != 1:
        raise VerificationError("malformed", "proofs under more than one checkpoint")
    return sorted(entries, key=lambda entry: entry.index)


def _entry(walk: Walk, name: str, trust: TrustRoot, notes: set[str]) -> Entry:
    payload = walk.json(name)
    leaf = walk.bytes(name)
    text = walk.text("proofs/" + name[len("entries/") : -5] + ".tlog-proof")
    proof = tlog_proof.inspect_proof(text)
    # What no signature covers must not be there: the `extra` line, and lines of unknown signers.
    if proof.extra is not None or tlog_proof.format_proof(proof) != text:
        raise VerificationError("malformed", "a proof with something beside the proof")
    only_known_signers(proof.note, trust.checkpoint_vkeys)
    index, head = tlog_proof.verify(
        text, leaf, trust.checkpoint_vkeys, witnesses=trust.witness_quorum
    )
    same(head.origin, trust.log_origin, "unknown_key", "another log")
    same(f"entries/{index}.json", name, "malformed", "an entry under another index")
    notes.add(proof.note)
    return parse_entry(index, leaf, payload)


def only_known_signers(note: str, vkeys: Sequence[str]) -> None:
    """A checkpoint bears no signature of a key that is not pinned, and none twice.

    Raises `VerificationError("unknown_key")`.
    """
    known = {(key.name, key.key_id) for key in map(checkpoint.VerifierKey.parse, vkeys)}
    signed = [(item.name, item.key_id) for item in checkpoint.parse_note(note)[1]]
    if not set(signed) <= known or len(set(signed)) != len(signed):
        raise VerificationError("unknown_key", "a checkpoint signed by a key that is not pinned")


def _only(entries: Iterable[Entry], kind: str) -> Entry:
    found = [entry for entry in entries if entry.kind == kind]
    if len(found) != 1:
        raise VerificationError("malformed", f"{len(found)} entries of type {kind}, not one")
    return found[0]


# --- (3) to (6) consent ---------------------------------------------------------------------------


def _token(walk: Walk, trust: TrustRoot, at: datetime) -> Claims:
    """Verified as of its redemption. Pool, job and worker are the token's own: steps (9) and (12)
    hold them against the worker's key and the log."""
    text = walk.text(TOKEN)
    stated = Claims.from_payload(jose.read(text, typ=tokens.TYPE, pinned=trust.token_keys))
    return tokens.verify(
        text,
        trust=trust,
        audience=stated.audience,
        job_id=stated.job_id,
        jkt=stated.jkt,
        status_token=walk.text(STATUS),
        at=at,
    )


def _approvals(walk: Walk, claims: Claims, trust: TrustRoot) -> tuple[Approval, ...]:
    found = []
    for name in walk.under("approvals"):
        approval = Approval.from_payload(walk.json(name))
        same(name, approval_name(approval), "bad_signature", "an approval under another name")
        found.append(approval)
    approvals_module.verify_all(found, claims.grant, trust)
    given = {approval.digest() for approval in claims.approvals}
    if {approval.digest() for approval in found} != given:
        raise VerificationError("approval_replaced", "not the approvals that the token carries")
    return tuple(found)


def approval_name(approval: Approval) -> str:
    """The file of an approval in a pack."""
    return f"approvals/{approval.by}-{approval.party_id}.json"


# --- (8) pictures ---------------------------------------------------------------------------------


def _check_pictures(manifest: Mapping[str, Any], grant: Grant, report: Mapping[str, Any]) -> None:
    rows = manifest.get("leaves")
    if set(manifest) != {"format", "leaves"} or manifest["format"] != LEAVES:
        raise VerificationError("malformed", "manifest")
    if not isinstance(rows, list) or not all(map(_is_leaf, rows)):
        raise VerificationError("malformed", "manifest leaves")
    root = merkle.root_hash([merkle.leaf_hash(canonical.dumps(row)) for row in rows]).hex()
    if root != grant.dataset_root or len(rows) != grant.dataset_count:
        raise VerificationError("dataset_mismatch", "Merkle root")
    curated = {picture["file_sha256"] for picture in report["pictures"]}
    if {row["file_sha256"] for row in rows} != curated:
        raise VerificationError("curation_mismatch", "the report is about other pictures")


def _check_rights(sheet: Sheet, grant: Grant, report: Mapping[str, Any]) -> None:
    """The sheet that people signed is about these pictures, and the grant counts what it says."""
    same(sheet.digest(), grant.clearances.rights_digest, "dataset_mismatch", "rights digest")
    curated = [(picture["id"], picture["file_sha256"]) for picture in report["pictures"]]
    listed = [(row.id, row.file_sha256) for row in sheet.pictures]
    same(listed, curated, "dataset_mismatch", "the rights sheet is about other pictures")
    if not clearance.follows(grant.clearances, sheet):
        raise VerificationError("uncleared_copyright", "the grant counts otherwise than its sheet")


def _is_leaf(row: object) -> bool:
    return (
        isinstance(row, dict)
        and set(row) == set(_LEAF_TYPES)
        and all(type(row[name]) is kind for name, kind in _LEAF_TYPES.items())
    )


# --- (10) (11) what was made ----------------------------------------------------------------------


def _run(
    signed: Mapping[str, Any], claims: Claims, worker: bytes, trust: TrustRoot, begun: datetime
) -> tuple[Statement, str]:
    """The run's statement and the SHA-256 of its bytes. Two signatures: the worker's, ours."""
    by, pinned = signers(signed), set(trust.provenance_keys)
    ours = by - {claims.jkt}
    if claims.jkt not in by or claims.jkt in pinned or len(ours) != 1 or not ours <= pinned:
        raise VerificationError("unknown_key", "a run is signed by its worker and the registry")
    known = {**trust.provenance_keys, claims.jkt: worker}
    payload = envelope.verify(signed, known, payload_type=provenance.PAYLOAD_TYPE, threshold=2)
    statement, found = statement_of(payload, provenance.RUN)
    grant = claims.grant
    same(found.grant_digest, grant.digest().hex(), "wrong_subject", "another grant")
    same(found.dependencies["dataset-root"], grant.dataset_root, "dataset_mismatch", "run")
    if found.dependencies["base-model"] not in {base.sha256 for base in grant.base_models}:
        raise VerificationError("base_model_mismatch", "not a base of the grant")
    _check_recipe(found.parameters.get("recipe"), claims)
    _check_times(statement["predicate"]["runDetails"]["metadata"], claims.job_id, begun)
    return found, hashlib.sha256(payload).hexdigest()


def _delivery(
    signed: Mapping[str, Any], grant: Grant, digest: str, trust: TrustRoot
) -> tuple[Statement, str]:
    """The delivery's statement and the SHA-256 of its bytes. One signature: the registry's."""
    if len(signers(signed)) != 1 or not signers(signed) <= set(trust.provenance_keys):
        raise VerificationError("unknown_key", "a delivery is signed by the registry alone")
    payload = envelope.verify(
        signed, trust.provenance_keys, payload_type=provenance.PAYLOAD_TYPE, threshold=1
    )
    _, found = statement_of(payload, provenance.DELIVERY)
    same(found.grant_digest, digest, "wrong_subject", "another grant")
    same(found.parameters.get("licensee"), grant.licensee, "wrong_subject", "another licensee")
    return found, hashlib.sha256(payload).hexdigest()


def signers(signed: Mapping[str, Any]) -> frozenset[str]:
    """Who signed, each once. DSSE ignores unknown signers; a pack has none, so no byte is idle."""
    rows = signed.get("signatures")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise VerificationError("malformed", "envelope")
    names = [row.get("keyid") for row in rows]
    if len(set(map(str, names))) != len(names):
        raise VerificationError("malformed", "signed twice by one key")
    return frozenset(map(str, names))


def statement_of(payload: bytes, kind: str) -> tuple[dict[str, Any], Statement]:
    """Parse a statement whose signatures were verified; its subject is linked afterwards."""
    statement = canonical.loads(payload)
    try:
        subject = statement["subject"][0]["digest"]["sha256"]
        found = provenance.verify_statement(statement, build_type=kind, subject_sha256=subject)
    except (KeyError, IndexError, TypeError) as error:
        raise VerificationError("malformed", "statement") from error
    return statement, found


def _check_recipe(stated: object, claims: Claims) -> None:
    """What ran is the run that the token names; members left out have the trainer's defaults."""
    if not isinstance(stated, dict):
        raise VerificationError("malformed", "recipe")
    recipe, run = Recipe.from_dict(stated), claims.run
    ran = (recipe.method, recipe.rank, recipe.steps, recipe.resolution, recipe.output_policy)
    if ran != (run.method, run.rank, run.steps, run.resolution, run.output_policy):
        raise VerificationError("recipe_exceeds", "not the run that the token names")


def _check_times(metadata: Mapping[str, Any], job_id: str, begun: datetime) -> None:
    try:
        started = datetime.fromisoformat(metadata["startedOn"])
        same(metadata["invocationId"], job_id, "wrong_job", "run statement")
    except (KeyError, TypeError) as error:
        raise VerificationError("malformed", "run details") from error
    # To the second, and by another clock than the registry's.
    if started + _CLOCKS < begun:
        raise VerificationError("not_yet_valid", "the run began before its token was redeemed")


# --- (14) the file in hand ------------------------------------------------------------------------


def _check_lora(lora: bytes, delivery: Statement) -> None:
    if hashlib.sha256(lora).hexdigest() == delivery.subject_sha256:
        return
    same = weights.tensor_sha256(lora) == delivery.parameters.get("tensor_sha256")
    detail = "the delivered tensors under another header" if same else "another file"
    raise VerificationError("wrong_subject", detail)


def same(found: object, wanted: object, code: str, detail: str) -> None:
    """Raise `VerificationError(code)` unless both are equal."""
    if found != wanted:
        raise VerificationError(code, detail)
