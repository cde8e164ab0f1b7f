"""The bundle over a delivered folder: one form, one spelling, and only the key's own word."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from audit.verifier.steps import StepError
from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from tests.core import folder_world as fw
from training.core import model_signature, provenance
from training.core.model_signature import PUBLIC_KEY, SIGNATURE, ModelSignatureError

_FILES = {name: data for name, data in fw.honest().files.items() if name != SIGNATURE}
PUBLIC = fw.key("registry")[1]


@functools.cache
def bundle() -> dict[str, Any]:
    return dict(json.loads(fw.honest().files[SIGNATURE]))


def changed(path: tuple[Any, ...], value: Any) -> bytes:
    whole = json.loads(json.dumps(bundle()))
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return canonical.dumps(whole)


def crafted(key: ec.EllipticCurvePrivateKey | None = None, **changes: Any) -> tuple[bytes, bytes]:
    """(bundle, public key) over an honest statement with some members changed, signed whole."""
    statement = json.loads(canonical.unb64(bundle()["dsseEnvelope"]["payload"]))
    for path, value in changes.items():
        inner = statement
        *way, last = path.split("__")
        for step in way:
            inner = inner[int(step) if step.isdigit() else step]
        inner[last] = value
    return sealed(json.dumps(statement).encode(), key)


def sealed(payload: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[bytes, bytes]:
    """(bundle, public key) over any bytes: by the registry's key, or by a stranger's."""
    signer = key or load_pem_private_key(fw.key("registry")[0], None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = signer.sign(envelope.pae(provenance.PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    whole = json.loads(json.dumps(bundle()))
    whole["dsseEnvelope"]["payload"] = canonical.b64(payload)
    whole["dsseEnvelope"]["signatures"][0]["sig"] = canonical.b64(signed)
    whole["verificationMaterial"]["publicKey"]["hint"] = model_signature.key_sha256(public)
    made = canonical.dumps(whole)
    on_p256 = isinstance(signer.curve, ec.SECP256R1)
    return model_signature.canonical_form(made) if on_p256 else made, public


STATEMENTS: dict[str, dict[str, Any]] = {
    "another statement type": {"_type": "https://in-toto.io/Statement/v0.1"},
    "another predicate": {"predicateType": "https://slsa.dev/provenance/v1"},
    "shards": {"predicate__serialization__method": "shards"},
    "another hash": {"predicate__serialization__hash_type": "blake3"},
    "links followed": {"predicate__serialization__allow_symlinks": True},
    "a resource under another hash": {"predicate__resources__0__algorithm": "blake2b"},
    "another root": {"subject__0__digest": {"sha256": "00" * 32}},
    "no resources": {"predicate__resources": None},
    "a resource that is none": {"predicate__resources": ["README.txt"]},
    "a digest that is a number": {"predicate__resources__0__digest": 1},
    "no predicate": {"predicate": []},
    "two subjects": {"subject": [{}, {}]},
    "a subject that is none": {"subject": {"digest": {}}},
    "an ignored path that is a number": {"predicate__serialization__ignore_paths": 1},
}


def test_a_crafted_statement_is_taken_when_nothing_is_wrong_with_it() -> None:
    assert model_signature.verify(*crafted()) == model_signature.verify(
        fw.honest().files[SIGNATURE], PUBLIC
    )


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_signed_statement_of_another_form_is_refused(case: str) -> None:
    with pytest.raises(ModelSignatureError) as caught:
        model_signature.verify(*crafted(**STATEMENTS[case]))
    assert caught.value.code == "bad_statement"


def test_a_digest_in_another_spelling_is_refused() -> None:
    """The root is over the bytes, so upper case would lead to the same one."""
    rows = json.loads(canonical.unb64(bundle()["dsseEnvelope"]["payload"]))["predicate"][
        "resources"
    ]
    rows[0]["digest"] = rows[0]["digest"].upper()
    with pytest.raises(ModelSignatureError) as caught:
        model_signature.verify(*crafted(predicate__resources=rows))
    assert caught.value.code == "bad_statement"


def test_a_key_on_another_curve_does_not_count() -> None:
    with pytest.raises(ModelSignatureError) as caught:
        model_signature.verify(*crafted(ec.generate_private_key(ec.SECP384R1())))
    assert caught.value.code == "unknown_key"


BAD_BUNDLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "no JSON": (lambda: b"{", "bad_bundle"),
    "a list": (lambda: b"[]", "bad_bundle"),
    "not canonical": (lambda: json.dumps(bundle(), indent=1).encode(), "bad_bundle"),
    "another version": (lambda: changed(("mediaType",), "x"), "bad_bundle"),
    "a member more": (lambda: changed(("more",), 1), "bad_bundle"),
    "a certificate": (lambda: changed(("verificationMaterial", "certificate"), {}), "bad_bundle"),
    "log entries": (lambda: changed(("verificationMaterial", "tlogEntries"), [{}]), "bad_bundle"),
    "a member beside the hint": (
        lambda: changed(("verificationMaterial", "publicKey", "rawBytes"), "AA=="),
        "bad_bundle",
    ),
    "a member in the envelope": (lambda: changed(("dsseEnvelope", "more"), 1), "bad_bundle"),
    "no signature": (lambda: changed(("dsseEnvelope", "signatures"), []), "bad_bundle"),
    "two signatures": (
        lambda: changed(("dsseEnvelope", "signatures"), bundle()["dsseEnvelope"]["signatures"] * 2),
        "bad_bundle",
    ),
    "no log entries, otherwise": (
        lambda: changed(("verificationMaterial", "tlogEntries"), None),
        "bad_bundle",
    ),
    "log entries that are an object": (
        lambda: changed(("verificationMaterial", "tlogEntries"), {}),
        "bad_bundle",
    ),
    "a member beside the signature": (
        lambda: changed(("dsseEnvelope", "signatures", 0, "cert"), ""),
        "bad_bundle",
    ),
    "no key id, otherwise": (
        lambda: changed(("dsseEnvelope", "signatures", 0, "keyid"), None),
        "bad_bundle",
    ),
    "a signature that is none": (
        lambda: changed(("dsseEnvelope", "signatures", 0, "sig"), canonical.b64(b"signed")),
        "bad_signature",
    ),
    "lists for objects": (
        lambda: canonical.dumps({name: [] for name in bundle()}),
        "bad_bundle",
    ),
    "an envelope that is a list of its members": (
        lambda: changed(("dsseEnvelope",), ["payload", "payloadType", "signatures"]),
        "bad_bundle",
    ),
    "a key id": (lambda: changed(("dsseEnvelope", "signatures", 0, "keyid"), "x"), "bad_bundle"),
    "another payload type": (lambda: changed(("dsseEnvelope", "payloadType"), "x"), "bad_bundle"),
    "another payload": (
        lambda: changed(("dsseEnvelope", "payload"), canonical.b64(b"{}")),
        "bad_signature",
    ),
    "another key": (
        lambda: changed(("verificationMaterial", "publicKey", "hint"), "00" * 32),
        "unknown_key",
    ),
    "blake2 digests": (lambda: fw.signed(_FILES, algorithm="blake2"), "bad_statement"),
    "another file ignored": (lambda: fw.signed(_FILES, ignored=("x",)), "bad_statement"),
}


@pytest.mark.parametrize("case", BAD_BUNDLES)
def test_a_bundle_of_another_form_is_refused(case: str) -> None:
    make, code = BAD_BUNDLES[case]
    with pytest.raises(ModelSignatureError) as caught:
        model_signature.verify(make(), PUBLIC)
    assert caught.value.code == code


def test_only_a_key_on_p256_counts() -> None:
    for pem in (b"", b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"):
        spoiled = changed(
            ("verificationMaterial", "publicKey", "hint"), model_signature.key_sha256(pem)
        )
        with pytest.raises(ModelSignatureError) as caught:
            model_signature.verify(spoiled, pem)
        assert caught.value.code == "unknown_key"


# --- strangers ------------------------------------------------------------------------------------

MALLORY = load_pem_private_key(fw.key("mallory")[0], None)


def stranger(payload: bytes) -> tuple[bytes, bytes]:
    """Nothing is known of the key when the statement is read, so anybody can have signed it."""
    assert isinstance(MALLORY, ec.EllipticCurvePrivateKey)
    return sealed(payload, MALLORY)


STRANGERS: dict[str, bytes] = {
    "nested a hundred thousand deep": b"[" * 100_000,
    "objects nested as deep": b'{"a":' * 100_000,
    "a number of a hundred thousand digits": b"9" * 100_000,
    "no JSON": b"{",
    "no UTF-8": b"\xff",
    "half a pair": b'{"_type":"\\ud800"}',
    "null": b"null",
    "a member twice": canonical.unb64(bundle()["dsseEnvelope"]["payload"]).replace(
        b'"predicateType"', b'"predicateType": "", "predicateType"'
    ),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_what_a_stranger_signed_with_her_own_key_is_a_bad_statement(case: str) -> None:
    made, public = stranger(STRANGERS[case])
    with pytest.raises(ModelSignatureError) as caught:
        model_signature.verify(made, public)
    assert caught.value.code == "bad_statement"


def test_a_folder_by_a_stranger_breaks_its_second_step_and_no_more() -> None:
    made, public = stranger(STRANGERS["nested a hundred thousand deep"])
    with pytest.raises(StepError) as caught:
        fw.honest().verify(**{SIGNATURE: made, PUBLIC_KEY: public})
    assert (caught.value.name, caught.value.code) == ("bundle", "bad_statement")


def test_a_name_that_a_stranger_signed_is_told_without_its_control_characters() -> None:
    statement = json.loads(canonical.unb64(bundle()["dsseEnvelope"]["payload"]))
    rows = statement["predicate"]["resources"]
    row = {"name": "\x1b[2K\rVERIFIED", "algorithm": "sha256", "digest": "00" * 32}
    public = fw.key("mallory")[1]
    for known in rows:
        if known["name"] == PUBLIC_KEY:
            known["digest"] = model_signature.key_sha256(public)
    rows.append(row)
    digests = b"".join(bytes.fromhex(each["digest"]) for each in rows)
    statement["subject"][0]["digest"] = {"sha256": hashlib.sha256(digests).hexdigest()}
    made, _ = stranger(json.dumps(statement).encode())
    with pytest.raises(StepError) as caught:
        fw.honest().verify(**{SIGNATURE: made, PUBLIC_KEY: public})
    assert "signed and is missing" in caught.value.detail
    assert "VERIFIED" in caught.value.detail
    assert caught.value.detail.isprintable()


def test_the_other_value_of_a_signature_does_not_count() -> None:
    """ECDSA takes (r, n - s) wherever it takes (r, s): a byte could change and nobody notice."""
    r, s = decode_dss_signature(canonical.unb64(bundle()["dsseEnvelope"]["signatures"][0]["sig"]))
    other = encode_dss_signature(r, model_signature._ORDER - s)
    place = ("dsseEnvelope", "signatures", 0, "sig")
    spoiled = changed(place, canonical.b64(other))
    key = load_pem_public_key(PUBLIC)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    payload = canonical.unb64(bundle()["dsseEnvelope"]["payload"])
    key.verify(other, envelope.pae(provenance.PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(ModelSignatureError) as caught:
        model_signature.verify(spoiled, PUBLIC)
    assert caught.value.code == "bad_signature"
    assert model_signature.canonical_form(spoiled) == fw.honest().files[SIGNATURE]


@pytest.mark.parametrize(
    "bundle_bytes", [b"[]", b"{}", b'{"dsseEnvelope":{"signatures":[{"sig":""}]}}', b"{"]
)
def test_what_is_no_bundle_has_no_canonical_form(bundle_bytes: bytes) -> None:
    with pytest.raises(VerificationError):
        model_signature.canonical_form(bundle_bytes)


def test_a_key_of_a_kind_that_nobody_knows_is_no_key() -> None:
    """The library has another error for it than for what is no key at all."""
    der = load_pem_public_key(PUBLIC).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for place in range(4, 23):  # the two object identifiers: what kind of key, on which curve
        spoiled = der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]
        pem = b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n"
        pem %= base64.encodebytes(spoiled)
        named = changed(
            ("verificationMaterial", "publicKey", "hint"), model_signature.key_sha256(pem)
        )
        with pytest.raises(ModelSignatureError) as caught:
            model_signature.verify(named, pem)
        assert caught.value.code == "unknown_key"
