"""`kyodaku curate`: a folder with everything in it that could stop it, and nothing does."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pytest
from PIL import Image

from audit import cli
from registry.core.refusals import CODES, Locale, Refusal, explain
from tests.core.test_pictures import bomb, deep_png, deep_tiff, saved, scene
from training.core.curation_sheet import sheet
from training.desk import arguments
from training.desk.curate import CANNOT, OPEN, READY
from training.desk.folder import read_folder
from training.engines import pack
from training.services import curation_print
from training.services.curation import report_of

pytestmark = pytest.mark.ml
GOOD = 6
ORIENTATION = 0x0112


def zipped() -> bytes:
    """An archive whose content unpacks to a gigabyte."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inside.jpg", b"\0" * 4_000_000)
    return out.getvalue()


def moving(kind: str) -> bytes:
    return saved(scene(), kind, save_all=True, append_images=[scene().rotate(180)])


def heic() -> bytes:
    return struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 4096


# file name: (content, the refusal's code)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb.png": (lambda: bomb(60_000, 60_000), "image_too_large"),
    "wide.png": (lambda: bomb(30_000, 300), "image_too_large"),
    "zip-bomb.jpg": (zipped, "image_format"),
    "polyglot.jpg": (lambda: saved(scene()) + zipped(), "image_polyglot"),
    "pdf.jpg": (lambda: saved(scene(), comment=b"%PDF-1.7"), "image_polyglot"),
    "truncated.jpg": (lambda: saved(scene())[:3000], "image_unreadable"),
    "deep.png": (deep_png, "image_depth"),
    "deep.tif": (deep_tiff, "image_depth"),
    "print.jpg": (lambda: saved(scene().convert("CMYK")), "image_colours"),
    "moving.png": (lambda: moving("PNG"), "image_animated"),
    "moving.webp": (lambda: moving("WEBP"), "image_animated"),
    "moving.gif": (lambda: moving("GIF"), "image_format"),
    "telephone.heic": (heic, "image_format"),
    "disguised.jpg": (lambda: saved(scene(), "PNG"), "image_extension"),
    "nameless": (lambda: saved(scene()), "image_extension"),
    "notes.txt": (lambda: "撮影メモ".encode(), "image_unreadable"),
    "empty.jpg": (lambda: b"", "image_unreadable"),
    "tiny.jpg": (lambda: saved(scene(90, 90)), "image_too_small"),
}


@dataclass
class Run:
    code: int
    answer: dict[str, Any]
    out: Path
    terminal: str


@pytest.fixture(scope="module")
def folder(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six good pictures, one of them lying on its side by EXIF, and every hostile one."""
    made = tmp_path_factory.mktemp("set") / "素材 [A]"
    made.mkdir()
    good = sorted((demo_dir / "talent").glob("*.png"))[:GOOD]
    for path in good[:-1]:
        shutil.copy(path, made / path.name)
    with Image.open(good[-1]) as image:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        sideways = image.transpose(Image.Transpose.ROTATE_90)
        sideways.save(made / "turned.jpg", quality=95, exif=exif)
    for name, (make, _) in HOSTILE.items():
        (made / name).write_bytes(make())
    (made / "link.png").symlink_to(good[0])
    (made / "folder.jpg").mkdir()
    (made / ".DS_Store").write_bytes(b"x")
    return made


@pytest.fixture(scope="module")
def run(
    folder: Path, demo_dir: Path, pack_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """One run of the real program in a directory with a decoy of the pack's name."""
    here = tmp_path_factory.mktemp("here")
    decoy = here / pack_dir.name
    decoy.mkdir()
    (decoy / "manifest.json").write_text("{}", "utf-8")
    (decoy / "det.onnx").write_bytes(b"no model")
    command = [sys.executable, "-m", "audit.cli", "curate", str(folder), "--json", "--lang", "en"]
    command += ["--references", str(demo_dir / "references"), "--pack", str(pack_dir.resolve())]
    done = subprocess.run(
        command,
        cwd=here,
        env={"PYTHONPATH": str(arguments.ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    out = here / f"{folder.name}-curation"
    return Run(done.returncode, json.loads(done.stdout), out, done.stderr)


@pytest.mark.parametrize(
    ("name", "code"),
    [(name, code) for name, (_, code) in HOSTILE.items()]
    + [("link.png", "file_not_plain"), ("folder.jpg", "file_not_plain")],
)
def test_each_hostile_file_is_refused_by_name(run: Run, name: str, code: str) -> None:
    refused = {item["file"]: item for item in run.answer["refused"]}
    assert refused[name]["code"] == code
    for locale in ("ja", "en"):
        explained = explain(code, locale)
        assert refused[name]["sentence"][locale] == explained.what
        assert refused[name]["next"][locale] == explained.next


def test_all_the_others_are_in_the_set(run: Run, folder: Path) -> None:
    assert len(run.answer["files"]) == GOOD
    assert len(run.answer["refused"]) == len(HOSTILE) + 2
    pictures = run.answer["report"]["pictures"]
    assert [[face["band"] for face in item["faces"]] for item in pictures] == [["match"]] * GOOD
    # The one that EXIF turns was looked at upright.
    turned = next(place for place, name in run.answer["files"].items() if name == "turned.jpg")
    assert next(p for p in pictures if p["id"] == turned)["faces"][0]["turn"] == 0
    assert run.code == OPEN
    assert f"Looking at the pictures {GOOD}/{GOOD}" in run.terminal


def test_the_report_is_the_one_that_people_would_sign(run: Run) -> None:
    stored = json.loads((run.out / "curation.json").read_text("utf-8"))
    assert stored == run.answer
    assert {path.name for path in run.out.iterdir()} == {
        "curation.json",
        *(f"curation.{locale}.{kind}" for locale in ("ja", "en") for kind in ("html", "pdf")),
    }


@pytest.mark.parametrize(("locale", "word"), [("ja", "写真の選別報告"), ("en", "Curation report")])
def test_the_pages_say_it_in_both_languages(run: Run, locale: Locale, word: str) -> None:
    html = (run.out / f"curation.{locale}.html").read_text("utf-8")
    assert f'lang="{locale}"' in html
    assert word in html
    assert html.count("data:image/jpeg;base64,") == GOOD
    assert "http" not in html.replace('http-equiv="Content-Security-Policy"', "")
    assert explain("image_polyglot", locale).what in html
    paper = pypdf.PdfReader(run.out / f"curation.{locale}.pdf")
    assert "curation.json" in paper.attachments
    assert word in "".join(page.extract_text() for page in paper.pages).replace("\0", "")


def test_a_name_is_text_and_nothing_else(run: Run, tmp_path: Path) -> None:
    names = {
        item["id"]: '<script>alert("1")</script>.jpg' for item in run.answer["report"]["pictures"]
    }
    report = report_of(run.answer["report"])
    page = curation_print.html(sheet(report, names, [("<b>", Refusal("image_depth"))], "ja"), {})
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>&lt;b&gt;</b>" in page


def test_the_table_says_each_point_once_with_its_files(
    demo_dir: Path, pack_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, references = str(tmp_path / "out"), str(demo_dir / "references")
    command = ["curate", str(demo_dir / "stranger"), "--references", references, "--lang", "ja"]
    assert cli.main([*command, "--out", out, "--pack", str(pack_dir)]) == OPEN
    said = capsys.readouterr().out
    below = said[said.rindex("┘") :]
    line = next(line for line in below.splitlines() if "許諾のない人の顔" in line)
    assert below.count("許諾のない人の顔") == 1
    assert all(f"stranger-{number:02d}.png" in line for number in range(1, 7))


# --- the question cannot be asked -----------------------------------------------------------------


def ask(
    capsys: pytest.CaptureFixture[str], folder: Path, references: Path, *options: str
) -> tuple[int, dict[str, Any]]:
    out = str(folder.parent / "out")
    command = ["curate", str(folder), "--references", str(references), "--out", out, "--json"]
    code = cli.main([*command, *options])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def small(demo_dir: Path, tmp_path: Path) -> Path:
    made = tmp_path / "small"
    made.mkdir()
    shutil.copy(demo_dir / "talent" / "talent-01.png", made)
    return made


def test_one_flipped_byte_in_the_pack_stops_it(
    small: Path, demo_dir: Path, own_pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ask(capsys, small, demo_dir / "references", "--pack", str(own_pack))
    assert whole[0] == OPEN
    weights = own_pack / pack.RECOGNISER
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    code, answer = ask(capsys, small, demo_dir / "references", "--pack", str(own_pack))
    assert (code, answer["open"][0]["code"]) == (CANNOT, "engine_altered")


def test_a_pack_that_is_not_there_is_named(
    small: Path, demo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = ask(capsys, small, demo_dir / "references", "--pack", str(tmp_path))
    assert (code, answer["open"][0]["code"]) == (CANNOT, "engine_missing")


def test_references_that_do_not_agree_are_no_references(
    small: Path, demo_dir: Path, pack_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = small.parent / "mixed"
    shutil.copytree(demo_dir / "references", mixed)
    assert ask(capsys, small, mixed, "--pack", str(pack_dir))[0] == OPEN
    shutil.copy(next((demo_dir / "stranger").glob("*.png")), mixed / "somebody.png")
    code, answer = ask(capsys, small, mixed, "--pack", str(pack_dir))
    assert (code, answer["open"][0]["code"]) == (CANNOT, "no_references")


def test_another_packs_calibration_is_refused(
    small: Path, demo_dir: Path, pack_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = arguments.ROOT / "training/engines/calibrations/yunet_sface.json"
    given = json.loads(shipped.read_bytes())
    file = tmp_path / "calibration.json"
    options = ("--pack", str(pack_dir), "--calibration", str(file))
    file.write_text(json.dumps(given | {"weak": 510}), "utf-8")
    code, answer = ask(capsys, small, demo_dir / "references", *options)
    assert (code, answer["report"]["profile"]["weak"]) == (OPEN, 510)
    changes: tuple[dict[str, Any], ...] = (
        {"engine_digest": "0" * 64},
        {"settings": {}},
        {"weak": 700},
        {"format": "x"},
    )
    for change in changes:
        file.write_text(json.dumps(given | change), "utf-8")
        code, answer = ask(capsys, small, demo_dir / "references", *options)
        assert (code, answer["open"][0]["code"]) == (CANNOT, "calibration_mismatch"), change


def test_a_folder_that_is_none_is_said(
    demo_dir: Path, pack_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = ask(
        capsys, tmp_path / "nothing", demo_dir / "references", "--pack", str(pack_dir)
    )
    assert (code, answer["open"][0]["code"]) == (CANNOT, "folder_unreadable")


def test_a_set_without_a_point_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (READY, OPEN, CANNOT) == (0, 1, 2)
    assert "file_not_plain" in CODES
    monkeypatch.setenv("KYODAKU_ENGINE_DIR", "here")
    assert arguments._pack() == Path.cwd() / "here"
    monkeypatch.delenv("KYODAKU_ENGINE_DIR")
    monkeypatch.setenv("KYODAKU_HOME", "/elsewhere")
    assert arguments._pack() == Path("/elsewhere/engines/yunet_sface")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "one.jpg").write_bytes(saved(scene()))
    found = {entry.name: entry.made for entry in read_folder(tmp_path)}
    assert found["pipe.jpg"] == Refusal("file_not_plain", "no file")
    assert not isinstance(found["one.jpg"], Refusal)
    assert np.asarray(found["one.jpg"].data[:2] == b"\xff\xd8").all()
