"""Consent receipts: what a signer takes home, and can prove without us.

Stage 2, afterwards. A receipt has the shape of ISO/IEC TS 27560:2023 (a record of header,
processing, parties and events; the receipt is the authoritative copy handed to the person) and
carries its own evidence: the grant, the person's approval, and the log entry with its proof. The
record is a function of that evidence, so nobody can hand out a receipt that says more, or less,
than what was signed. It holds pseudonymous ids; names are on the printed form only.

Source of the members' names: ISO/IEC TS 27560:2023 as read in the W3C Data Privacy Vocabulary's
implementation guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from registry.core import approvals
from registry.core.approvals import Approval
from registry.core.grants import Grant, Party
from registry.core.trust import TrustRoot
from registry.core.vocabulary import TEXT_LOCALES
from registry.core.wording import text_digest
from registry.log.core import canonical, tlog_proof
from registry.log.core.checkpoint import Checkpoint
from registry.log.core.errors import VerificationError

FORMAT: Final = "kyodaku/receipt/v1"
SCHEMA: Final = "ISO/IEC TS 27560:2023"
MAX_BYTES: Final = 262_144
_MEMBERS: Final = {"format", "record", "evidence"}
_EVIDENCE: Final = {"grant", "approval", "entry", "proof"}


@dataclass(frozen=True)
class Receipt:
    """One signature with everything that proves it.

    `entry` is the `approval.signed` entry, exactly the text that was hashed; `proof` its
    `.tlog-proof` file.
    """

    grant: Grant
    approval: Approval
    entry: str
    proof: str

    def to_payload(self, issuer: str) -> dict[str, Any]:
        """The machine file. `issuer` is the registry's address, as pinned in the trust root."""
        return {
            "format": FORMAT,
            "record": record(self.grant, self.approval, issuer),
            "evidence": {
                "grant": self.grant.to_payload(),
                "approval": self.approval.to_payload(),
                "entry": self.entry,
                "proof": self.proof,
            },
        }

    @classmethod
    def from_payload(cls, payload: Any) -> Receipt:
        """The evidence of a machine file, parsed strictly. Raises `ValueError`."""
        if not isinstance(payload, dict) or payload.get("format") != FORMAT:
            raise ValueError("not a receipt of format " + FORMAT)
        evidence = payload.get("evidence")
        if set(payload) != _MEMBERS or not isinstance(evidence, dict):
            raise ValueError("not a receipt: members")
        if set(evidence) != _EVIDENCE:
            raise ValueError("not a receipt: evidence")
        entry, proof = evidence["entry"], evidence["proof"]
        if not isinstance(entry, str) or not isinstance(proof, str):
            raise ValueError("not a receipt: entry and proof are texts")
        grant = Grant.from_payload(evidence["grant"])
        return cls(grant, Approval.from_payload(evidence["approval"]), entry, proof)


def record(grant: Grant, approval: Approval, issuer: str) -> dict[str, Any]:
    """The record of TS 27560 that follows from a grant and one approval, and from nothing else."""
    terms = grant.terms
    return {
        "record_metadata": {
            "schema_version": SCHEMA,
            "record_id": approval.approval_id,
            "pii_principal_id": _subject(grant, approval),
            "mode": grant.mode,
        },
        "processing": {
            "privacy_notice": {
                "grant_digest": grant.digest().hex(),
                "text_sha256": dict(grant.text_sha256),
            },
            "purposes": [_purpose(grant, issuer)],
        },
        "party_identification": _parties(grant, issuer),
        "events": [
            {
                "event_type": "explicit",
                "event_state": "given",
                "event_time": approval.asserted_at,
                "validity_duration": {
                    "from": terms.start.isoformat(),
                    "until": terms.end.isoformat(),
                },
                "entity_id": approval.party_id,
                "capacity": approval.by,
                "method": "webauthn-assertion",
            }
        ],
    }


def _subject(grant: Grant, approval: Approval) -> str:
    """Whose likeness it is; for others who sign, the person themselves."""
    return next(
        (
            p.subject
            for p in grant.parties
            if (p.party_id, p.by) == (approval.party_id, approval.by)
        ),
        approval.party_id,
    )


def _purpose(grant: Grant, issuer: str) -> dict[str, Any]:
    terms = grant.terms
    return {
        "purpose": terms.purpose,
        "purpose_type": list(terms.media),
        "lawful_basis": "explicit-consent",
        "pii_information": {
            "photographs": {"merkle_root": grant.dataset_root, "count": grant.dataset_count},
            "likeness_parts": list(terms.likeness_parts),
        },
        "pii_controllers": [grant.licensee],
        "processing_method": {
            "method": grant.recipe_limits.method,
            "max_runs": grant.max_runs,
            "base_models": [base.sha256 for base in grant.base_models],
            "transformations": list(terms.transformations),
            "exposure": terms.exposure,
        },
        "retention_period": terms.end.isoformat(),
        "geographic_restrictions": list(terms.territory),
        "recipient_third_parties": [grant.licensee],
        "withdrawal_method": f"{issuer}/my/",
        "terms": terms.to_payload(),
    }


def _parties(grant: Grant, issuer: str) -> list[dict[str, str]]:
    named = [{"party_id": p.party_id, "party_role": p.by} for p in grant.parties]
    return [
        *named,
        {"party_id": grant.licensee, "party_role": "licensee"},
        {"party_id": issuer, "party_role": "registry"},
    ]


@dataclass(frozen=True)
class Verified:
    """A receipt that verified: who said yes, to what, and where it stands in the log."""

    receipt: Receipt
    party: Party
    index: int
    head: Checkpoint


def verify(data: bytes, trust: TrustRoot) -> Verified:
    """Verify a machine file offline. Raises `VerificationError` with the first broken step's code.

    (1) it is a receipt: strict JSON in its RFC 8785 form, nothing more and nothing less;
    (2) the approval is the named party's own signature over this grant;
    (3) the texts have the digests that the grant holds;
    (4) the log entry tells of exactly this approval;
    (5) the entry is in the log, under a checkpoint signed by every pinned log key;
    (6) the record says what follows from the evidence.
    """
    # (1)
    payload, receipt = _parsed(data)
    # (2) Before the texts: only what a person signed is rendered.
    party = approvals.verify(receipt.approval, receipt.grant, trust)
    # (3)
    _check_texts(receipt.grant)
    # (4)
    _check_entry(receipt)
    # (5)
    index, head = tlog_proof.verify(
        receipt.proof,
        receipt.entry.encode(),
        trust.checkpoint_vkeys,
        witnesses=trust.witness_quorum,
    )
    if head.origin != trust.log_origin:
        raise VerificationError("bad_signature", "checkpoint of another log")
    # (6)
    if payload["record"] != record(receipt.grant, receipt.approval, trust.issuer):
        raise VerificationError("malformed", "the record says something else than what was signed")
    return Verified(receipt, party, index, head)


def _check_texts(grant: Grant) -> None:
    for locale in TEXT_LOCALES:
        try:
            digest = text_digest(grant.text(locale))
        except KeyError as error:
            raise VerificationError("malformed", f"a word of no vocabulary: {error}") from error
        if digest != grant.text_sha256.get(locale):
            raise VerificationError("approval_text_mismatch", locale)


def _parsed(data: bytes) -> tuple[dict[str, Any], Receipt]:
    try:
        payload = canonical.loads(data, max_bytes=MAX_BYTES)
        receipt = Receipt.from_payload(payload)
    except ValueError as error:
        raise VerificationError("malformed", f"receipt: {error}") from error
    if canonical.dumps(payload) != data:
        raise VerificationError("malformed", "not in its canonical form")
    return payload, receipt


def _check_entry(receipt: Receipt) -> None:
    event = canonical.loads(receipt.entry.encode())
    told: Mapping[str, Any] = event.get("data", {}) if isinstance(event, dict) else {}
    approval = receipt.approval
    expected = {
        "approval_digest": approval.digest().hex(),
        "grant_digest": receipt.grant.digest().hex(),
        "party_id": approval.party_id,
        "by": approval.by,
    }
    if not isinstance(told, dict) or event.get("type") != "approval.signed":
        raise VerificationError("bad_signature", "the log entry is no approval")
    if {name: told.get(name) for name in expected} != expected:
        raise VerificationError("bad_signature", "the log tells of another approval")
