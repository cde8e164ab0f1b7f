"""The mark in sample pictures against a transform-domain one, on parts of one public portrait.

`python -m tests.bench.bench_image_mark`; QUICK=1 takes fewer ids. Peer: dwtDctSvd of the package
that ships our networks (32 bits in the singular values of DCT blocks, by Q. Wang), as it comes.
Bits right, by attack; how many of the pictures are named among a hundred known ids; PSNR; CPU
seconds beside the peer's in the same run.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import skimage.data
from imwatermark import WatermarkDecoder, WatermarkEncoder  # type: ignore[import-untyped]
from PIL import Image

from tests.bench.report import at_least, at_most, report, say
from training.core.image_marks import BITS, bits_of, distance, named, number_of
from training.engines.base import Rgb
from training.engines.rivagan import RivaGan

IDS = 2 if os.environ.get("QUICK") == "1" else 6
SIDE = 512
KNOWN = 100
OURS = RivaGan()


def pictures() -> list[Rgb]:
    """The portrait and three parts of it, enlarged."""
    whole = Image.fromarray(skimage.data.astronaut())
    boxes = [(0, 0, 512, 512), (60, 0, 400, 340), (100, 150, 500, 512), (0, 200, 300, 500)]
    return [np.asarray(whole.crop(box).resize((SIDE, SIDE))) for box in boxes]


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def attack(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return attack


ATTACKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "JPEG 90": jpeg(90),
    "JPEG 70": jpeg(70),
    "JPEG 50": jpeg(50),
    "crop 90 %": lambda image: image.crop((26, 26, 486, 486)),
    "crop 50 %": lambda image: image.crop((128, 128, 384, 384)),
    "brighter": lambda image: image.point(lambda value: min(255, int(value * 1.2))),
    "half and back": lambda image: image.resize((256, 256)).resize((SIDE, SIDE)),
    "half": lambda image: image.resize((256, 256)),
}


def peer_mark(rgb: Rgb, number: int) -> Rgb:
    """dwtDctSvd; the package works on BGR."""
    encoder = WatermarkEncoder()
    encoder.set_watermark("bits", bits_of(number))
    return np.ascontiguousarray(encoder.encode(rgb[..., ::-1].copy(), "dwtDctSvd")[..., ::-1])


def peer_read(rgb: Rgb) -> int:
    found = WatermarkDecoder("bits", BITS).decode(rgb[..., ::-1].copy(), "dwtDctSvd")
    return number_of(int(bit) for bit in found)


def psnr(one: Rgb, other: Rgb) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def timed(mark: Callable[[Rgb, int], Rgb], rgb: Rgb, number: int, spent: list[float]) -> Rgb:
    before = time.process_time()
    out = mark(rgb, number)
    spent.append(time.process_time() - before)
    return out


def main() -> int:
    dice = np.random.default_rng(3)
    right: dict[str, list[tuple[float, float]]] = {name: [] for name in ATTACKS}
    found: dict[str, list[bool]] = {name: [] for name in ATTACKS}
    clean: list[tuple[float, float]] = []
    ours_s: list[float] = []
    theirs_s: list[float] = []
    for rgb in pictures():
        for number in dice.integers(0, 2**BITS, IDS).tolist():
            known = [number, *dice.integers(0, 2**BITS, KNOWN - 1).tolist()]
            mine = timed(OURS.mark, rgb, number, ours_s)
            theirs = timed(peer_mark, rgb, number, theirs_s)
            clean.append((psnr(mine, rgb), psnr(theirs, rgb)))
            for name, attack in ATTACKS.items():
                read = OURS.read(np.asarray(attack(Image.fromarray(mine)))) or 0
                peer = peer_read(np.asarray(attack(Image.fromarray(theirs))))
                shares = (1 - distance(read, number) / BITS, 1 - distance(peer, number) / BITS)
                right[name].append(shares)
                found[name].append(named(read, known) == number)
        say(f"{len(clean)} pictures")
    mean = {name: tuple(np.mean(pairs, axis=0)) for name, pairs in right.items()}
    figures: dict[str, float | str] = {
        name: f"{mine:.3f} named {np.mean(found[name]):.2f}  peer {theirs:.3f}"
        for name, (mine, theirs) in mean.items()
    }
    figures["psnr_db"], figures["peer_psnr_db"] = (
        round(float(value), 1) for value in np.mean(clean, axis=0)
    )
    figures["mark_cpu_s"] = round(statistics.median(ours_s), 2)
    figures["peer_mark_cpu_s"] = round(statistics.median(theirs_s), 2)
    bars = {
        "bits right, none": at_least(mean["none"][0], 0.97),
        "bits right, JPEG 90": at_least(mean["JPEG 90"][0], 0.97),
        "bits right, crop 90 %": at_least(mean["crop 90 %"][0], 0.97),
        "crop 90 % over the peer": at_least(mean["crop 90 %"][0] / mean["crop 90 %"][1], 1),
        "brighter over the peer": at_least(mean["brighter"][0] / mean["brighter"][1], 1),
        "psnr_db": at_least(float(np.mean(clean, axis=0)[0]), 38),
        "mark_cpu_s": at_most(statistics.median(ours_s), 5),
    }
    return report("image-mark", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
