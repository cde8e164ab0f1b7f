"""Step 12: the log's entries tell the story of this one case, completely and in order. Pure.

That an entry stands in the log was proved before; here it is held against what was signed. Every
member that means something known must have that meaning's value, wherever it occurs; the members in
`NEEDED` must occur. An entry that belongs to nothing is refused: a pack holds no idle evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from registry.core import approvals as approvals_module
from registry.core.approvals import Approval
from registry.core.tokens import Claims, Leaf
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from training.core.provenance import Statement

# type: members by which the entry is tied to the case. Exactly one entry each.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "dataset.sealed": ("dataset_root", "curation_digest"),
    "grant.made": ("grant_digest",),
    "token.minted": ("jti", "job_id"),
    "token.redeemed": ("jti",),
    "run.admitted": ("job_id", "jti"),
    "run.finished": ("job_id",),
    "lora.sealed": ("lora_id", "job_id"),
    "delivery.made": ("delivery_id", "lora_id", "file_sha256"),
}
# In the pack of one use: the report of it, and no other.
USED: Final = "use.reported"
USE_MEMBERS: Final = ("use_id", "delivery_id", "medium", "quantity", "outside")
# One entry a party each: tied by `party_id` and the key, or the approval's digest.
ENROLLED: Final = "credential.enrolled"
SIGNED: Final = "approval.signed"
# What must come before what. Entries of one transaction may stand in either order.
_ORDER: Final = (
    ("dataset.sealed", "grant.made"),
    ("grant.made", "token.minted"),
    ("token.minted", "token.redeemed"),
    ("token.minted", "run.admitted"),
    ("token.redeemed", "run.finished"),
    ("run.admitted", "run.finished"),
    ("run.finished", "lora.sealed"),
    ("lora.sealed", "delivery.made"),
)


@dataclass(frozen=True)
class Entry:
    """A log entry whose inclusion was verified."""

    index: int
    leaf: bytes
    kind: str
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """What was signed about the case, verified by the steps before."""

    claims: Claims
    approvals: tuple[Approval, ...]
    run: Statement
    run_digest: str
    delivery: Statement
    delivery_digest: str


def parse_entry(index: int, leaf: bytes, payload: Mapping[str, Any]) -> Entry:
    """Read the members of an event. Raises `VerificationError("malformed")`."""
    kind, at, data = payload.get("type"), payload.get("at"), payload.get("data")
    if not isinstance(kind, str) or not isinstance(at, str) or not isinstance(data, dict):
        raise VerificationError("malformed", "log entry")
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise VerificationError("malformed", "log entry without a time zone")
    return Entry(index, leaf, kind, moment, data)


def check_history(entries: Sequence[Entry], case: Case) -> dict[str, str]:
    """Hold the entries against the case; returns its `lora_id`, `delivery_id` and `use_id`.

    (a) exactly one entry of each type in `NEEDED`, one enrolment a key and one signature an
    approval, at most one reported use, and no other; (b) every member with a known meaning has its
    value, the needed ones are there; (c) grant and enrolments are the very entries that the token's
    evidence holds; (d) order. Raises `VerificationError`.
    """
    # (a)
    single = {kind: _one(entries, kind) for kind in NEEDED}
    enrolled = _by_key(entries)
    signed = _by_party(entries, case.approvals)
    used = reported(entries)
    counted = len(single) + len(enrolled) + len(signed) + (used is not None)
    if counted != len(entries):
        raise VerificationError("malformed", "an entry that belongs to nothing in this case")
    # (b)
    ids = {
        "lora_id": str(single["lora.sealed"].data.get("lora_id")),
        "delivery_id": str(single["delivery.made"].data.get("delivery_id")),
    }
    if used is not None:
        _check_members(used, ids, USE_MEMBERS)
        if used.index <= single["delivery.made"].index:
            raise VerificationError("malformed", "used before it was delivered")
    for kind, entry in single.items():
        _check_members(entry, {**_known(case), **ids, **_at_stage(kind, case)}, NEEDED[kind])
    # (c)
    _same_leaf(single["grant.made"], case.claims.log.grant)
    for approval in case.approvals:
        key = approvals_module.thumbprint(canonical.unb64u(approval.cose_key))
        _same_leaf(enrolled.pop(key, None), case.claims.log.enrolments[key])
        _check_signed(signed[approval.party_id, approval.by], approval)
    if enrolled:
        raise VerificationError("malformed", "the enrolment of a key that approved nothing")
    # (d)
    _check_order(entries, single)
    return {**ids, "use_id": "" if used is None else str(used.data["use_id"])}


def reported(entries: Sequence[Entry]) -> Entry | None:
    """The one use that a pack is about, if it is about one."""
    return _one(entries, USED) if any(entry.kind == USED for entry in entries) else None


def _one(entries: Sequence[Entry], kind: str) -> Entry:
    found = [entry for entry in entries if entry.kind == kind]
    if len(found) != 1:
        raise VerificationError("malformed", f"{len(found)} entries of type {kind}, not one")
    return found[0]


def _by_key(entries: Sequence[Entry]) -> dict[str, Entry]:
    return {str(entry.data.get("key")): entry for entry in entries if entry.kind == ENROLLED}


def _by_party(
    entries: Sequence[Entry], approvals: Sequence[Approval]
) -> dict[tuple[str, str], Entry]:
    signed = {
        (str(entry.data.get("party_id")), str(entry.data.get("by"))): entry
        for entry in entries
        if entry.kind == SIGNED
    }
    if set(signed) != {(approval.party_id, approval.by) for approval in approvals}:
        raise VerificationError("approval_missing", "an approval that the log does not hold")
    return signed


def _known(case: Case) -> dict[str, object]:
    """Members that mean the same in every entry."""
    grant = case.claims.grant
    return {
        "grant_digest": grant.digest().hex(),
        "grant_id": grant.grant_id,
        "request_id": grant.request_id,
        "dataset_root": grant.dataset_root,
        "curation_digest": grant.curation_digest,
        "licensee": grant.licensee,
        "jti": case.claims.jti,
        "job_id": case.claims.job_id,
        "jkt": case.claims.jkt,
        "run_statement_sha256": case.run_digest,
        "statement_sha256": case.delivery_digest,
    }


def _at_stage(kind: str, case: Case) -> dict[str, object]:
    """Members whose meaning depends on the stage: before delivery, tensors are the master's."""
    if kind == "delivery.made":
        return {
            "file_sha256": case.delivery.subject_sha256,
            "tensor_sha256": case.delivery.parameters.get("tensor_sha256"),
            "artefact_commitment": case.delivery.parameters.get("artefact_commitment"),
        }
    return {"tensor_sha256": case.run.subject_sha256}


def _check_members(entry: Entry, known: Mapping[str, object], needed: Sequence[str]) -> None:
    for name in needed:
        if name not in entry.data:
            raise VerificationError("malformed", f"{entry.kind} does not say its {name}")
    for name, value in known.items():
        if name in entry.data and entry.data[name] != value:
            raise VerificationError("bad_signature", f"{entry.kind} is of another {name}")


def _same_leaf(entry: Entry | None, leaf: Leaf) -> None:
    if entry is None or (entry.index, entry.leaf) != (leaf.index, leaf.entry.encode()):
        raise VerificationError("bad_signature", "not the entry that the token rests on")


def _check_signed(entry: Entry, approval: Approval) -> None:
    known = {
        "grant_digest": approval.grant_digest,
        "approval_id": approval.approval_id,
        "approval_digest": approval.digest().hex(),
    }
    _check_members(entry, known, ("grant_digest", "approval_digest"))


def _check_order(entries: Sequence[Entry], single: Mapping[str, Entry]) -> None:
    for earlier, later in _ORDER:
        if single[earlier].index >= single[later].index:
            raise VerificationError("malformed", f"{later} stands before {earlier}")
    latest = single["token.minted"].index
    if any(e.index > latest for e in entries if e.kind in (ENROLLED, SIGNED)):
        raise VerificationError("malformed", "approved or enrolled after the token was minted")
