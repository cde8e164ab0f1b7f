"""Does a test fail when a check is removed? `make mutants`.

For the gate's call and each of the eight refusals that the demonstration plants: copy the tree,
take the check out, run the tests named, and expect a failure. A mutant that survives is a check
that nothing holds in place. The same tests are first run on the tree as it is, and must pass.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.report import at_most, report, say

ROOT: Final = Path(__file__).resolve().parents[1]
LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache")
REGISTRY: Final = "tests/services/test_registry_flow.py::"
TRAINING: Final = "tests/services/test_training_flow.py::"


@dataclass(frozen=True)
class Mutant:
    """One check taken out: in `file`, `check` becomes `without`; `test` must notice."""

    name: str
    file: str
    check: str
    without: str
    test: str


MUTANTS: Final = (
    Mutant(
        "no_token",
        "training/trainer/admission.py",
        'read_text(folder / "token.jws", missing="no_token")',
        'read_text(folder / "trust.json")',
        "tests/trainer/test_admission.py",
    ),
    Mutant(
        "dataset_mismatch (gate)",
        "training/core/gate.py",
        "if (facts.dataset_root, facts.dataset_count) != "
        "(grant.dataset_root, grant.dataset_count):",
        "if False:",
        TRAINING + "test_a_picture_swapped_in_the_rows_closes_the_gate",
    ),
    Mutant(
        "dataset_mismatch (trainer)",
        "training/trainer/admission.py",
        "if verify_items(manifest, opened) != root or len(pictures) != count:",
        "if False:",
        "tests/trainer/test_admission.py",
    ),
    Mutant(
        "unknown_face",
        "training/core/curation.py",
        'if finding.kind == "hard" or not answers:',
        'if finding.kind != "hard" and not answers:',
        "tests/core/test_curation.py",
    ),
    Mutant(
        "approval_missing:talent",
        "registry/core/approvals.py",
        "if (party.party_id, party.by) not in given",
        'if party.by != "talent" and (party.party_id, party.by) not in given',
        "tests/core/test_approvals.py",
    ),
    Mutant(
        "bad_signature",
        "registry/core/approvals.py",
        "if key not in party.keys:",
        "if False:",
        "tests/core/test_approvals.py",
    ),
    Mutant(
        "image_unrecorded",
        "registry/core/rights.py",
        "if not row.holder or not row.shoot:",
        "if False:",
        "tests/core/test_clearance.py",
    ),
    Mutant(
        "approval_missing (clearances)",
        "registry/core/clearance.py",
        "if (party, by, subject) not in named",
        "if False",
        "tests/core/test_clearance.py",
    ),
    Mutant(
        "reserved_by_holder",
        "registry/core/clearance.py",
        'if row.reserved and (row.party_id, "photo_copyright") not in given',
        "if False",
        "tests/core/test_clearance.py",
    ),
    Mutant(
        "base_licence",
        "registry/core/licences.py",
        "    if commercial is not True:\n",
        "    if False:\n",
        "tests/core/test_grants.py",
    ),
    Mutant(
        "replayed",
        "registry/services/tokens.py",
        "        redeemed_at__isnull=True,\n",
        "",
        REGISTRY + "test_a_token_presented_twice_is_replayed",
    ),
    Mutant(
        "withdrawn (status list)",
        "registry/core/tokens.py",
        "    if code is not None:\n        raise VerificationError(code, claims.jti)\n",
        "",
        "tests/core/test_tokens.py",
    ),
    Mutant(
        "withdrawn (between two steps)",
        "training/trainer/train.py",
        "        if code is not None:\n            raise Stopped(code)\n",
        "",
        "tests/trainer/test_program.py",
    ),
    Mutant(
        "the gate's call: no key, no pixels",
        "training/worker/agent.py",
        "released = _required(self.client.redeem(self.job.job_id, self.job.fence, self.job.token))",
        'released = Released(bytes(80), "", "wrk")',
        TRAINING + "test_a_run_leads_to_a_delivery_that_can_be_traced",
    ),
    Mutant(
        "file_changed",
        "audit/verifier/folder.py",
        'same(found, covered.pop(name, None), "file_changed", f"{name} is not what was signed")',
        "covered.pop(name, None)",
        "tests/core/test_folder.py",
    ),
    Mutant(
        "link_used",
        "training/services/delivery.py",
        "if not mine.update(link_used_at=at):",
        "if mine.update(link_used_at=at) is None:",
        TRAINING + "test_of_two_that_use_a_link_at_once_one_gets_the_file",
    ),
)


def passes(tree: Path, test: str) -> bool:
    """Whether the tests pass in a tree. Collecting nothing counts as an error of ours."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{test} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def survives(mutant: Mutant) -> bool:
    """Take the check out in a copy of the tree; whether the tests still pass there."""
    with tempfile.TemporaryDirectory(prefix="kyodaku-mutant-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        file = tree / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.check) != 1:
            raise RuntimeError(f"{mutant.name}: the check is not in {mutant.file} exactly once")
        file.write_text(text.replace(mutant.check, mutant.without), encoding="utf-8")
        return passes(tree, mutant.test)


def main() -> int:
    """Print a line a mutant; exit 1 when one survives or the tree itself fails."""
    broken = [test for test in sorted({m.test for m in MUTANTS}) if not passes(ROOT, test)]
    for test in broken:
        say(f"fails without any change: {test}")
    alive = []
    for mutant in MUTANTS:
        if survives(mutant):
            alive.append(mutant.name)
        say(f"{'SURVIVES' if mutant.name in alive else 'caught  '}  {mutant.name}")
    figures = {"mutants": len(MUTANTS), "caught": len(MUTANTS) - len(alive)}
    bars = {"surviving": at_most(len(alive), 0), "failing_unchanged": at_most(len(broken), 0)}
    return report("mutants", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
