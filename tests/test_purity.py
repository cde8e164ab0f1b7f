"""The cores, the trainer's configuration and the verifier run alone: seen from a fresh interpreter.

import-linter reads the source; this looks at what is really loaded, also through third parties.
"""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {"django", "rest_framework", "celery", "kombu", "psycopg", "torch", "diffusers"}
PURE = (
    "registry.core",
    "registry.log.core",
    "training.core",
    "training.trainer.config",
    "audit.core",
    "audit.verifier",
)
LOOK = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_of(name: str) -> list[str]:
    """A module and, if it is a package, everything inside it (`__main__` would run)."""
    folder = ROOT / name.replace(".", "/")
    if not folder.is_dir():
        return [name]
    inside = pkgutil.walk_packages([str(folder)], prefix=f"{name}.")
    return [name, *(found.name for found in inside if not found.name.endswith("__main__"))]


def loaded_by(names: list[str]) -> set[str]:
    """The top-level modules in a fresh interpreter that has imported `names`."""
    command = [sys.executable, "-c", LOOK, json.dumps(names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_loads_no_framework(name):
    assert loaded_by(modules_of(name)) & FORBIDDEN == set()


def test_the_look_itself_sees_a_framework():
    assert loaded_by(["registry.checks"]) & FORBIDDEN == {"django"}


def test_the_registry_package_is_empty():
    assert (ROOT / "registry" / "__init__.py").read_text() == ""
