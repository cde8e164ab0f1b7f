"""A WebAuthn authenticator in software: the hands of the test mode's people, and nobody else's.

It makes real WebAuthn structures (attestation object, authenticator data, ES256 signatures), so
the demonstration and the tests go through exactly the code that real passkeys go through. It is not
a passkey: nobody touches or looks at anything, and whoever holds the seed is the person. It says so
by its AAGUID; the registry marks such a key `assurance: test`, and a live trust root refuses it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from registry.log.core import canonical

AAGUID: Final = b"kyodaku-testkey!"
ES256: Final = -7
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_USER_PRESENT, _USER_VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


class SoftAuthenticator:
    """One person's software authenticator; the same seed always holds the same keys."""

    def __init__(self, seed: bytes) -> None:
        """`seed`: at least 16 secret bytes. Raises `ValueError` for fewer."""
        if len(seed) < 16:
            raise ValueError("an authenticator's seed has at least 16 bytes")
        self._seed = seed

    def register(self, options: Mapping[str, Any], origin: str) -> dict[str, Any]:
        """Answer `navigator.credentials.create`: the response as a browser's `toJSON()` gives it.

        `options` is a PublicKeyCredentialCreationOptionsJSON, `origin` the page's. Raises
        `ValueError` when the page may not use this relying party, or the key is registered already.
        """
        rp_id = _rp_id(options["rp"].get("id"), origin)
        credential_id = self.credential_id(rp_id)
        if not any(p.get("alg") == ES256 for p in options["pubKeyCredParams"]):
            raise ValueError("this authenticator signs with ES256 only")
        if canonical.b64u(credential_id) in _ids(options.get("excludeCredentials")):
            raise ValueError("this authenticator is registered already")
        client_data = _client_data("webauthn.create", options["challenge"], origin)
        auth_data = self._auth_data(rp_id, _ATTESTED) + self._attested(rp_id)
        statement = {"alg": ES256, "sig": self._sign(rp_id, auth_data, client_data)}
        attestation = {"fmt": "packed", "attStmt": statement, "authData": auth_data}
        return _response(
            credential_id,
            clientDataJSON=client_data,
            attestationObject=cbor2.dumps(attestation, canonical=True),
        )

    def approve(self, options: Mapping[str, Any], origin: str) -> dict[str, Any]:
        """Answer `navigator.credentials.get` with an assertion; user present and verified.

        `options` is a PublicKeyCredentialRequestOptionsJSON. Raises `ValueError` when the page may
        not use this relying party, or none of the allowed credentials is ours.
        """
        rp_id = _rp_id(options.get("rpId"), origin)
        credential_id = self.credential_id(rp_id)
        allowed = _ids(options.get("allowCredentials"))
        if allowed and canonical.b64u(credential_id) not in allowed:
            raise ValueError("none of the allowed credentials is on this authenticator")
        client_data = _client_data("webauthn.get", options["challenge"], origin)
        auth_data = self._auth_data(rp_id)
        return _response(
            credential_id,
            clientDataJSON=client_data,
            authenticatorData=auth_data,
            signature=self._sign(rp_id, auth_data, client_data),
        )

    def credential_id(self, rp_id: str) -> bytes:
        """The 32-byte id of this authenticator's credential for a relying party."""
        return self._derive(b"credential-id", rp_id)

    def cose_key(self, rp_id: str) -> bytes:
        """The public key as COSE_Key bytes (RFC 9053 7.1.1: EC2, P-256, ES256)."""
        point = self._private(rp_id).public_key().public_numbers()
        x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
        key: bytes = cbor2.dumps({1: 2, 3: ES256, -1: 1, -2: x, -3: y}, canonical=True)
        return key

    def _derive(self, purpose: bytes, rp_id: str, length: int = 32) -> bytes:
        info = b"kyodaku/soft-authenticator/v1\0" + purpose + b"\0" + rp_id.encode()
        return HKDF(hashes.SHA256(), length, salt=None, info=info).derive(self._seed)

    def _private(self, rp_id: str) -> ec.EllipticCurvePrivateKey:
        # 16 bytes more than the order: the reduction's bias is below 2^-128 (FIPS 186-5 A.2.1).
        number = int.from_bytes(self._derive(b"p256", rp_id, 48), "big")
        return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())

    def _auth_data(self, rp_id: str, more_flags: int = 0) -> bytes:
        """WebAuthn 6.1: rpIdHash (32) || flags (1) || signCount (4), 0 as with passkeys."""
        flags = _USER_PRESENT | _USER_VERIFIED | more_flags
        return hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, 0)

    def _attested(self, rp_id: str) -> bytes:
        """WebAuthn 6.5.1: aaguid (16) || credentialIdLength (2) || credentialId || COSE key."""
        credential_id = self.credential_id(rp_id)
        return AAGUID + struct.pack(">H", len(credential_id)) + credential_id + self.cose_key(rp_id)

    def _sign(self, rp_id: str, auth_data: bytes, client_data: bytes) -> bytes:
        """WebAuthn 6.3.3: over authenticatorData || SHA-256(clientDataJSON)."""
        message = auth_data + hashlib.sha256(client_data).digest()
        return self._private(rp_id).sign(message, ec.ECDSA(hashes.SHA256()))


def _rp_id(wanted: str | None, origin: str) -> str:
    """What a browser checks: the relying party is the page's host or a parent domain of it."""
    host = urlsplit(origin).hostname or ""
    rp_id = wanted or host
    if not rp_id or (host != rp_id and not host.endswith("." + rp_id)):
        raise ValueError(f"the page {origin} may not use the relying party {rp_id!r}")
    return rp_id


def _ids(descriptors: Any) -> frozenset[str]:
    return frozenset(descriptor["id"] for descriptor in descriptors or ())


def _client_data(kind: str, challenge: str, origin: str) -> bytes:
    client = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}
    return json.dumps(client, separators=(",", ":")).encode()


def _response(credential_id: bytes, **parts: bytes) -> dict[str, Any]:
    return {
        "id": canonical.b64u(credential_id),
        "rawId": canonical.b64u(credential_id),
        "type": "public-key",
        "clientExtensionResults": {},
        "response": {name: canonical.b64u(part) for name, part in parts.items()},
    }
