"""A time-stamping authority for tests: RFC 3161 responses in DER, signed with a throw-away key.

Only what a response needs is encoded here (X.690): definite lengths, SETs of one element.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_SHA512 = "2.16.840.1.101.3.4.2.3"
_ECDSA_SHA512 = "1.2.840.10045.4.3.4"


def tlv(tag: int, *content: bytes) -> bytes:
    """A DER element."""
    body = b"".join(content)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def seq(*content: bytes) -> bytes:
    return tlv(0x30, *content)


def set_of(*content: bytes) -> bytes:
    return tlv(0x31, *sorted(content))


def octets(data: bytes) -> bytes:
    return tlv(0x04, data)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = b""
    for value in (40 * first + second, *rest):
        septets = [value & 0x7F]
        while value := value >> 7:
            septets.append(value & 0x7F | 0x80)
        out += bytes(reversed(septets))
    return tlv(0x06, out)


def algorithm(dotted: str) -> bytes:
    return seq(oid(dotted))


class Tsa:
    """A root, a signing certificate under it, and the responses that they give."""

    def __init__(self, name: str = "tsa.example") -> None:
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate(f"{name} root", self._root_key, authority=True)
        self.certificate = self._certificate(name, self._key, authority=False)
        self.answer: Callable[[bytes], bytes] = lambda _query: b""  # what a server made of it says

    def root_pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def respond(self, query: bytes, *, at: datetime, granted: bool = True) -> bytes:
        """The TimeStampResp for a TimeStampReq."""
        if not granted:
            return seq(seq(integer(2)))
        return seq(seq(integer(0)), self._token(_parse(query), at))

    def _token(self, asked: tuple[bytes, int], at: datetime) -> bytes:
        imprint, nonce = asked
        info = seq(
            integer(1),
            oid("1.2.3.4.1"),
            imprint,
            integer(secrets.randbits(63)),
            tlv(0x18, at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()),
            integer(nonce),
        )
        der = self.certificate.public_bytes(Encoding.DER)
        attributes = [
            seq(oid(_CONTENT_TYPE), set_of(oid(_TST_INFO))),
            seq(oid(_MESSAGE_DIGEST), set_of(octets(hashlib.sha512(info).digest()))),
            seq(
                oid(_SIGNING_CERTIFICATE_V2),
                set_of(seq(seq(seq(octets(hashlib.sha256(der).digest()))))),
            ),
        ]
        signed = set_of(*attributes)
        signature = self._key.sign(signed, ec.ECDSA(hashes.SHA512()))
        signer = seq(
            integer(1),
            seq(self.certificate.issuer.public_bytes(), integer(self.certificate.serial_number)),
            algorithm(_SHA512),
            b"\xa0" + signed[1:],
            algorithm(_ECDSA_SHA512),
            octets(signature),
        )
        data = seq(
            integer(3),
            set_of(algorithm(_SHA512)),
            seq(oid(_TST_INFO), tlv(0xA0, octets(info))),
            tlv(0xA0, der),
            set_of(signer),
        )
        return seq(oid(_SIGNED_DATA), tlv(0xA0, data))

    def _certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if authority else self.root.subject
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3650))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self._root_key, hashes.SHA256())


def _parse(query: bytes) -> tuple[bytes, int]:
    """The message imprint, as it stands, and the nonce of a TimeStampReq."""
    items = _items(_items(query)[0][1])
    imprint = next(whole for tag, _content, whole in items if tag == 0x30)
    integers = [content for tag, content, _whole in items if tag == 0x02]
    return imprint, int.from_bytes(integers[1], "big")


def _items(data: bytes) -> list[tuple[int, bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[start : start + count], "big")
            start += count
        found.append((tag, data[start : start + size], data[at : start + size]))
        at = start + size
    return found
