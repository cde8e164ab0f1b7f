"""The key set: which of the registry's keys sign what, since when, and which no longer count.

A worker or an auditor pins root keys once, out of band, with a threshold; the roots stay offline
and sign nothing but this document. Whatever is fetched later is believed when enough roots signed
it, when it is newer than what is known, and when it has not expired (the idea is that of The Update
Framework's root role). A token names its key by `kid`, the key's RFC 7638 thumbprint, and counts
when that key could sign at the time of issuing: so a key that was replaced still verifies what it
signed, and a stolen one nothing after the moment it was revoked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from registry.core.trust import TrustRoot
from registry.log.core import canonical, keys
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer

FORMAT: Final = "kyodaku/keyset/v1"
PURPOSES: Final = ("token", "status", "provenance")
NEXT, ACTIVE, VERIFY_ONLY, REVOKED = "next", "active", "verify_only", "revoked"
STATUSES: Final = (NEXT, ACTIVE, VERIFY_ONLY, REVOKED)
MAX_BYTES: Final = 65_536
MAX_SIGNATURES: Final = 16


@dataclass(frozen=True)
class KeyRecord:
    """One key: its purpose, its raw public key, and when it may sign (Unix seconds).

    `next`: published, signs nothing yet. `active`: signs from `valid_from` on. `verify_only`: was
    replaced at `valid_until`. `revoked`: counts for nothing issued at `valid_until` or later; that
    may be before the day on which the theft was found. 0 means open.
    """

    purpose: str
    public: bytes
    status: str
    valid_from: int
    valid_until: int = 0

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint: the name cannot be given to another key."""
        return keys.thumbprint(self.public)

    def to_payload(self) -> dict[str, Any]:
        """The JSON object in the document."""
        return {**vars(self), "public": canonical.b64u(self.public), "kid": self.kid}


@dataclass(frozen=True)
class KeySet:
    """One version of the document. `version` only ever grows; times are Unix seconds."""

    issuer: str
    mode: str
    version: int
    issued_at: int
    expires_at: int
    keys: tuple[KeyRecord, ...]

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that the roots sign."""
        return {
            "format": FORMAT,
            **vars(self),
            "keys": [record.to_payload() for record in self.keys],
        }

    def digest(self) -> bytes:
        """What every root signs, and what the log names."""
        return canonical.digest(FORMAT, self.to_payload())

    def active(self, purpose: str) -> KeyRecord:
        """The one key of a purpose that signs now. Raises `LookupError`."""
        (found,) = (k for k in self.keys if k.purpose == purpose and k.status == ACTIVE)
        return found


def sign(keyset: KeySet, roots: Sequence[Ed25519Signer]) -> bytes:
    """The document, signed by these roots: canonical JSON."""
    problem = _problem(keyset)
    if problem:
        raise ValueError(problem)
    digest = keyset.digest()
    signatures = {root.kid: canonical.b64u(root.sign(digest)) for root in roots}
    return canonical.dumps({"signed": keyset.to_payload(), "signatures": signatures})


def verify(data: bytes, trust: TrustRoot, *, known_version: int, at: datetime) -> KeySet:
    """Verify a fetched key set against pinned roots. Raises `VerificationError`.

    (1) it is well formed, and says of every key what a key can be: `malformed`;
    (2) at least `trust.root_threshold` different pinned roots signed it: `bad_signature`;
    (3) it is of this registry and mode: `unknown_key`, `wrong_mode`;
    (4) it is not older than the version that is known: `replayed`;
    (5) it is from the past and has not expired: `not_yet_valid`, `expired`.
    """
    # (1)
    keyset, signatures = _parse(data)
    # (2)
    _check_signatures(keyset.digest(), signatures, trust)
    # (3)
    if keyset.issuer != trust.issuer:
        raise VerificationError("unknown_key", "key set of another registry")
    if keyset.mode != trust.mode:
        raise VerificationError("wrong_mode", "key set")
    # (4)
    if keyset.version < known_version:
        raise VerificationError("replayed", f"key set {keyset.version}, known {known_version}")
    # (5)
    if keyset.issued_at > at.timestamp() + 60:
        raise VerificationError("not_yet_valid", "key set")
    if at.timestamp() >= keyset.expires_at:
        raise VerificationError("expired", "key set")
    return keyset


def applied(trust: TrustRoot, keyset: KeySet) -> TrustRoot:
    """The trust root with the keys of a verified key set in place of its own."""
    named = {
        purpose: {k.kid: k.public for k in keyset.keys if k.purpose == purpose and k.status != NEXT}
        for purpose in PURPOSES
    }
    return replace(
        trust,
        token_keys=named["token"],
        status_keys=named["status"],
        provenance_keys=named["provenance"],
        key_times={k.kid: (k.valid_from, k.valid_until) for k in keyset.keys},
        keyset_version=keyset.version,
    )


def _check_signatures(digest: bytes, signatures: Mapping[str, bytes], trust: TrustRoot) -> None:
    """Count pinned roots whose signature verifies; one that does not counts for nothing."""
    if not 1 <= trust.root_threshold <= len(trust.root_keys):
        raise VerificationError("unknown_key", "no root keys are pinned")
    good = 0
    for kid, raw in trust.root_keys.items():
        if kid != keys.thumbprint(raw) or kid not in signatures:
            continue
        try:
            keys.verify_ed25519(raw, signatures[kid], digest)
        except VerificationError:
            continue
        good += 1
    if good < trust.root_threshold:
        raise VerificationError("bad_signature", f"{good} of {trust.root_threshold} roots signed")


def _parse(data: bytes) -> tuple[KeySet, dict[str, bytes]]:
    try:
        document = canonical.loads(data, max_bytes=MAX_BYTES)
        body = dict(document["signed"])
        if body.pop("format") != FORMAT or document.keys() != {"signed", "signatures"}:
            raise ValueError("not a key set of format " + FORMAT)
        records = tuple(_record(record) for record in body.pop("keys"))
        keyset = KeySet(**body, keys=records)
        signatures = {k: canonical.unb64u(v) for k, v in document["signatures"].items()}
        same = keyset.to_payload() == document["signed"]
        problem = _problem(keyset)
    except (KeyError, TypeError, AttributeError, ValueError, VerificationError) as error:
        raise VerificationError("malformed", "key set") from error
    if problem or not same or len(signatures) > MAX_SIGNATURES or canonical.dumps(document) != data:
        raise VerificationError("malformed", f"key set {problem}")
    return keyset, signatures


def _record(payload: Mapping[str, Any]) -> KeyRecord:
    members = {name: value for name, value in payload.items() if name != "kid"}
    record = KeyRecord(**{**members, "public": canonical.unb64u(payload["public"])})
    keys.load_ed25519_public(record.public)
    return record


def _problem(keyset: KeySet) -> str:
    """What no key set may say; empty when it is sound."""
    numbers = [keyset.version, keyset.issued_at, keyset.expires_at]
    numbers += [n for k in keyset.keys for n in (k.valid_from, k.valid_until)]
    if any(type(n) is not int or n < 0 for n in numbers) or keyset.version < 1:
        return "numbers"
    if any(k.purpose not in PURPOSES or k.status not in STATUSES for k in keyset.keys):
        return "words"
    # One purpose each: a key stolen from one place must sign nothing elsewhere.
    if len({k.public for k in keyset.keys}) != len(keyset.keys):
        return "one key twice"
    for purpose in PURPOSES:
        if sum(k.purpose == purpose and k.status == ACTIVE for k in keyset.keys) != 1:
            return f"not one active {purpose} key"
    ended = (VERIFY_ONLY, REVOKED)
    if any((k.status in ended) != (k.valid_until > 0) for k in keyset.keys):
        return "an end without a reason, or a reason without an end"
    return ""
