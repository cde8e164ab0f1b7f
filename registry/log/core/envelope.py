"""DSSE v1 envelopes: signatures over typed bytes.

Ground floor, pure. The payload type is inside what is signed, so bytes signed as one thing cannot
be shown as another. The envelope is trusted for nothing; `verify` trusts the keys it is given.
Source: secure-systems-lab/dsse, protocol.md v1.0 and envelope.md.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from registry.log.core import canonical, keys
from registry.log.core.errors import VerificationError

MAX_SIGNATURES: Final = 16


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding, the bytes that are signed.

    "PAE(type, body) = "DSSEv1" + SP + LEN(type) + SP + type + SP + LEN(body) + SP + body"
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(
    payload_type: str, payload: bytes, signers: Iterable[keys.Ed25519Signer]
) -> dict[str, Any]:
    """Return a DSSE envelope (a JSON-ready dict) with one signature per signer."""
    message = pae(payload_type, payload)
    return {
        "payload": canonical.b64(payload),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": signer.kid, "sig": canonical.b64(signer.sign(message))} for signer in signers
        ],
    }


def verify(
    envelope: Mapping[str, Any],
    keys_by_id: Mapping[str, bytes],
    *,
    payload_type: str,
    threshold: int,
) -> bytes:
    """Verify an envelope and return its payload.

    `keys_by_id` maps key id to raw 32-byte Ed25519 public key. Steps:
    (1) the envelope has the three members and no other; (2) its type is the expected one;
    (3) every signature by a known key verifies; (4) at least `threshold` distinct keys signed
    (one key under two ids counts once). Signatures by unknown keys are ignored, as DSSE says.
    Raises VerificationError `bad_envelope`, `wrong_payload_type`, `bad_signature`,
    `too_few_signatures`; ValueError for a threshold below 1.
    """
    if threshold < 1:
        raise ValueError("a threshold below 1 verifies nothing")
    payload, signatures = _parts(envelope)  # (1)
    if envelope["payloadType"] != payload_type:  # (2)
        raise VerificationError("wrong_payload_type", f"expected {payload_type}")
    message = pae(payload_type, payload)
    verified: set[bytes] = set()
    for key_id, signature in signatures:
        public_raw = keys_by_id.get(key_id)
        if public_raw is not None:
            keys.verify_ed25519(public_raw, signature, message)  # (3)
            verified.add(public_raw)
    if len(verified) < threshold:  # (4)
        raise VerificationError(
            "too_few_signatures", f"{len(verified)} of {threshold} required keys signed"
        )
    return payload


def _parts(envelope: Mapping[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    if set(envelope) != {"payload", "payloadType", "signatures"}:
        raise VerificationError("bad_envelope", "members are payload, payloadType, signatures")
    payload, signatures = envelope["payload"], envelope["signatures"]
    if not isinstance(payload, str) or not isinstance(signatures, list):
        raise VerificationError("bad_envelope", "payload is a string, signatures a list")
    if len(signatures) > MAX_SIGNATURES:
        raise VerificationError("bad_envelope", f"more than {MAX_SIGNATURES} signatures")
    return canonical.unb64(payload), [_signature(item) for item in signatures]


def _signature(item: Any) -> tuple[str, bytes]:
    if not isinstance(item, dict) or set(item) != {"keyid", "sig"}:
        raise VerificationError("bad_envelope", "a signature has keyid and sig")
    key_id, signature = item["keyid"], item["sig"]
    if not isinstance(key_id, str) or not isinstance(signature, str):
        raise VerificationError("bad_envelope", "keyid and sig are strings")
    return key_id, canonical.unb64(signature)
