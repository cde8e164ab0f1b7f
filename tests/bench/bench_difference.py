"""What does it cost to find out what was merged into a checkpoint? `make bench-difference`.

    python -m tests.bench.bench_difference          (about a minute; QUICK=1: a fifth of the size)

A checkpoint with the layers of SD 1.5 (2 GB in half precision), into which a marked LoRA of rank 16
was merged at 0.8, beside its base; both lie in files. Beside it, in the same run and on the same
files, what cannot be avoided: reading both and subtracting. One thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests import loras
from tests.bench.report import QUICK, at_least, at_most, report, say
from training.core import difference, weights
from training.core.watermark import embed
from training.core.watermark_code import Key
from training.core.watermark_reading import read

KEY = Key("bench", bytes(range(32)))
ID = bytes.fromhex("0123456789ab")
WIDTHS = ((320, 5), (640, 5), (1280, 6))  # of the UNet's levels, and their transformer blocks
ROUNDS = 1 if QUICK else 3


def layers() -> list[tuple[str, tuple[int, ...]]]:
    """The matrices and convolutions of SD 1.5, nearly: a billion numbers; attention is theirs."""
    found: list[tuple[str, tuple[int, ...]]] = []
    found += [(f"{path}.weight", (m, n)) for path, m, n in loras.sd15()]
    for width, blocks in WIDTHS[: 2 if QUICK else 3]:
        for block in range(blocks):
            stem = f"unet.level{width}.{block}"
            found.append((f"{stem}.ff.in.weight", (8 * width, width)))
            found.append((f"{stem}.ff.out.weight", (width, 4 * width)))
            for number in range(4):
                found.append((f"{stem}.conv{number}.weight", (width, width, 3, 3)))
            found.append((f"{stem}.skip.weight", (width, 2 * width, 3, 3)))
    found += [(f"text.{n}.weight", (3072, 768)) for n in range(0 if QUICK else 52)]
    return found


def written(folder: Path) -> tuple[Path, Path, float]:
    """A base and a checkpoint with a marked LoRA inside, as files; and their size in GB."""
    dice = np.random.default_rng(1)
    marked = embed(loras.lora(loras.sd15(), 16, 3), KEY, ID, 0.02)
    merged = {f"{m.stem}.weight": 0.8 * m.scale * (m.up @ m.down) for m in weights.adapters(marked)}
    shapes = layers()
    header: dict[str, Any] = {}
    position = 0
    for name, shape in shapes:
        size = 2 * int(np.prod(shape))
        header[name] = {
            "dtype": "F16", "shape": list(shape), "data_offsets": [position, position + size],
        }  # fmt: skip
        position += size
    text = json.dumps(header).encode()
    paths = folder / "base.safetensors", folder / "merged.safetensors"
    with paths[0].open("wb") as base, paths[1].open("wb") as changed:
        for stream in (base, changed):
            stream.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes:
            plain = (dice.standard_normal(shape, np.float32) * 0.03).astype(np.float16)
            base.write(plain.tobytes())
            if name in merged:
                plain = (plain.astype(np.float32) + merged[name]).astype(np.float16)
            elif name.startswith("unet.level"):  # as if everything had been trained a little
                plain = (plain.astype(np.float32) * np.float32(1.001)).astype(np.float16)
            changed.write(plain.tobytes())
    return *paths, position / 1e9


def plain(changed: Path, base: Path) -> None:
    """Read both, widen, subtract."""
    one, other = difference.opened(changed), difference.opened(base)
    for name, stored in one.items():
        gap = stored.array().astype(np.float32)
        gap -= other[name].array()


def main() -> int:
    """Make the files, take them apart, print, return the exit status."""
    ours: list[float] = []
    peer: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        base, changed, size = written(Path(scratch))
        for _ in range(ROUNDS):
            began = time.process_time()
            plain(changed, base)
            peer.append(time.process_time() - began)
            began = time.process_time()
            found = difference.difference(difference.opened(changed), difference.opened(base))
            ours.append(time.process_time() - began)
            say(f"subtracting {peer[-1]:.2f} s, taking apart {ours[-1]:.2f} s of processor time")
        began = time.process_time()
        reading = read(weights.half(found), KEY)
        figures = {
            "each file, GB": round(size, 2),
            "layers that differ": len(weights.adapters(found)),
            "reading and subtracting, CPU s": round(float(np.median(peer)), 2),
            "ratio to that": round(float(np.median(ours) / np.median(peer)), 2),
            "reading the mark afterwards, CPU s": round(time.process_time() - began, 2),
            "t": round(reading.t, 1),
        }
        bars = {
            "difference, CPU s": at_most(float(np.median(ours)), 10),
            "named": at_least(float(reading.artefact_id == ID), 1),
        }
    return report("difference", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
