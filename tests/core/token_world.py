"""A consent token in memory, without Django: alice, bob and charlie approve, a small log proves it.

`world.verify(**changes)` is what a worker does; every test changes one thing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from registry.core import approvals, dpop, grants, jose, status_list, tokens
from registry.core.approvals import Approval
from registry.core.authenticator import SoftAuthenticator
from registry.core.clearance import Clearances, Copyright, Share
from registry.core.grants import BaseModel, Grant, Party, RecipeLimits
from registry.core.terms import Terms, explicit_items
from registry.core.tokens import Claims, Leaf, LogEvidence, RunRequest
from registry.core.trust import TrustRoot
from registry.log.core import canonical, merkle
from registry.log.core.checkpoint import LogSigners
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
ISSUER = "https://registry.example"
RP_ID = "registry.example"
LOG_ORIGIN = "registry.example/log"
STATUS_URI = ISSUER + "/status/1"
AUDIENCE = "pool:default"
JOB = "job_" + "3c" * 10
INDEX = 4711

TOKEN = Ed25519Signer.from_seed(b"t" * 32)
STATUS = Ed25519Signer.from_seed(b"s" * 32)
WORKER = Ed25519Signer.from_seed(b"w" * 32)
LOG = LogSigners(LOG_ORIGIN, Ed25519Signer.from_seed(b"l" * 32), Mldsa44Signer.from_seed(b"m" * 32))
ALICE, BOB, CHARLIE, MALLORY = (
    SoftAuthenticator(name * 16) for name in (b"alice", b"bob", b"charlie", b"mallory")
)
TERMS = Terms(
    media=("photobook_ebook",),
    client="Kadoma Press",
    product="spring photobook",
    territory=("JP",),
    start=date(2026, 11, 1),
    end=date(2027, 3, 31),
    purpose="pictures for one e-photobook",
    fee_jpy=0,
    replaces_booked_shoot=False,
)
BASE = BaseModel("12" * 32, "tiny-portraits", "CC0-1.0", "34" * 32, commercial=True)
RUN = RunRequest(method="lora", rank=8, steps=160, resolution=32, max_runtime_s=3600)
TRUST = TrustRoot(
    issuer=ISSUER,
    mode="test",
    token_keys={TOKEN.kid: TOKEN.public_raw},
    status_keys={STATUS.kid: STATUS.public_raw},
    provenance_keys={},
    log_origin=LOG_ORIGIN,
    log_vkeys=LOG.vkeys(),
    rp_id=RP_ID,
    origins=(ISSUER,),
)


def key_of(soft: SoftAuthenticator) -> str:
    """The thumbprint by which a grant names a device's key."""
    return approvals.thumbprint(soft.cose_key(RP_ID))


def party(soft: SoftAuthenticator, party_id: str, by: str, subject: str, **more: str) -> Party:
    """A party with one test key."""
    return Party(party_id, by, subject, (key_of(soft),), assurance="test", **more)


PARTIES = (
    party(ALICE, "per_alice", "talent", "tal_alice"),
    party(BOB, "per_bob", "agency_officer", "tal_alice", authority="rep_1"),
    party(CHARLIE, "per_charlie", "photo_copyright", "per_charlie"),
)
DEVICES = {"per_alice": ALICE, "per_bob": BOB, "per_charlie": CHARLIE, "per_mallory": MALLORY}
CLEARANCES = Clearances(
    rights_digest="0e" * 32,
    copyright=(Copyright("per_charlie", "per_charlie", "owner", 15),),
    shares=(Share("tal_alice", 15, 1000),),
)
GRANT = Grant(
    grant_id="grt_1",
    request_id="req_1",
    mode="test",
    nonce="ab" * 16,
    created_at="2026-11-19T00:00:00Z",
    sign_by="2026-11-26T00:00:00Z",
    parties=PARTIES,
    dataset_root="cd" * 32,
    dataset_count=15,
    dataset_bytes=100_000,
    curation_digest="ef" * 32,
    base_models=(BASE,),
    terms=TERMS,
    recipe_limits=RecipeLimits("lora", 8, 160, 32),
    max_runs=1,
    licensee="org_kadoma",
    fee_commitment="00" * 32,
    text_sha256=grants.text_digests(TERMS, pictures=15, max_runs=1, clearances=CLEARANCES),
    clearances=CLEARANCES,
)


def approve(
    grant: Grant,
    who: Party,
    soft: SoftAuthenticator | None = None,
    origin: str = ISSUER,
    ticks: Iterable[str] | None = None,
) -> Approval:
    """One party's approval, by their own device or by `soft`, with every tick or with these."""
    device = soft or DEVICES[who.party_id]
    said: dict[str, Any] = {
        "party_id": who.party_id,
        "by": who.by,
        "ticks": tuple(sorted(explicit_items(grant.terms) if ticks is None else ticks)),
        "nonce": f"cha_{who.party_id}",
    }
    asked = approvals.challenge(grant.digest().hex(), **said)
    answer = device.approve({"challenge": canonical.b64u(asked), "rpId": RP_ID}, origin)
    return Approval(
        approval_id=f"apv_{who.party_id}",
        **said,
        grant_digest=grant.digest().hex(),
        asserted_at="2026-11-20T00:00:00Z",
        credential_id=answer["rawId"],
        cose_key=canonical.b64u(device.cose_key(RP_ID)),
        authenticator_data=answer["response"]["authenticatorData"],
        client_data_json=answer["response"]["clientDataJSON"],
        signature=answer["response"]["signature"],
    )


def approve_all(grant: Grant) -> tuple[Approval, ...]:
    """Everybody's approval."""
    return tuple(approve(grant, who) for who in grant.parties)


def event(kind: str, data: dict[str, Any], number: int) -> bytes:
    """A log entry as the registry writes it."""
    at = "2026-11-20T00:00:00.000Z"
    return canonical.dumps({"v": 1, "id": f"evt_{number}", "type": kind, "at": at, "data": data})


def enrolled(who: Party) -> dict[str, Any]:
    """What the log says of a party's key."""
    return {"party_id": who.party_id, "key": who.keys[0], "assurance": who.assurance}


def evidence(
    grant: Grant,
    parties: Iterable[Party] = (),
    made: dict[str, Any] | None = None,
    kinds: tuple[str, str] = ("credential.enrolled", "grant.made"),
    signers: LogSigners = LOG,
    given: Iterable[Approval] | None = None,
) -> LogEvidence:
    """A log with one enrolment a party and the grant, under one checkpoint."""
    who = list(parties) or list(grant.parties)
    signed = approve_all(grant) if given is None else given
    entries = [event(kinds[0], enrolled(p), i) for i, p in enumerate(who)]
    data = made or {
        "grant_digest": grant.digest().hex(),
        "approvals": approvals.bundle_digest(signed).hex(),
    }
    entries.append(event(kinds[1], data, len(who)))
    tree = merkle.MerkleTree(merkle.leaf_hash(entry) for entry in entries)
    leaves = [
        Leaf(i, entry.decode(), tuple(node.hex() for node in tree.inclusion_proof(i)))
        for i, entry in enumerate(entries)
    ]
    note = signers.sign(len(entries), tree.root(), at=int(NOW.timestamp()))
    named = {p.keys[0]: leaf for p, leaf in zip(who, leaves, strict=False)}
    return LogEvidence(checkpoint=note, grant=leaves[-1], enrolments=named)


def status(statuses: dict[int, int] | None = None, *, at: datetime = NOW, **more: Any) -> str:
    """A signed status list."""
    values: dict[str, Any] = {"uri": STATUS_URI, "signer": STATUS, "at": at, "ttl_s": 60} | more
    return status_list.sign(statuses or {}, **values)


@dataclass(frozen=True)
class TokenWorld:
    """An honest token and what its worker knows."""

    claims: Claims

    def changed(self, **changes: Any) -> TokenWorld:
        """The same with other claims."""
        return TokenWorld(replace(self.claims, **changes))

    def with_grant(self, grant: Grant) -> TokenWorld:
        """Another grant, honestly approved and logged."""
        given = approve_all(grant)
        return self.changed(grant=grant, approvals=given, log=evidence(grant, given=given))

    def text(self, signer: Ed25519Signer = TOKEN) -> str:
        """The token."""
        return tokens.mint(self.claims, signer)

    def verify(self, **changes: Any) -> Claims:
        """What a worker does."""
        values: dict[str, Any] = {
            "token": self.text(),
            "trust": TRUST,
            "audience": AUDIENCE,
            "job_id": JOB,
            "jkt": WORKER.kid,
            "status_token": status(),
            "at": NOW,
        }
        values |= changes
        return tokens.verify(values.pop("token"), **values)


def token_world() -> TokenWorld:
    """An honest one."""
    now = int(NOW.timestamp())
    given = approve_all(GRANT)
    return TokenWorld(
        Claims(
            issuer=ISSUER,
            audience=AUDIENCE,
            job_id=JOB,
            jti="tok_" + "5e" * 10,
            issued_at=now,
            not_before=now,
            expires_at=now + tokens.LIFETIME_S,
            mode="test",
            jkt=WORKER.kid,
            grant=GRANT,
            approvals=given,
            run=RUN,
            status_uri=STATUS_URI,
            status_index=INDEX,
            log=evidence(GRANT, given=given),
            watermark_profile="kyodaku-wm-2",
        )
    )


INDEPENDENT = (replace(PARTIES[0], authority="self"), PARTIES[2])
# A talent without an agency, and her photographer: the smallest grant that there is.
SMALL = replace(GRANT, parties=INDEPENDENT)
REDEEM = ISSUER + "/api/v1/worker/jobs/" + JOB + "/redeem"


def redeem_body(token: str) -> bytes:
    """What a worker sends when it spends a token."""
    return json.dumps({"token": token, "fence": 1}).encode()


def proof_for(token: str, signer: Ed25519Signer = WORKER, **changes: Any) -> str:
    """The worker's proof of possession for that request."""
    values: dict[str, Any] = {
        "method": "POST",
        "url": REDEEM,
        "body": redeem_body(token),
        "at": NOW,
    }
    return dpop.prove(signer, **(values | changes))


def gate(
    token: str,
    proof: str,
    status_token: str,
    *,
    trust: TrustRoot = TRUST,
    audience: str = AUDIENCE,
    job_id: str = JOB,
    at: datetime = NOW,
    body: bytes | None = None,
) -> Claims:
    """The whole check of a token that a worker shows: its proof of possession, then the token.

    `body` is the request that shows it, as it came; by default it is written here.
    """
    sent = redeem_body(token) if body is None else body
    shown = dpop.verify(proof, method="POST", url=REDEEM, body=sent, at=at)
    return tokens.verify(
        token,
        trust=trust,
        audience=audience,
        job_id=job_id,
        jkt=shown.jkt,
        status_token=status_token,
        at=at,
    )


def signed_json(text: str, signer: Ed25519Signer = TOKEN, **header: Any) -> str:
    """A JWS over exactly these bytes, which need not be canonical or even JSON."""
    head = {"alg": jose.ALGORITHM, "typ": "x", "kid": signer.kid} | header
    raw = canonical.dumps(head)
    body = f"{canonical.b64u(raw)}.{canonical.b64u(text.encode())}"
    return f"{body}.{canonical.b64u(signer.sign(body.encode()))}"
