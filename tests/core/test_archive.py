"""The archive and the folder on disk: what a stranger's container may hold, and what it costs."""

from __future__ import annotations

import functools
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.verifier import folder as verifier
from audit.verifier import pack as packs
from registry.log.core.errors import VerificationError
from tests.core import folder_world as fw
from tests.core import pack_world as world
from training.core import archive, folder
from training.core.archive import LOCAL, LOCAL_MAGIC


@given(
    st.dictionaries(st.text("abcdef.", min_size=1, max_size=8), st.binary(max_size=64), min_size=1)
)
def test_an_archive_gives_back_what_it_holds(files: dict[str, bytes]) -> None:
    data = archive.write(files)
    assert archive.read(data, lambda _: None) == files
    assert archive.write(dict(reversed(files.items()))) == data


@settings(max_examples=300)
@given(st.data())
def test_no_byte_of_an_archive_can_change_unnoticed(data: st.DataObject) -> None:
    whole = archive.write({"a.json": b"first", "b.json": b"second"})
    place = data.draw(st.integers(0, len(whole) - 1))
    spoiled = (
        whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    )
    with pytest.raises(VerificationError):
        archive.read(spoiled, lambda _: None)


@pytest.mark.parametrize(
    "files", [{}, {"å": b""}, {f"f{n}": b"" for n in range(archive.MAX_FILES + 1)}]
)
def test_what_an_archive_cannot_hold_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(VerificationError):
        archive.write(files)


def test_a_parcel_holds_an_encrypted_folder_and_its_proof() -> None:
    sealed, proof = b"age-encryption.org/v1", fw.honest().proof
    parcel = folder.parcel_pack(fw.NAME, "age", sealed, proof.decode())
    assert folder.parcel_unpack(parcel) == (fw.NAME, sealed, proof)


@pytest.mark.parametrize(
    "names",
    [
        (f"{fw.NAME}.zip.age",),
        (fw.PROOF,),
        (f"{fw.NAME}.zip.age", fw.PROOF, "extra"),
        (f"{fw.NAME}.zip.age", "dlv_" + "9f" * 10 + ".tlog-proof"),
        (f"{fw.NAME}.zip.age", f"{fw.NAME}.zip.hpke", fw.PROOF),
        ("../evil.zip.age", fw.PROOF),
    ],
)
def test_what_is_no_parcel_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(VerificationError) as caught:
        folder.parcel_unpack(archive.write(dict.fromkeys(names, b"x")))
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "lor_..safetensors"])
def test_a_folder_with_a_strange_name_in_it_is_not_unpacked(name: str) -> None:
    with pytest.raises(VerificationError):
        folder.unpack(archive.write({**fw.honest().files, name: b"x"}))


def test_a_page_of_a_megabyte_is_not_packed() -> None:
    with pytest.raises(VerificationError, match="larger"):
        folder.pack({**fw.honest().files, folder.README: bytes(folder.MAX_PAGE_BYTES + 1)})


# --- a stranger's archive -------------------------------------------------------------------------


def anything(_: Mapping[str, bytes]) -> None:
    """A caller without rules: what is refused then, the archive itself refuses."""


def member(name: bytes, data: bytes = b"x", /, **lies: int) -> bytes:
    """One member as `write` makes it, but for what it says of itself."""
    said = {
        "version": 20, "flags": 0, "method": 0, "time": 0, "date": 0x21,
        "crc": zlib.crc32(data), "packed": len(data), "size": len(data),
        "name": len(name), "extra": 0,
    } | lies  # fmt: skip
    return LOCAL.pack(LOCAL_MAGIC, *said.values()) + name + data


def ended(*members: bytes) -> bytes:
    """These members under the directory of one honest file: no reader must come to that."""
    return b"".join(members) + archive.write({"x": b"x"})[LOCAL.size + 2 :]


def refused(data: bytes) -> str:
    with pytest.raises(VerificationError) as caught:
        archive.read(data, anything)
    assert caught.value.code == "malformed"
    return caught.value.detail


def test_the_members_made_here_are_those_of_an_archive() -> None:
    assert archive.write({"x": b"x"}).startswith(member(b"x"))
    assert archive.read(ended(member(b"x")), anything) == {"x": b"x"}


LYING: dict[str, bytes] = {
    "a size that is larger than the file": member(b"a", size=2**32 - 1, packed=2**32 - 1),
    "two sizes": member(b"a", size=0),
    "a smaller size": member(b"a", b"xy", size=1, packed=1),
    "a longer name": member(b"a", name=0xFFFF),
    "an extra field": member(b"a", extra=4),
    "a compressed member": member(b"a", method=8),
    "an encrypted one": member(b"a", flags=1),
    "sizes in a descriptor": member(b"a", flags=8, size=0, packed=0),
    "another checksum": member(b"a", crc=0),
    "a date": member(b"a", date=0x5B21),
    "a name in UTF-8": member("納品".encode()),
    "a name of 256 characters": member(b"a" * 256),
    "a name twice": member(b"a") * 2,
    "names out of order": member(b"b") + member(b"a"),
    "a header and no more": member(b"a")[:12],
}


@pytest.mark.parametrize("case", LYING)
def test_a_member_that_lies_is_refused(case: str) -> None:
    refused(LYING[case])
    refused(ended(LYING[case]))
    refused(ended(LYING[case], member(b"x")))


@pytest.mark.parametrize("junk", [b"\0", b"PK\x05\x06", b"junk"])
def test_nothing_lies_before_after_or_between(junk: bytes) -> None:
    whole = archive.write({"a": b"x", "b": b"y"})
    between = len(member(b"a"))
    for spoiled in (junk + whole, whole + junk, whole[:between] + junk + whole[between:]):
        refused(spoiled)
    assert refused(b"")


def test_a_file_with_a_comment_or_a_second_directory_is_refused() -> None:
    whole = archive.write({"a": b"x"})
    refused(whole[:-2] + struct.pack("<H", 3) + b"abc")
    refused(whole + whole[len(member(b"a")) :])


def test_a_detail_shows_a_strangers_name_and_not_its_control_characters() -> None:
    detail = refused(member(b"\x1b[2K\rVERIFIED") * 2)
    assert detail.isprintable()
    assert "VERIFIED" in detail


def test_a_name_longer_than_255_is_not_written() -> None:
    assert archive.read(archive.write({"n" * 255: b""}), anything)
    with pytest.raises(VerificationError, match="too long"):
        archive.write({"n" * 256: b""})


def test_a_million_members_end_at_the_limit() -> None:
    """Names differ, so that it is their number which stops the reading."""
    data = b"".join(member(b"%07d" % number, b"") for number in range(1_000_000))
    tracemalloc.start()
    try:
        assert "more than" in refused(data)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_reading_takes_the_memory_of_the_archive_once() -> None:
    data = archive.write({"a": bytes(2**25), "b": b"y"})
    tracemalloc.start()
    try:
        archive.read(data, anything)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * len(data)
    finally:
        tracemalloc.stop()


class Huge(bytes):
    """Says that it is larger than an archive may be; whoever looks into it first has lost."""

    def __len__(self) -> int:
        return archive.MAX_ARCHIVE + 1

    def __getitem__(self, _: object) -> bytes:  # type: ignore[override]
        raise AssertionError("read before its size was looked at")


def test_what_is_larger_than_an_archive_is_not_looked_into() -> None:
    assert "larger" in refused(Huge())


# What other systems read as something else: a device, a path, the same file, another folder.
STRANGE = (
    "CON", "nul.txt", "model.sig:stream", "MODEL.SIG", "Readme.txt", "./model.sig", "model.sig/",
    "a/../model.sig", "..", ".", "", "model.sig ", "model.sig.", "model.sig\0", "\0", "\\model.sig",
    "C:model.sig", "~", "-rf", "LOR_" + world.LORA_ID[4:] + ".safetensors",
    world.LORA_ID + ".SAFETENSORS", world.LORA_ID + ".safetensors\n", world.LORA_ID + ".c2pa.",
)  # fmt: skip


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_no_other_name_is_unpacked_or_verified(name: str) -> None:
    whole = {**fw.honest().files, name: b"x"}
    with pytest.raises(VerificationError) as caught:
        folder.unpack(archive.write(whole))
    assert caught.value.detail.isprintable()
    with pytest.raises(VerificationError) as caught:
        fw.honest().verify(**{name: b"x"})
    assert caught.value.detail.isprintable()


LOOKALIKES = ("lor_\uff11" + "a" * 19 + ".safetensors", "m\u043edel.sig", "\u00e9", "e\u0301")


@pytest.mark.parametrize("name", LOOKALIKES, ids=ascii)
def test_a_name_that_only_looks_right_is_not_in_a_folder(name: str) -> None:
    """A digit of full width, a Cyrillic letter, one letter in two normal forms."""
    with pytest.raises(VerificationError, match="does not belong"):
        fw.honest().verify(**{name: b"x"})


@pytest.mark.parametrize(
    "name",
    ["dlv_" + "2B" * 10, "dlv_" + "2b" * 11, "../" + fw.NAME, fw.NAME + "\n", "/" + fw.NAME, ""],
    ids=ascii,
)
def test_a_parcel_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(VerificationError, match="not a parcel"):
        folder.parcel_unpack(archive.write({f"{name}.zip.age": b"x", f"{name}.tlog-proof": b"x"}))


def test_a_proof_in_a_parcel_is_no_larger_than_a_page() -> None:
    proof = "x" * (folder.MAX_PAGE_BYTES + 1)
    with pytest.raises(VerificationError, match="proof larger"):
        folder.parcel_unpack(folder.parcel_pack(fw.NAME, "age", b"x", proof))
    assert folder.parcel_unpack(folder.parcel_pack(fw.NAME, "age", b"x", proof[1:]))


# --- a stranger's folder --------------------------------------------------------------------------


@pytest.mark.parametrize("read", [verifier.load, packs.read_folder])
def test_folders_of_thousands_are_not_listed_whole(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    for number in range(1_000):
        (tmp_path / f"{number:05}").touch()
    tracemalloc.start()
    try:
        with pytest.raises(VerificationError, match="more"):
            read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_many_loras_of_a_gigabyte_are_refused_unread(tmp_path: Path) -> None:
    """Each is as large as one may be; together they are more than any delivery."""
    for number in range(3):
        with (tmp_path / f"lor_{number:020x}.safetensors").open("wb") as file:
            file.truncate(2**30)
    tracemalloc.start()
    try:
        with pytest.raises(VerificationError, match="larger"):
            verifier.load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / folder.README)
    with pytest.raises(VerificationError, match="regular"):
        verifier.load(tmp_path)


def test_a_file_that_is_longer_than_it_says_is_refused() -> None:
    """The kernel's own files have no size, and yet a content."""
    with pytest.raises(VerificationError, match="changed while"):
        verifier._content(Path("/proc/self/status"), 0)


def test_a_name_in_no_encoding_is_refused_and_can_be_told(tmp_path: Path) -> None:
    (Path(os.fsencode(tmp_path).decode()) / os.fsdecode(b"\xff\x1b[2K")).mkdir()
    with pytest.raises(VerificationError) as caught:
        verifier.load(tmp_path)
    assert caught.value.detail.isprintable()


# --- a stranger's evidence pack -------------------------------------------------------------------


@functools.cache
def honest_pack() -> dict[str, bytes]:
    return world.build().files


def zipped_again(
    *more: tuple[zipfile.ZipInfo, bytes], files: Mapping[str, bytes] | None = None, **said: bytes
) -> bytes:
    """An honest pack as another writer packs it; `said` goes into the directory's entries."""
    place = io.BytesIO()
    whole = honest_pack() if files is None else files
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as opened:
        for info, data in more:
            opened.writestr(info, data)
        for name, data in sorted(whole.items()):
            opened.writestr(name, data)
        for member in opened.filelist:
            for name, value in said.items():
                setattr(member, name, value)
    return place.getvalue()


DATES = b"UT\x05\0\x03" + bytes(4) + b"ux\x0b\0\x01\x04" + bytes(4) + b"\x04" + bytes(4)


def test_a_pack_is_read_with_folders_and_dates_as_the_usual_writers_add_them() -> None:
    folders = [(zipfile.ZipInfo(name), b"") for name in ("approvals/", "entries/", "proofs/")]
    assert packs.read(zipped_again(*folders, extra=DATES)) == honest_pack()


HIDING: dict[str, Callable[[], bytes]] = {
    "in a folder": lambda: zipped_again((zipfile.ZipInfo("entries/"), b"hidden")),
    "in a folder of another name": lambda: zipped_again((zipfile.ZipInfo("elsewhere/"), b"")),
    "in a folder outside": lambda: zipped_again((zipfile.ZipInfo("../entries/"), b"")),
    "in comments": lambda: zipped_again(comment=b"hidden"),
    "beside the dates": lambda: zipped_again(extra=b"\xfe\xca\x40\0" + bytes(64)),
}


@pytest.mark.parametrize("case", HIDING)
def test_nothing_is_hidden_in_a_zip_of_another_writer(case: str) -> None:
    """An archive that verifies is passed on; what nobody looked at would be passed on with it."""
    with pytest.raises(VerificationError) as caught:
        packs.read(HIDING[case]())
    assert caught.value.code == "malformed"


def test_a_pack_that_unpacks_to_more_than_a_pack_is_refused_before() -> None:
    names = [f"entries/{number}.json" for number in range(20)]
    data = zipped_again(files=dict.fromkeys(names, bytes(packs.MAX_FILE_BYTES)))
    tracemalloc.start()
    try:
        with pytest.raises(VerificationError, match="larger"):
            packs.read(data)
        assert tracemalloc.get_traced_memory()[1] < packs.MAX_FILE_BYTES
    finally:
        tracemalloc.stop()
