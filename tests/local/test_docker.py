"""The container files name what exists, and their formats' own checkers find nothing to say.

(No container is started.)
"""

import json
import re
import subprocess
import sys
from copy import deepcopy
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


OTHERS = {"database", "broker", "objects"}  # not our programs


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def schema():
    """The Compose specification's own schema, as a package brings it."""
    place = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    found = json.loads(place.read_text())
    return jsonschema.validators.validator_for(found)(found)


def test_the_compose_file_is_one(compose, schema):
    schema.validate(compose)


@pytest.mark.parametrize(
    ("service", "member", "value"),
    [("web", "replica", 2), ("worker", "command", 3), ("broker", "healthcheck", {"tests": []})],
)
def test_the_schema_would_have_said_no(compose, schema, service, member, value):
    changed = deepcopy(compose)
    changed["services"][service][member] = value
    assert not schema.is_valid(changed)


def hadolint(*files):
    command = [Path(sys.executable).with_name("hadolint"), *files]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_linter_has_nothing_to_say_about_the_dockerfiles(tmp_path):
    done = hadolint(*sorted(DOCKER.glob("Dockerfile*")))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /tmp && sudo pip install x\n")
    assert hadolint(bad).returncode == 1


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.trainer"])
def test_an_image_ends_as_a_user_without_rights(name):
    users = re.findall(r"^USER (\S+)$", (DOCKER / name).read_text(), re.MULTILINE)
    assert users[-1] == "10001"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.trainer"])
def test_what_a_dockerfile_copies_exists(name):
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / name).read_text(), re.MULTILINE)
    assert all((ROOT / source).exists() for line in copied for source in line.split())


def test_services_wait_only_for_services_that_exist_and_none_has_more_rights(compose):
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        if name not in OTHERS:
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_there_are_several_of_each_but_one_beat_and_no_open_port(compose):
    services = compose["services"]
    commands = [service.get("command", []) for service in services.values()]
    assert sum("beat" in command for command in commands) == 1
    assert "deploy" not in services["beat"]
    assert not any("--beat" in command for command in commands)
    assert sum("sequencer" in command for command in commands) == 1
    for name in ("sequencer", "worker", "web"):  # the second sequencer stands by
        assert services[name]["deploy"]["replicas"] >= 2, name
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000-8007:8000"]


def test_a_worker_is_given_time_to_stop_its_trainer(compose):
    for name in ("worker", "trainer"):
        assert compose["services"][name]["stop_grace_period"] == "60s"


def test_no_container_file_holds_a_password(compose):
    for path in DOCKER.iterdir():
        assert not re.search(r"PASS(WORD)?[=:]\s*[^<\s]", path.read_text()), path.name
