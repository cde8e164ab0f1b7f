"""To whom a delivery is encrypted: age for people, HPKE for programs, one of them post-quantum.

Stage 8. A recipient is a text that an organisation registers once; the identity is the secret half,
which never reaches the registry. Trusts the text that was registered. Three kinds:

* `age1…`: the age format, X25519, opened by any age tool;
* `kyodaku.x25519.…`: HPKE (RFC 9180), DHKEM(X25519), HKDF-SHA256, AES-256-GCM;
* `kyodaku.mlkem768-x25519.…`: the same with the ML-KEM-768 + X25519 hybrid as KEM: whoever stores a
  delivery today does not open it with a quantum computer later.

With HPKE a fresh 256-bit key is sealed with the format, the kind and the label as `info`, and that
key seals the content (`vault.seal`); so neither part fits another delivery.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from registry.core import vault
from registry.log.core import canonical
from registry.log.core.errors import VerificationError

Kind: TypeAlias = Literal["age", "x25519", "mlkem768-x25519"]
KINDS: Final[tuple[Kind, ...]] = ("age", "x25519", "mlkem768-x25519")
MAX_TEXT: Final = 2048
_X25519_BYTES: Final = 32
_MLKEM_BYTES: Final = 1184
_SEED_BYTES: Final = 64
_PUBLIC: Final = re.compile(r"kyodaku\.([a-z0-9-]{1,20})\.([A-Za-z0-9_-]{1,1800})\.([0-9a-f]{8})")
_SECRET: Final = re.compile(
    r"KYODAKU-SECRET\.([a-z0-9-]{1,20})\.([A-Za-z0-9_-]{1,200})\.([0-9a-f]{8})"
)
_MAGIC: Final = b"KYOH1"
_KEMS: Final = {"x25519": hpke.KEM.X25519, "mlkem768-x25519": hpke.KEM.MLKEM768_X25519}
_INFO: Final = b"kyodaku/delivery-key/v1\0"
_MAX_LABEL: Final = 128
_AGE_END: Final = b"\n--- "
_MAX_AGE_HEADER: Final = 8192  # some eighty recipients
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@dataclass(frozen=True)
class Recipient:
    """A public key of a known kind; `raw` is empty for age, whose text says it all."""

    kind: Kind
    text: str
    raw: bytes = b""


def parse(text: str) -> Recipient:
    """A registered recipient. Raises `VerificationError("malformed")`: not one, or damaged.

    Refuses X25519 points of small order, under which everybody could open.
    """
    if text.startswith("age1"):
        _check_age(text)
        return Recipient("age", text)
    kind, raw = _decoded(_PUBLIC, text)
    wanted = _X25519_BYTES + (_MLKEM_BYTES if kind == "mlkem768-x25519" else 0)
    if len(raw) != wanted:
        raise _malformed("a recipient of another length")
    recipient = Recipient(kind, text, raw)
    try:
        # Sealing something is the test: a point of small order has no shared secret.
        _suite(kind).encrypt(b"", _public_key(recipient), b"")
    except ValueError as error:
        raise _malformed("a key that protects nothing") from error
    return recipient


def generate(kind: Kind) -> tuple[str, str]:
    """A fresh (identity, recipient). The identity is secret."""
    if kind == "age":
        own = pyrage.x25519.Identity.generate()
        return str(own), str(own.to_public())
    near = X25519PrivateKey.generate()
    secret, public = near.private_bytes_raw(), near.public_key().public_bytes_raw()
    if kind == "mlkem768-x25519":
        far = MLKEM768PrivateKey.generate()
        secret = far.private_bytes_raw() + secret
        public = far.public_key().public_bytes_raw() + public
    return _encoded("KYODAKU-SECRET", kind, secret), _encoded("kyodaku", kind, public)


def seal(recipient: Recipient, data: bytes, *, label: str) -> bytes:
    """Encrypt to one recipient. `label`, the delivery's id, is bound into what HPKE seals.

    HPKE layout: magic (5) || length and kind || length and label || length (2) and sealed key ||
    object of `vault.seal`.
    """
    if recipient.kind == "age":
        to = pyrage.x25519.Recipient.from_str(recipient.text)
        return bytes(pyrage.encrypt(data, [to]))
    head = _head(recipient.kind, label)
    key = vault.new_key()
    sealed = _suite(recipient.kind).encrypt(key, _public_key(recipient), _INFO + head)
    body = vault.seal(data, key, context=_context(head, sealed)).data
    return head + len(sealed).to_bytes(2, "big") + sealed + body


def unseal(identities: Sequence[str], data: bytes, *, label: str) -> bytes:
    """Decrypt with the first identity that fits; age binds no label.

    Raises VerificationError: `malformed` (neither kind of file, damaged, or no identity among the
    texts), `key_unavailable` (encrypted to another key).
    """
    if not data.startswith(_MAGIC):
        return _unseal_age(identities, data)
    kind, head, sealed, body = _parts(data)
    if head != _head(kind, label):
        raise _malformed("the encrypted file of another delivery")
    own = [raw for found, raw in map(_identity, identities) if found == kind]
    for raw in own:
        try:
            key = _suite(kind).decrypt(sealed, _private_key(kind, raw), _INFO + head)
        except (InvalidTag, ValueError):
            continue
        try:
            return vault.unseal(body, key, context=_context(head, sealed))
        except VerificationError as error:
            raise _malformed("the encrypted file was changed") from error
    raise VerificationError("key_unavailable", "encrypted to another key")


def suffix(sealed: bytes) -> str:
    """The ending of an encrypted file: `age` or `hpke`."""
    return "hpke" if sealed.startswith(_MAGIC) else "age"


def is_identity(text: str) -> bool:
    """Whether a line of a key file is an identity of any kind."""
    return text.upper().startswith("AGE-SECRET-KEY-1") or text.startswith("KYODAKU-SECRET.")


def _check_age(text: str) -> None:
    try:
        pyrage.x25519.Recipient.from_str(text)
        # age takes a point of small order here and panics, which is no Exception, when it encrypts.
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(_age_point(text)))
    except (pyrage.RecipientError, ValueError) as error:
        raise _malformed("not an age recipient") from error


def _age_point(text: str) -> bytes:
    """The key in a recipient whose Bech32 checksum (BIP 173) holds: 52 digits of five bits."""
    number = 0
    for letter in text[len("age1") : -6]:
        number = number << 5 | _BECH32.index(letter)
    return (number >> 4).to_bytes(_X25519_BYTES, "big")


def _unseal_age(identities: Sequence[str], data: bytes) -> bytes:
    # The library reads a header anew for every line of it: a megabyte of them takes ten minutes.
    if data.find(_AGE_END, 0, _MAX_AGE_HEADER) < 0:
        raise _malformed("not an age file, or one for too many")
    own = [text for text in identities if text.upper().startswith("AGE-SECRET-KEY-1")]
    try:
        keys = [pyrage.x25519.Identity.from_str(text) for text in own]
    except (pyrage.IdentityError, ValueError) as error:
        raise _malformed("not an age identity") from error
    try:
        return bytes(pyrage.decrypt(data, keys))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise VerificationError("key_unavailable", "encrypted to another key") from error
        raise _malformed("not an age file, or one that was changed") from error


def _identity(text: str) -> tuple[Kind | None, bytes]:
    if not text.startswith("KYODAKU-SECRET."):
        return None, b""
    kind, raw = _decoded(_SECRET, text)
    if len(raw) != _X25519_BYTES + (_SEED_BYTES if kind == "mlkem768-x25519" else 0):
        raise _malformed("an identity of another length")
    return kind, raw


def _head(kind: Kind, label: str) -> bytes:
    name, said = kind.encode(), label.encode()
    if not 0 < len(said) <= _MAX_LABEL:
        raise ValueError("a label of 1 to 128 bytes")
    return _MAGIC + bytes([len(name)]) + name + bytes([len(said)]) + said


def _parts(data: bytes) -> tuple[Kind, bytes, bytes, memoryview]:
    try:
        start = len(_MAGIC)
        name_end = start + 1 + data[start]
        name = data[start + 1 : name_end].decode("ascii")
        end = name_end + 1 + data[name_end]
        cut = end + 2 + int.from_bytes(data[end : end + 2], "big")
        sealed, body = data[end + 2 : cut], memoryview(data)[cut:]
        kind = next(known for known in _KEMS if known == name)
    except (IndexError, UnicodeDecodeError, StopIteration) as error:
        raise _malformed("not an encrypted delivery") from error
    return "x25519" if kind == "x25519" else "mlkem768-x25519", data[:end], sealed, body


def _context(head: bytes, sealed: bytes) -> str:
    return "delivery/" + hashlib.sha256(head + sealed).hexdigest()


def _suite(kind: Kind) -> hpke.Suite:
    return hpke.Suite(_KEMS[kind], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _public_key(recipient: Recipient) -> X25519PublicKey | hpke.MLKEM768X25519PublicKey:
    near = X25519PublicKey.from_public_bytes(recipient.raw[-_X25519_BYTES:])
    if recipient.kind == "x25519":
        return near
    far = MLKEM768PublicKey.from_public_bytes(recipient.raw[:_MLKEM_BYTES])
    return hpke.MLKEM768X25519PublicKey(far, near)


def _private_key(kind: Kind, raw: bytes) -> X25519PrivateKey | hpke.MLKEM768X25519PrivateKey:
    near = X25519PrivateKey.from_private_bytes(raw[-_X25519_BYTES:])
    if kind == "x25519":
        return near
    far = MLKEM768PrivateKey.from_seed_bytes(raw[:_SEED_BYTES])
    return hpke.MLKEM768X25519PrivateKey(far, near)


def _encoded(name: str, kind: Kind, raw: bytes) -> str:
    return f"{name}.{kind}.{canonical.b64u(raw)}.{_check(kind, raw)}"


def _decoded(form: re.Pattern[str], text: str) -> tuple[Kind, bytes]:
    found = form.fullmatch(text) if len(text) <= MAX_TEXT else None
    kind = next((k for k in KINDS[1:] if found is not None and k == found[1]), None)
    if found is None or kind is None:
        raise _malformed("not a delivery key")
    try:
        raw = canonical.unb64u(found[2])
    except VerificationError as error:
        raise _malformed("not a delivery key") from error
    if not hmac.compare_digest(_check(kind, raw), found[3]):
        raise _malformed("a delivery key with a slip of the pen")
    return kind, raw


def _check(kind: Kind, raw: bytes) -> str:
    """Eight hex digits against slips of the pen; no protection against anybody."""
    return hashlib.sha256(b"kyodaku/delivery-key/v1\0" + kind.encode() + raw).hexdigest()[:8]


def _malformed(detail: str) -> VerificationError:
    return VerificationError("malformed", detail)
