"""The whole product, from outside: real PostgreSQL, real Celery, real trainer, one command.

What `python3 run.py --check` does after installing. It reads like the README.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from audit.demo.screen import STAGES

ROOT = Path(__file__).resolve().parents[2]
REFUSED = (
    "no_token",
    "dataset_mismatch",
    "unknown_face",
    "approval_missing:talent",
    "bad_signature",
    "base_licence",
    "replayed",
    "withdrawn",
)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> str:
    """What one run of the demonstration printed; its data in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    pack = os.environ.get("KYODAKU_ENGINE_DIR", str(ROOT / "var" / "engines" / "yunet_sface"))
    if not (Path(pack) / "manifest.json").is_file():
        pytest.skip("NO FACE PACK: run `python3 run.py` once, it builds var/engines/yunet_sface")
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
    done = subprocess.run(
        [sys.executable, "-m", "registry.local", "up", "--check"],
        cwd=ROOT,
        env={k: os.environ[k] for k in os.environ if k in kept or k.startswith("PIP_")}
        | {
            "KYODAKU_DOTENV": "none",
            "KYODAKU_MODE": "test",
            "KYODAKU_HOME": str(home),
            "KYODAKU_ENGINE_DIR": pack,
        },
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.ml
def test_one_command_walks_all_nine_stages(told):
    for ja, en in STAGES:
        assert f"{ja} {en}" in re.sub(r"\s+", " ", told)


@pytest.mark.ml
@pytest.mark.parametrize("code", REFUSED)
def test_every_planted_intrusion_is_refused_in_both_languages(told, code):
    _, _, after = told.partition(f"✗ {code}")
    ja, en = after.splitlines()[1:3]
    assert re.search("[ぁ-ん]", ja)
    assert re.match(r"\s+[A-Z][a-z]", en)


@pytest.mark.ml
def test_a_disguised_copy_is_traced_and_the_evidence_verifies(told):
    assert "TRACE" in told
    assert re.search(r"^VERIFIED lor_", told, re.MULTILINE)
    assert "NOT VERIFIED" not in told
