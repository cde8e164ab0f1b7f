"""The trust root: the pinned keys and names against which everything else is verified.

A worker, an auditor and the offline verifier each hold a copy obtained once, out of band. It is
never taken from the thing being verified: a token's `jku`, `x5u`, `jwk` and `x5c` headers are
refused, and a pack that brings its own trust root is only *inspected* with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from registry.log.core import canonical

FORMAT: Final = "kyodaku/trust/v1"


@dataclass(frozen=True)
class TrustRoot:
    """What is pinned.

    `token_keys`, `status_keys` and `provenance_keys` map a key id (RFC 7638 thumbprint) to the raw
    32-byte Ed25519 public key: one purpose each, so that a key stolen from one place signs nothing
    else. `log_vkeys` are C2SP verifier keys, all of which must have signed a checkpoint.
    `witness_vkeys` are those of its witnesses, of whom `witness_quorum` must have cosigned.
    A key counts only `key_wait_s` seconds after the log enrolled it: the time in which its supposed
    owner can object. `origins` are the web origins at which people sign. `mode` is `test` or
    `live`; nothing of one mode verifies in the other.

    `root_keys` sign key sets, `root_threshold` of them together (`keyset.py`); `key_times` says
    from when until when (Unix seconds, 0 is open) a key could sign, as of `keyset_version`. A key
    without times is one that was pinned by hand.
    """

    issuer: str
    mode: str
    token_keys: Mapping[str, bytes]
    status_keys: Mapping[str, bytes]
    provenance_keys: Mapping[str, bytes]
    log_origin: str
    log_vkeys: tuple[str, ...]
    rp_id: str
    origins: tuple[str, ...]
    status_max_age_s: int = 60
    witness_vkeys: tuple[str, ...] = ()
    witness_quorum: int = 0
    key_wait_s: int = 0
    root_keys: Mapping[str, bytes] = field(default_factory=dict)
    root_threshold: int = 0
    key_times: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    keyset_version: int = 0

    def could_sign(self, kid: str, issued_at: int) -> bool:
        """Whether a pinned key could sign something issued then."""
        begun, ended = self.key_times.get(kid, (0, 0))
        return begun <= issued_at and (not ended or issued_at < ended)

    @property
    def checkpoint_vkeys(self) -> tuple[str, ...]:
        """The keys whose signatures may stand on a checkpoint: the log's and the witnesses'."""
        return (*self.log_vkeys, *self.witness_vkeys)

    def to_bytes(self) -> bytes:
        """The JSON file `trust.json`."""
        payload: dict[str, Any] = {
            "format": FORMAT,
            "issuer": self.issuer,
            "mode": self.mode,
            "token_keys": _dump(self.token_keys),
            "status_keys": _dump(self.status_keys),
            "provenance_keys": _dump(self.provenance_keys),
            "log_origin": self.log_origin,
            "log_vkeys": list(self.log_vkeys),
            "rp_id": self.rp_id,
            "origins": list(self.origins),
            "status_max_age_s": self.status_max_age_s,
            "witness_vkeys": list(self.witness_vkeys),
            "witness_quorum": self.witness_quorum,
            "key_wait_s": self.key_wait_s,
            "root_keys": _dump(self.root_keys),
            "root_threshold": self.root_threshold,
            "key_times": {kid: list(times) for kid, times in self.key_times.items()},
            "keyset_version": self.keyset_version,
        }
        return canonical.dumps(payload)

    @classmethod
    def from_bytes(cls, data: bytes) -> TrustRoot:
        """Parse `trust.json`. Raises `ValueError` when it is not one."""
        payload = canonical.loads(data)
        if not isinstance(payload, dict) or payload.pop("format", None) != FORMAT:
            raise ValueError("not a trust root of format " + FORMAT)
        try:
            for name in ("token_keys", "status_keys", "provenance_keys", "root_keys"):
                named = payload.get(name, {}) if name == "root_keys" else payload[name]
                payload[name] = {kid: canonical.unb64u(x) for kid, x in named.items()}
            times = payload.get("key_times", {}).items()
            payload["key_times"] = {kid: (int(begun), int(ended)) for kid, (begun, ended) in times}
            for name in ("log_vkeys", "origins", "witness_vkeys"):
                payload[name] = tuple(payload.get(name, ()))
            return cls(**payload)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a trust root: {error}") from error


def _dump(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {kid: canonical.b64u(raw) for kid, raw in keys.items()}
