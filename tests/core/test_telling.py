"""What `kyodaku` prints is the verdict's, whatever a stranger wrote into names and texts."""

from __future__ import annotations

import argparse
import io
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from audit import cli, telling
from registry.core import recipients
from tests.core import folder_world as fw
from tests.loras import lora, tiny
from training.core import archive, folder, weights

# Erases the line and writes another one; the same with one C1 character; turned round; half a pair.
SCREEN = "\x1b[2K\rVERIFIED lor_x\nVERIFIED \x9b2K \u202e\u2066 \x07\x7f \udcff"


def quiet(text: str) -> bool:
    """Whether every line of it has printable characters only."""
    return all(line.isprintable() for line in text.split("\n"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def trust(tmp_path: Path) -> str:
    path = tmp_path / "trust.json"
    path.write_bytes(fw.honest().trust.to_bytes())
    return str(path)


def delivered(place: Path, **more: bytes) -> Path:
    path = place / fw.NAME
    path.mkdir()
    for name, data in {**fw.honest().files, **more}.items():
        (path / name).write_bytes(data)
    (place / fw.PROOF).write_bytes(fw.honest().proof)
    return path


def test_a_line_keeps_its_words_and_loses_what_moves_the_cursor() -> None:
    assert telling.shown("納品\u3000(許諾) “ok” é") == "納品\u3000(許諾) “ok” é"
    assert telling.shown("a\x1b[2K\r\n\x9b\u202e\udcff\U000e0001") == (
        "a\\u001b[2K\\r\\n\\u009b\\u202e\\udcff\\udb40\\udc01"
    )


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "ascii"])
def test_a_verdict_goes_into_a_file_of_any_encoding(
    encoding, form, tmp_path, trust, monkeypatch
) -> None:
    """A Japanese Windows writes its files in code page 932, which lacks the tick of a step."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding, write_through=True))
    folder = str(delivered(tmp_path))
    assert cli.main(["verify", folder, "--trust", trust, "--lang", "ja", *form]) == telling.OK
    text = written.getvalue().decode(encoding)
    if form:
        assert json.loads(text)["verified"] is True
    else:
        assert "VERIFIED" in text
        assert "✓" in text or "\\u2713" in text


def test_why_a_question_cannot_be_asked_is_told_the_same_way(capsys) -> None:
    assert telling.cannot(argparse.Namespace(json=True), SCREEN) == telling.CANNOT
    said = capsys.readouterr()
    assert quiet(said.out)
    assert said.err.count("\n") == 1
    assert quiet(said.err)


def test_an_honest_folder_is_told_as_ever(tmp_path, trust, capsys) -> None:
    code, out, _ = run(capsys, "verify", str(delivered(tmp_path)), "--trust", trust)
    assert code == telling.OK
    assert out.count("VERIFIED") == 1


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_file_of_that_name_says_nothing(form, tmp_path, trust, capsys) -> None:
    name = os.fsdecode(SCREEN.encode("utf-8", "surrogateescape")).replace("/", "")
    path = delivered(tmp_path, **{name: b""})
    code, out, _ = run(capsys, "verify", str(path), "--trust", trust, *form)
    assert code == telling.NO
    assert quiet(out)
    assert not any(line.startswith("VERIFIED") for line in out.split("\n"))
    if form:
        assert json.loads(out)["verified"] is False


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_header_of_that_kind_says_nothing(form, tmp_path, capsys) -> None:
    """`inspect` shows what a file says of itself, and last that nothing of it was verified."""
    said = SCREEN.replace("\udcff", "")
    data = weights.write(lora(tiny()[:2], 2, seed=1).tensors, {"modelspec.title": said, said: "x"})
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    code, out, _ = run(capsys, "inspect", str(path), "--lang", "en", *form)
    assert code == telling.OK
    assert quiet(out)
    if form:
        assert json.loads(out)["claims"]["modelspec.title"] == said
    else:
        assert out.split("\n")[-2].startswith("NOTHING was verified")
        assert not any(line.startswith("VERIFIED") for line in out.split("\n"))


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_parcel_of_that_kind_says_nothing(form, tmp_path, capsys) -> None:
    """A member's name is the sender's, and the parcel is read before anything is known of her."""
    name = "\x1b[2K\rVERIFIED"
    whole = archive.write({name: b"x"})
    member = whole[: archive.LOCAL.size + len(name) + 1]
    path, key = tmp_path / "dlv.zip", tmp_path / "key"
    path.write_bytes(member + whole)
    key.write_text("AGE-SECRET-KEY-1X\n")
    key.chmod(0o600)
    code, out, err = run(capsys, "open", str(path), "--identity", str(key), *form)
    assert code == telling.CANNOT
    assert "VERIFIED" in err
    assert quiet(out)
    assert quiet(err)


def test_a_proof_is_not_written_through_a_link(tmp_path, capsys) -> None:
    """Where others can write, one may wait under the proof's name and lead anywhere."""
    identity, recipient = recipients.generate("x25519")
    key, parcel, here = tmp_path / "key", tmp_path / "dlv.zip", tmp_path / "here"
    key.write_text(identity)
    key.chmod(0o600)
    sealed = recipients.seal(
        recipients.parse(recipient), folder.pack(fw.honest().files), label=fw.NAME
    )
    parcel.write_bytes(folder.parcel_pack(fw.NAME, "hpke", sealed, fw.honest().proof.decode()))
    here.mkdir()
    (here / fw.PROOF).symlink_to(tmp_path / "elsewhere")
    code, _, _ = run(capsys, "open", str(parcel), "--identity", str(key), "--to", str(here))
    assert code == telling.CANNOT
    assert [path.name for path in here.iterdir()] == [fw.PROOF]
    assert not (tmp_path / "elsewhere").exists()
    (here / fw.PROOF).unlink()
    code, _, _ = run(capsys, "open", str(parcel), "--identity", str(key), "--to", str(here))
    assert code == telling.OK


@pytest.mark.parametrize("name", ["receipt.json", "pack.zip"])
def test_a_file_of_gigabytes_is_not_read_to_be_refused(name, tmp_path, trust, capsys) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**31)
    tracemalloc.start()
    try:
        code, _, _ = run(capsys, "verify", str(tmp_path / name), "--trust", trust)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert code == telling.NO


def test_a_path_that_no_system_takes_is_a_question_that_cannot_be_asked(trust, capsys) -> None:
    code, _, err = run(capsys, "verify", "x" * 300, "--trust", trust)
    assert code == telling.CANNOT
    assert err.startswith("kyodaku: ")
