"""Auditing over HTTP: tracing, evidence and uses, and nothing across tenants."""

import json

import httpx
import numpy as np
import pytest
from django.test import Client
from django.utils import timezone

from audit import cli
from audit.models import UseReport
from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from registry.services import keyring, parties
from tests.services.conftest import _keys, live
from tests.services.studio import Studio
from tests.services.test_audit_services import delivered, reporter
from training.core import weights

__all__ = ["_keys", "live"]  # fixtures
BINARY = "application/octet-stream"


@pytest.fixture
def studio(live, tmp_path, settings) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.ROOT_URLCONF = "audit.api.urls"
    return Studio(live, tmp_path)


def key(who, organisation) -> str:
    return parties.api_key_create(person=who, organisation=organisation)[1]


def as_(who, organisation, lang: str = "en") -> Client:
    bearer = f"Bearer {key(who, organisation)}"
    return Client(headers={"authorization": bearer, "accept-language": lang})


def mallory(studio: Studio) -> Client:
    person = studio.world.mallory.person
    return as_(person, person.memberships.get().organisation)


def test_the_case_over_http(studio):
    made, data = delivered(studio)
    charlie = as_(studio.world.charlie.person, studio.world.studio)
    check_trace(studio, charlie, made, data)
    check_evidence(studio, charlie, made, data)
    check_uses(studio, made)


def check_trace(studio, charlie, made, data):
    answer = charlie.post("/api/v1/trace", data, content_type=BINARY)
    body = answer.json()
    assert (answer.status_code, body["found"], body["how"]) == (200, True, "file")
    assert body["deliveries"] == [{"id": made.pk, "recipient": studio.world.client.pk}]
    assert "score" not in body
    assert "cosine" not in body
    # mallory learns that the file is registered, and not for whom the copy was made.
    stranger = mallory(studio).post("/api/v1/trace", data, content_type=BINARY).json()
    assert stranger["found"] is True
    assert not {"deliveries", "request", "grant"} & set(stranger)
    broken = charlie.post("/api/v1/trace", b"no weights", content_type=BINARY)
    assert (broken.status_code, broken.json()["code"]) == (422, "malformed")
    assert Client().post("/api/v1/trace", data, content_type=BINARY).status_code == 401
    assert charlie.post("/api/v1/trace", b"", content_type=BINARY).status_code == 400


def test_a_file_larger_than_the_limit_is_refused(studio, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    charlie = as_(studio.world.charlie.person, studio.world.studio)
    answer = charlie.post("/api/v1/trace", bytes(1001), content_type=BINARY)
    assert (answer.status_code, answer.json()["code"]) == (413, "malformed")


def check_evidence(studio, charlie, made, data):
    address = f"/api/v1/deliveries/{made.pk}/evidence"
    answer = charlie.get(address)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/zip"
    verdict = verifier.verify(packs.read(answer.content), keyring.trust_root(), data)
    assert verdict.delivery_id == made.pk
    assert mallory(studio).get(address).status_code == 404
    assert charlie.get("/api/v1/deliveries/dlv_nothing/evidence").status_code == 404
    assert Client().get(address).status_code == 401


def check_uses(studio, made):
    address = f"/api/v1/deliveries/{made.pk}/uses"
    client = as_(reporter(studio), studio.world.client)
    use = {"medium": "ad_tv", "country": "JP", "first_day": timezone.localdate().isoformat()}
    answer = client.post(address, use, content_type="application/json")
    assert (answer.status_code, answer.json()["outside"]) == (201, ["media"])
    wrong = client.post(address, {**use, "quantity": -1}, content_type="application/json")
    assert wrong.status_code == 422
    assert mallory(studio).post(address, use, content_type="application/json").status_code == 404
    assert UseReport.objects.count() == 1
    check_evidence_of_a_use(client, made, UseReport.objects.get())


def check_evidence_of_a_use(client, made, report):
    address = f"/api/v1/deliveries/{made.pk}/evidence"
    answer = client.get(address, {"use": report.pk})
    verdict = verifier.verify(packs.read(answer.content), keyring.trust_root())
    assert (verdict.use["use_id"], verdict.use["outside"]) == (report.pk, ["media"])
    assert client.get(address, {"use": "use_" + "0" * 20}).status_code == 404
    early = client.get(address, {"as_of": "2020-01-01T00:00:00Z"})
    assert (early.status_code, early.json()["code"]) == (409, "wrong_state")
    assert client.get(address, {"as_of": "yesterday"}).status_code == 422


def test_the_command_traces_what_was_merged_into_a_checkpoint(
    studio, live_server, tmp_path, capsys, settings
):
    """Only the difference is sent: the registry never sees the checkpoint."""
    made, data = delivered(studio)
    settings.ALLOWED_HOSTS = ["*"]
    dice = np.random.default_rng(1)
    base, changed = {}, {}
    for item in weights.adapters(weights.read(data)):
        name = f"{item.stem}.weight"
        base[name] = dice.standard_normal(item.shape).astype(np.float32) * np.float32(0.03)
        changed[name] = base[name] + np.float32(0.8 * item.scale) * (item.up @ item.down)
    files = {"base": base, "merged": changed, "else": {"x.weight": base[name]}}
    for file, tensors in files.items():
        (tmp_path / f"{file}.safetensors").write_bytes(weights.write(tensors, {}))
    bearer = key(studio.world.charlie.person, studio.world.studio)
    asked = ["trace", str(tmp_path / "merged.safetensors"), "--url", live_server.url]
    asked += ["--key", bearer, "--lang", "en"]
    assert cli.main(asked) == 1  # by itself a checkpoint is nobody's LoRA
    capsys.readouterr()
    assert cli.main([*asked, "--base", str(tmp_path / "base.safetensors")]) == 0
    assert made.lora_id in capsys.readouterr().out
    assert cli.main([*asked, "--base", str(tmp_path / "else.safetensors")]) == 2
    assert "no layer in common" in capsys.readouterr().err
    assert cli.main([*asked, "--base", str(tmp_path / "merged.safetensors")]) == 2
    assert "the base model itself" in capsys.readouterr().err


def test_the_command_traces_over_http(studio, live_server, tmp_path, capsys, settings):
    made, data = delivered(studio)
    settings.ALLOWED_HOSTS = ["*"]
    (tmp_path / "renamed.safetensors").write_bytes(data)
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    bearer = key(studio.world.charlie.person, studio.world.studio)
    asked = ["--url", live_server.url, "--key", bearer, "--lang", "en"]
    assert cli.main(["trace", str(tmp_path / "renamed.safetensors"), *asked]) == 0
    assert made.lora_id in capsys.readouterr().out
    assert cli.main(["trace", str(tmp_path / "renamed.safetensors"), *asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"] is True
    assert cli.main(["trace", str(tmp_path / "broken.safetensors"), *asked]) == 2
    assert "422" in capsys.readouterr().err


@pytest.mark.parametrize(
    "body", [b"{}", b'{"found": true}', b'{"sentence": "x"}', b"[1]", b"<html>"]
)
def test_an_answer_that_is_none_is_no_verdict(monkeypatch, tmp_path, capsys, body):
    """Whatever answers at the address: exit 2, never a traceback and never a finding."""
    (tmp_path / "some.safetensors").write_bytes(b"x")
    monkeypatch.setattr(httpx, "post", lambda *_, **__: httpx.Response(200, content=body))
    asked = ["trace", str(tmp_path / "some.safetensors"), "--url", "http://somewhere.example"]
    assert cli.main(asked) == 2
    assert "somewhere.example" in capsys.readouterr().err
