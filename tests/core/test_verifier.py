"""The offline verifier: an honest pack verifies, and nothing in it can be changed."""

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import cli
from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from audit.verifier.history import NEEDED
from audit.verifier.steps import STEPS, StepError, Walk
from registry.core import status_list
from registry.log.core import canonical, keys
from registry.log.core.checkpoint import LogSigners, cosign_ed25519, parse_body, parse_note
from registry.log.core.errors import VerificationError
from registry.log.core.tlog_proof import TlogProof, format_proof, inspect_proof
from tests.core import pack_world
from tests.core.pack_world import MemoryLog, World, signer, with_page

ROOT = Path(__file__).resolve().parents[2]


@cache
def honest() -> World:
    return pack_world.build()


NAMES = sorted(pack_world.build().files)


def refused(world: World, **files: bytes | None) -> StepError:
    """The step at which the pack with these changes breaks."""
    with pytest.raises(StepError) as caught:
        world.verify(**files)
    return caught.value


def repaged(world: World, **files: bytes | None) -> dict[str, bytes]:
    """The changed files with a `pack.json` that lists them: a forger would not forget it."""
    merged = {**world.files, **files}
    kept = {k: v for k, v in merged.items() if v is not None and k != "pack.json"}
    return with_page(kept, world.as_of)


def refused_files(files: dict[str, bytes], world: World) -> StepError:
    with pytest.raises(StepError) as caught:
        verifier.verify(files, world.trust)
    return caught.value


# --- the honest pack ------------------------------------------------------------------------------


def test_an_honest_pack_verifies_in_all_its_steps():
    world = honest()
    verdict = verifier.verify(world.files, world.trust, world.lora)
    assert [step.name for step in verdict.steps] == list(STEPS)
    assert [step.number for step in verdict.steps] == list(range(1, len(STEPS) + 1))
    assert verdict.standing == "in_force"
    assert (verdict.lora_id, verdict.delivery_id) == (pack_world.LORA_ID, pack_world.DELIVERY_ID)
    assert verdict.file_sha256 == hashlib.sha256(world.lora).hexdigest()
    assert verdict.grant == world.grant


def test_every_file_of_a_pack_is_covered_by_a_step():
    covered = {name for step in honest().verify().steps for name in step.files}
    assert covered == set(NAMES)


@pytest.mark.parametrize(
    ("value", "standing"),
    [
        (status_list.WITHDRAWN, "withdrawn"),
        (status_list.REVOKED, "revoked"),
        (status_list.PAUSED, "paused"),
    ],
)
def test_a_consent_withdrawn_since_verifies_and_says_so(value, standing):
    assert pack_world.build(status_now=value).verify().standing == standing


def test_a_consent_withdrawn_before_the_run_does_not_verify():
    error = refused(pack_world.build(status_then=status_list.WITHDRAWN))
    assert (error.name, error.code) == ("token", "withdrawn")


def test_a_test_pack_does_not_verify_under_a_live_trust_root():
    world = honest()
    with pytest.raises(StepError) as caught:
        verifier.verify(world.files, pack_world.trust_root("live"))
    assert (caught.value.name, caught.value.code) == ("token", "wrong_mode")


# --- one byte -------------------------------------------------------------------------------------


def flipped(data: bytes, position: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_byte_fails_at_the_step_that_names_the_file(name):
    data = honest().files[name]
    for position in (0, len(data) // 3, 2 * len(data) // 3, len(data) - 1):
        assert name in refused(honest(), **{name: flipped(data, position)}).files


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_any_edit_anywhere_fails_at_the_step_that_names_the_file(name, data):
    original = honest().files[name]
    position = data.draw(st.integers(0, len(original) - 1))
    inserted = data.draw(st.binary(max_size=2))
    changed = original[:position] + inserted + original[position + 1 :]
    if changed != original:
        assert name in refused(honest(), **{name: changed}).files


def test_a_changed_byte_in_the_zip_fails_wherever_it_is():
    data = pack_world.zipped(honest())
    assert packs.read(data) == honest().files
    for position in [*range(120), *range(120, len(data), 997), *range(len(data) - 300, len(data))]:
        with pytest.raises(VerificationError, match="malformed"):
            packs.read(flipped(data, position))


# --- files more and less, swapped and forged ------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_fails(name):
    assert refused(honest(), **{name: None}).name == "files"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pack.json"])
def test_a_missing_file_that_the_page_does_not_list_fails(name):
    files = repaged(honest(), **{name: None})
    assert refused_files(files, honest()).code in {
        "malformed",
        "approval_missing",
        *(f"approval_missing:{by}" for _, by in pack_world.PEOPLE),
    }


def test_an_extra_file_fails_listed_or_not():
    world = honest()
    name = f"approvals/talent-{pack_world.pseudonym('per', 'mallory')}.json"
    extra = {name: world.files[verifier.approval_name(world.approvals[0])]}
    assert refused(world, **extra).name == "files"
    assert refused_files(repaged(world, **extra), world).name == "approvals"


def test_swapped_approvals_fail():
    world = honest()
    first, second = (verifier.approval_name(approval) for approval in world.approvals[:2])
    swapped = {first: world.files[second], second: world.files[first]}
    assert refused(world, **swapped).name == "approvals"


def test_an_approval_signed_with_the_agencys_key_fails():
    world = honest()
    forged = pack_world.approve(world.grant, "alice", "talent", pack_world.START, key="bob")
    name = verifier.approval_name(forged)
    error = refused(world, **{name: canonical.dumps(forged.to_payload())})
    assert (error.name, error.code) == ("approvals", "bad_signature")


def test_another_signature_of_the_same_person_is_not_the_one_in_the_token():
    world = honest()
    again = pack_world.approve(world.grant, "alice", "talent", world.as_of)
    error = refused(world, **{verifier.approval_name(again): canonical.dumps(again.to_payload())})
    assert (error.name, error.code) == ("approvals", "approval_replaced")


def test_another_trust_root_fails():
    world = honest()
    other = LogSigners(
        pack_world.LOG_ORIGIN, signer("mallory"), keys.Mldsa44Signer.from_seed(b"m" * 32)
    )
    with pytest.raises(StepError) as caught:
        verifier.verify(world.files, pack_world.trust_root(log=other))
    assert caught.value.name == "log"


def test_a_token_key_that_is_not_pinned_fails():
    world = honest()
    stranger = signer("mallory")
    trust = pack_world.trust_root()
    changed = type(trust)(**{**vars(trust), "token_keys": {stranger.kid: stranger.public_raw}})
    with pytest.raises(StepError) as caught:
        verifier.verify(world.files, changed)
    assert (caught.value.name, caught.value.code) == ("token", "unknown_key")


def test_another_lora_fails():
    world = honest()
    with pytest.raises(StepError) as caught:
        verifier.verify(world.files, world.trust, world.lora + b"\0")
    assert (caught.value.name, caught.value.code) == ("lora", "wrong_subject")


def test_the_delivered_tensors_under_another_header_are_told_apart_from_another_file():
    world = honest()
    length = int.from_bytes(world.lora[:8], "little")
    padded = (length + 8).to_bytes(8, "little") + world.lora[8 : 8 + length] + b" " * 8
    with pytest.raises(StepError, match="under another header"):
        verifier.verify(world.files, world.trust, padded + world.lora[8 + length :])


def test_another_workers_key_fails():
    other = canonical.b64u(signer("mallory").public_raw).encode()
    error = refused(honest(), **{"worker.pub": other})
    assert (error.name, error.code) == ("worker", "wrong_worker")


def test_another_picture_in_the_list_fails():
    manifest = canonical.loads(honest().files["manifest.json"])
    manifest["leaves"][0]["width"] += 1
    error = refused(honest(), **{"manifest.json": canonical.dumps(manifest)})
    assert (error.name, error.code) == ("pictures", "dataset_mismatch")


def test_a_rights_sheet_that_was_not_signed_fails():
    sheet = canonical.loads(honest().files["rights.json"])
    sheet["pictures"][0]["holder"] = "per_somebody"
    error = refused(honest(), **{"rights.json": canonical.dumps(sheet)})
    assert (error.name, error.code) == ("pictures", "dataset_mismatch")


# --- statements -----------------------------------------------------------------------------------


def run_with(signers=("worker", "provenance"), **changes) -> StepError:
    world = honest()
    begun = pack_world.START + timedelta(hours=1)
    envelope = pack_world.run_envelope(
        world.grant, world.lora, begun, begun, signers=signers, **changes
    )
    return refused(world, **{"run.dsse.json": canonical.dumps(envelope)})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signers": ("worker",)}, "unknown_key"),
        ({"signers": ("provenance",)}, "unknown_key"),
        ({"signers": ("worker", "mallory")}, "unknown_key"),
        ({"signers": ("worker", "provenance", "mallory")}, "unknown_key"),
        ({"signers": ("worker", "worker", "provenance")}, "malformed"),
        ({"grant_digest": "00" * 32}, "wrong_subject"),
        ({"dataset_root": "00" * 32}, "dataset_mismatch"),
        ({"base_sha256": "00" * 32}, "base_model_mismatch"),
        (
            {"recipe": {"method": "lora", "rank": 8, "steps": 121, "resolution": 64}},
            "recipe_exceeds",
        ),
        ({"run_id": "job_" + "00" * 10}, "wrong_job"),
        ({"started": pack_world.START}, "not_yet_valid"),
    ],
)
def test_a_run_that_was_not_the_granted_one_fails(changes, code):
    error = run_with(**changes)
    assert (error.name, error.code) == ("run", code)


def delivery_with(signers=("provenance",), master=None, run=None, **changes) -> StepError:
    world = honest()
    run = run or json.loads(world.files["run.dsse.json"])
    envelope = pack_world.delivery_envelope(
        world.grant, world.lora, master or world.lora, run, world.as_of, signers, **changes
    )
    return refused(world, **{"delivery.dsse.json": canonical.dumps(envelope)})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signers": ("mallory",)}, "unknown_key"),
        ({"signers": ("provenance", "mallory")}, "unknown_key"),
        ({"grant_digest": "00" * 32}, "wrong_subject"),
        ({"licensee": "org_" + "00" * 10}, "wrong_subject"),
        ({}, "wrong_subject"),  # made from another master
        ({"run_statement_sha256": "00" * 32}, "wrong_subject"),
    ],
)
def test_a_delivery_that_is_not_of_this_run_fails(changes, code):
    error = delivery_with(**changes)
    assert (error.name, error.code) == ("delivery", code)


# --- the log --------------------------------------------------------------------------------------


def entries_of(world: World) -> dict[int, dict[str, Any]]:
    names = [name for name in world.files if name.startswith("entries/")]
    return {int(name[8:-5]): canonical.loads(world.files[name]) for name in names}


def relogged(world: World, change) -> dict[str, bytes]:
    """The pack over a log signed by the true keys in which `change` altered the entries."""
    log = MemoryLog(pack_world.log_signers())
    events = entries_of(world)
    rows = [
        events.get(i, {"type": "other", "at": "2026-11-20T00:00:00Z", "data": {}})
        for i in range(max(events) + 1)
    ]
    change(rows)
    log.entries = [canonical.dumps(row) for row in rows]
    kept = {k: v for k, v in world.files.items() if not k.startswith(("entries/", "proofs/"))}
    del kept["pack.json"]
    fresh = drop_others(pack_world.entry_files(log, world.as_of))
    return with_page({**kept, **fresh}, world.as_of)


def drop_others(files: dict[str, bytes]) -> dict[str, bytes]:
    idle = {name[8:-5] for name, data in files.items() if b'"type":"other"' in data}
    return {k: v for k, v in files.items() if k.split("/")[1].split(".")[0] not in idle}


def test_a_log_that_is_only_rebuilt_still_verifies():
    world = honest()
    files = relogged(world, lambda rows: None)
    assert verifier.verify(files, world.trust).standing == "in_force"


@pytest.mark.parametrize(
    ("kind", "member"), [(kind, member) for kind, members in NEEDED.items() for member in members]
)
def test_an_entry_of_another_case_fails(kind, member):
    def change(rows):
        for row in rows:
            if row["type"] == kind:
                row["data"][member] = "other"

    error = refused_files(relogged(honest(), change), honest())
    assert error.name in {"history", "standing"}


@pytest.mark.parametrize("kind", NEEDED)
def test_an_entry_that_does_not_say_what_it_is_about_fails(kind):
    def change(rows):
        for row in rows:
            if row["type"] == kind:
                row["data"] = {}

    assert refused_files(relogged(honest(), change), honest()).name == "history"


def test_entries_in_another_order_fail():
    def change(rows):
        kinds = [row["type"] for row in rows]
        first, second = kinds.index("run.finished"), kinds.index("lora.sealed")
        rows[first], rows[second] = rows[second], rows[first]

    error = refused_files(relogged(honest(), change), honest())
    assert (error.name, error.detail) == ("history", "lora.sealed stands before run.finished")


def test_an_idle_entry_fails():
    world = honest()
    log = MemoryLog(pack_world.log_signers())
    log.entries = [canonical.dumps(event) for _, event in sorted(entries_of(world).items())]

    def change(rows):
        rows.append({"type": "lora.frozen", "at": "2026-11-20T03:30:00.000Z", "data": {}})

    assert refused_files(relogged(world, change), world).name == "history"


def test_an_approval_that_the_log_tells_otherwise_fails():
    def change(rows):
        for row in rows:
            if row["type"] == "approval.signed":
                row["data"]["approval_digest"] = "00" * 32

    assert refused_files(relogged(honest(), change), honest()).name == "history"


def test_a_checkpoint_with_a_signature_by_nobody_known_fails():
    world = honest()
    files = dict(world.files)
    for name in [name for name in files if name.startswith("proofs/")]:
        proof = inspect_proof(files[name].decode())
        head = parse_body(parse_note(proof.note)[0])
        line = cosign_ed25519(head, "mallory.example", signer("mallory"), at=1)
        files[name] = format_proof(TlogProof(proof.index, proof.hashes, proof.note + line)).encode()
    error = refused_files(files, world)
    assert (error.name, error.code) == ("log", "unknown_key")


def test_a_proof_with_an_idle_line_fails():
    world = honest()
    name = next(name for name in world.files if name.startswith("proofs/"))
    proof = inspect_proof(world.files[name].decode())
    idle = format_proof(TlogProof(proof.index, proof.hashes, proof.note, b"idle"))
    assert refused(world, **{name: idle.encode()}).name == "log"


def test_proofs_under_two_checkpoints_fail():
    world = honest()
    log = MemoryLog(pack_world.log_signers())
    events = entries_of(world)
    filler = {"type": "other", "at": "2026-11-20T00:00:00Z", "data": {}}
    log.entries = [canonical.dumps(events.get(i, filler)) for i in range(max(events) + 1)]
    log.append("later", {}, world.as_of)
    index = min(events)
    path = tuple(log.tree().inclusion_proof(index))
    # The entry is the same, and its proof is good; the tree has one leaf more.
    later = format_proof(TlogProof(index, path, log.checkpoint(world.as_of)))
    rebuilt = relogged(world, lambda rows: None)
    error = refused_files({**rebuilt, f"proofs/{index}.tlog-proof": later.encode()}, world)
    assert (error.name, error.detail) == ("log", "proofs under more than one checkpoint")


# --- the container --------------------------------------------------------------------------------


def zip_with(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x05\x06" + bytes(18),
        zip_with(("/etc/passwd", b"x")),
        zip_with(("../pack.json", b"x")),
        zip_with(("entries/../pack.json", b"x")),
        zip_with(("C:\\pack.json", b"x")),
        zip_with(("pack.json", b"x"), ("PACK.JSON", b"x")),
        zip_with(("approvals/", b"")),
        zip_with(("pack.json", bytes(10_000_000)), method=zipfile.ZIP_DEFLATED),
        zip_with(("pack.json", bytes(packs.MAX_FILE_BYTES + 1))),
        zip_with(*[(f"entries/{n}.json", b"") for n in range(packs.MAX_FILES + 1)]),
        b"#!/bin/sh\n" + packs.write({"pack.json": b"x"}),
        packs.write({"pack.json": b"x"}) + b"\0",
        bytes(packs.MAX_PACK_BYTES + 1),
    ],
    ids=lambda data: f"{len(data)}-{data[30:40]!r}",
)
def test_a_zip_with_a_trick_is_not_read(data):
    with pytest.raises(VerificationError) as caught:
        packs.read(data)
    assert caught.value.code == "malformed"


def test_a_name_twice_is_not_read():
    one = packs.write({"pack.json": b"a"})
    member = one[: one.index(b"PK\x01\x02")]
    with pytest.raises(VerificationError, match="before the first member"):
        packs.read(member + one)
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zip_with(("pack.json", b"a"), ("pack.json", b"b"))
    with pytest.raises(VerificationError, match="twice"):
        packs.read(twice)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_pack_that_was_unpacked_and_packed_again_is_read(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in honest().files.items():
            archive.writestr(name, data)
    assert packs.read(buffer.getvalue()) == honest().files


def test_a_pack_packed_again_with_a_changed_file_fails_at_that_files_step():
    changed = {**honest().files, "grant.json": flipped(honest().files["grant.json"], 9)}
    members = list(changed.items())
    assert packs.read(zip_with(*members))["grant.json"] == changed["grant.json"]
    assert "grant.json" in refused(honest(), **{"grant.json": changed["grant.json"]}).files


def test_a_member_hidden_between_others_is_not_read():
    data = zip_with(("pack.json", b"a"), ("grant.json", b"b"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    hidden = zip_with(("manifest.json", b"c" * 80))[: 30 + 13 + 80]
    with pytest.raises(VerificationError):
        packs.read(data[:start] + hidden + data[start:])


def test_python_reads_the_zip_as_we_do():
    data = pack_world.zipped(honest())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == honest().files


@given(st.binary(max_size=400))
def test_random_bytes_are_malformed_and_never_crash(data):
    code = ""
    try:
        packs.read(data)
    except VerificationError as error:
        code = error.code
    assert code == "malformed"  # a pack begins with pack.json, which 400 random bytes are not


def unpacked(folder: Path) -> Path:
    for name, data in honest().files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_an_unpacked_pack_verifies_too(tmp_path):
    assert packs.load(unpacked(tmp_path)) == honest().files


def test_a_folder_with_a_link_is_not_read(tmp_path):
    unpacked(tmp_path)
    (tmp_path / "grant.json").unlink()
    (tmp_path / "grant.json").symlink_to("/etc/hostname")
    with pytest.raises(VerificationError, match="regular"):
        packs.load(tmp_path)


def test_a_folder_with_a_pipe_is_not_read(tmp_path):
    unpacked(tmp_path)
    (tmp_path / "grant.json").unlink()
    os.mkfifo(tmp_path / "grant.json")
    assert stat.S_ISFIFO((tmp_path / "grant.json").stat().st_mode)
    with pytest.raises(VerificationError, match="regular"):
        packs.load(tmp_path)


def test_a_folder_with_something_beside_the_pack_is_not_read(tmp_path):
    (unpacked(tmp_path) / "readme.txt").write_text("x")
    with pytest.raises(VerificationError, match="no file of a pack"):
        packs.load(tmp_path)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path):
    world = honest()
    (tmp_path / "pack.zip").write_bytes(pack_world.zipped(world))
    (tmp_path / "trust.json").write_bytes(world.trust.to_bytes())
    (tmp_path / "x.safetensors").write_bytes(world.lora)
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "verify", str(folder / "pack.zip"), "--trust", str(folder / "trust.json"), *more,
    ]  # fmt: skip


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_command_ends_with_verified(bench, capsys, lang):
    lora = str(bench / "x.safetensors")
    assert cli.main(arguments(bench, "--lora", lora, "--lang", lang)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(f"VERIFIED {pack_world.LORA_ID}")
    assert sum("✓" in line for line in lines) == len(STEPS)


def test_the_command_names_the_broken_step(bench, capsys):
    files = {**honest().files, "grant.json": b"{}"}
    (bench / "pack.zip").write_bytes(packs.write(files))
    assert cli.main(arguments(bench, "--lang", "en")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("NOT VERIFIED step 4 (grant): approval_replaced ")
    assert sum("✓" in line for line in lines) == 3
    assert sum("✗" in line for line in lines) == 1


def test_a_broken_container_is_a_broken_first_step(bench, capsys):
    (bench / "pack.zip").write_bytes(b"not a zip")
    assert cli.main(arguments(bench, "--lang", "ja")) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT VERIFIED step 1 (files): ")


def test_the_command_answers_in_json(bench, capsys):
    assert cli.main(arguments(bench, "--json")) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verified"], answer["standing"]) == (True, "in_force")
    (bench / "pack.zip").write_bytes(packs.write({**honest().files, "text.ja.txt": b"x"}))
    assert cli.main(arguments(bench, "--json")) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verified"], answer["step"], answer["name"]) == (False, 5, "text")


@pytest.mark.parametrize("missing", ["pack.zip", "trust.json", "x.safetensors"])
def test_a_question_that_cannot_be_asked_ends_with_two(bench, capsys, missing):
    (bench / missing).unlink()
    assert cli.main(arguments(bench, "--lora", str(bench / "x.safetensors"))) == 2
    assert "VERIFIED" not in capsys.readouterr().out


def test_inspect_says_that_it_verified_nothing(bench, capsys):
    for name in ("pack.zip", "x.safetensors"):
        assert cli.main(["inspect", str(bench / name), "--lang", "en"]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("NOTHING was verified")


def without_network() -> list[str]:
    """`unshare -n` where it is permitted."""
    unshare = shutil.which("unshare")
    if unshare:
        for flags in (["-n"], ["-r", "-n"]):
            command = [unshare, *flags, "true"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return [unshare, *flags]
    return []


BLOCKED = """
import socket, sys
def no(*_): raise OSError("the network was touched")
socket.socket = socket.create_connection = socket.getaddrinfo = no
from audit.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_verifies_with_the_network_taken_away(bench):
    command = [*without_network(), sys.executable, "-c", BLOCKED, *arguments(bench)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        check=False,
        env={**os.environ, "LANG": "en_US.UTF-8", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1].startswith("VERIFIED ")


LOOK = "import json, sys; import audit.cli; print(json.dumps(sorted(sys.modules)))"
NETWORK = {"httpx", "httpcore", "requests", "urllib3", "aiohttp", "http.client", "urllib.request"}


def test_the_command_loads_no_network_code_and_no_framework():
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert loaded & NETWORK == set()
    assert {name.partition(".")[0] for name in loaded} & {"django", "celery", "torch"} == set()


# --- the pack of one use --------------------------------------------------------------------------

USE = {
    "use_id": "use_" + "5e" * 10,
    "delivery_id": pack_world.DELIVERY_ID,
    "medium": "photobook_ebook",
    "quantity": 100,
    "outside": [],
}


def test_a_pack_of_one_use_says_what_was_used_and_whether_it_was_covered():
    world = pack_world.build(uses=[USE])
    assert world.verify().use == USE
    assert honest().verify().use is None
    beyond = pack_world.build(uses=[{**USE, "outside": ["media"]}]).verify()
    assert beyond.use is not None
    assert beyond.use["outside"] == ["media"]


@pytest.mark.parametrize(
    "uses",
    [
        [{**USE, "delivery_id": "dlv_" + "9" * 20}],
        [{name: value for name, value in USE.items() if name != "outside"}],
        [USE, {**USE, "use_id": "use_" + "6f" * 10}],
        [USE, USE],
    ],
    ids=["of another delivery", "that does not say what is outside", "two", "one twice"],
)
def test_a_use_that_is_not_the_one_of_this_pack_breaks_its_history(uses):
    error = refused(pack_world.build(uses=uses))
    assert error.name == "history"


def test_a_pack_cannot_hide_its_use_or_claim_another():
    world = pack_world.build(uses=[USE])
    for use_id in ("", "use_" + "6f" * 10):
        error = refused_files(with_page(unpaged(world), world.as_of, use_id), world)
        assert (error.name, "use_id" in error.detail) == ("standing", True)
    plain = honest()
    error = refused_files(with_page(unpaged(plain), plain.as_of, USE["use_id"]), plain)
    assert (error.name, "use_id" in error.detail) == ("standing", True)


def unpaged(world: World) -> dict[str, bytes]:
    return {name: data for name, data in world.files.items() if name != "pack.json"}


@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize("outside", [[], ["media", "end"]])
def test_the_command_says_whether_the_use_was_covered(lang, outside, tmp_path, capsys):
    world = pack_world.build(uses=[{**USE, "outside": outside}])
    (tmp_path / "use.zip").write_bytes(pack_world.zipped(world))
    (tmp_path / "trust.json").write_bytes(world.trust.to_bytes())
    words = ["verify", str(tmp_path / "use.zip"), "--trust", str(tmp_path / "trust.json")]
    assert cli.main([*words, "--lang", lang]) == cli.OK
    said = capsys.readouterr().out
    assert USE["use_id"] in said
    assert ("media, end" in said) is bool(outside)
    assert cli.main([*words, "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out)["use"]["outside"] == outside


@pytest.mark.parametrize(
    "broken", [KeyError("pictures"), TypeError("naive"), IndexError(0), AttributeError("get")]
)
def test_what_a_dishonest_signer_misspells_is_a_broken_step(broken):
    walk = Walk({})
    with pytest.raises(StepError) as caught, walk.step("curation", "curation.json"):
        raise broken
    assert (caught.value.name, caught.value.code) == ("curation", "malformed")


def test_a_step_that_reads_what_it_does_not_cover_is_our_defect():
    walk = Walk({"grant.json": b"{}"})
    with pytest.raises(LookupError), walk.step("curation", "curation.json"):
        walk.bytes("grant.json")
