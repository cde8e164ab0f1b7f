"""The watermark against two re-implemented peers, on synthetic SD 1.5 attention at rank 16.

`python -m tests.bench.bench_watermark`; QUICK=1 takes fewer repetitions and trials. Peers are the
idea of Uchida et al. 2017 (the signs of a keyed projection of averaged weights), put in afterwards
with the same budget, code and id: A averages the stored down factor over the rank, B averages the
rows of dW. Both know the modules by name.
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests import loras
from tests.bench.report import report
from tests.loras import lora
from training.core.watermark import (
    CODED,
    Key,
    claim,
    codebook,
    embed,
    read,
    search,
    threshold,
)
from training.core.weights import Float32, Module, Weights, adapters, half, replace_factors

QUICK = os.environ.get("QUICK") == "1"
KEY = Key("bench", bytes(range(32)))
ID = bytes.fromhex("0123456789ab")
EPS = 0.02
RANK = 16


# --- the peers -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """One Uchida-style scheme: `mean` averages a module to a vector, `move` shifts it."""

    mean: Callable[[Module], Float32]
    move: Callable[[Module, Float32], Float32]

    def embed(self, weights: Weights, eps: float) -> Weights:
        """The least change of the averages along the code, scaled until dW moved by eps."""
        modules = _named(weights)
        code = codebook(KEY, [ID])[0].astype(np.float32)
        pull = _projection(sum(m.shape[1] for m in modules)).T @ code
        # Each module is moved in proportion to its own averages, as a relative budget demands.
        parts = np.split(pull, np.cumsum([m.shape[1] for m in modules])[:-1])
        size = [np.linalg.norm(m.down) / np.sqrt(m.shape[1]) for m in modules]
        steps = [
            part * np.float32(s / np.abs(pull).std()) for part, s in zip(parts, size, strict=True)
        ]
        gain = 1e-3
        for _ in range(2):  # the change is linear in the gain
            moved = self._moved(weights, modules, steps, gain)
            gain *= eps / loras.distortion(weights, moved)
        return self._moved(weights, modules, steps, gain)

    def _moved(
        self, weights: Weights, modules: list[Module], steps: list[Float32], gain: float
    ) -> Weights:
        downs = {
            m.down_key: m.down + self.move(m, step * np.float32(gain))
            for m, step in zip(modules, steps, strict=True)
        }
        return replace_factors(weights, downs)

    def t(self, weights: Weights, shape: Weights) -> float:
        """Its statistic, with modules that are missing by name taken as zero."""
        found = {m.stem: self.mean(m) for m in adapters(weights)}
        blank = [found.get(m.stem, np.zeros(m.shape[1], np.float32)) for m in _named(shape)]
        vector = np.concatenate([v / (np.linalg.norm(v) or 1) * np.sqrt(len(v)) for v in blank])
        y = _projection(len(vector)) @ vector
        return float(abs(codebook(KEY, [ID])[0] @ y) / (np.linalg.norm(y) or 1))


def _named(weights: Weights) -> list[Module]:
    return sorted(adapters(weights), key=lambda module: module.stem)


@functools.cache
def _projection(size: int) -> Float32:
    return np.random.default_rng(11).standard_normal((CODED, size), np.float32)


def _factor_mean(module: Module) -> Float32:
    return np.asarray(module.down.mean(axis=0), np.float32)


def _row_mean(module: Module) -> Float32:
    return np.asarray(module.scale * module.up.mean(axis=0) @ module.down, np.float32)


def _move_factor(module: Module, step: Float32) -> Float32:
    return np.broadcast_to(step, module.down.shape)


def _move_rows(module: Module, step: Float32) -> Float32:
    """The change of the down factor that moves dW's rows most alike: B x = 1 in least squares."""
    x = np.linalg.lstsq(module.up, np.ones(module.shape[0], np.float32), rcond=None)[0]
    return np.outer(x, step).astype(np.float32)


PEERS = {"A": Peer(_factor_mean, _move_factor), "B": Peer(_row_mean, _move_rows)}


# --- the attacks ---------------------------------------------------------------------------------

Attack = Callable[[Weights], Weights]


def attacks(modules: loras.Modules, rank: int) -> dict[str, Attack]:
    others = [lora(modules, rank, 100 + i) for i in range(3)]
    return {
        "none": lambda w: w,
        "fp16": half,
        "bf16": loras.bfloat16,
        "fp8": loras.float8,
        "int4": lambda w: loras.integers(w, 4),
        "noise 30%": lambda w: loras.noisy(w, 0.3),
        "noise 100%": lambda w: loras.noisy(w, 1.0),
        "prune 50%": lambda w: loras.pruned(w, 0.5),
        "prune 70%": lambda w: loras.pruned(w, 0.7),
        "DARE 50%": lambda w: loras.dare(w, 0.5),
        "DARE 90%": lambda w: loras.dare(w, 0.9),
        "new factors": loras.refactored,
        "svd r/2": lambda w: loras.truncated(w, rank // 2),
        "svd r/4": lambda w: loras.truncated(w, rank // 4),
        "svd rank 1": lambda w: loras.truncated(w, 1),
        "scale -1": lambda w: loras.scaled(w, -1),
        "block weights": loras.block_scaled,
        "drop 75%": lambda w: loras.dropped(w, 0.75),
        "spectrum flat": lambda w: loras.truncated(w, rank, 1e-6),
        "renamed": loras.renamed,
        "merge +1": lambda w: loras.merged(w, others[:1]),
        "merge +3": lambda w: loras.merged(w, others),
        "merge +3, svd": lambda w: loras.truncated(loras.merged(w, others), rank),
    }


@dataclass(frozen=True)
class Row:
    name: str
    t: float
    verdict: str
    peers: dict[str, float]


def rows(modules: loras.Modules, rank: int, eps: float, ids: list[bytes]) -> list[Row]:
    host = lora(modules, rank, 7)
    marked = embed(host, KEY, ID, eps)
    theirs = {name: peer.embed(host, eps) for name, peer in PEERS.items()}
    out = []
    for name, attack in attacks(modules, rank).items():
        reading = read(attack(marked), KEY)
        named = [hit.artefact_id for hit in search(reading, KEY, ids)]
        verdict = "P" if reading.artefact_id == ID else "R" if named == [ID] else "-"
        scores = {p: PEERS[p].t(attack(theirs[p]), host) for p in PEERS}
        out.append(Row(name, claim(reading, KEY, ID).t, verdict, scores))
    return out


# --- speed and false positives -------------------------------------------------------------------


def cpu(action: Callable[[], object]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


def speeds() -> dict[str, float]:
    """CPU seconds, median of alternating runs, beside a matrix product of fixed size."""
    host = lora(loras.sd15(), RANK, 7)
    marked = embed(host, KEY, ID, EPS)
    square = np.ones((1024, 1024), np.float32)
    runs = [
        (
            cpu(lambda: embed(host, KEY, ID, EPS)),
            cpu(lambda: read(marked, KEY)),
            cpu(lambda: [square @ square for _ in range(4)]) / 4,
        )
        for _ in range(5 if QUICK else 11)
    ]
    names = ("embed_cpu_s", "read_cpu_s", "gemm_1024_cpu_s")
    return {
        name: statistics.median(column)
        for name, column in zip(names, zip(*runs, strict=True), strict=True)
    }


def false_positives(ids: list[bytes]) -> tuple[int, float]:
    """(trials, largest t) over unmarked LoRAs and wrongly keyed ones, every id and view."""
    files = 10 if QUICK else 60
    largest = 0.0
    for seed in range(files):
        weights = lora(loras.tiny(), 4, seed, power=0.5 + seed / files, spread=seed / files)
        if seed % 2:
            weights = embed(weights, KEY, ID, 0.05)
        key = Key(f"other {seed}", bytes(32))
        largest = max(largest, float(np.abs(codebook(key, ids) @ read(weights, key).soft()).max()))
    return files * len(ids) * 3, largest


def ratio(row: Row) -> float:
    """Our t over the better peer's; a peer that is lost counts as 1, the size of pure chance."""
    return row.t / max(1.0, *row.peers.values())


def main() -> int:
    generator = np.random.default_rng(5)
    ids = [ID, *(generator.bytes(6) for _ in range(10_000 if QUICK else 100_000))]
    big = rows(loras.sd15(), RANK, EPS, ids)
    small = rows(loras.tiny(), 8, 0.05, ids)
    figures: dict[str, float | str] = {}
    for row in big:
        figures[f"{row.name}: t"] = round(row.t, 1)
        figures[f"{row.name}: verdict"] = row.verdict
        for peer, t in row.peers.items():
            figures[f"{row.name}: peer {peer} t"] = round(t, 1)
    for row in small:
        figures[f"tiny base, {row.name}: t"] = f"{row.t:.1f} {row.verdict}"
    times = speeds()
    figures |= {name: round(value, 4) for name, value in times.items()}
    figures["embed_in_gemms"] = round(times["embed_cpu_s"] / times["gemm_1024_cpu_s"], 1)
    figures["read_in_gemms"] = round(times["read_cpu_s"] / times["gemm_1024_cpu_s"], 1)
    trials, largest = false_positives(ids)
    figures["false_positive_trials"] = trials
    reading = read(embed(lora(loras.sd15(), RANK, 7), KEY, ID, EPS), KEY)
    figures["search_cpu_s"] = round(cpu(lambda: search(reading, KEY, ids)), 3)
    worst = min(big, key=lambda row: ratio(row))
    figures["weakest_row"] = worst.name
    bars = {
        "t_untouched": at_least(big[0].t, 40),
        "worst_ratio_to_best_peer": at_least(ratio(worst), 1),
        "rows_identified": at_least(sum(row.verdict != "-" for row in big), len(big) - 2),
        "tiny_rows_identified": at_least(sum(row.verdict != "-" for row in small), len(small) - 4),
        "embed_cpu_s": at_most(times["embed_cpu_s"], 0.3),
        "read_cpu_s": at_most(times["read_cpu_s"], 0.2),
        "largest_false_t": at_most(largest, threshold(1e-9, len(ids))),
    }
    return report("watermark", figures, bars)


Bar = dict[str, float | bool]


def at_least(value: float, bar: float) -> Bar:
    return {"value": round(value, 3), "bar": bar, "ok": bool(value >= bar)}


def at_most(value: float, bar: float) -> Bar:
    return {"value": round(value, 3), "bar": round(bar, 3), "ok": bool(value <= bar)}


if __name__ == "__main__":
    sys.exit(main())
