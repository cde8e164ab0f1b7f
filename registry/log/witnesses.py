"""The log's side of witnessing: ask, verify what comes back, and see who did not answer.

A witness is trusted to have kept what it cosigned, and for nothing else: its signatures are
verified against pinned keys. One that does not answer is a visible state (`models.Anchor`). One
that knows a larger log, or another one, stops the sequencer: that is what it is there for.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import httpx
from django.conf import settings

from registry.log import anchors, selectors
from registry.log.core import merkle, witness
from registry.log.core.checkpoint import (
    ED25519,
    Checkpoint,
    LogSigners,
    VerifierKey,
    parse_note,
    verify_note,
)
from registry.log.core.errors import Error, VerificationError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 3.0
LONGEST_PAUSE_SECONDS: Final = 60.0
_MAX_ANSWER: Final = 1 << 16
_SIZE: Final = re.compile(r"(0|[1-9][0-9]{0,18})\n?")


class PolicyError(Error):
    """The witness policy file cannot be understood; the text names the line."""


@dataclass(frozen=True)
class Witness:
    """Where a witness answers, and the verifier keys by which its cosignatures are known."""

    name: str
    url: str
    vkeys: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A checkpoint is published when at least `quorum` of these witnesses cosigned it."""

    quorum: int = 0
    witnesses: tuple[Witness, ...] = ()

    @property
    def vkeys(self) -> tuple[str, ...]:
        """Every witness's verifier keys: what a trust root pins beside the log's own."""
        return tuple(key for witness in self.witnesses for key in witness.vkeys)


@dataclass(frozen=True)
class _Answer:
    """What a witness said to a submission from size `old`; status 0: it did not answer."""

    old: int
    status: int
    content_type: str
    body: str


# When each silent witness is asked again, and the pause before that; of this process alone.
_pauses: dict[str, tuple[float, float]] = {}


def policy() -> Policy:
    """Return the policy of settings.LOG_WITNESSES, a file; without one, nobody is asked."""
    path: Path | None = settings.LOG_WITNESSES
    return Policy() if path is None else _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> Policy:
    return parse_policy(path.read_text(encoding="utf-8"))


def parse_policy(text: str) -> Policy:
    """Parse `quorum K` and `witness URL VKEY [VKEY]` lines; # begins a comment line.

    The keys of one witness bear one name. Raises PolicyError, VerificationError `bad_vkey`.
    """
    quorum: int | None = None
    found: list[Witness] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "quorum" and len(words) == 2 and words[1].isdecimal() and quorum is None:
            quorum = int(words[1])
        elif words[0] == "witness" and len(words) in {3, 4}:
            found.append(_witness(number, words[1], words[2:]))
        else:
            raise PolicyError(f"line {number} is neither `quorum K` nor `witness URL VKEY [VKEY]`")
    if quorum is None or quorum > len(found):
        raise PolicyError(f"a line `quorum K` is needed, K from 0 to {len(found)}")
    if len({item.name for item in found}) != len(found):
        raise PolicyError("every witness has a name of its own")
    return Policy(quorum, tuple(found))


def _witness(number: int, url: str, vkeys: Sequence[str]) -> Witness:
    keys = [VerifierKey.parse(text) for text in vkeys]
    if len({key.name for key in keys}) != 1 or any(key.kind == ED25519 for key in keys):
        raise PolicyError(f"line {number}: cosignature keys of one witness bear one name")
    if not url.startswith(("https://", "http://")):
        raise PolicyError(f"line {number}: the address begins with https://")
    return Witness(keys[0].name, url.rstrip("/"), tuple(vkeys))


def cosign(policy: Policy, note: str, head: Checkpoint) -> tuple[str, int]:
    """Return the note with every cosignature that could be had, and how many witnesses gave one.

    Raises VerificationError `log_rolled_back` or `log_forked` when a witness knows better.
    """
    sizes = anchors.sizes()
    asked = [
        (item, min(sizes.get(item.name, 0), head.size))
        for item in policy.witnesses
        if _due(item.name)
    ]
    answers = _ask_all(asked, head, note)
    # "409 Conflict": the witness stands elsewhere than we remembered. Once more, from there.
    moved = [(item, _stands_at(item, answer, head)) for item, answer in answers.items()]
    again = [(item, at) for item, at in moved if at is not None and at != answers[item].old]
    answers |= _ask_all(again, head, note)
    lines = [_cosignatures(item, answer, note, head) for item, answer in answers.items()]
    return note + "".join(lines), sum(bool(line) for line in lines)


def refuse_smaller(policy: Policy, signers: LogSigners, size: int, *, at: int) -> None:
    """Ask each witness how large a log it knows; VerificationError `log_rolled_back` if larger.

    Asked with the empty tree, which is a prefix of every log: a client that does not know "MAY
    initially make a request with a old size of zero to obtain it".
    """
    empty = signers.sign(0, merkle.EMPTY_ROOT, at=at)
    known = Checkpoint(signers.origin, size, b"")
    for item, answer in _ask_all([(item, 0) for item in policy.witnesses], known, empty).items():
        _stands_at(item, answer, known)


def _ask_all(
    asked: Sequence[tuple[Witness, int]], head: Checkpoint, note: str
) -> dict[Witness, _Answer]:
    """Ask every witness at once; the proofs are made first, since threads have no database."""
    if not asked:
        return {}
    proofs = {
        old: selectors.consistency(old, head.size) if 0 < old < head.size else []
        for _item, old in asked
    }
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        answers = pool.map(lambda one: _ask(one[0], one[1], proofs[one[1]], note), asked)
        return {item: answer for (item, _old), answer in zip(asked, answers, strict=True)}


def _ask(item: Witness, old: int, proof: Sequence[bytes], note: str) -> _Answer:
    body = witness.format_submission(old, proof, note)
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            got = client.post(f"{item.url}/add-checkpoint", content=body.encode())
    except httpx.HTTPError as error:
        return _Answer(old, 0, "", f"{type(error).__name__}: {error}")
    content_type = got.headers.get("content-type", "")
    return _Answer(old, got.status_code, content_type, got.text[:_MAX_ANSWER])


def _stands_at(item: Witness, answer: _Answer, head: Checkpoint) -> int | None:
    """Return the size that a 409 tells of. A larger one than ours: we are a restored backup."""
    if answer.status != 409 or answer.content_type != witness.SIZE_TYPE:
        return None
    size = _SIZE.fullmatch(answer.body)
    if size is None:
        return None
    if int(size[1]) > head.size:
        raise VerificationError(
            "log_rolled_back",
            f"witness {item.name} cosigned {size[1]} entries, this database has {head.size}. "
            + anchors.ROLLED_BACK_ADVICE,
        )
    return int(size[1])


def _cosignatures(item: Witness, answer: _Answer, note: str, head: Checkpoint) -> str:
    """Return the lines of an answer that verify under this witness's pinned keys; else none."""
    forked = answer.status == 409 and _stands_at(item, answer, head) == answer.old == head.size
    if answer.status == 422 or forked:
        raise VerificationError(
            "log_forked",
            f"witness {item.name} cosigned another history than that of these {head.size} entries. "
            + anchors.ROLLED_BACK_ADVICE,
        )
    if answer.status != 200:
        return _silent(item, f"{answer.status or 'no answer'}: {answer.body.strip()}")
    try:
        _text, verified = verify_note(note + answer.body, item.vkeys)
    except VerificationError as error:
        return _silent(item, f"its answer does not verify: {error}")
    lines = answer.body.splitlines(keepends=True)
    read = parse_note(note + answer.body)[1][-len(lines) :]
    by_key = {(one.name, one.key_id): line for one, line in zip(read, lines, strict=True)}
    _pauses.pop(item.name, None)
    anchors.answered(item.name, "witness", head.size)
    # Lines of unknown keys, and a second one of the same key, are left out.
    return "".join(by_key[one.key.name, one.key.key_id] for one in verified)


def _silent(item: Witness, reason: str) -> str:
    """Keep what went wrong where people see it, and ask again later, each time later."""
    pause = min(2 * _pauses.get(item.name, (0.0, 0.5))[1], LONGEST_PAUSE_SECONDS)
    _pauses[item.name] = (time.monotonic() + pause, pause)
    anchors.failed(item.name, "witness", reason)
    logger.warning("no cosignature from witness %s: %s", item.name, reason)
    return ""


def _due(name: str) -> bool:
    return time.monotonic() >= _pauses.get(name, (0.0, 0.0))[0]
