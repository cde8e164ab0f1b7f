"""The signature over a delivered folder, as OpenSSF Model Signing writes it (stages 8 and 9).

A Sigstore bundle (v0.3) around a DSSE envelope around an in-toto statement that lists every file
with its SHA-256, signed with ECDSA over P-256: what `model_signing verify key` reads. The stock
tool makes it; this module checks it without that tool, stricter: a canonical bundle, files only,
SHA-256 only, nothing ignored but the signature itself, and one spelling: nobody can write a bundle
otherwise and have it verify. Trusts the public key that it is given, which may be a stranger's.

Sources: sigstore/model-transparency (predicate `https://model_signing/signature/v1.0`);
sigstore/protobuf-specs (bundle v0.3); DSSE v1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from training.core.provenance import PAYLOAD_TYPE, STATEMENT_TYPE

SIGNATURE: Final = "model.sig"
PUBLIC_KEY: Final = "model.pub"
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAX_BYTES: Final = 2**20
_HEX64: Final = re.compile(r"[0-9a-f]{64}")
# The order of P-256 (FIPS 186-5; SP 800-186, 3.2.1.3).
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class ModelSignatureError(VerificationError):
    """The bundle is not one that covers this folder; `code` says which rule it broke."""


def canonical_form(bundle: bytes) -> bytes:
    """The stock tool's bundle as RFC 8785 JSON: the same members, and no byte left to chance.

    Of the two values that ECDSA takes for one signature it keeps the lower. Raises
    `VerificationError` for what is no JSON, or no bundle with one signature.
    """
    value = canonical.loads(bundle, max_bytes=MAX_BYTES)
    try:
        (one,) = value["dsseEnvelope"]["signatures"]
        one["sig"] = canonical.b64(_low(canonical.unb64(one["sig"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelSignatureError("bad_bundle", "not one signature by key") from error
    return canonical.dumps(value)


def key_sha256(public_pem: bytes) -> str:
    """How a bundle names its key: SHA-256 over the PEM file, hex."""
    return hashlib.sha256(public_pem).hexdigest()


def key_of(bundle: bytes) -> str:
    """Which key a bundle names (`key_sha256`). Raises ModelSignatureError("bad_bundle")."""
    return _bundle(bundle)[0]


def verify(bundle: bytes, public_pem: bytes) -> dict[str, str]:
    """The files that a bundle covers: name to SHA-256 (hex).

    (1) canonical JSON with the members that a bundle by key has; (2) it names this key, which is on
    P-256; (3) the envelope's one signature verifies; (4) the statement lists files with SHA-256,
    each once, under their own root, and ignores nothing but itself. Raises ModelSignatureError:
    bad_bundle, unknown_key, bad_signature, bad_statement.
    """
    hint, signed = _bundle(bundle)  # (1)
    if hint != key_sha256(public_pem):  # (2)
        raise ModelSignatureError("unknown_key", "the bundle names another key")
    payload = _signed_payload(signed, _public_key(public_pem))  # (3)
    return _resources(payload)  # (4)


def _public_key(public_pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(public_pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ModelSignatureError("unknown_key", "not a public key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ModelSignatureError("unknown_key", "not a key on P-256")
    return key


def _bundle(data: bytes) -> tuple[str, Mapping[str, Any]]:
    """The key's name and the envelope."""
    try:
        value = canonical.loads(data, max_bytes=MAX_BYTES)
        exact = canonical.dumps(value) == data
        material, signed = value["verificationMaterial"], value["dsseEnvelope"]
        shaped = (
            set(value) == {"mediaType", "verificationMaterial", "dsseEnvelope"}
            and value["mediaType"] == MEDIA_TYPE
            and set(material) == {"publicKey", "tlogEntries"}
            and material["tlogEntries"] == []
            and set(material["publicKey"]) == {"hint"}
            and set(signed) == {"payload", "payloadType", "signatures"}
        )
        hint = str(material["publicKey"]["hint"])
    except (ValueError, KeyError, TypeError, AttributeError, VerificationError) as error:
        raise ModelSignatureError("bad_bundle", "not a bundle signed by key") from error
    if not (exact and shaped):
        raise ModelSignatureError("bad_bundle", "not a canonical bundle signed by key")
    return hint, signed


def _signed_payload(signed: Mapping[str, Any], key: ec.EllipticCurvePublicKey) -> bytes:
    try:
        (one,) = signed["signatures"]
        payload, signature = canonical.unb64(signed["payload"]), canonical.unb64(one["sig"])
        shaped = set(one) == {"sig", "keyid"} and one["keyid"] == ""
    except (ValueError, KeyError, TypeError, AttributeError, VerificationError) as error:
        raise ModelSignatureError("bad_bundle", "not one signature by key") from error
    if not shaped or signed["payloadType"] != PAYLOAD_TYPE:
        raise ModelSignatureError("bad_bundle", "another kind of envelope")
    try:
        # Whoever has (r, s) has (r, n - s): only one of them counts.
        one_spelling = _low(signature) == signature
        key.verify(signature, envelope.pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise ModelSignatureError("bad_signature", SIGNATURE) from error
    if not one_spelling:
        raise ModelSignatureError("bad_signature", f"{SIGNATURE}: another spelling")
    return payload


def _low(signature: bytes) -> bytes:
    """The lower of a signature's two values of s, in DER. Raises `ValueError`: not a signature."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _ORDER - s))


def _resources(payload: bytes) -> dict[str, str]:
    try:
        # Their form is the stock tool's and need not be canonical; signed, but by whom is not
        # known yet.
        statement = canonical.loads(payload, max_bytes=MAX_BYTES)
        predicate = statement["predicate"]
        form, (subject,) = predicate["serialization"], statement["subject"]
        rows = [(row["name"], row["algorithm"], row["digest"]) for row in predicate["resources"]]
        sound = (
            statement["_type"] == STATEMENT_TYPE
            and statement["predicateType"] == PREDICATE_TYPE
            and form["method"] == "files"
            and form["hash_type"] == "sha256"
            and form["allow_symlinks"] is False
            and set(form.get("ignore_paths", ())) <= {SIGNATURE}
            and all(algorithm == "sha256" for _, algorithm, _ in rows)
            and all(_HEX64.fullmatch(digest) for _, _, digest in rows)
        )
        root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, _, digest in rows)).hexdigest()
        rooted = subject["digest"] == {"sha256": root}
    except (ValueError, KeyError, TypeError, AttributeError, VerificationError) as error:
        raise ModelSignatureError("bad_statement", "not a list of files") from error
    named = {str(name): str(digest) for name, _, digest in rows}
    if not (sound and rooted) or len(named) != len(rows):
        raise ModelSignatureError("bad_statement", "another list than one of files by SHA-256")
    return named
