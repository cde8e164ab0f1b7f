"""The gate: whether one job, with these bytes, this base and this recipe, may run.

Stage 4 of the flow, pure. Trusts only the pinned trust root. The registry asks it before it
releases the data key, and the worker's trainer asks it again on its own machine with facts that it
computed itself: neither believes the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from registry.core import tokens
from registry.core.refusals import Refusal
from registry.core.tokens import Claims, RunRequest
from registry.core.trust import TrustRoot
from registry.log.core.errors import VerificationError
from training.core import watermark


@dataclass(frozen=True)
class Facts:
    """What is really there, found out by whoever asks; digests in lower-case hex.

    `dataset_root` and `dataset_count` are recomputed from the pictures, `base_sha256` from the base
    model's files, `run` from the recipe that is about to be used.
    """

    job_id: str
    base_sha256: str
    dataset_root: str
    dataset_count: int
    curation_digest: str
    run: RunRequest


@dataclass(frozen=True)
class Admission:
    """A run that may begin, and what it is bound to. Made by `decide` and `admit` only."""

    job_id: str
    jti: str
    grant_digest: str
    dataset_root: str
    base_sha256: str
    run: RunRequest
    status_uri: str
    status_index: int
    ends_at: datetime


def decide(claims: Claims, facts: Facts, *, at: datetime) -> Admission | Refusal:
    """Hold a verified token against the facts. `claims` must come from `tokens.verify`.

    (1) this job; (2) exactly the pictures that were signed for; (3) exactly the curation report
    that was signed for; (4) a base model that the grant names; (5) the run that the token names;
    (6) a watermark that this build embeds, so that what was promised is what is done;
    (7) within the grant's limits and ended before its term.
    """
    grant = claims.grant
    # (1)
    if claims.job_id != facts.job_id:
        return Refusal("wrong_job", claims.job_id)
    # (2)
    if (facts.dataset_root, facts.dataset_count) != (grant.dataset_root, grant.dataset_count):
        return Refusal("dataset_mismatch", "Merkle root")
    # (3)
    if facts.curation_digest != grant.curation_digest:
        return Refusal("curation_mismatch", "digest")
    # (4)
    if facts.base_sha256 not in {base.sha256 for base in grant.base_models}:
        return Refusal("base_model_mismatch", "not a base of the grant")
    # (5) Not merely smaller: the token was minted for this run.
    if facts.run != claims.run:
        return Refusal("recipe_exceeds", "not the run that the token names")
    # (6)
    if claims.watermark_profile != watermark.PROFILE:
        return Refusal("watermark_profile", claims.watermark_profile)
    # (7)
    for refusal in tokens.within_limits(facts.run, grant, at=at):
        return refusal
    return _admission(claims, facts, at)


def admit(
    token: str,
    facts: Facts,
    *,
    trust: TrustRoot,
    audience: str,
    jkt: str,
    status_token: str,
    at: datetime,
) -> Admission:
    """Verify a token whole, then hold it against the facts.

    Raises `VerificationError` with the code of the first step that fails, in `tokens.verify` or in
    `decide`.
    """
    claims = tokens.verify(
        token,
        trust=trust,
        audience=audience,
        job_id=facts.job_id,
        jkt=jkt,
        status_token=status_token,
        at=at,
    )
    decided = decide(claims, facts, at=at)
    if isinstance(decided, Refusal):
        raise VerificationError(decided.code, decided.detail)
    return decided


def _admission(claims: Claims, facts: Facts, at: datetime) -> Admission:
    latest = min(
        at.timestamp() + claims.run.max_runtime_s, claims.grant.terms.ends_at().timestamp()
    )
    return Admission(
        job_id=claims.job_id,
        jti=claims.jti,
        grant_digest=claims.grant.digest().hex(),
        dataset_root=facts.dataset_root,
        base_sha256=facts.base_sha256,
        run=facts.run,
        status_uri=claims.status_uri,
        status_index=claims.status_index,
        ends_at=datetime.fromtimestamp(latest, UTC),
    )
