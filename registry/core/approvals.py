"""Approvals: a person's own key over the digest of the grant.

Stage 2 of the flow. An approval is a WebAuthn assertion whose challenge is the digest of
`{grant_digest, party_id, by, ticks, nonce}`, stored whole with the COSE key, so that anyone can
verify it again for ever without our database. The capacity and the ticks are signed because one
signature must not stand for another role or for an item that was never ticked; the nonce, because
with the grant digest alone a key could be made to sign before the time to think is over. A link, a
code or a session can open, ask, refuse and withdraw; only a key can approve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.core import assertion, cases
from registry.core.grants import Grant, Party
from registry.core.refusals import Refusal
from registry.core.terms import missing_ticks
from registry.core.trust import TrustRoot
from registry.log.core import canonical
from registry.log.core.errors import VerificationError

FORMAT: Final = "kyodaku/approval/v2"
# Its own context: what a key signed here is a challenge and never the approval around it.
CHALLENGE: Final = "kyodaku/approval-challenge/v2"
# A software authenticator of the test mode says so; a live trust root refuses it.
TEST_ASSURANCE: Final = "test"
PASSKEY_ASSURANCE: Final = "passkey"


@dataclass(frozen=True)
class Approval:
    """One party's signature in one capacity. Binary members are base64url without padding.

    `ticks` are the explicit items that were ticked one by one, sorted; `nonce` is what the registry
    drew when this person, at that moment, was allowed to sign.
    """

    approval_id: str
    by: str
    party_id: str
    grant_digest: str
    ticks: tuple[str, ...]
    nonce: str
    asserted_at: str
    credential_id: str
    cose_key: str
    authenticator_data: str
    client_data_json: str
    signature: str

    def to_payload(self) -> dict[str, Any]:
        """The JSON object stored, logged by digest and carried in tokens."""
        return {"format": FORMAT, **vars(self), "ticks": list(self.ticks)}

    @classmethod
    def from_payload(cls, payload: Any) -> Approval:
        """Parse strictly. Raises `ValueError`."""
        if not isinstance(payload, dict) or payload.get("format") != FORMAT:
            raise ValueError("not an approval of format " + FORMAT)
        members = {k: v for k, v in payload.items() if k not in ("format", "ticks")}
        ticks = payload.get("ticks")
        if set(map(type, members.values())) != {str}:
            raise ValueError("not an approval: every member but the ticks is a string")
        if type(ticks) is not list or not set(map(type, ticks)) <= {str}:
            raise ValueError("not an approval: ticks are a list of words")
        if ticks != sorted(set(ticks)):  # one spelling of what was signed
            raise ValueError("not an approval: ticks are sorted, each once")
        try:
            return cls(**members, ticks=tuple(ticks))
        except TypeError as error:
            raise ValueError(f"not an approval: {error}") from error

    def challenge(self) -> bytes:
        """The 32 bytes that the key signed, from what this approval says."""
        return challenge(
            self.grant_digest,
            party_id=self.party_id,
            by=self.by,
            ticks=self.ticks,
            nonce=self.nonce,
        )

    def digest(self) -> bytes:
        """Identifies the approval in the log."""
        return canonical.digest(FORMAT, self.to_payload())


def challenge(
    grant_digest: str, *, party_id: str, by: str, ticks: Iterable[str], nonce: str
) -> bytes:
    """The 32 bytes that a party's key signs: the grant, who says yes to it, as what, asked when.

    `grant_digest` is lower-case hex. A nonce that is drawn when the person may sign, and not
    before, is what makes the time to think hold on the person's own device too.
    """
    said = {"grant_digest": grant_digest, "party_id": party_id, "by": by, "nonce": nonce}
    return canonical.digest(CHALLENGE, {**said, "ticks": sorted(set(ticks))})


def bundle_digest(approvals: Iterable[Approval]) -> bytes:
    """All approvals of a grant as the log's `grant.made` names them, in whatever order they came.

    An assertion does not cover its own id and time; the log does, once the grant is made.
    """
    payloads = sorted((a.to_payload() for a in approvals), key=lambda p: (p["party_id"], p["by"]))
    return canonical.digest("kyodaku/approvals/v1", payloads)


def thumbprint(cose_key: bytes) -> str:
    """SHA-256 of the COSE key's bytes, hex: how a grant names a key."""
    return hashlib.sha256(cose_key).hexdigest()


def verify(approval: Approval, grant: Grant, trust: TrustRoot) -> Party:
    """Verify one approval against the grant; returns the party it stands for.

    Raises `VerificationError` with the code of the first step that fails:

    (1) the approval names this grant's digest;
    (2) the grant names this party in this capacity;
    (3) the credential is one of the keys that the grant lists for that party;
    (4) a test key counts only under a test trust root;
    (5) the client data is an assertion over this grant, party, capacity, ticks and nonce, at a
        pinned origin, not cross-origin;
    (6) the assertion verifies: relying party, user presence, user verification, signature
        (W3C Web Authentication Level 3, section 7.2);
    (7) who decides about a talent's likeness has ticked every item that needs it: `tick_missing`.
    """
    return _verify(approval, grant, trust)[0]


def _verify(approval: Approval, grant: Grant, trust: TrustRoot) -> tuple[Party, str]:
    """The steps of `verify`; returns the party, and the thumbprint of the key that signed."""
    # (1)
    if approval.grant_digest != grant.digest().hex():
        raise VerificationError("approval_replaced", approval.party_id)
    # (2)
    party = _party(approval, grant)
    # (3) The agency's key under the talent's name ends here.
    cose_key = _binary(approval.cose_key)
    key = thumbprint(cose_key)
    if key not in party.keys:
        raise VerificationError("bad_signature", f"key not enrolled by {party.party_id}")
    # (4)
    if grant.mode != trust.mode or (trust.mode == "live" and party.assurance == TEST_ASSURANCE):
        raise VerificationError("wrong_mode", party.assurance)
    # (5)
    client_data = _binary(approval.client_data_json)
    _check_client_data(client_data, approval.challenge(), trust.origins)
    # (6)
    _check_assertion(approval, cose_key, client_data, trust.rp_id)
    # (7)
    if party.by in cases.COOLED:
        for refusal in missing_ticks(grant.terms, approval.ticks):
            raise VerificationError(refusal.code, approval.party_id)
    return party, key


def verify_assertion(approval: Approval, challenge: bytes, trust: TrustRoot) -> None:
    """Steps (5) and (6) of `verify` over any 32-byte challenge; says nothing about whose key it is.

    Raises `VerificationError`: `malformed` or `bad_signature`.
    """
    client_data = _binary(approval.client_data_json)
    _check_client_data(client_data, challenge, trust.origins)
    _check_assertion(approval, _binary(approval.cose_key), client_data, trust.rp_id)


def _party(approval: Approval, grant: Grant) -> Party:
    for party in grant.parties:
        if party.party_id == approval.party_id and party.by == approval.by:
            return party
    raise VerificationError("bad_signature", f"{approval.party_id} is no {approval.by} here")


def _binary(text: str) -> bytes:
    try:
        return canonical.unb64u(text)
    except VerificationError as error:
        raise VerificationError("malformed", "approval") from error


def _check_client_data(data: bytes, challenge: bytes, origins: Sequence[str]) -> None:
    try:
        client = canonical.loads(data)
    except VerificationError as error:
        raise VerificationError("malformed", "client data") from error
    if not isinstance(client, dict):
        raise VerificationError("malformed", "client data")
    if client.get("type") != "webauthn.get":
        raise VerificationError("bad_signature", "not an assertion")
    if client.get("challenge") != canonical.b64u(challenge):
        raise VerificationError("bad_signature", "another challenge")
    if client.get("origin") not in origins:
        raise VerificationError("bad_signature", "another origin")
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        raise VerificationError("bad_signature", "cross-origin")


def _check_assertion(approval: Approval, cose_key: bytes, client_data: bytes, rp_id: str) -> None:
    # Nothing signs the id; it says which key was asked. It still has one spelling.
    _binary(approval.credential_id)
    try:
        assertion.verify(
            authenticator_data=_binary(approval.authenticator_data),
            client_data=client_data,
            signature=_binary(approval.signature),
            cose_key=cose_key,
            rp_id=rp_id,
        )
    except VerificationError as error:
        # A key that cannot be loaded signs nothing; text that is no base64 stays `malformed`.
        code = "bad_signature" if error.code == "bad_key" else error.code
        raise VerificationError(code, error.detail) from error


def missing(grant: Grant, approved: Iterable[tuple[str, str]]) -> list[Refusal]:
    """Parties of the grant whose approval is not among `approved` (pairs of party id and capacity).

    Silence is never approval: a party that has not answered is in the list.
    """
    given = set(approved)
    return [
        Refusal(f"approval_missing:{party.by}", party.party_id)
        for party in grant.parties
        if (party.party_id, party.by) not in given
    ]


def verify_all(
    approvals: Sequence[Approval], grant: Grant, trust: TrustRoot
) -> Mapping[tuple[str, str], Approval]:
    """Every party signed, each with a key of its own; returns the approvals by party and capacity.

    Raises `VerificationError` with the code of the first step that fails:

    (1) each approval verifies (the codes of `verify`);
    (2) no key stands for two parties, or one person would have signed twice: `bad_signature`;
    (3) nobody is missing: `approval_missing:{by}`.
    """
    verified: dict[tuple[str, str], Approval] = {}
    holders: dict[str, str] = {}
    for approval in approvals:
        # (1)
        party, key = _verify(approval, grant, trust)
        # (2)
        if holders.setdefault(key, party.party_id) != party.party_id:
            raise VerificationError("bad_signature", "one key for two parties")
        verified[party.party_id, party.by] = approval
    # (3)
    absent = missing(grant, verified)
    if absent:
        raise VerificationError(absent[0].code, absent[0].detail)
    return verified
