"""A complete honest case in memory, without Django: alice consents, bob's agency agrees, charlie
holds the photographs, a worker trains, the registry delivers. Every signature is real.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from registry.core import approvals, grants, status_list, tokens
from registry.core.approvals import Approval
from registry.core.authenticator import SoftAuthenticator
from registry.core.clearance import Clearances, Copyright, Share
from registry.core.grants import BaseModel, Grant, Party, RecipeLimits
from registry.core.rights import PictureRights, Sheet
from registry.core.terms import Terms, explicit_items
from registry.core.tokens import Claims, Leaf, LogEvidence, RunRequest
from registry.core.trust import TrustRoot
from registry.log.core import canonical, envelope, keys, merkle
from registry.log.core.checkpoint import LogSigners
from registry.log.core.tlog_proof import TlogProof, format_proof
from tests.loras import lora, tiny
from training.core import curation, provenance, weights

ISSUER = "https://registry.example"
ORIGIN = "https://registry.example"
RP_ID = "registry.example"
LOG_ORIGIN = "registry.example/log"
STATUS_URI = ISSUER + "/status/1"
START = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
BASE_SHA256 = hashlib.sha256(b"base").hexdigest()
LORA_ID = "lor_" + "1a" * 10
DELIVERY_ID = "dlv_" + "2b" * 10
JOB_ID = "job_" + "3c" * 10
LICENSEE = "org_" + "4d" * 10
STATUS_INDEX = 4711
RUN = RunRequest(method="lora", rank=8, steps=120, resolution=64, max_runtime_s=3600)


def pseudonym(prefix: str, name: str) -> str:
    """The same person always has the same id."""
    return f"{prefix}_{hashlib.sha256(name.encode()).hexdigest()[:20]}"


def signer(name: str) -> keys.Ed25519Signer:
    """A key by name."""
    return keys.Ed25519Signer.from_seed(hashlib.sha256(name.encode()).digest())


def soft(name: str) -> SoftAuthenticator:
    """A person's authenticator by name."""
    return SoftAuthenticator(hashlib.sha256(b"key of " + name.encode()).digest())


@dataclass
class MemoryLog:
    """An RFC 6962 log in a list."""

    signers: LogSigners
    entries: list[bytes] = field(default_factory=list)

    def append(self, kind: str, data: Mapping[str, Any], at: datetime) -> int:
        """Add an event of the log's form; returns its index."""
        index = len(self.entries)
        moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {"v": 1, "id": f"evt_{index:032x}", "type": kind, "at": moment, "data": dict(data)}
        self.entries.append(canonical.dumps(event))
        return index

    def tree(self) -> merkle.MerkleTree:
        """The tree over everything appended so far."""
        return merkle.MerkleTree(merkle.leaf_hash(entry) for entry in self.entries)

    def checkpoint(self, at: datetime) -> str:
        """A signed note over everything appended so far."""
        tree = self.tree()
        return self.signers.sign(len(tree), tree.root(), at=int(at.timestamp()))

    def leaf(self, index: int) -> Leaf:
        """A leaf of the token's evidence, proved against the tree as it is now."""
        path = tuple(node.hex() for node in self.tree().inclusion_proof(index))
        return Leaf(index, self.entries[index].decode(), path)


def trust_root(mode: str = "test", log: LogSigners | None = None) -> TrustRoot:
    """What everybody pinned."""
    pinned: dict[str, Any] = {
        f"{purpose}_keys": {signer(purpose).kid: signer(purpose).public_raw}
        for purpose in ("token", "status", "provenance")
    }
    return TrustRoot(
        issuer=ISSUER,
        mode=mode,
        log_origin=LOG_ORIGIN,
        log_vkeys=(log or log_signers()).vkeys(),
        rp_id=RP_ID,
        origins=(ORIGIN,),
        **pinned,
    )


def log_signers() -> LogSigners:
    """The log's two keys."""
    seed = hashlib.sha256(b"mldsa").digest()
    return LogSigners(LOG_ORIGIN, signer("checkpoint"), keys.Mldsa44Signer.from_seed(seed))


TERMS = Terms(
    media=("photobook_ebook", "sns_promo"),
    client="Example Press",
    product="Autumn photobook",
    territory=("JP",),
    start=date(2026, 11, 1),
    end=date(2027, 10, 31),
    purpose="Key visuals of the autumn photobook",
    fee_jpy=0,
    replaces_booked_shoot=False,
    quantity=2000,
    transformations=("background_only", "wardrobe"),
)
PEOPLE = (("alice", "talent"), ("bob", "agency_officer"), ("charlie", "photo_copyright"))


@dataclass
class World:
    """The case's parts, open to be spoilt by a test before `files` puts them together."""

    grant: Grant
    approvals: list[Approval]
    claims: Claims
    files: dict[str, bytes]
    trust: TrustRoot
    lora: bytes
    as_of: datetime

    def verify(self, **changes: bytes | None) -> verifier.Verdict:
        """Verify the pack with some files replaced, or taken away (None)."""
        files: dict[str, bytes | None] = {**self.files, **changes}
        return verifier.verify({k: v for k, v in files.items() if v is not None}, self.trust)


def build(
    *,
    status_then: int = status_list.VALID,
    status_now: int = status_list.VALID,
    mode: str = "test",
    uses: Sequence[Mapping[str, Any]] = (),
) -> World:
    """The whole flow. `status_then` and `status_now` are the token's bits at redemption and at
    the pack's date.
    """
    log = MemoryLog(log_signers())
    at = START
    for name, _ in PEOPLE:
        log.append("credential.enrolled", _enrolment(name), at)
    log.append("worker.enrolled", {"worker_id": pseudonym("wrk", "worker")}, at)
    report, rows = _report(), _rows()
    grant = _grant(report, rows, mode)
    digest = grant.digest()
    at += timedelta(minutes=1)
    sealed = {"dataset_root": grant.dataset_root, "curation_digest": grant.curation_digest}
    log.append("dataset.sealed", {"dataset_id": pseudonym("dst", "set"), **sealed}, at)
    given = []
    for name, by in PEOPLE:
        at += timedelta(minutes=1)
        approval = approve(grant, name, by, at)
        given.append(approval)
        data = {
            "grant_digest": digest.hex(),
            "party_id": approval.party_id,
            "by": by,
            "approval_digest": approval.digest().hex(),
        }
        log.append("approval.signed", data, at)
    made_of = {
        "grant_id": grant.grant_id,
        "grant_digest": digest.hex(),
        "approvals": approvals.bundle_digest(given).hex(),
    }
    made = log.append("grant.made", made_of, at)
    at += timedelta(minutes=1)
    claims = _claims(grant, given, log, made, at)
    token = tokens.mint(claims, signer("token"))
    minted = {"jti": claims.jti, "job_id": JOB_ID, "grant_digest": digest.hex()}
    log.append("token.minted", minted, at)
    at += timedelta(seconds=2)
    then = _status(status_then, at)
    log.append("token.redeemed", {"jti": claims.jti}, at)
    log.append("run.admitted", {"job_id": JOB_ID, "jti": claims.jti}, at)
    begun, at = at, at + timedelta(minutes=5)
    log.append("run.finished", {"job_id": JOB_ID}, at)
    master = weights.write(lora(tiny()[:4], 4, seed=1).tensors, {})
    delivered = weights.write(lora(tiny()[:4], 4, seed=2).tensors, {"k": "v"})
    run = run_envelope(grant, master, begun, at)
    log.append("lora.sealed", {"lora_id": LORA_ID, "job_id": JOB_ID}, at)
    at += timedelta(seconds=30)
    delivery = delivery_envelope(grant, delivered, master, run, at)
    made_data = {
        "delivery_id": DELIVERY_ID,
        "lora_id": LORA_ID,
        "file_sha256": hashlib.sha256(delivered).hexdigest(),
    }
    log.append("delivery.made", made_data, at)
    for use in uses:
        log.append("use.reported", use, at)
    as_of = at + timedelta(hours=1)
    files = {
        "grant.json": grant.canonical(),
        "text.ja.txt": grant.text("ja").encode(),
        "text.en.txt": grant.text("en").encode(),
        "text.ja-easy.txt": grant.text("ja-easy").encode(),
        "token.jws": token.encode(),
        "status.jws": then.encode(),
        "status-as-of.jws": _status(status_now, as_of).encode(),
        "curation.json": canonical.dumps(report),
        "rights.json": canonical.dumps(_sheet().to_payload()),
        "manifest.json": canonical.dumps(verifier.leaves(rows)),
        "worker.pub": canonical.b64u(signer("worker").public_raw).encode(),
        "run.dsse.json": canonical.dumps(run),
        "delivery.dsse.json": canonical.dumps(delivery),
    }
    for item in given:
        files[verifier.approval_name(item)] = canonical.dumps(item.to_payload())
    files |= entry_files(log, as_of)
    files = with_page(files, as_of, str(uses[0]["use_id"]) if uses else "")
    return World(grant, given, claims, files, trust_root(mode), delivered, as_of)


def with_page(files: Mapping[str, bytes], as_of: datetime, use_id: str = "") -> dict[str, bytes]:
    """The files with a `pack.json` that lists them."""
    names = {*files, "pack.json"}
    ids = {"lora_id": LORA_ID, "delivery_id": DELIVERY_ID, "use_id": use_id}
    page = verifier.header(as_of=as_of, names=names, **ids)
    return {**files, "pack.json": canonical.dumps(page)}


def entry_files(log: MemoryLog, at: datetime) -> dict[str, bytes]:
    """Entries of the case with their proofs, all under one checkpoint."""
    note, tree = log.checkpoint(at), log.tree()
    files = {}
    for index, entry in enumerate(log.entries):
        if b'"worker.enrolled"' in entry:
            continue
        proof = TlogProof(index, tuple(tree.inclusion_proof(index)), note)
        files[f"entries/{index}.json"] = entry
        files[f"proofs/{index}.tlog-proof"] = format_proof(proof).encode()
    return files


def approve(grant: Grant, name: str, by: str, at: datetime, key: str = "") -> Approval:
    """`name` approves with the authenticator of `key` (their own)."""
    said: dict[str, Any] = {
        "by": by,
        "party_id": pseudonym("per", name),
        "ticks": tuple(sorted(explicit_items(grant.terms))),
        "nonce": pseudonym("cha", name),
    }
    asked = approvals.challenge(grant.digest().hex(), **said)
    holder = soft(key or name)
    response = holder.approve({"rpId": RP_ID, "challenge": canonical.b64u(asked)}, ORIGIN)
    return Approval(
        approval_id=pseudonym("apv", name),
        **said,
        grant_digest=grant.digest().hex(),
        asserted_at=at.isoformat(),
        credential_id=response["id"],
        cose_key=canonical.b64u(holder.cose_key(RP_ID)),
        authenticator_data=response["response"]["authenticatorData"],
        client_data_json=response["response"]["clientDataJSON"],
        signature=response["response"]["signature"],
    )


def _enrolment(name: str) -> dict[str, str]:
    key = approvals.thumbprint(soft(name).cose_key(RP_ID))
    return {"party_id": pseudonym("per", name), "key": key}


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "file_sha256": hashlib.sha256(b"file%d" % number).hexdigest(),
            "pixel_sha256": hashlib.sha256(b"pixels%d" % number).hexdigest(),
            "width": 640,
            "height": 800 + number,
        }
        for number in range(5)
    ]


def _report() -> dict[str, Any]:
    pictures = [{"id": f"p{n:03}", **row} for n, row in enumerate(_rows())]
    return {"format": curation.FORMAT, "pictures": pictures, "findings": []}


def _sheet() -> Sheet:
    talent, holder = pseudonym("tal", "alice"), pseudonym("per", "charlie")
    return Sheet(
        tuple(
            PictureRights(
                id=f"p{number:03}",
                file_sha256=row["file_sha256"],
                talents=(talent,),
                holder=holder,
                basis="owner",
                moral_rights=True,
                shoot=pseudonym("sht", "shoot"),
            )
            for number, row in enumerate(_rows())
        )
    )


def _grant(report: Mapping[str, Any], rows: list[dict[str, Any]], mode: str) -> Grant:
    leaves = [canonical.dumps(row) for row in verifier.leaves(rows)["leaves"]]
    root = merkle.root_hash([merkle.leaf_hash(leaf) for leaf in leaves])
    talent = pseudonym("tal", "alice")
    holder = pseudonym("per", "charlie")
    subjects = {"photo_copyright": holder}
    cleared = Clearances(
        rights_digest=_sheet().digest(),
        copyright=(Copyright(holder, holder, "owner", len(rows)),),
        shares=(Share(talent, len(rows), 1000),),
    )
    return Grant(
        grant_id=pseudonym("grt", "grant"),
        request_id=pseudonym("req", "request"),
        mode=mode,
        nonce="0f" * 16,
        created_at=START.isoformat(),
        sign_by=(START + timedelta(days=7)).isoformat(),
        parties=tuple(
            Party(
                party_id=pseudonym("per", name),
                by=by,
                subject=subjects.get(by, talent),
                keys=(approvals.thumbprint(soft(name).cose_key(RP_ID)),),
                assurance="test" if mode == "test" else "passkey",
                authority=pseudonym("rep", "rep") if by == "agency_officer" else "",
            )
            for name, by in PEOPLE
        ),
        dataset_root=root.hex(),
        dataset_count=len(rows),
        dataset_bytes=123_456,
        curation_digest=canonical.digest(curation.FORMAT, report).hex(),
        base_models=(BaseModel(BASE_SHA256, "tiny", "Apache-2.0", "ab" * 32, True),),
        terms=TERMS,
        recipe_limits=RecipeLimits(),
        max_runs=1,
        licensee=LICENSEE,
        fee_commitment="cd" * 32,
        text_sha256=grants.text_digests(TERMS, pictures=len(rows), max_runs=1, clearances=cleared),
        clearances=cleared,
    )


def _claims(grant: Grant, given: list[Approval], log: MemoryLog, made: int, at: datetime) -> Claims:
    enrolments = {
        _enrolment(name)["key"]: log.leaf(number) for number, (name, _) in enumerate(PEOPLE)
    }
    issued = int(at.timestamp())
    return Claims(
        issuer=ISSUER,
        audience="pool:default",
        job_id=JOB_ID,
        jti=pseudonym("tok", "token"),
        issued_at=issued,
        not_before=issued,
        expires_at=issued + tokens.LIFETIME_S,
        mode=grant.mode,
        jkt=signer("worker").kid,
        grant=grant,
        approvals=tuple(given),
        run=RUN,
        status_uri=STATUS_URI,
        status_index=STATUS_INDEX,
        log=LogEvidence(log.checkpoint(at), log.leaf(made), enrolments),
        watermark_profile="kyodaku-wm-2",
    )


def _status(value: int, at: datetime) -> str:
    return status_list.sign(
        {STATUS_INDEX: value}, uri=STATUS_URI, signer=signer("status"), at=at, ttl_s=60
    )


def run_envelope(
    grant: Grant,
    master: bytes,
    begun: datetime,
    ended: datetime,
    signers: tuple[str, ...] = ("worker", "provenance"),
    **changes: Any,
) -> dict[str, Any]:
    """The run's statement in its envelope; `changes` spoil its facts."""
    recipe = {name: value for name, value in vars(RUN).items() if name != "max_runtime_s"}
    facts = {
        "run_id": JOB_ID,
        "master_tensor_sha256": weights.tensor_sha256(master),
        "grant_digest": grant.digest().hex(),
        "recipe": recipe,
        "seed": 7,
        "base_sha256": BASE_SHA256,
        "dataset_root": grant.dataset_root,
        "trainer_version": "0.1.0",
        "trainer_sha256": "ee" * 32,
        "worker": pseudonym("wrk", "worker"),
        "started": begun,
        "finished": ended,
    }
    statement = provenance.run_statement(provenance.RunFacts(**{**facts, **changes}))
    return seal(statement, *signers)


def delivery_envelope(
    grant: Grant,
    delivered: bytes,
    master: bytes,
    run: Mapping[str, Any],
    at: datetime,
    signers: tuple[str, ...] = ("provenance",),
    **changes: Any,
) -> dict[str, Any]:
    """The delivery's statement in its envelope; `changes` spoil its facts."""
    facts = {
        "delivery_id": DELIVERY_ID,
        "file_sha256": hashlib.sha256(delivered).hexdigest(),
        "tensor_sha256": weights.tensor_sha256(delivered),
        "master_tensor_sha256": weights.tensor_sha256(master),
        "run_statement_sha256": hashlib.sha256(canonical.unb64(run["payload"])).hexdigest(),
        "grant_digest": grant.digest().hex(),
        "watermark_profile": "kyodaku-wm-2",
        "licensee": LICENSEE,
        "artefact_commitment": "aa" * 32,
        "registry": "registry.example",
        "at": at,
        "lora_id": LORA_ID,
        "model_key_sha256": "bb" * 32,
    }
    statement = provenance.delivery_statement(provenance.DeliveryFacts(**{**facts, **changes}))
    return seal(statement, *signers)


def seal(statement: Mapping[str, Any], *signers: str) -> dict[str, Any]:
    """A DSSE envelope by the named keys."""
    payload = canonical.dumps(statement)
    return envelope.sign(provenance.PAYLOAD_TYPE, payload, [signer(name) for name in signers])


def zipped(world: World) -> bytes:
    """The pack as one file."""
    return packs.write(world.files)
