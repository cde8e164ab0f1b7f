"""What the watermark says of the innocent, and of licensees who average their copies.

`python -m tests.bench.bench_watermark_null`; QUICK=1 takes a hundredth. The null: unmarked LoRAs,
and LoRAs marked under another key, every id in every view, blind and beside the master; and the ids
that were chosen for a LoRA, asked of that LoRA without a mark. Collusion: k copies of one LoRA
averaged and compressed to its rank; the ids of the colluders lie among those of strangers and of
the same LoRA's innocent licensees.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from tests import loras
from tests.bench.report import QUICK, at_least, at_most, report, say
from tests.loras import lora
from training.core.escrow import read_beside, search_beside
from training.core.watermark import CHOICES, embed, measure
from training.core.watermark_code import VIEWS, Key, codebook
from training.core.watermark_reading import Reading, read, search, threshold
from training.core.weights import Weights

KEY = Key("bench", bytes(range(32)))
MARKED = bytes.fromhex("0123456789ab")
FPR = 1e-9
LEVELS = (3.0, 4.0, 5.0, 6.0)
IDS = 50_000
READINGS = 8 if QUICK else 700
RUNS = 20 if QUICK else 1000
COLLUDERS = (2, 3, 4, 6, 8, 16, 24, 32)
LICENSEES = 32


def innocents() -> Iterator[tuple[Reading, Key]]:
    """Readings under keys that marked nothing: ranks 4 to 32, spectra i^-.5 to i^-1.5, channels
    even to very uneven; a third marked by another key, a third beside a master.
    """
    generator = np.random.default_rng(1)
    for number in range(READINGS):
        rank = int(generator.choice([4, 8, 16, 32]))
        modules = loras.tiny() if number % 2 else loras.sd15(every=8)
        master = lora(
            modules,
            rank,
            1000 + number,
            power=float(generator.uniform(0.5, 1.5)),
            spread=float(generator.uniform(0, 1)),
        )
        other = Key(f"wrong {number}", generator.bytes(32))
        if number % 3 == 0:
            yield read(master, other), other
        elif number % 3 == 1:
            yield read(embed(master, KEY, MARKED, 0.05), other), other
        else:
            yield read_beside(loras.noisy(master, 0.3, number), master, other), other


def null() -> tuple[int, float, dict[float, int]]:
    """(evaluations, largest |t|, how many were above each level)."""
    count, largest, above = 0, 0.0, dict.fromkeys(LEVELS, 0)
    generator = np.random.default_rng(2)
    for number, (reading, key) in enumerate(innocents()):
        ids = [generator.bytes(6) for _ in range(IDS)]
        size = np.abs(codebook(key, ids) @ reading.soft().astype(np.float32))
        count += size.size
        largest = max(largest, float(size.max()))
        for level in LEVELS:
            above[level] += int((size > level).sum())
        if number % 50 == 49:
            say(f"null: {count:,} evaluations, largest {largest:.2f}")
    return count, largest, above


def chosen() -> tuple[int, float]:
    """(evaluations, largest |t|) of ids chosen for masters, in those masters, whole and cut."""
    count, largest = 0, 0.0
    generator = np.random.default_rng(6)
    for number in range(READINGS // 4):
        key = Key(f"chosen {number}", generator.bytes(32))
        master = lora(loras.tiny() if number % 2 else loras.sd15(every=8), 8, 3000 + number)
        prepared = measure(master, key)
        ids = [prepared.fitting(drawn(generator)) for _ in range(10 * LICENSEES)]
        for file in (master, *(loras.truncated(master, rank) for rank in (1, 2, 4))):
            size = np.abs(codebook(key, ids) @ read(file, key).soft())
            count += size.size
            largest = max(largest, float(size.max()))
    return count, largest


def drawn(generator: np.random.Generator) -> list[bytes]:
    """As many ids as one is chosen from."""
    return [generator.bytes(6) for _ in range(CHOICES)]


def average(copies: list[Weights], rank: int) -> Weights:
    share = [1 / len(copies)] * len(copies)
    return loras.truncated(loras.merged(copies[0], copies[1:], share), rank)


def collusion() -> dict[str, float]:
    """Blind and beside the master at 2 % on SD 1.5 attention, rank 16."""
    generator = np.random.default_rng(3)
    master = lora(loras.sd15(), 16, 7)
    prepared = measure(master, KEY)
    ids = [prepared.fitting(drawn(generator)) for _ in range(LICENSEES)]
    copies = [prepared.mark(ident, 0.02) for ident in ids]
    ids += [generator.bytes(6) for _ in range(100_000)]
    out: dict[str, float] = {}
    for k in COLLUDERS:
        held = average(copies[:k], 16)
        blind = {hit.artefact_id for hit in search(read(held, KEY), KEY, ids, fpr=FPR)}
        beside = read_beside(held, master, KEY)
        hits = {h.artefact_id for h in search_beside(beside, KEY, ids, ids[:LICENSEES], fpr=FPR)}
        guilty = set(ids[:k])
        out[f"{k} collude: found blind"] = len(blind & guilty)
        out[f"{k} collude: found beside the master"] = len(hits & guilty)
        out[f"{k} collude: innocent named"] = len((blind | hits) - guilty)
        say(f"collusion of {k}: blind {len(blind & guilty)}, escrow {len(hits & guilty)}")
    return out


def innocent_named() -> tuple[int, int]:
    """(runs in which somebody innocent was named, colluders named) over RUNS small collusions."""
    generator = np.random.default_rng(4)
    modules = loras.sd15(every=8)
    wrong = named = 0
    for run in range(RUNS):
        key = Key("run", generator.bytes(32))
        master = lora(modules, 8, 5000 + run)
        prepared = measure(master, key)
        ids = [prepared.fitting(drawn(generator)) for _ in range(LICENSEES)]
        ids += [generator.bytes(6) for _ in range(2000)]
        k = 2 + run % 5
        held = average([prepared.mark(i, 0.03) for i in ids[:k]], 8)
        blind = {hit.artefact_id for hit in search(read(held, key), key, ids, fpr=FPR)}
        reading = read_beside(held, master, key)
        both = blind | {
            hit.artefact_id for hit in search_beside(reading, key, ids, ids[:LICENSEES], fpr=FPR)
        }
        wrong += bool(both - set(ids[:k]))
        named += len(both & set(ids[:k]))
        if run % 100 == 99:
            say(f"collusion runs: {run + 1}, wrong {wrong}")
    return wrong, named


def main() -> int:
    count, largest, above = null()
    asked, nearest = chosen()
    figures: dict[str, float] = {
        "evaluations": count,
        "largest_t": round(largest, 2),
        "evaluations of chosen ids": asked,
        "largest t of a chosen id": round(nearest, 2),
    }
    bars = {
        "evaluations": at_least(count, 1e6 if QUICK else 1e8),
        "largest_t": at_most(largest, threshold(FPR, 1)),
        "largest t of a chosen id": at_most(nearest, threshold(FPR, 1)),
    }
    for level, number in above.items():
        bound = 2 * np.exp(-(level**2) / 2)
        figures[f"share above {level:.0f}"] = number / count
        figures[f"bound above {level:.0f}"] = float(bound)
        bars[f"tail above {level:.0f}"] = at_most(number, count * bound)
    found = collusion()
    figures |= found
    wrong, named = innocent_named()
    figures |= {"collusion_runs": RUNS, "colluders_named": named, "views": len(VIEWS)}
    for k in (2, 3, 4):
        bars[f"{k} collude, blind"] = at_least(found[f"{k} collude: found blind"], k)
    bars["16 collude, beside the master"] = at_least(
        found["16 collude: found beside the master"], 16
    )
    innocent = sum(value for name, value in found.items() if name.endswith("innocent named"))
    bars["innocent_named"] = at_most(innocent + wrong, 0)
    return report("watermark-null", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
