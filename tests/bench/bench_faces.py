"""Who is in a picture, and at what cost. `make bench-faces`.

    python -m tests.bench.bench_faces          (minutes; QUICK=1: about one)

Accuracy, at the default threshold (`weak` of the shipped calibration), on pictures that pinned
packages ship: every picture against every other, the six faces of a group picture against each
other and everybody, and each person's own pictures against their own centroid. Then every picture
spoilt in every way of a grid (small, blurred, turned, covered, smoothed, whitened, noisy, slimmed)
against all untouched ones: no stranger may rise above the threshold, however spoilt; how many of
her own fall below it is printed and is no bar, for a spoilt picture that reads as a stranger
blocks and harms nobody.

Cost: the full curation of twenty photographs of twelve megapixels (decoding, faces, every measure,
every rule), beside decoding them and the bare `FaceAnalysis.get()` on each, in the same process, as
processor time on one thread, rounds of both in turn. Taking uploads in (decoding, re-encoding,
hashing) comes before that once and is printed beside it. Then `kyodaku curate` on the same twenty
as files: elapsed time, and the peak memory of that process.
"""

from __future__ import annotations

import io
import itertools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from registry.core.refusals import Refusal
from tests.bench import people
from tests.bench.report import QUICK, at_least, at_most, report, say
from training.core.pictures import Picture, normalise
from training.engines import pack, scenery
from training.engines.base import Face, Rgb
from training.engines.insightface import InsightFaceEngine, open_engine
from training.engines.survey import enrol, survey

Spoil = Callable[[Rgb, Face], Rgb]
SEED = 2026
PICTURES = 20
FEW = ("obama.jpg", "person_a_2.jpg", "person_b_1.jpg", "astronaut.png")


def opened() -> InsightFaceEngine:
    """The engine on the default pack, built into the cache where it is not installed."""
    folder = people.ROOT / pack.DEFAULT_OUT
    if not pack.is_built(folder):
        folder = people.CACHE / pack.MODEL_ID
        if pack.main(["--out", str(folder)]) != 0:
            raise SystemExit(2)
    if scenery.main(["--out", str(folder.parent / scenery.PACK_ID)]) != 0:
        raise SystemExit(2)
    engine = open_engine(folder)
    if isinstance(engine, Refusal):
        raise SystemExit(f"{engine.code}: {engine.detail}")
    return engine


# --- the grid -------------------------------------------------------------------------------------


def scaled(pixels: int) -> Spoil:
    """The picture so small that the face is this wide."""

    def spoil(rgb: Rgb, face: Face) -> Rgb:
        scale = pixels / face.side
        size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))

    return spoil


def blurred(share: float) -> Spoil:
    """A Gaussian of this share of the face's width."""
    return lambda rgb, face: np.asarray(cv2.GaussianBlur(rgb, (0, 0), share * face.side))


def rotated(degrees: float) -> Spoil:
    """About the face's middle, with the border repeated."""

    def spoil(rgb: Rgb, face: Face) -> Rgb:
        left, top, right, bottom = face.box
        matrix = cv2.getRotationMatrix2D(((left + right) / 2, (top + bottom) / 2), degrees, 1.0)
        size = (rgb.shape[1], rgb.shape[0])
        return np.asarray(cv2.warpAffine(rgb, matrix, size, borderMode=cv2.BORDER_REPLICATE))

    return spoil


def covered(left: float, top: float, right: float, bottom: float) -> Spoil:
    """A grey patch over a part of the face's box."""

    def spoil(rgb: Rgb, face: Face) -> Rgb:
        made = rgb.copy()
        x, y, x2, y2 = face.box
        wide, high = x2 - x, y2 - y
        rows = slice(max(round(y + top * high), 0), max(round(y + bottom * high), 0))
        columns = slice(max(round(x + left * wide), 0), max(round(x + right * wide), 0))
        made[rows, columns] = 128
        return made

    return spoil


def cut(rgb: Rgb, face: Face) -> Rgb:
    """The picture's edge goes through the middle of the face."""
    return np.ascontiguousarray(rgb[:, : round((face.box[0] + face.box[2]) / 2)])


def smoothed(rgb: Rgb, face: Face) -> Rgb:
    """A bilateral filter, three times: what beauty programs do to skin."""
    for _ in range(3):
        rgb = np.asarray(cv2.bilateralFilter(rgb, 9, 40, 9))
    return rgb


def whitened(rgb: Rgb, face: Face) -> Rgb:
    """Smoothed, lighter, and half the colour."""
    lab = cv2.cvtColor(smoothed(rgb, face), cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] = np.minimum(lab[..., 0] * 1.15 + 12, 255)
    lab[..., 1:] = (lab[..., 1:] - 128) * 0.5 + 128
    return np.asarray(cv2.cvtColor(lab.astype(np.uint8), cv2.COLOR_LAB2RGB))


def painted(rgb: Rgb, face: Face) -> Rgb:
    """An edge-preserving filter so strong that it looks painted."""
    return np.asarray(cv2.edgePreservingFilter(rgb, flags=1, sigma_s=60, sigma_r=0.6))


def denoised(rgb: Rgb, face: Face) -> Rgb:
    """Non-local means, strength 20."""
    return np.asarray(cv2.fastNlMeansDenoisingColored(rgb, None, 20, 20, 5, 15))


def noisy(sigma: float) -> Spoil:
    """Gaussian noise in every channel."""

    def spoil(rgb: Rgb, face: Face) -> Rgb:
        noise = np.random.default_rng(SEED).normal(0, sigma, rgb.shape)
        return np.asarray((rgb + noise).clip(0, 255).astype(np.uint8))

    return spoil


def jpeg(quality: int) -> Spoil:
    """Through a JPEG of this quality."""

    def spoil(rgb: Rgb, face: Face) -> Rgb:
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "JPEG", quality=quality)
        return people.decoded(out.getvalue())

    return spoil


def darker(rgb: Rgb, face: Face) -> Rgb:
    """Gamma 3."""
    return np.asarray(((rgb / 255.0) ** 3 * 255).astype(np.uint8))


def grey(rgb: Rgb, face: Face) -> Rgb:
    """Without colour."""
    flat = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB))


def stretched(share: float) -> Spoil:
    """Slimmed or widened."""

    def spoil(rgb: Rgb, face: Face) -> Rgb:
        size = (max(round(rgb.shape[1] * share), 1), rgb.shape[0])
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))

    return spoil


GRID: Mapping[str, Spoil] = {
    "untouched": lambda rgb, face: rgb,
    "mirrored": lambda rgb, face: np.ascontiguousarray(rgb[:, ::-1]),
    **{f"face of {px} px": scaled(px) for px in (112, 64, 48, 32, 24)},
    **{f"blur {share:.0%} of the face": blurred(share) for share in (0.02, 0.04, 0.08)},
    **{f"rotated {degrees}": rotated(degrees) for degrees in (15, 30, 45, 90, 180)},
    "lower half covered": covered(0, 0.55, 1, 1.1),
    "left half covered": covered(0, 0, 0.5, 1.1),
    "bar over the eyes": covered(-0.1, 0.22, 1.1, 0.5),
    "cut at the edge": cut,
    "skin smoothed": smoothed,
    "smoothed and whitened": whitened,
    "painted look": painted,
    "denoised h=20": denoised,
    "noise 25": noisy(25),
    "noise 50": noisy(50),
    "JPEG 10": jpeg(10),
    "gamma 3": darker,
    "grey": grey,
    "slimmed to 85 %": stretched(0.85),
    "widened to 120 %": stretched(1.2),
}


# --- accuracy -------------------------------------------------------------------------------------


class Faces:
    """Everybody's untouched pictures with their faces, found once."""

    def __init__(self, engine: InsightFaceEngine) -> None:
        self.engine, self.weak = engine, engine.profile.weak / 1000
        self.rows: list[tuple[str, str, Rgb, Face]] = []
        for who, pictures in people.people().items():
            for name, rgb in pictures:
                found = engine.faces(rgb)
                if len(found) == 1:
                    self.rows.append((who, name, rgb, found[0]))
        self.pictures = sum(map(len, people.people().values()))
        self.crowd = engine.faces(people.group())

    def pairs(self) -> tuple[list[float], list[float]]:
        """Likeness of every two pictures: of one person, and of two."""
        known = [(who, face) for who, _, _, face in self.rows]
        known += [(f"in the group {n}", face) for n, face in enumerate(self.crowd)]
        own: list[float] = []
        others: list[float] = []
        for (who, one), (whose, other) in itertools.combinations(known, 2):
            (own if who == whose else others).append(float(one.embedding @ other.embedding))
        return own, others

    def centroids(self) -> tuple[list[float], list[float]]:
        """Likeness to the centroid of three pictures of a person: their rest, and others'."""
        own: list[float] = []
        others: list[float] = []
        for who in sorted({who for who, *_ in self.rows}):
            mine = [face.embedding for name, _, _, face in self.rows if name == who]
            rest = [face.embedding for name, _, _, face in self.rows if name != who]
            rest += [face.embedding for face in self.crowd]
            for drawn in itertools.combinations(range(len(mine)), 3):
                total = np.sum([mine[place] for place in drawn], axis=0)
                centroid = total / np.linalg.norm(total)
                left = [vector for place, vector in enumerate(mine) if place not in drawn]
                own += [float(vector @ centroid) for vector in left]
                others += [float(vector @ centroid) for vector in rest]
        return own, others

    def spoilt(self) -> dict[str, dict[str, Any]]:
        """The grid: by change, faces lost, her own likeness, and the highest stranger."""
        probes = [row for row in self.rows if not QUICK or row[1] in FEW]
        found: dict[str, dict[str, Any]] = {}
        for name, spoil in GRID.items():
            lost, own, strangers = 0, [], []
            for who, file, rgb, face in probes:
                seen = self.engine.faces(spoil(rgb, face))
                lost += not seen
                for one in seen:
                    for whose, _file, _rgb, known in self.rows:
                        if whose != who:
                            strangers.append(float(one.embedding @ known.embedding))
                if seen:
                    mine = [k for w, f, _, k in self.rows if w == who and f != file]
                    surest = seen[0].embedding
                    own += [max(float(surest @ k.embedding) for k in mine)] if mine else []
            found[name] = {
                "probes": len(probes),
                "no face": lost,
                "own, mean": round(statistics.fmean(own), 2) if own else None,
                "own below": f"{sum(score < self.weak for score in own)}/{len(own)}",
                "strangers": len(strangers),
                "highest": round(max(strangers, default=-1.0), 3),
            }
            say(f"{name}: {found[name]}")
        return found


def accuracy(engine: InsightFaceEngine) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and bars of who is recognised."""
    faces = Faces(engine)
    own, others = faces.pairs()
    own3, others3 = faces.centroids()
    grid = faces.spoilt()
    tried = sum(row["strangers"] for row in grid.values())
    highest = max(row["highest"] for row in grid.values())
    figures = {
        "threshold (weak)": faces.weak,
        "pictures with one face": f"{len(faces.rows)} of {faces.pictures}",
        "same person, pairs": f"{len(own)} trials, lowest {min(own):.3f}",
        "different people, pairs": f"{len(others)} trials, highest {max(others):.3f}",
        "same person, centroid of 3": f"{len(own3)} trials, lowest {min(own3):.3f}",
        "different people, centroid of 3": f"{len(others3)} trials, highest {max(others3):.3f}",
        **{f"grid: {name}": str(row) for name, row in grid.items()},
        "grid": f"{len(grid)} changes, {tried} trials of strangers, highest {highest:.3f}",
    }
    weak = faces.weak
    bars = {
        "false accepts": at_most(sum(score >= weak for score in (*others, *others3)), 0),
        "false rejects": at_most(sum(score < weak for score in (*own, *own3)), 0),
        "pictures without their one face": at_most(faces.pictures - len(faces.rows), 0),
        "faces of the group picture": at_least(len(faces.crowd), 6),
        "faces too many in it": at_most(len(faces.crowd), 6),
        "strangers above it, spoilt": at_most(
            sum(row["highest"] >= weak for row in grid.values()), 0
        ),
    }
    return figures, bars


# --- cost -----------------------------------------------------------------------------------------


def photographs(count: int) -> list[bytes]:
    """JPEGs of 4000 x 3000 pixels: a person before soft colours, with a camera's grain."""
    dice = np.random.default_rng(SEED)
    everybody = people.people()["obama"]
    made = []
    for number in range(count):
        _, rgb = everybody[number % 4]
        high = int(dice.integers(2000, 3000))
        size = (round(rgb.shape[1] * high / rgb.shape[0]), high)
        person = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC))[:, :3600]
        coarse = dice.integers(0, 255, (9, 12, 3), dtype=np.uint8)
        whole = cv2.resize(coarse, (4000, 3000), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        left = int(dice.integers(0, 4000 - person.shape[1] + 1))
        whole[3000 - high :, left : left + person.shape[1]] = person
        whole += dice.normal(0, 3, (3000, 4000, 1)).astype(np.int16)
        out = io.BytesIO()
        pixels = whole.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(out, "JPEG", quality=92)
        made.append(out.getvalue())
    return made


def cost(engine: InsightFaceEngine) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and bars of what a curation costs."""
    files = photographs(PICTURES)
    began = time.process_time()
    taken = [normalise(data) for data in files]
    intake = time.process_time() - began
    pictures = [picture for picture in taken if isinstance(picture, Picture)]
    template = enrol(pictures[:4], engine)
    if isinstance(template, Refusal):
        raise SystemExit(template.detail)
    bare: list[float] = []
    full: list[float] = []
    for _ in range(1 if QUICK else 3):
        began = time.process_time()
        for data in files:
            engine.bare(people.decoded(data))
        bare.append(time.process_time() - began)
        began = time.process_time()
        made = survey(pictures, template, engine)
        full.append(time.process_time() - began)
        say(f"bare {bare[-1]:.2f} s, curation {full[-1]:.2f} s of processor time")
    if len(made.pictures) != PICTURES:
        raise SystemExit("pictures were lost")
    elapsed, peak, told = command(files)
    base, whole = statistics.median(bare), statistics.median(full)
    figures = {
        "pictures": f"{PICTURES} of 12 megapixels, {sum(map(len, files)) >> 20} MiB",
        "decode and bare get(), CPU s": round(base, 3),
        "full curation, CPU s": round(whole, 3),
        "taking them in before, CPU s": round(intake, 3),
        "taking in and curation, ratio": round((intake + whole) / base, 2),
        "lines of progress": told,
    }
    bars = {
        "full curation, ratio": at_most(whole / base, 2.0),
        "kyodaku curate, elapsed s": at_most(elapsed, 30),
        "kyodaku curate, peak MiB": at_most(peak, 1536),
        "progress was told": at_least(told, 4),
    }
    return figures, bars


def command(files: list[bytes]) -> tuple[float, float, int]:
    """`kyodaku curate` on files: elapsed seconds, peak MiB, lines of progress."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, some in (("set", files), ("references", files[:4])):
            (Path(scratch) / name).mkdir()
            for number, data in enumerate(some):
                (Path(scratch) / name / f"{number:02d}.jpg").write_bytes(data)
        folder = people.ROOT / pack.DEFAULT_OUT
        folder = folder if pack.is_built(folder) else people.CACHE / pack.MODEL_ID
        asked = [sys.executable, "-m", "audit.cli", "curate", f"{scratch}/set", "--json"]
        asked += ["--references", f"{scratch}/references", "--out", f"{scratch}/out"]
        asked += ["--pack", str(folder)]
        began = time.monotonic()
        with subprocess.Popen(
            asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=people.ROOT
        ) as running:
            said = running.stderr.read() if running.stderr else ""
        elapsed = time.monotonic() - began
        if running.returncode not in (0, 1):
            raise SystemExit(said)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return elapsed, peak, sum("/" in line for line in said.splitlines())


def main() -> int:
    """Run all, print, return the exit status."""
    began = time.monotonic()
    engine = opened()
    figures, bars = cost(engine)
    seen, right = accuracy(engine)
    figures, bars = {**seen, **figures}, {**right, **bars}
    figures["elapsed s"] = round(time.monotonic() - began, 1)
    return report("faces", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
