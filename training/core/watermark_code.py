"""The code of the watermark: the key's epoch, an id's payload, its 256 signs, and finding it again.

Stages 7 and 9. A keyed random linear [256, 64] code. Decoding works without a registry; a
`Codebook` holds the codewords of all that are registered and answers for a million of them in less
than a second. Trusts its key; knows nothing of weights.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Float64: TypeAlias = npt.NDArray[np.float64]
Signs: TypeAlias = npt.NDArray[np.float32]
Codeword: TypeAlias = npt.NDArray[np.int8]
Bits: TypeAlias = npt.NDArray[np.uint8]

CODED: Final = 256  # N: coded signs
ID_BYTES: Final = 6
TAG_BYTES: Final = 2
PAYLOAD_BITS: Final = 8 * (ID_BYTES + TAG_BYTES)
# Powers of the spectrum. -1/2 sees each direction in proportion to how far it was moved; 0 and 1/2
# hold where weak directions were buried, 1 (as received) where junk was added.
VIEWS: Final = (-0.5, 0.0, 0.5, 1.0)
SIGNS: Final = 2  # a file used at negative strength flips every sign
_CONTEXT: Final = b"kyodaku/watermark/v1\0"
_SLICE: Final = 1 << 16  # ids looked at together: what is read again stays in the cache


@dataclass(frozen=True)
class Key:
    """One epoch's secret. Everything (probes, code, tags) derives from it with a context of its
    own.

    Rotate well before 10^5 delivered files of one epoch: averages over more begin to show the
    probes.
    """

    epoch: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise ValueError("a watermark key needs 32 bytes or more")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose: HMAC-SHA-256(secret, context || epoch || 0 || purpose)."""
        label = _CONTEXT + self.epoch.encode() + b"\0" + purpose.encode()
        return hmac.digest(self.secret, label, "sha256")


@dataclass(frozen=True)
class Hit:
    """One id found, with its t, the view (power of the spectrum) and the sign it was found in;
    `needed` is the threshold that a search held it against.
    """

    artefact_id: bytes
    t: float
    view: float
    sign: int
    needed: float = 0.0


# --- the code -------------------------------------------------------------------------------------


def payload(key: Key, artefact_id: bytes) -> bytes:
    """The 8 bytes that are marked: the 48-bit artefact id, then a 16-bit keyed tag.

    One random id per delivered file, never one per licensee: equal ids in many files would show the
    pattern.
    """
    if len(artefact_id) != ID_BYTES:
        raise ValueError("an artefact id has 6 bytes")
    return artefact_id + hmac.digest(key.derive("tag"), artefact_id, "sha256")[:TAG_BYTES]


def codebook(key: Key, ids: Sequence[bytes]) -> Codeword:
    """The +-1 codeword of every id, (len(ids), 256): a keyed random linear code."""
    return (1 - 2 * np.unpackbits(_packed(key, ids), axis=1).astype(np.int8)).astype(np.int8)


def _packed(key: Key, ids: Sequence[bytes]) -> Bits:
    """The codewords as bits, (len(ids), 32): exclusive ors of eight tables, one a payload byte."""
    blob = b"".join(payload(key, artefact_id) for artefact_id in ids)
    data = np.frombuffer(blob, np.uint8).reshape(len(ids), PAYLOAD_BITS // 8)
    values = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    rows = generator(key).reshape(PAYLOAD_BITS // 8, 8, CODED)
    out = np.zeros((len(ids), CODED // 8), np.uint8)
    for place, row in enumerate(rows):
        out ^= np.packbits((values @ row) & 1, axis=1)[data[:, place]]
    return out


def generator(key: Key) -> Bits:
    """(64, 256) over GF(2)."""
    return keyed_bits(key.derive("code"), PAYLOAD_BITS * CODED).reshape(PAYLOAD_BITS, CODED)


def keyed_bits(seed: bytes, count: int) -> Bits:
    """That many bits of SHAKE-256 over a seed."""
    data = hashlib.shake_256(seed).digest(-(-count // 8))
    return np.unpackbits(np.frombuffer(data, np.uint8))[:count]


class Codebook:
    """The codewords of registered ids, 32 bytes each, ready to be searched. It only grows.

    A score is the sum of 32 entries of tables that are made for each question: a table has the
    score of every value of one byte of a codeword.
    """

    def __init__(self, key: Key, ids: Sequence[bytes] = ()) -> None:
        self.key = key
        self._ids: list[bytes] = []
        self._known: set[bytes] = set()
        self._bits: Bits = np.zeros((0, CODED // 8), np.uint8)
        self.add(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Iterable[bytes]) -> None:
        """Take in ids; those that are known already change nothing."""
        new = [item for item in dict.fromkeys(ids) if item not in self._known]
        if not new:
            return
        self._bits = np.concatenate([self._bits, _packed(self.key, new)])
        self._ids += new
        self._known.update(new)

    def best(self, soft: Float64) -> Hit:
        """The id whose codeword agrees most with soft values (256, views), in either sign.

        Raises ValueError for an empty book.
        """
        signs = 1 - 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(int)
        tables = np.einsum("vb,pbk->pvk", signs, soft.reshape(CODED // 8, 8, len(VIEWS)))
        narrow = np.ascontiguousarray(tables, np.float32)
        found = max(
            (_best_of(self._bits[start : start + _SLICE], narrow, start) for start in self._starts),
            key=lambda item: abs(item[2]),
        )
        row, view, _ = found
        t = float(codebook(self.key, [self._ids[row]])[0] @ soft[:, view])
        return Hit(self._ids[row], abs(t), VIEWS[view], 1 if t > 0 else -1)

    @property
    def _starts(self) -> range:
        return range(0, len(self._ids), _SLICE)


def _best_of(bits: Bits, tables: Signs, start: int) -> tuple[int, int, float]:
    """Row (from `start`), view and score of the strongest codeword of a slice."""
    scores = np.zeros((len(bits), tables.shape[2]), np.float32)
    for place, table in enumerate(tables):
        scores += table[bits[:, place]]
    row, view = np.unravel_index(int(np.abs(scores).argmax()), scores.shape)
    return start + int(row), int(view), float(scores[row, view])


# --- decoding without a registry ------------------------------------------------------------------


def decode(soft: Float64, key: Key, least: float) -> tuple[Hit, bool]:
    """The best codeword over views and signs with a right tag and a t of `least`; failing that,
    the best of all."""
    tries = [
        ordered_statistics(sign * soft[:, index], key, view, sign)
        for index, view in enumerate(VIEWS)
        for sign in (1, -1)
    ]
    hits = [(hit, hmac.compare_digest(payload(key, hit.artefact_id), word)) for hit, word in tries]
    return max(hits, key=lambda pair: (pair[1] and pair[0].t >= least, pair[0].t))


def ordered_statistics(y: Float64, key: Key, view: float, sign: int) -> tuple[Hit, bytes]:
    """Order-2 ordered statistics decoding (Fossorier and Lin 1995) of the [256, 64] code.

    Re-encodes from the 64 most reliable independent positions, with up to two of them flipped. The
    correlation of every flip pair is one 64 x 64 product: flipping rows i and j multiplies the
    codeword by their +-1 forms.
    """
    systematic, transform, pivots = _reduce(generator(key), np.argsort(-np.abs(y)))
    hard = (y[pivots] < 0).astype(np.uint8)
    word = (hard @ systematic) & 1
    aligned = y * (1.0 - 2.0 * word)
    rows = 1.0 - 2.0 * np.vstack([np.zeros((1, CODED), np.uint8), systematic])
    scores = (rows * aligned) @ rows.T
    # The diagonal is "flip the same row twice": the plain word again, already at (0, 0).
    i, j = np.unravel_index(int(np.argmax(scores)), scores.shape)
    for flip in {int(i), int(j)} - {0} if i != j else set():
        hard[flip - 1] ^= 1
    data = np.packbits((hard @ transform) & 1).tobytes()
    return Hit(data[:ID_BYTES], float(scores[i, j]), view, sign), data


def _reduce(
    generator: npt.NDArray[np.uint8], order: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], list[int]]:
    """Gauss-Jordan over GF(2), pivots in `order`: systematic = transform @ generator."""
    size = len(generator)
    work = np.hstack([generator, np.eye(size, dtype=np.uint8)])
    pivots: list[int] = []
    for column in order.tolist():
        row = len(pivots)
        if row == size:
            break
        below = np.flatnonzero(work[row:, column])
        if not below.size:
            continue
        swap = row + int(below[0])
        work[[row, swap]] = work[[swap, row]]
        others = np.flatnonzero(work[:, column])
        others = others[others != row]
        work[others] ^= work[row]
        pivots.append(column)
    return work[:, :CODED], work[:, CODED:], pivots
