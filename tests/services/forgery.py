"""What whoever holds the registry's server could write: claims, approvals, logs, tokens, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from registry.core import approvals, tokens
from registry.core.approvals import Approval
from registry.core.authenticator import SoftAuthenticator
from registry.core.grants import Grant, Party
from registry.core.tokens import Claims, Leaf, LogEvidence
from registry.core.trust import TrustRoot
from registry.log import sequencer
from registry.log.core import canonical, merkle
from registry.log.core.checkpoint import LogSigners
from registry.models import Token
from registry.services import keyring
from registry.services import tokens as token_services
from tests.world import AUDIENCE, JKT, JOB, ORIGIN

RP_ID = "localhost"


def worker(token: str, *, trust: TrustRoot, at: datetime | None = None, **changes: Any) -> Claims:
    """What a worker does offline with a token that it was given; `trust` it pinned long ago."""
    values: dict[str, Any] = {
        "audience": AUDIENCE,
        "job_id": JOB,
        "jkt": JKT,
        "status_token": token_services.status_list_issue(at=at),
        "at": at or timezone.now(),
    }
    return tokens.verify(token, trust=trust, **(values | changes))


def claims_of(token: Token) -> Claims:
    """A minted token's claims."""
    return worker(token.text, trust=keyring.trust_root())


def minted(claims: Claims) -> str:
    """A token by the registry's own key, whatever it says."""
    return tokens.mint(claims, keyring.token_signer())


def cose(soft: SoftAuthenticator) -> bytes:
    """A device's public key here."""
    return soft.cose_key(RP_ID)


def signed_by(soft: SoftAuthenticator, approval: Approval, grant: Grant) -> Approval:
    """The approval made anew over another grant, by a device that the server has in hand."""
    moved = replace(approval, grant_digest=grant.digest().hex())
    options = {"challenge": canonical.b64u(moved.challenge()), "rpId": RP_ID}
    answer = soft.approve(options, ORIGIN)
    return replace(
        moved,
        credential_id=answer["rawId"],
        cose_key=canonical.b64u(cose(soft)),
        authenticator_data=answer["response"]["authenticatorData"],
        client_data_json=answer["response"]["clientDataJSON"],
        signature=answer["response"]["signature"],
    )


def with_key(grant: Grant, by: str, soft: SoftAuthenticator, **changes: Any) -> Grant:
    """The grant with a device's key listed as that party's."""
    key = approvals.thumbprint(cose(soft))
    parties = tuple(replace(p, keys=(key,), **changes) if p.by == by else p for p in grant.parties)
    return replace(grant, parties=parties)


def fork(
    grant: Grant,
    given: Sequence[Approval],
    *,
    signers: LogSigners | None = None,
    party: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> LogEvidence:
    """A log of the server's own making in which everything stands that it wants to stand there.

    By the registry's own log keys unless others are given. `party` changes what the enrolments say.
    """
    when = (at or timezone.now()).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def entry(kind: str, data: Mapping[str, Any]) -> bytes:
        event = {"v": 1, "id": "evt_" + "0" * 32, "type": kind, "at": when, "data": data}
        return canonical.dumps(event)

    keys = {
        approvals.thumbprint(canonical.unb64u(a.cose_key)): {
            "party_id": a.party_id,
            "assurance": _party(grant, a).assurance,
            **(party or {}),
        }
        for a in given
    }
    entries = [entry("credential.enrolled", {**data, "key": key}) for key, data in keys.items()]
    made = {
        "grant_digest": grant.digest().hex(),
        "approvals": approvals.bundle_digest(given).hex(),
    }
    entries.append(entry("grant.made", made))
    tree = merkle.MerkleTree(map(merkle.leaf_hash, entries))
    leaves = [
        Leaf(i, data.decode(), tuple(node.hex() for node in tree.inclusion_proof(i)))
        for i, data in enumerate(entries)
    ]
    note = (signers or sequencer.load_signers()).sign(
        len(entries), tree.root(), at=int(timezone.now().timestamp())
    )
    return LogEvidence(note, leaves[-1], dict(zip(keys, leaves, strict=False)))


def _party(grant: Grant, approval: Approval) -> Party:
    return next(p for p in grant.parties if (p.party_id, p.by) == (approval.party_id, approval.by))


@contextmanager
def superuser() -> Any:
    """A database administrator's session: no trigger and no foreign key is looked at."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield cursor
        finally:
            cursor.execute("SET session_replication_role = origin")
