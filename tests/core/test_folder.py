"""The delivered folder: what holds, and that every way of spoiling it is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.verifier import folder as verifier
from audit.verifier.steps import FOLDER_STEPS, StepError
from registry.log.core import keys
from registry.log.core.checkpoint import LogSigners
from registry.log.core.errors import VerificationError
from registry.log.core.tlog_proof import format_proof, inspect_proof
from tests.core import folder_world as fw
from tests.core import pack_world as world
from training.core import folder
from training.core.model_signature import PUBLIC_KEY, SIGNATURE

NAMES = sorted(fw.honest().files)


def broken(parts: fw.Parts, **changes: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        parts.verify(**changes)
    return caught.value


def test_an_honest_folder_verifies_in_all_its_steps() -> None:
    verdict = fw.honest().verify()
    assert [step.name for step in verdict.steps] == list(FOLDER_STEPS)
    assert (verdict.lora_id, verdict.delivery_id) == (world.LORA_ID, fw.NAME)
    assert (verdict.licensee, verdict.index, verdict.mode) == (world.LICENSEE, 1, "test")
    for step in verdict.steps:
        assert step.sentence("ja") != step.sentence("en")


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_anywhere_is_found_and_its_file_named(name: str) -> None:
    whole = fw.honest().files[name]
    for place in sorted({*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1}):
        for bit in (1, 0x20):
            spoiled = whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
            error = broken(fw.honest(), **{name: spoiled})
            assert error.step == 2, (place, error)
            named = error.reading + error.detail
            assert name in named, (place, bit, named)


def test_a_flipped_byte_of_the_proof_is_found_and_it_is_named() -> None:
    whole = fw.honest().proof
    for place in range(0, len(whole), 7):
        spoiled = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        error = broken(fw.honest(), proof=spoiled)
        assert (error.name, error.reading) == ("entry", fw.PROOF), (place, error)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(name: str) -> None:
    error = broken(fw.honest(), **{name: None})
    assert error.name == "folder"
    wanted = "0 LoRA files" if name == fw.ADAPTER else name
    assert wanted in error.detail


@pytest.mark.parametrize(
    "name",
    ["notes.txt", ".DS_Store", "lor_x.safetensors", "pytorch_lora_weights.bin", "model.sig~"],
)
def test_an_extra_file_is_named(name: str) -> None:
    error = broken(fw.honest(), **{name: b"x"})
    assert error.name == "folder"
    assert name in error.detail


def test_a_second_lora_is_refused() -> None:
    other = folder.adapter_name("lor_" + "5e" * 10)
    assert "2 LoRA files" in broken(fw.honest(), **{other: fw.adapter(3)}).detail


def test_a_sidecar_must_be_under_the_signature() -> None:
    files = fw.honest().files
    name = folder.sidecar_name(world.LORA_ID)
    error = broken(fw.honest(), **{name: b"manifest"})
    assert (error.name, error.code, error.reading) == ("bundle", "file_changed", name)
    with_it = replace(fw.honest(), files=fw.resigned({**files, name: b"manifest"}))
    assert with_it.verify().file_sha256


def test_what_was_signed_and_is_gone_is_missed() -> None:
    """The folder's own rules would let the sidecar be left out."""
    name = folder.sidecar_name(world.LORA_ID)
    whole = fw.resigned({**fw.honest().files, name: b"manifest"})
    del whole[name]
    error = broken(replace(fw.honest(), files=whole))
    assert (error.name, error.code) == ("bundle", "malformed")
    assert name in error.detail


# --- the proof ------------------------------------------------------------------------------------


def _data(**changes: str) -> dict[str, str]:
    return fw.entry(fw.adapter(), fw.delivery(fw.adapter()), **changes)


def test_a_missing_proof_is_named() -> None:
    error = broken(fw.honest(), proof=b"")
    assert (error.name, error.reading) == ("entry", fw.PROOF)


@pytest.mark.parametrize(
    "member",
    ["delivery_id", "lora_id", "recipient_id", "file_sha256", "tensor_sha256", "statement_sha256"],
)
def test_the_proof_of_another_delivery_is_named(member: str) -> None:
    error = broken(fw.honest(), proof=fw.proof_of(_data(**{member: "ab" * 32})))
    assert (error.name, error.code, error.reading) == ("entry", "wrong_subject", fw.PROOF)
    assert member in error.detail


def _stranger() -> LogSigners:
    seed = keys.Mldsa44Signer.from_seed(bytes(32))
    return LogSigners(world.LOG_ORIGIN, world.signer("mallory"), seed)


def _without_entry() -> bytes:
    proof = inspect_proof(fw.honest().proof.decode())
    return format_proof(replace(proof, extra=None)).encode()


def _with_another_entry() -> bytes:
    proof = inspect_proof(fw.honest().proof.decode())
    other = inspect_proof(fw.proof_of(_data(delivery_id="dlv_" + "9f" * 10)).decode())
    return format_proof(replace(proof, extra=other.extra)).encode()


SWAPPED: dict[str, tuple[Callable[[], bytes], str]] = {
    "another kind of entry": (
        lambda: fw.proof_of(_data(), kind="delivery.fetched"),
        "wrong_subject",
    ),
    "logged at another time": (
        lambda: fw.proof_of(_data(), at=fw.AT + timedelta(seconds=1)),
        "wrong_subject",
    ),
    "of a log that is not pinned": (
        lambda: fw.proof_of(_data(), signers=_stranger()),
        "unknown_key",
    ),
    "no entry in it": (_without_entry, "malformed"),
    "an entry that it does not prove": (_with_another_entry, "bad_inclusion_proof"),
}


@pytest.mark.parametrize("case", SWAPPED)
def test_a_swapped_proof_is_named(case: str) -> None:
    make, code = SWAPPED[case]
    error = broken(fw.honest(), proof=make())
    assert (error.name, error.reading) == ("entry", fw.PROOF)
    assert error.code == code, error


def test_a_log_of_another_origin_is_not_ours() -> None:
    trust = replace(fw.honest().trust, log_origin="elsewhere.example/log")
    error = broken(replace(fw.honest(), trust=trust))
    assert (error.name, error.code) == ("header", "unknown_key")


def test_a_proof_says_that_it_lacks_its_entry() -> None:
    assert "without its entry" in broken(fw.honest(), proof=_without_entry()).detail


def test_a_pinned_key_under_another_logs_name_is_not_our_log() -> None:
    other = replace(world.log_signers(), origin="elsewhere.example/log")
    trust = replace(fw.honest().trust, log_vkeys=other.vkeys())
    error = broken(replace(fw.honest(), trust=trust), proof=fw.proof_of(_data(), signers=other))
    assert (error.name, error.code) == ("entry", "unknown_key")
    assert "another log" in error.detail


# --- whoever signs anew ---------------------------------------------------------------------------


def test_a_folder_signed_with_somebody_elses_key_is_refused() -> None:
    """Everything fits together, and the registry never named that key."""
    mine = replace(fw.honest(), files=fw.resigned(fw.honest().files, "mallory"))
    error = broken(mine)
    assert (error.name, error.code) == ("delivered", "unknown_key")
    assert PUBLIC_KEY in error.detail


def resigned_with(**changes: bytes) -> fw.Parts:
    """What whoever holds the folder's key alone could make."""
    return replace(fw.honest(), files=fw.resigned({**fw.honest().files, **changes}))


FORGED: dict[str, tuple[Callable[[], fw.Parts], str, str]] = {
    "another file under an honest statement": (
        lambda: resigned_with(**{fw.ADAPTER: fw.adapter(3)}), "delivered", "wrong_subject",
    ),
    "a statement by another key": (
        lambda: fw.parts(envelope=fw.delivery(fw.adapter(), signers=("mallory",))),
        "delivered", "unknown_key",
    ),
    "a statement with a second signature": (
        lambda: fw.parts(envelope=fw.delivery(fw.adapter(), signers=("provenance", "mallory"))),
        "delivered", "unknown_key",
    ),
    "a statement about a file of another name": (
        lambda: fw.parts(envelope=fw.delivery(fw.adapter(), lora_id="lor_" + "6f" * 10)),
        "delivered", "wrong_subject",
    ),
    "a run that the delivery does not name": (
        lambda: fw.parts(run=world.run_envelope(
            fw._case().grant, fw.adapter(9), fw.AT, fw.AT + timedelta(minutes=1))),
        "made", "wrong_subject",
    ),
    "a run that the registry did not sign": (
        lambda: fw.parts(run=world.run_envelope(
            fw._case().grant, fw._made()[1], fw.AT - timedelta(minutes=6),
            fw.AT - timedelta(minutes=1), signers=("worker",))),
        "made", "too_few_signatures",
    ),
    "another run with the same master": (
        lambda: fw.parts(run=world.run_envelope(
            fw._case().grant, fw._made()[1], fw.AT - timedelta(minutes=6),
            fw.AT - timedelta(minutes=1), seed=8)),
        "made", "wrong_subject",
    ),
    "another master": (
        lambda: fw.parts(envelope=fw.delivery(fw.adapter(), master_tensor_sha256="12" * 32)),
        "made", "wrong_subject",
    ),
    "another grant": (
        lambda: fw.parts(envelope=fw.delivery(fw.adapter(), grant_digest="34" * 32)),
        "made", "wrong_subject",
    ),
    "a statement with other tensors": (
        lambda: fw.parts(envelope=fw.delivery(fw.adapter(), tensor_sha256="56" * 32)),
        "header", "wrong_subject",
    ),
    "a header with another tensor digest": (
        lambda: fw.parts(fw.adapter(2, **{"kyodaku.tensor_sha256": "78" * 32})),
        "header", "wrong_subject",
    ),
    "a header with another grant": (
        lambda: fw.parts(fw.adapter(2, **{"kyodaku.grant_digest": "9a" * 32})),
        "header", "wrong_subject",
    ),
    "a header with another log": (
        lambda: fw.parts(fw.adapter(2, **{"kyodaku.log_origin": "elsewhere.example/log"})),
        "header", "unknown_key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_folder_breaks_at_its_step(case: str) -> None:
    make, step, code = FORGED[case]
    error = broken(make())
    assert (error.name, error.code) == (step, code), error


def test_a_key_that_counted_no_more_vouches_for_nothing() -> None:
    honest, kid = fw.honest(), world.signer("provenance").kid
    ended = int(fw.AT.timestamp())
    late = replace(honest.trust, key_times={kid: (0, ended)})
    error = broken(replace(honest, trust=late))
    assert (error.name, error.code) == ("entry", "unknown_key")
    in_time = replace(honest.trust, key_times={kid: (0, ended + 1)})
    assert replace(honest, trust=in_time).verify().index == 1


# --- on disk --------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / fw.NAME
    path.mkdir()
    for name, data in fw.honest().files.items():
        (path / name).write_bytes(data)
    return path


def test_a_folder_is_read_as_it_lies(place: Path) -> None:
    assert verifier.is_folder(place)
    assert verifier.load(place) == fw.honest().files


def test_a_pack_and_anything_else_is_no_delivered_folder(place: Path, tmp_path: Path) -> None:
    assert not verifier.is_folder(place / folder.DELIVERY)
    assert not verifier.is_folder(tmp_path)
    (place / SIGNATURE).unlink()
    assert verifier.is_folder(place)  # a broken one is one
    (place / "pack.json").write_bytes(b"{}")
    assert not verifier.is_folder(place)


def test_what_is_no_regular_file_is_refused(place: Path) -> None:
    (place / "inside").mkdir()
    with pytest.raises(VerificationError, match="inside"):
        verifier.load(place)
    (place / "inside").rmdir()
    (place / folder.RUN).rename(place.parent / "elsewhere")
    (place / folder.RUN).symlink_to(place.parent / "elsewhere")
    with pytest.raises(VerificationError, match=f"{folder.RUN}' is not a regular"):
        verifier.load(place)


def test_a_folder_of_thousands_and_a_page_of_gigabytes_are_refused_unread(place: Path) -> None:
    with (place / folder.README).open("wb") as file:
        file.truncate(folder.MAX_PAGE_BYTES + 1)
    with pytest.raises(VerificationError, match="larger"):
        verifier.load(place)
    (place / folder.README).write_bytes(b"x")
    for number in range(20):
        (place / f"a{number}").write_bytes(b"")
    with pytest.raises(VerificationError, match="more files"):
        verifier.load(place)
