"""A delivery as its recipient gets it: opened, checked by the stock tools and by `kyodaku`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.test import Client
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2  # type: ignore[import-untyped]
from in_toto_attestation.v1.statement import Statement  # type: ignore[import-untyped]
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as NotSigned
from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]

from audit import cli
from registry.core import recipients
from registry.core.refusals import Refusal
from registry.core.terms import Problem
from registry.log import keyfiles
from registry.models import Organisation
from registry.services import keyring, parties
from tests.services.studio import Studio, lora_sealed
from tests.services.test_audit_services import finished, logged
from tests.world import World
from training.core import folder
from training.core.model_signature import PUBLIC_KEY, SIGNATURE
from training.models import Delivery, Lora
from training.services import delivery, packing

STOCK = Path(sys.executable).with_name("model_signing")


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(live, tmp_path)


@pytest.fixture
def made(studio: Studio) -> Delivery:
    lora = lora_sealed(job=finished(studio))
    assert isinstance(lora, Lora), lora
    found = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert isinstance(found, Delivery), found
    return found


@pytest.fixture
def desk(studio: Studio, made: Delivery, tmp_path: Path) -> Path:
    """The recipient's desk: the parcel as downloaded, her key, the pinned keys."""
    place = tmp_path / "desk"
    place.mkdir()
    answer = Client().post(f"/d/{made.link}")
    assert answer.status_code == 200
    (place / "parcel.zip").write_bytes(answer.content)
    identity = place / "key.txt"
    identity.touch(0o600)
    identity.write_text(f"# created: today\n{studio.recipient}\n")
    (place / "trust.json").write_bytes(keyring.trust_root().to_bytes())
    return place


def kyodaku(capsys: Any, *words: str) -> tuple[int, str]:
    code = cli.main([*words, "--lang", "en"])
    said = capsys.readouterr()
    return code, said.out + said.err


def opened(capsys: Any, desk: Path, *more: str) -> tuple[int, str]:
    command = ("open", str(desk / "parcel.zip"), "--identity", str(desk / "key.txt"))
    return kyodaku(capsys, *command, "--to", str(desk), *more)


def stock(place: Path, *, signature: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`model_signing verify key`, as README.txt gives it."""
    command = [str(STOCK), "verify", "key", str(place)]
    command += ["--signature", str(signature or place / SIGNATURE)]
    command += ["--public_key", str(place / PUBLIC_KEY)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_parcel_is_opened_checked_and_accepted_by_the_stock_tools(made, desk, capsys):
    code, said = opened(capsys, desk, "--trust", str(desk / "trust.json"))
    assert code == 0, said
    assert f"VERIFIED {made.lora_id}" in said
    place = desk / made.pk
    assert kyodaku(capsys, "verify", str(place), "--trust", str(desk / "trust.json"))[0] == 0

    # OpenSSF Model Signing, whatever the folder is called.
    assert stock(place).returncode == 0
    moved = place.rename(desk / "renamed")
    assert stock(moved).returncode == 0
    code, said = kyodaku(capsys, "verify", str(moved), "--trust", str(desk / "trust.json"))
    assert code == 0, said
    _check_dsse(moved / folder.DELIVERY, [_registry_key()], 1)
    _check_dsse(moved / folder.RUN, [_registry_key(), _worker_key(made)], 2)


def _registry_key() -> Key:
    signer = keyring.provenance_signer()
    return SSlibKey(signer.kid, "ed25519", "ed25519", {"public": signer.public_raw.hex()})


def _worker_key(made: Delivery) -> Key:
    worker = made.lora.job.worker
    assert worker is not None
    raw = bytes(worker.public_raw).hex()
    return SSlibKey(worker.jkt, "ed25519", "ed25519", {"public": raw})


def _check_dsse(path: Path, keys: list[Key], threshold: int) -> None:
    """A stock DSSE verifier takes the envelope, a stock in-toto parser its payload."""
    envelope = Envelope.from_dict(json.loads(path.read_bytes()))
    envelope.verify(keys, threshold)
    stranger = SSlibKey(keys[0].keyid, "ed25519", "ed25519", {"public": "1f" * 32})
    with pytest.raises(NotSigned):
        envelope.verify([stranger, *keys[1:]], threshold)
    statement = Statement.copy_from_pb(_parsed(envelope.payload))
    statement.validate()
    envelope.payload = envelope.payload.replace(b"urn:kyodaku", b"urn:mallory")
    with pytest.raises(NotSigned):
        envelope.verify(keys, threshold)


def _parsed(payload: bytes) -> Any:
    return json_format.Parse(payload, statement_pb2.Statement())


def test_what_is_spoiled_is_named_by_us_and_refused_by_the_stock_tool(made, desk, capsys):
    assert opened(capsys, desk)[0] == 0
    place, whole = desk / made.pk, desk / "whole"
    shutil.copytree(place, whole)
    trust = ("--trust", str(desk / "trust.json"))

    def refused(name: str) -> None:
        code, said = kyodaku(capsys, "verify", str(place), *trust)
        assert code == 1, said
        assert name in said.splitlines()[-2], said
        assert stock(place).returncode != 0
        shutil.rmtree(place)
        shutil.copytree(whole, place)

    for name in sorted(path.name for path in whole.iterdir()):
        data = bytearray((place / name).read_bytes())
        data[len(data) // 2] ^= 1
        (place / name).write_bytes(data)
        refused(name)
    (place / "extra.txt").write_text("x")
    refused("extra.txt")
    (place / folder.RUN).unlink()
    refused(folder.RUN)


def test_a_proof_of_another_delivery_is_named(made, studio, desk, capsys):
    assert opened(capsys, desk)[0] == 0
    other = delivery.delivery_make(lora=made.lora, recipient=studio.world.client)
    proof = packing.proof(other)
    assert isinstance(proof, str), proof
    beside = desk / f"{made.pk}{folder.PROOF_SUFFIX}"
    beside.write_text(proof)
    verify = ("verify", str(desk / made.pk), "--trust", str(desk / "trust.json"))
    code, said = kyodaku(capsys, *verify)
    assert code == 1
    assert f"{beside.name}: the entry of another delivery" in said
    beside.unlink()
    code, said = kyodaku(capsys, *verify)
    assert code == 1
    assert beside.name in said


def test_a_parcel_that_nobody_opened_is_told_from_a_pack(made, desk, capsys):
    parcel = desk / "parcel.zip"
    code, said = kyodaku(capsys, "verify", str(parcel), "--trust", str(desk / "trust.json"))
    assert code == 2
    assert "Open it with `kyodaku open`" in said
    with parcel.open("rb") as file:
        page = Client().post("/verify", {"file": file}, HTTP_ACCEPT_LANGUAGE="en")
    assert "has not been opened" in page.content.decode()


def test_opening_says_what_is_wrong_and_overwrites_nothing(made, desk, capsys):
    code, said = opened(capsys, desk)
    assert (code, "NOTHING was verified yet" in said) == (0, True)
    code, said = opened(capsys, desk)
    assert code == 2
    assert "not overwritten" in said
    (desk / "key.txt").write_text("nothing here")
    assert "holds no secret key" in opened(capsys, desk)[1]
    (desk / "key.txt").write_text(str(pyrage.x25519.Identity.generate()))
    code, said = opened(capsys, desk)
    assert (code, "does not open it" in said) == (2, True)
    (desk / "key.txt").chmod(0o644)
    assert "chmod 600" in opened(capsys, desk)[1]
    (desk / "parcel.zip").write_bytes(b"PK")
    (desk / "key.txt").chmod(0o600)
    assert opened(capsys, desk)[0] == 2


@pytest.mark.parametrize("kind", recipients.KINDS)
def test_a_key_of_each_kind_is_made_registered_and_opens(kind, made, studio, tmp_path, capsys):
    path = tmp_path / "own.key"
    code, said = kyodaku(capsys, "keygen", str(path), "--kind", kind)
    assert code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    public = said.splitlines()[-1]
    assert path.read_text().splitlines()[0] == f"# public: {public}"
    client = parties.delivery_key_set(organisation=studio.world.client, recipient=public)
    assert isinstance(client, Organisation), client
    copy = delivery.delivery_make(lora=made.lora, recipient=client)
    assert isinstance(copy, Delivery), copy
    (tmp_path / "p.zip").write_bytes(Client().post(f"/d/{copy.link}").content)
    (tmp_path / "trust.json").write_bytes(keyring.trust_root().to_bytes())
    words = ("open", str(tmp_path / "p.zip"), "--identity", str(path), "--to", str(tmp_path))
    code, said = kyodaku(capsys, *words, "--trust", str(tmp_path / "trust.json"))
    assert code == 0, said
    assert (tmp_path / copy.pk / f"{made.lora_id}.safetensors").exists()
    # The former key opens what it was made for, and not this.
    former = tmp_path / "former.key"
    former.touch(0o600)
    former.write_text(str(studio.recipient))
    code, said = kyodaku(capsys, *words[:3], str(former), "--to", str(tmp_path / "x"))
    assert (code, "does not open it" in said) == (2, True)


def test_a_key_is_never_overwritten(tmp_path, capsys):
    path = tmp_path / "own.key"
    assert kyodaku(capsys, "keygen", str(path))[0] == 0
    whole = path.read_text()
    code, said = kyodaku(capsys, "keygen", str(path))
    assert (code, "not overwritten" in said, path.read_text()) == (2, True, whole)
    assert kyodaku(capsys, "keygen", str(tmp_path / "no" / "where"))[0] == 2


def test_what_is_no_delivery_key_is_not_registered(studio):
    for text in ("", "age1mallory", str(studio.recipient)):
        refused = parties.delivery_key_set(organisation=studio.world.client, recipient=text)
        assert isinstance(refused, Problem)
        assert refused.field == "delivery_recipient"
    made = parties.organisation_create(kind="client", name="a", delivery_recipient="age1mallory")
    assert isinstance(made, Problem)
    assert [row["type"] for row in logged()].count("recipient.changed") == 0


def test_a_change_of_the_delivery_key_stands_in_the_log(studio):
    _, public = recipients.generate("x25519")
    parties.delivery_key_set(organisation=studio.world.client, recipient=public)
    (told,) = (row for row in logged() if row["type"] == "recipient.changed")
    assert told["data"]["organisation_id"] == studio.world.client.pk
    assert public not in json.dumps(told)


def test_a_renamed_parcel_is_not_unpacked_under_the_other_name(made, desk, capsys):
    other = "dlv_" + "9f" * 10
    _, sealed, proof = folder.parcel_unpack((desk / "parcel.zip").read_bytes())
    renamed = folder.parcel_pack(other, "age", sealed, proof.decode())
    (desk / "parcel.zip").write_bytes(renamed)
    code, said = opened(capsys, desk, "--trust", str(desk / "trust.json"))
    assert (code, f"another delivery, {made.pk}" in said) == (2, True)
    assert not (desk / other).exists()


def test_what_does_not_verify_is_not_written(made, desk, capsys):
    trust = json.loads((desk / "trust.json").read_bytes())
    trust["provenance_keys"] = {}
    (desk / "trust.json").write_text(json.dumps(trust))
    code, said = opened(capsys, desk, "--trust", str(desk / "trust.json"))
    assert code == 1
    assert "NOT VERIFIED step 3 (delivered): unknown_key" in said
    assert not (desk / made.pk).exists()
    assert not list(desk.glob("*.tlog-proof"))


def test_no_name_of_anybody_stands_in_the_folder(made, studio):
    files = studio.opened(delivery.delivery_fetch(link=made.link))
    names = [studio.world.alice.person.display_name, "alice", "bob", "charlie"]
    for name, data in files.items():
        for person in names:
            assert person.encode() not in data, (name, person)


def test_the_site_shows_the_key_of_folders(studio, made):
    answer = Client().get("/model.pub")
    assert answer.content == studio.opened(delivery.delivery_fetch(link=made.link))[PUBLIC_KEY]
    assert load_pem_public_key(answer.content)


def test_without_the_key_of_folders_nothing_is_delivered(made, studio, settings, tmp_path):
    keys = tmp_path / "keys"
    shutil.copytree(settings.KEYS_DIR, keys)
    settings.KEYS_DIR = keys
    path = keys / keyring.MODEL_KEY
    path.chmod(0o644)
    with pytest.raises(keyfiles.KeyFileError, match="0600"):
        delivery.delivery_make(lora=made.lora, recipient=studio.world.client)
    path.chmod(0o600)
    path.write_bytes(b"no key")
    with pytest.raises(keyfiles.KeyFileError, match="PEM"):
        delivery.delivery_make(lora=made.lora, recipient=studio.world.client)
    assert Delivery.objects.count() == 1


def test_a_parcel_waits_for_the_log(made, monkeypatch):
    monkeypatch.setattr(packing, "LOG_WAIT_S", 0.0)
    monkeypatch.setattr(packing.log, "entry_by_event", lambda event: None)
    refused = delivery.parcel_fetch(link=made.link)
    assert isinstance(refused, Refusal)
    assert refused.code == "registry_unreachable"
    made.refresh_from_db()
    assert made.fetched_at is None
