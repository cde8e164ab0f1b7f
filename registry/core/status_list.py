"""Token Status List: one small signed file that says which tokens still hold.

Two bits per token (IETF Token Status List, section 7.1): 0 VALID, 1 INVALID, 2 SUSPENDED and 3, the
first application-specific value, for withdrawn by the person: the sentence shown differs, the
effect on a run does not. Indices are random, so a list says nothing about how many tokens exist.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from registry.core import jose
from registry.core.trust import TrustRoot
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer

TYPE: Final = "statuslist+jwt"
BITS: Final = 2
CAPACITY: Final = 2**16
VALID, REVOKED, PAUSED, WITHDRAWN = range(4)
_CODES: Final = {REVOKED: "revoked", PAUSED: "paused", WITHDRAWN: "withdrawn"}
_MEMBERS: Final = frozenset({"sub", "iat", "exp", "ttl", "status_list"})
_MAX_INFLATED: Final = 2**20


def pack(statuses: Mapping[int, int], *, size: int = CAPACITY, bits: int = BITS) -> bytes:
    """The zlib-compressed byte array; index i sits in byte i*bits//8, low bits first.

    Section 4.1: "packed into bytes from the least significant bit to the most significant bit".
    """
    array = bytearray(size * bits // 8)
    for index, status in statuses.items():
        if not (0 <= index < size and 0 <= status < 2**bits):
            raise ValueError(f"status {status} at {index} does not fit")
        array[index * bits // 8] |= status << (index * bits % 8)
    return zlib.compress(bytes(array), level=9)


def unpack(data: bytes, index: int, *, bits: int = BITS) -> int:
    """The status at `index`. Raises `ValueError` for bad compression or an index outside."""
    try:
        inflater = zlib.decompressobj()
        array = inflater.decompress(data, _MAX_INFLATED)
    except zlib.error as error:
        raise ValueError("not a status list") from error
    if not inflater.eof or index < 0 or index * bits // 8 >= len(array):
        raise ValueError("status list too long, cut short, or index outside it")
    octet = array[index * bits // 8] >> (index * bits % 8)
    return octet & ((1 << bits) - 1)


def sign(
    statuses: Mapping[int, int], *, uri: str, signer: Ed25519Signer, at: datetime, ttl_s: int
) -> str:
    """A signed list as of `at`, good for `ttl_s` seconds."""
    issued = int(at.timestamp())
    claims: dict[str, Any] = {
        "sub": uri,
        "iat": issued,
        "exp": issued + ttl_s,
        "ttl": ttl_s,
        "status_list": {"bits": BITS, "lst": canonical.b64u(pack(statuses))},
    }
    return jose.sign(TYPE, claims, signer)


@dataclass(frozen=True)
class StatusList:
    """A verified list."""

    uri: str
    issued_at: datetime
    lst: bytes

    def code(self, index: int) -> str | None:
        """The refusal code at `index`, `None` when the token holds. Fails closed on nonsense."""
        try:
            status = unpack(self.lst, index)
        except ValueError:
            return "status_stale"
        return None if status == VALID else _CODES[status]


def verify(token: str, trust: TrustRoot, *, uri: str, at: datetime) -> StatusList:
    """Verify a status list token and that it is fresh at `at`.

    Raises `VerificationError`: the codes of `jose.read`, `key_revoked` for a key that could not
    sign then, or `status_stale` when it is for another
    address, older than `trust.status_max_age_s`, past its own end, or from the future.
    """
    claims = jose.read(token, typ=TYPE, pinned=trust.status_keys)
    try:
        body = claims["status_list"]
        issued, ends = claims["iat"], claims["exp"]
        known = claims.keys() == _MEMBERS and body.keys() == {"bits", "lst"}
        typed = all(type(n) is int and n >= 0 for n in (issued, ends, claims["ttl"]))
        lst = canonical.unb64u(body["lst"])
    except (KeyError, TypeError, AttributeError, VerificationError) as error:
        raise VerificationError("malformed", "status list") from error
    if not known or not typed or body["bits"] != BITS or not isinstance(claims["sub"], str):
        raise VerificationError("malformed", "status list")
    age = at.timestamp() - issued
    # 5 s of tolerance: two machines' clocks, not a grace period.
    if claims["sub"] != uri or age > trust.status_max_age_s or age < -5 or at.timestamp() >= ends:
        raise VerificationError("status_stale", f"age {int(age)} s")
    kid = jose.signer_of(token, typ=TYPE, pinned=trust.status_keys)
    if kid is None or not trust.could_sign(kid, issued):
        raise VerificationError("key_revoked", str(kid))
    return StatusList(uri=uri, issued_at=datetime.fromtimestamp(issued, UTC), lst=lst)
