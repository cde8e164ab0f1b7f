"""The house rules that tools can check: style, types, floors. One command tests them all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TOOLS = {
    "ruff check": ("ruff", "check", "--no-cache", "."),
    "ruff format": ("ruff", "format", "--no-cache", "--check", "."),
    "mypy": ("mypy", "."),
    "import-linter": ("lint-imports",),
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_house_is_in_order(name):
    tool, *arguments = TOOLS[name]
    done = subprocess.run(
        [BIN / tool, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
