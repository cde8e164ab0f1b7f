"""The C2PA identity of a registry: a key and the certificates that name it, in one PEM file.

C2PA signs with X.509. A fresh registry gets a root of its own, whose key is thrown away at once,
and one certificate for signing; whoever obtains a certificate of the C2PA trust list puts key and
chain in the same file. Trusts nothing; pure.

Source: C2PA technical specification, "X.509 certificates" (profile of RFC 5280: digitalSignature,
an extended key usage that is allowed, no CA).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS: Final = 10


def fresh_identity(organisation: str, *, at: datetime) -> bytes:
    """A PEM file: private key (Ed25519), its certificate, the root's."""
    root_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    root = _certificate(organisation, "C2PA root", root_key, "C2PA root", root_key, at)
    own = _certificate(organisation, "C2PA signing", key, "C2PA root", root_key, at)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + own.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)


def read_identity(pem: bytes) -> tuple[Ed25519PrivateKey, list[x509.Certificate]]:
    """(key, certificates from the signer's to the root's). Raises ValueError: they do not fit."""
    key = load_pem_private_key(pem, None)
    chain = x509.load_pem_x509_certificates(pem)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the key is not an Ed25519 key")
    if chain[0].public_key() != key.public_key():
        raise ValueError("the first certificate is of another key")
    return key, chain


def _certificate(
    organisation: str,
    name: str,
    key: Ed25519PrivateKey,
    issuer: str,
    issuer_key: Ed25519PrivateKey,
    at: datetime,
) -> x509.Certificate:
    root = name == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(organisation, name))
        .issuer_name(_name(organisation, issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))  # clocks differ
        .not_valid_after(at + timedelta(days=366 * YEARS))
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(_usage(root), critical=True)
    )
    if not root:
        signing = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(signing, critical=False)
    return builder.sign(issuer_key, None)


def _usage(root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=root,
        crl_sign=root,
        encipher_only=False,
        decipher_only=False,
    )


def _name(organisation: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
