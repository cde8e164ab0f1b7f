"""The container files name what exists. (No container is started.)"""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.trainer"])
def test_what_a_dockerfile_copies_exists(name):
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / name).read_text(), re.MULTILINE)
    assert all((ROOT / source).exists() for line in copied for source in line.split())


def test_services_wait_only_for_services_that_exist_and_none_has_more_rights(compose):
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        if name != "database":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_there_is_a_sequencer_with_a_standby_one_beat_and_no_open_port(compose):
    commands = [service.get("command", []) for service in compose["services"].values()]
    assert sum("sequencer" in command for command in commands) == 1
    assert compose["services"]["sequencer"]["deploy"] == {"replicas": 2}
    assert sum("--beat" in command for command in commands) == 1
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000"]


def test_no_container_file_holds_a_password(compose):
    for path in DOCKER.iterdir():
        assert not re.search(r"PASSWORD[=:]\s*[^<\s]", path.read_text()), path.name
