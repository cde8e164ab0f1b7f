"""What a witness decides: whether a checkpoint continues what it cosigned before.

Ground floor, pure. A witness keeps one checkpoint per log and answers for nothing but consistency:
it trusts the pinned keys of the logs it watches and what it cosigned itself. Source: C2SP
tlog-witness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry.log.core import canonical, merkle
from registry.log.core.checkpoint import (
    MAX_INT63,
    MAX_NOTE_CHARACTERS,
    Checkpoint,
    VerifierKey,
    parse_body,
    parse_note,
    verify_checkpoint,
)
from registry.log.core.errors import VerificationError

MAX_PROOF_LINES: Final = 63  # "The client MUST NOT send more than 63 consistency proof lines."
MAX_CHARACTERS: Final = MAX_NOTE_CHARACTERS + 8_192
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Submission:
    """An `add-checkpoint` request, as read: nothing in it is verified."""

    old: int
    proof: tuple[bytes, ...]
    note: str


@dataclass(frozen=True)
class Denial:
    """An answer without a cosignature: HTTP status, content type and body."""

    status: int
    body: str
    content_type: str = TEXT_TYPE


def format_submission(old: int, proof: Sequence[bytes], note: str) -> str:
    """Return the request body: old size line, proof lines, an empty line, the checkpoint."""
    lines = [f"old {old}", *(canonical.b64(item) for item in proof)]
    return "\n".join(lines) + "\n\n" + note


def parse_submission(text: str) -> Submission:
    """Parse a request body strictly; raises VerificationError `bad_submission`."""
    if len(text) > MAX_CHARACTERS:
        raise VerificationError("bad_submission", "request too long")
    head, blank, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    old = _OLD.fullmatch(first)
    if not blank or old is None or int(old[1]) > MAX_INT63:
        raise VerificationError("bad_submission", "the first line is `old` and a plain decimal")
    proof = tuple(canonical.unb64(line) for line in lines)
    if len(proof) > MAX_PROOF_LINES or any(len(item) != merkle.HASH_BYTES for item in proof):
        raise VerificationError("bad_submission", "at most 63 proof lines of 32 bytes")
    return Submission(int(old[1]), proof, note)


def decide(
    text: str,
    pins: Mapping[str, Sequence[str]],
    cosigned: Callable[[str], Checkpoint | None],
) -> Checkpoint | Denial:
    """Return the checkpoint to record and then cosign, or the answer that denies it.

    `pins` gives each watched log's verifier keys by origin, `cosigned` the newest checkpoint that
    this witness cosigned for an origin. The caller holds a lock from this call until the new
    checkpoint is recorded.
    """
    # (1) The request has the form.
    try:
        asked = parse_submission(text)
        head = parse_body(parse_note(asked.note)[0])
    except VerificationError as error:
        return Denial(400, f"{error}\n")
    # (2) "If the checkpoint origin is unknown, the witness MUST respond with a 404".
    if head.origin not in pins:
        return Denial(404, "this witness does not watch that log\n")
    # (3) "If none of the signatures verify against a trusted public key ... 403". Ours is stricter:
    # every pinned key of the log must have signed.
    try:
        verify_checkpoint(asked.note, pins[head.origin])
    except VerificationError as error:
        return Denial(403, f"{error}\n")
    # (4) "The old size MUST be equal to or lower than the checkpoint size."
    if asked.old > head.size:
        return Denial(400, "the old size is larger than the checkpoint\n")
    # (5) "the old size matches the size of the latest checkpoint it cosigned ... (or zero ...)"
    last = cosigned(head.origin) or Checkpoint(head.origin, 0, merkle.EMPTY_ROOT)
    conflict = Denial(409, f"{last.size}\n", SIZE_TYPE)
    if asked.old != last.size:
        return conflict
    # (6) "If the old size matches the checkpoint size ... the root hashes are also identical."
    if head.size == last.size and head.root != last.root:
        return conflict
    # (7) The proof leads from what was cosigned to what is asked.
    return _continued(asked, last, head)


def _continued(asked: Submission, last: Checkpoint, head: Checkpoint) -> Checkpoint | Denial:
    try:
        if last.size == 0 or last.size == head.size:
            if asked.proof:
                raise VerificationError("bad_consistency_proof", "there is nothing to prove")
        else:
            merkle.verify_consistency(last.size, head.size, last.root, head.root, asked.proof)
    except VerificationError as error:
        return Denial(422, f"{error}\n")
    return head


def pins_of(vkeys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Group verifier keys by the log they belong to; VerificationError for a malformed one."""
    found: dict[str, tuple[str, ...]] = {}
    for text in vkeys:
        name = VerifierKey.parse(text).name
        found[name] = (*found.get(name, ()), text)
    return found
