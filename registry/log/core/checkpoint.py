"""Signed notes and checkpoints: what the log says about itself, in the C2SP formats.

Ground floor, pure. A checkpoint carries the log's Ed25519 signature and its ML-DSA-44 cosignature;
verifying one needs both pinned keys. Trusts the pinned verifier keys and nothing in the note.
Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from registry.log.core import canonical, keys, merkle
from registry.log.core.errors import VerificationError

ED25519: Final = 0x01
ED25519_COSIGNATURE: Final = 0x04
MLDSA44_COSIGNATURE: Final = 0x06
_KEY_BYTES: Final = {
    ED25519: keys.ED25519_PUBLIC_BYTES,
    ED25519_COSIGNATURE: keys.ED25519_PUBLIC_BYTES,
    MLDSA44_COSIGNATURE: keys.MLDSA44_PUBLIC_BYTES,
}
_SIGNATURE_BYTES: Final = {ED25519: 64, ED25519_COSIGNATURE: 72, MLDSA44_COSIGNATURE: 2428}

MAX_NOTE_CHARACTERS: Final = 1 << 18
MAX_SIGNATURES: Final = 32  # "MUST accept at least up to 16 signatures"
MAX_INT63: Final = 2**63 - 1
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_UNWANTED: Final = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: the log's fixed name, the number of leaves, the 32-byte root hash.

    Three lines and never extension lines: an ML-DSA-44 cosignature would not cover those.
    """

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the note text: origin, size, base64 root, each line ended by a newline."""
        return f"{self.origin}\n{self.size}\n{canonical.b64(self.root)}\n"


@dataclass(frozen=True)
class VerifierKey:
    """A pinned note key: name, signature type and raw public key."""

    name: str
    kind: int
    public_raw: bytes

    @property
    def key_id(self) -> bytes:
        """signed-note: "SHA-256(key name || 0x0A || signature type || public key)[:4]"."""
        material = self.name.encode() + b"\n" + bytes([self.kind]) + self.public_raw
        return hashlib.sha256(material).digest()[:4]

    def __str__(self) -> str:
        """Return the vkey: "<name>+<key id in hex>+<base64 of type and public key>"."""
        material = canonical.b64(bytes([self.kind]) + self.public_raw)
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Parse a vkey strictly; raises VerificationError `bad_vkey` or `bad_key`."""
        name, _, rest = text.partition("+")
        key_id, _, material = rest.partition("+")
        raw = canonical.unb64(material)
        _require_name(name, "bad_vkey")
        if not raw or len(raw) - 1 != _KEY_BYTES.get(raw[0]):
            raise VerificationError("bad_vkey", "unknown signature type or wrong key length")
        key = cls(name, raw[0], raw[1:])
        if key.key_id.hex() != key_id:
            raise VerificationError("bad_vkey", "the key id is not that of this key")
        if key.kind != MLDSA44_COSIGNATURE:
            keys.load_ed25519_public(key.public_raw)
        return key


@dataclass(frozen=True)
class NoteSignature:
    """One signature line, as read: nothing about it is verified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Verified:
    """A signature of a note that verified; `timestamp` (POSIX seconds) for cosignatures."""

    key: VerifierKey
    timestamp: int | None


@dataclass(frozen=True)
class LogSigners:
    """The log's own two keys under its one fixed name, which is also the checkpoint's origin."""

    origin: str
    ed25519: keys.Ed25519Signer
    mldsa44: keys.Mldsa44Signer

    def vkeys(self) -> tuple[str, str]:
        """Return what clients pin: the Ed25519 and the ML-DSA-44 verifier key."""
        return (
            str(VerifierKey(self.origin, ED25519, self.ed25519.public_raw)),
            str(VerifierKey(self.origin, MLDSA44_COSIGNATURE, self.mldsa44.public_raw)),
        )

    def sign(self, size: int, root: bytes, *, at: int) -> str:
        """Return the signed note for this tree head; `at` is the time in POSIX seconds."""
        checkpoint = Checkpoint(self.origin, size, root)
        return (
            f"{checkpoint.body()}\n"
            + sign_ed25519(checkpoint.body(), self.origin, self.ed25519)
            + cosign_mldsa44(checkpoint, self.origin, self.mldsa44, at=at)
        )


def parse_body(text: str) -> Checkpoint:
    """Parse a checkpoint's note text strictly: three lines and no more.

    Raises VerificationError `bad_checkpoint`. Verifies no signature.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise VerificationError("bad_checkpoint", "a checkpoint has exactly three lines")
    if not _DECIMAL.fullmatch(lines[1]) or int(lines[1]) > MAX_INT63:
        raise VerificationError("bad_checkpoint", "the size is not a plain decimal")
    root = canonical.unb64(lines[2])
    if len(root) != merkle.HASH_BYTES:
        raise VerificationError("bad_checkpoint", "the root hash has 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def parse_note(note: str) -> tuple[str, list[NoteSignature]]:
    """Split a signed note into its text and its signature lines; verifies nothing.

    Raises VerificationError `bad_note`.
    """
    if len(note) > MAX_NOTE_CHARACTERS:
        raise VerificationError("bad_note", "note too long")
    # "MUST NOT contain any ASCII control characters (those below U+0020) other than newline"
    if _UNWANTED.search(note):
        raise VerificationError("bad_note", "not UTF-8 text without control characters")
    # "the text is separated from the signatures by the last empty line in the note"
    text, blank, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not blank or not signatures or lines.pop() != "":
        raise VerificationError("bad_note", "no signatures, or no newline at the end")
    if len(lines) > MAX_SIGNATURES:
        raise VerificationError("bad_note", f"more than {MAX_SIGNATURES} signatures")
    return text + "\n", [_parse_signature_line(line) for line in lines]


def sign_ed25519(text: str, name: str, signer: keys.Ed25519Signer) -> str:
    """Return a note signature line of type 0x01 over the note text."""
    key = VerifierKey(name, ED25519, signer.public_raw)
    return _signature_line(key, signer.sign(text.encode()))


def cosign_ed25519(
    checkpoint: Checkpoint, name: str, signer: keys.Ed25519Signer, *, at: int
) -> str:
    """Return a witness cosignature line of type 0x04; `at` in POSIX seconds."""
    key = VerifierKey(name, ED25519_COSIGNATURE, signer.public_raw)
    message = _cosignature_v1(checkpoint.body(), at)
    return _signature_line(key, _timestamp(at) + signer.sign(message))


def cosign_mldsa44(
    checkpoint: Checkpoint, name: str, signer: keys.Mldsa44Signer, *, at: int
) -> str:
    """Return a cosignature line of type 0x06; `at` in POSIX seconds."""
    key = VerifierKey(name, MLDSA44_COSIGNATURE, signer.public_raw)
    message = _subtree_v1(checkpoint, name, at)
    return _signature_line(key, _timestamp(at) + signer.sign(message))


def verify_note(note: str, vkeys: Iterable[str]) -> tuple[str, list[Verified]]:
    """Verify a note against pinned vkeys; return its text and each key that signed, once.

    signed-note: "Verifiers MUST ignore signatures from unknown keys"; one from a known key that
    does not verify rejects the whole note, and so does a note without any. Raises
    VerificationError `bad_note`, `bad_vkey`, `bad_signature`, `no_known_signature`.
    """
    return _verify_note(note, [VerifierKey.parse(text) for text in vkeys])


def _verify_note(note: str, pinned: Iterable[VerifierKey]) -> tuple[str, list[Verified]]:
    known = {(key.name, key.key_id): key for key in pinned}
    text, signatures = parse_note(note)
    verified: dict[VerifierKey, Verified] = {}
    for item in signatures:
        key = known.get((item.name, item.key_id))
        if key is not None:
            verified[key] = Verified(key, _verify_signature(key, item.signature, text))
    if not verified:
        raise VerificationError("no_known_signature", "no pinned key signed this note")
    return text, list(verified.values())


def verify_checkpoint(note: str, vkeys: Sequence[str], *, witnesses: int = 0) -> Checkpoint:
    """Verify a signed checkpoint against pinned keys and return it.

    (1) the pinned keys name exactly one log, by its Ed25519 note key; (2) every signature by a
    pinned key verifies; (3) the text is a checkpoint of that log; (4) the log's Ed25519 signature
    is there; (5) the log's ML-DSA-44 cosignature is there; (6) at least `witnesses` others
    cosigned, counted by name. Raises VerificationError.
    """
    pinned = [_pinned(text) for text in vkeys]
    origin = _origin(pinned)  # (1)
    text, verified = _verify_note(note, pinned)  # (2)
    checkpoint = parse_body(text)
    if checkpoint.origin != origin:  # (3)
        raise VerificationError("wrong_origin", f"not a checkpoint of {origin}")
    ours = {item.key.kind for item in verified if item.key.name == origin}
    if ED25519 not in ours:  # (4)
        raise VerificationError("missing_signature", "the log's Ed25519 signature is missing")
    if MLDSA44_COSIGNATURE not in ours:  # (5)
        raise VerificationError("missing_signature", "the log's ML-DSA-44 cosignature is missing")
    others = {item.key.name for item in verified} - {origin}
    if len(others) < witnesses:  # (6)
        raise VerificationError("too_few_witnesses", f"{len(others)} of {witnesses} cosigned")
    return checkpoint


@lru_cache(maxsize=64)
def _pinned(vkey: str) -> VerifierKey:
    """A pinned key, parsed once: pins are few and stay, and nothing of the note is kept."""
    return VerifierKey.parse(vkey)


def pinned_origin(vkeys: Iterable[str]) -> str:
    """Return the one log name that pinned keys speak of; VerificationError `bad_pins` otherwise."""
    return _origin(VerifierKey.parse(text) for text in vkeys)


def _origin(pinned: Iterable[VerifierKey]) -> str:
    names = {key.name for key in pinned if key.kind == ED25519}
    if len(names) != 1:
        raise VerificationError("bad_pins", "pinned keys name exactly one log")
    return names.pop()


def _verify_signature(key: VerifierKey, signature: bytes, text: str) -> int | None:
    if len(signature) != _SIGNATURE_BYTES[key.kind]:
        raise VerificationError("bad_signature", f"wrong length for key {key.name}")
    if key.kind == ED25519:
        keys.verify_ed25519(key.public_raw, signature, text.encode())
        return None
    (at,) = struct.unpack(">Q", signature[:8])
    if key.kind == ED25519_COSIGNATURE:
        parse_body(text)
        keys.verify_ed25519(key.public_raw, signature[8:], _cosignature_v1(text, at))
    else:
        message = _subtree_v1(parse_body(text), key.name, at)
        keys.verify_mldsa44(key.public_raw, signature[8:], message)
    return int(at)


def _cosignature_v1(text: str, at: int) -> bytes:
    """tlog-cosignature: a header line and a timestamp line, "followed by the whole note body"."""
    _timestamp(at)
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _subtree_v1(checkpoint: Checkpoint, cosigner: str, at: int) -> bytes:
    """tlog-cosignature: the `cosigned_message` structure; for a checkpoint `start` is zero."""
    name, origin = cosigner.encode(), checkpoint.origin.encode()
    if not 1 <= len(name) <= 255 or not 1 <= len(origin) <= 255:
        raise VerificationError("bad_checkpoint", "names in a cosignature have 1 to 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(name)]) + name,
            _timestamp(at),
            bytes([len(origin)]) + origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def _timestamp(at: int) -> bytes:
    """tlog-cosignature: "It MUST NOT exceed 2^63 - 1"."""
    if not 0 <= at <= MAX_INT63:
        raise VerificationError("bad_signature", "timestamp out of range")
    return struct.pack(">Q", at)


def _signature_line(key: VerifierKey, signature: bytes) -> str:
    _require_name(key.name, "bad_note")
    return f"— {key.name} {canonical.b64(key.key_id + signature)}\n"


def _parse_signature_line(line: str) -> NoteSignature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise VerificationError("bad_note", "a signature line is: em dash, key name, base64")
    _require_name(parts[1], "bad_note")
    blob = canonical.unb64(parts[2])
    if len(blob) < 5:
        raise VerificationError("bad_note", "a signature line holds a key id and a signature")
    return NoteSignature(parts[1], blob[:4], blob[4:])


def _require_name(name: str, code: str) -> None:
    """signed-note: key names "MUST NOT contain any Unicode spaces or plus (U+002B)"."""
    if "+" in name or name.split() != [name] or _UNWANTED.search(name):
        raise VerificationError(code, "a key name is non-empty, without spaces or plus")
