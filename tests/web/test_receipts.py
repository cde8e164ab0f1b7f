"""A signer's receipt over the web, the API and the command line; nobody else's, ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from registry.core import receipts
from registry.models import Grant
from registry.services import keyring
from tests.web.pages import as_
from tests.world import World, make_world, sequence

TALENT = "/grants/{}/receipt/talent.{}"


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


@pytest.fixture
def made(world: World) -> Grant:
    """A grant that everybody signed, under a checkpoint."""
    grant = world.made()
    sequence()
    return grant


def test_a_talent_takes_home_both_files(world: World, made: Grant) -> None:
    client = as_(world.alice, "ja")
    page = client.get(f"/grants/{made.id}/receipt").content.decode()
    for form, start in (("pdf", b"%PDF-"), ("json", b'{"evidence"')):
        address = TALENT.format(made.id, form)
        assert address in page
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.content.startswith(start)
        assert answer["Content-Disposition"].endswith(f'.{form}"')


@pytest.mark.parametrize("form", ["pdf", "json"])
def test_nobody_gets_somebody_elses_receipt(world: World, made: Grant, form: str) -> None:
    assert as_(world.mallory).get(TALENT.format(made.id, form)).status_code == 404
    # Bob may see the case, but signed in another capacity: he is told so, and gets no file.
    assert as_(world.bob).get(TALENT.format(made.id, form)).status_code == 302


def test_unknown_capacities_and_forms_are_404(world: World, made: Grant) -> None:
    client = as_(world.alice)
    assert client.get(TALENT.format(made.id, "exe")).status_code == 404
    assert client.get(f"/grants/{made.id}/receipt/queen.pdf").status_code == 404


def test_the_api_hands_out_the_verifiable_bytes_and_the_policy(world: World, made: Grant) -> None:
    client = as_(world.alice)
    answer = client.get(f"/api/v1/grants/{made.id}/receipt?by=talent")
    assert receipts.verify(answer.content, keyring.trust_root()).party.by == "talent"
    assert client.get(f"/api/v1/grants/{made.id}/receipt?by=guardian").status_code == 409
    policy = client.get(f"/api/v1/grants/{made.id}/odrl").json()
    assert policy["kyo:grantDigest"] == made.digest
    assert as_(world.mallory).get(f"/api/v1/grants/{made.id}/odrl").status_code == 404


def test_the_command_line_verifies_a_receipt_and_names_a_broken_one(
    world: World, made: Grant, tmp_path: Path
) -> None:
    data = as_(world.alice).get(TALENT.format(made.id, "json")).content
    (tmp_path / "trust.json").write_bytes(keyring.trust_root().to_bytes())
    (tmp_path / "receipt.json").write_bytes(data)
    other = json.loads(data)
    other["record"]["events"][0]["capacity"] = "guardian"
    (tmp_path / "other.json").write_text(json.dumps(other))
    for name, code, word in (("receipt", 0, "VERIFIED apv_"), ("other", 1, "NOT VERIFIED")):
        command = [sys.executable, "-m", "audit.cli", "verify", str(tmp_path / f"{name}.json")]
        command += ["--trust", str(tmp_path / "trust.json"), "--lang", "en"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert word in done.stdout
