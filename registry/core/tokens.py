"""The consent token: what a worker checks before a single pixel is opened.

Stage 3 of the flow. A compact JWS that lives for minutes, for one job, one pool and one worker key.
It carries the grant and every approval, so that the worker verifies the people's own signatures:
the registry's key alone cannot mint a token that a worker accepts.

Claims follow RFC 7519 (`iss aud sub jti iat nbf exp`), RFC 7800 (`cnf`), RFC 9396
(`authorization_details`) and the Token Status List (`status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from registry.core import approvals as approvals_module
from registry.core import clearance, grants, jose, status_list
from registry.core.approvals import Approval
from registry.core.grants import Grant, RecipeLimits
from registry.core.ids import is_id
from registry.core.refusals import Refusal
from registry.core.terms import Terms
from registry.core.trust import TrustRoot
from registry.log.core import canonical, checkpoint, merkle
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer

TYPE: Final = "consent-token+jwt"
DETAIL_TYPE: Final = "lora_training"
LIFETIME_S: Final = 600
# Two machines' clocks may differ by this much; it is not a grace period.
SKEW_S: Final = 5


@dataclass(frozen=True)
class Leaf:
    """A log entry with its inclusion proof against the token's checkpoint (RFC 9162 2.1.3)."""

    index: int
    entry: str
    proof: tuple[str, ...]

    def to_payload(self) -> dict[str, Any]:
        """The JSON object in the token."""
        return {"index": self.index, "entry": self.entry, "proof": list(self.proof)}


@dataclass(frozen=True)
class LogEvidence:
    """That grant and keys stand in the public log: one checkpoint and a leaf for each.

    `enrolments` maps a key's thumbprint to the leaf in which its owner enrolled it. A registry that
    made up a key for somebody would have had to publish that.
    """

    checkpoint: str
    grant: Leaf
    enrolments: Mapping[str, Leaf]

    def to_payload(self) -> dict[str, Any]:
        """The JSON object in the token."""
        return {
            "checkpoint": self.checkpoint,
            "grant": self.grant.to_payload(),
            "enrolments": {k: leaf.to_payload() for k, leaf in self.enrolments.items()},
        }


@dataclass(frozen=True)
class RunRequest:
    """What the job wants to do, to be held against the grant's limits."""

    method: str
    rank: int
    steps: int
    resolution: int
    max_runtime_s: int
    output_policy: str = "full_synthesis"


@dataclass(frozen=True)
class Claims:
    """Everything in a token, parsed. Times are Unix seconds."""

    issuer: str
    audience: str
    job_id: str
    jti: str
    issued_at: int
    not_before: int
    expires_at: int
    mode: str
    jkt: str
    grant: Grant
    approvals: tuple[Approval, ...]
    run: RunRequest
    status_uri: str
    status_index: int
    log: LogEvidence
    watermark_profile: str

    def to_payload(self) -> dict[str, Any]:
        """The JWS claims."""
        return self._around(self.grant.to_payload(), [a.to_payload() for a in self.approvals])

    def _around(self, grant: object, approvals: object) -> dict[str, Any]:
        """The claims around a grant and approvals that are written already."""
        return {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.job_id,
            "jti": self.jti,
            "iat": self.issued_at,
            "nbf": self.not_before,
            "exp": self.expires_at,
            "mode": self.mode,
            "cnf": {"jkt": self.jkt},
            "authorization_details": [
                {
                    "type": DETAIL_TYPE,
                    "grant_digest": self.grant.digest().hex(),
                    "dataset_root": self.grant.dataset_root,
                    "base_models": [base.sha256 for base in self.grant.base_models],
                    "run": dict(vars(self.run)),
                }
            ],
            "grant": grant,
            "approvals": approvals,
            "status": {"status_list": {"idx": self.status_index, "uri": self.status_uri}},
            "log": self.log.to_payload(),
            "outputs": {"watermark_profile": self.watermark_profile, "max_files": 1},
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Claims:
        """Parse strictly: what this class cannot express is refused. Raises `ValueError`."""
        try:
            (detail,) = payload["authorization_details"]
            status = payload["status"]["status_list"]
            claims = cls(
                issuer=payload["iss"],
                audience=payload["aud"],
                job_id=payload["sub"],
                jti=payload["jti"],
                issued_at=payload["iat"],
                not_before=payload["nbf"],
                expires_at=payload["exp"],
                mode=payload["mode"],
                jkt=payload["cnf"]["jkt"],
                grant=Grant.from_payload(payload["grant"]),
                approvals=tuple(Approval.from_payload(a) for a in payload["approvals"]),
                run=RunRequest(**detail["run"]),
                status_uri=status["uri"],
                status_index=status["idx"],
                log=_evidence(payload["log"]),
                watermark_profile=payload["outputs"]["watermark_profile"],
            )
            if type(payload["approvals"]) is not list:
                raise TypeError("approvals are a list")
            # A grant and an approval have each been held against their own payload already.
            same = claims._around(payload["grant"], payload["approvals"]) == payload
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a consent token: {error}") from error
        texts: tuple[object, ...] = (claims.issuer, claims.audience, claims.job_id, claims.mode)
        texts += (claims.jkt, claims.status_uri, claims.watermark_profile)
        texts += tuple(v for k, v in vars(claims.run).items() if k in _RUN_WORDS)
        if not is_id(claims.jti, "tok") or any(type(text) is not str for text in texts):
            raise ValueError("not a consent token: ill-typed member")
        numbers = (claims.issued_at, claims.not_before, claims.expires_at, claims.status_index)
        numbers += tuple(v for k, v in vars(claims.run).items() if k not in _RUN_WORDS)
        # A member that the parser dropped or read otherwise would be signed but not enforced.
        if not same or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("not a consent token: unknown or ill-typed member")
        return claims


_RUN_WORDS: Final = frozenset({"method", "output_policy"})


def _evidence(payload: Mapping[str, Any]) -> LogEvidence:
    if type(payload["checkpoint"]) is not str:
        raise TypeError("a checkpoint is text")
    return LogEvidence(
        checkpoint=payload["checkpoint"],
        grant=_leaf(payload["grant"]),
        enrolments={k: _leaf(v) for k, v in payload["enrolments"].items()},
    )


def _leaf(payload: Mapping[str, Any]) -> Leaf:
    leaf = Leaf(payload["index"], payload["entry"], tuple(payload["proof"]))
    if type(leaf.index) is not int or any(type(x) is not str for x in (leaf.entry, *leaf.proof)):
        raise TypeError("a leaf is an index, an entry and hashes")
    return leaf


def mint(claims: Claims, signer: Ed25519Signer) -> str:
    """Sign a token. Whether it may be minted is decided by `may_mint`, called by the service."""
    return jose.sign(TYPE, claims.to_payload(), signer)


def may_mint(
    grant: Grant,
    given: Mapping[tuple[str, str], Approval],
    run: RunRequest,
    *,
    runs_used: int,
    at: datetime,
) -> list[Refusal]:
    """Every reason not to mint, in the order a person would mend them; empty when it may be."""
    refusals = approvals_module.missing(grant, given)
    refusals += clearance.reserved(grant.clearances, given)
    refusals += grants.check(grant, at=at)
    refusals += within_limits(run, grant, at=at)
    if runs_used >= grant.max_runs:
        refusals.append(Refusal("slots_used", f"{runs_used}/{grant.max_runs}"))
    return refusals


def within_limits(run: RunRequest, grant: Grant, *, at: datetime) -> list[Refusal]:
    """The recipe against the grant's limits, and the run's latest end against the term's."""
    limits: RecipeLimits = grant.recipe_limits
    refusals = []
    if (
        run.method != limits.method
        or run.rank > limits.max_rank
        or run.steps > limits.max_steps
        or run.resolution > limits.max_resolution
    ):
        refusals.append(Refusal("recipe_exceeds", f"rank {run.rank}, {run.steps} steps"))
    refusals += output_refusals(grant.terms, run.output_policy)
    if at < grant.terms.starts_at():
        refusals.append(Refusal("not_yet_valid", grant.terms.start.isoformat()))
    if at.timestamp() + run.max_runtime_s > grant.terms.ends_at().timestamp():
        refusals.append(Refusal("ends_before_finish", grant.terms.end.isoformat()))
    return refusals


# What a run's outputs may be: only a new background for the person's picture, or anything.
OUTPUT_POLICIES: Final = ("background_only", "full_synthesis")


def output_refusals(terms: Terms, policy: str) -> list[Refusal]:
    """`transformation_exceeds` for a run that makes the person anew where only what is behind may
    be (R04), and for a policy that is no word."""
    narrow = terms.background_only and policy != "background_only"
    if narrow or policy not in OUTPUT_POLICIES:
        return [Refusal("transformation_exceeds", policy)]
    return []


def verify(
    token: str,
    *,
    trust: TrustRoot,
    audience: str,
    job_id: str,
    jkt: str,
    status_token: str,
    at: datetime,
) -> Claims:
    """The whole check of a token, offline. Raises `VerificationError` with the first code.

    (1) one signature, by a pinned token key, over strict JSON (`jose.read`);
    (2) the claims are complete, of this format and of this trust root's mode;
    (3) `iss`, `aud` and `sub` are this registry, this pool and this job;
    (4) `nbf <= at < exp`, it does not live longer than a token may, and its key could sign when it
    was issued: not before it was put to use, not after it was replaced or revoked;
    (5) `cnf.jkt` is the key of the worker that asks;
    (6) the grant holds as such: texts, term, base-model licences;
    (7) every party of the grant approved with a key of its own;
    (8) the status list is signed, fresh, and the token's bits are clear;
    (9) the grant stands in the log with exactly these approvals, under a checkpoint signed by every
    pinned log key;
    (10) so does the enrolment of every key that approved, as its owner's and long enough ago;
    (11) the run keeps to the grant's limits and ends before its term.
    """
    # (1)
    payload = jose.read(token, typ=TYPE, pinned=trust.token_keys)
    # (2)
    try:
        claims = Claims.from_payload(payload)
    except ValueError as error:
        raise VerificationError("malformed", str(error)) from error
    if claims.mode != trust.mode or claims.grant.mode != trust.mode:
        raise VerificationError("wrong_mode", claims.mode)
    # (3)
    if claims.issuer != trust.issuer:
        raise VerificationError("unknown_key", "issuer")
    if claims.audience != audience:
        raise VerificationError("wrong_audience", claims.audience)
    if claims.job_id != job_id:
        raise VerificationError("wrong_job", claims.job_id)
    # (4)
    _check_times(claims, at)
    _check_key(token, claims.issued_at, trust)
    # (5)
    if claims.jkt != jkt:
        raise VerificationError("wrong_worker", claims.jkt)
    # (6)
    _refuse_first(grants.check(claims.grant, at=at))
    # (7)
    approvals_module.verify_all(claims.approvals, claims.grant, trust)
    # (8)
    listed = status_list.verify(status_token, trust, uri=claims.status_uri, at=at)
    code = listed.code(claims.status_index)
    if code is not None:
        raise VerificationError(code, claims.jti)
    # (9)
    head = _head(claims.log.checkpoint, trust)
    _check_grant(claims, head)
    # (10)
    for approval in claims.approvals:
        _check_enrolment(approval, claims.log, head, trust, at)
    # (11)
    _refuse_first(within_limits(claims.run, claims.grant, at=at))
    return claims


def _refuse_first(refusals: list[Refusal]) -> None:
    if refusals:
        raise VerificationError(refusals[0].code, refusals[0].detail)


def _check_times(claims: Claims, at: datetime) -> None:
    now = at.timestamp()
    if now >= claims.expires_at:
        raise VerificationError("expired", "token")
    if now + SKEW_S < claims.not_before or now + SKEW_S < claims.issued_at:
        raise VerificationError("not_yet_valid", "token")
    if claims.expires_at - claims.issued_at > LIFETIME_S:
        raise VerificationError("malformed", "lives too long")


def _check_key(token: str, issued_at: int, trust: TrustRoot) -> None:
    kid = jose.signer_of(token, typ=TYPE, pinned=trust.token_keys)
    if kid is None or not trust.could_sign(kid, issued_at):
        raise VerificationError("key_revoked", str(kid))


def _check_grant(claims: Claims, head: checkpoint.Checkpoint) -> None:
    event = _included(claims.log.grant, head)
    if (
        event.get("type") != "grant.made"
        or event["data"].get("grant_digest") != claims.grant.digest().hex()
        or event["data"].get("approvals") != approvals_module.bundle_digest(claims.approvals).hex()
    ):
        raise VerificationError("bad_signature", "the log holds another grant")


def _head(note: str, trust: TrustRoot) -> checkpoint.Checkpoint:
    """The checkpoint, signed by every pinned log key. The log's own codes become ours."""
    try:
        head = checkpoint.verify_checkpoint(
            note, trust.checkpoint_vkeys, witnesses=trust.witness_quorum
        )
    except (VerificationError, TypeError) as error:
        raise VerificationError("bad_signature", f"checkpoint: {error}") from error
    if head.origin != trust.log_origin:
        raise VerificationError("bad_signature", "checkpoint of another log")
    return head


def _check_enrolment(
    approval: Approval,
    log: LogEvidence,
    head: checkpoint.Checkpoint,
    trust: TrustRoot,
    at: datetime,
) -> None:
    key = approvals_module.thumbprint(canonical.unb64u(approval.cose_key))
    leaf = log.enrolments.get(key)
    if leaf is None:
        raise VerificationError("bad_signature", "key enrolment not in the log")
    event = _included(leaf, head)
    data = event["data"]
    if (
        event.get("type") != "credential.enrolled"
        or data.get("party_id") != approval.party_id
        or data.get("key") != key
    ):
        raise VerificationError("bad_signature", "the log enrolled another key")
    # The grant's own word for it is the registry's; the log's was public before the grant was.
    tested = data.get("assurance") != approvals_module.PASSKEY_ASSURANCE
    if trust.mode == "live" and tested:
        raise VerificationError("wrong_mode", "the log enrolled a test key")
    # Time for its owner, who is told on the old contact, to say that this key is not hers.
    if (at - _moment(event)).total_seconds() < trust.key_wait_s:
        raise VerificationError("key_too_new", approval.party_id)


def _included(leaf: Leaf, head: checkpoint.Checkpoint) -> dict[str, Any]:
    """Verify one leaf against the checkpoint; returns the entry, parsed."""
    try:
        entry = leaf.entry.encode()
        event = canonical.loads(entry)
        proof = [bytes.fromhex(node) for node in leaf.proof]
    except (AttributeError, TypeError, ValueError, VerificationError) as error:
        raise VerificationError("malformed", "log evidence") from error
    try:
        merkle.verify_inclusion(leaf.index, head.size, merkle.leaf_hash(entry), proof, head.root)
    except (VerificationError, TypeError) as error:
        raise VerificationError("bad_signature", f"log entry {leaf.index}: {error}") from error
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        raise VerificationError("malformed", "log entry")
    return event


def _moment(event: Mapping[str, Any]) -> datetime:
    """When the log's entry says that it was written."""
    try:
        moment = datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationError("malformed", "log entry") from error
    if moment.tzinfo is None:
        raise VerificationError("malformed", "log entry")
    return moment


def redeemable_until(claims: Claims) -> datetime:
    """When the token dies unused."""
    return datetime.fromtimestamp(claims.expires_at, UTC)
