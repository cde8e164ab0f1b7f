"""`.tlog-proof`: one text file that proves, offline, that an entry is in the log.

Ground floor, pure. Trusts only pinned verifier keys; the file itself may come from anybody.
Source: C2SP tlog-proof.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from registry.log.core import canonical, merkle
from registry.log.core.checkpoint import MAX_INT63, MAX_NOTE_CHARACTERS, Checkpoint
from registry.log.core.checkpoint import verify_checkpoint as _verify_checkpoint
from registry.log.core.errors import VerificationError

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 64
MAX_CHARACTERS: Final = 2 * MAX_NOTE_CHARACTERS
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class TlogProof:
    """The parts of a proof file, as read; `extra` is never authenticated."""

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes | None = None


def format_proof(proof: TlogProof) -> str:
    """Return the proof file's text."""
    extra = [] if proof.extra is None else [f"extra {canonical.b64(proof.extra)}"]
    hashes = [canonical.b64(item) for item in proof.hashes]
    head = [HEADER, *extra, f"index {proof.index}", *hashes]
    return "\n".join(head) + "\n\n" + proof.note


def inspect_proof(text: str) -> TlogProof:
    """Parse a proof file strictly; it verifies NOTHING of what the file says.

    Raises VerificationError `bad_tlog_proof`.
    """
    if len(text) > MAX_CHARACTERS:
        raise VerificationError("bad_tlog_proof", "file too long")
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != HEADER:
        raise VerificationError("bad_tlog_proof", f"the first line is {HEADER}")
    extra = _pop_extra(lines)
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None or int(index[1]) > MAX_INT63:
        raise VerificationError("bad_tlog_proof", "the index line is missing or malformed")
    hashes = tuple(canonical.unb64(line) for line in lines)
    if len(hashes) > MAX_HASHES or any(len(item) != merkle.HASH_BYTES for item in hashes):
        raise VerificationError("bad_tlog_proof", "at most 64 hashes of 32 bytes")
    return TlogProof(int(index[1]), hashes, note, extra)


def verify(
    proof_text: str, leaf_bytes: bytes, vkeys: Sequence[str], *, witnesses: int = 0
) -> tuple[int, Checkpoint]:
    """Verify that the entry `leaf_bytes` is in the log of the pinned keys.

    (1) the file has the format; (2) its checkpoint is signed by both pinned keys of the log, and
    cosigned by `witnesses` others; (3) the inclusion proof leads from the entry's leaf hash, at
    the stated index, to the checkpoint's root. Returns (index, checkpoint); raises
    VerificationError.
    """
    proof = inspect_proof(proof_text)  # (1)
    checkpoint = _verify_checkpoint(proof.note, vkeys, witnesses=witnesses)  # (2)
    leaf = merkle.leaf_hash(leaf_bytes)
    merkle.verify_inclusion(  # (3)
        proof.index, checkpoint.size, leaf, proof.hashes, checkpoint.root
    )
    return proof.index, checkpoint


def _pop_extra(lines: list[str]) -> bytes | None:
    if not lines or not lines[0].startswith("extra "):
        return None
    return canonical.unb64(lines.pop(0).removeprefix("extra "))
