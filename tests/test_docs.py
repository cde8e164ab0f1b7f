"""Documentation has tests: events, refusal codes, addresses and commands are what the pages say."""

import ast
import re
from pathlib import Path

import pytest

import audit.replay
import registry.replay
import training.replay
from audit.core.events import EVENTS as AUDIT
from registry.core.events import EVENTS as REGISTRY
from registry.core.refusals import CODES
from training.core.events import EVENTS as TRAINING

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {"registry": REGISTRY, "training": TRAINING, "audit": AUDIT}
READ = {
    event
    for module in (registry.replay, training.replay, audit.replay)
    for rule in module.rules()
    for event in rule.reads
}
REPLAYS = {
    "registry": (READ, registry.replay.SILENT),
    "training": (READ, training.replay.SILENT),
    "audit": (READ, audit.replay.SILENT),
}
SOURCES = sorted(
    path
    for floor in FLOORS
    for path in (ROOT / floor).rglob("*.py")
    if "migrations" not in path.parts
)
# Codes of the log and of file parsers: broken proofs, shown as `malformed` or `bad_signature`.
GROUND = ("registry/log/", "training/core/weights.py", "training/core/watermark.py")
PARSERS = ("training/core/fingerprint.py", "training/core/provenance.py")


def raised_codes() -> dict[str, str]:
    """Every literal code of a `Refusal(…)` or `VerificationError(…)`, and a file that has it."""
    found = {}
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(GROUND) or name in PARSERS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            if called in {"Refusal", "VerificationError"} and isinstance(first, ast.Constant):
                found[str(first.value).partition(":")[0]] = name
    return found


def written_events() -> set[str]:
    """Every event type that code hands on as a value: in a call, a table, an assignment, an answer.

    Not what code compares with or searches for: a reader of an event is no writer of it.
    """
    found: set[str] = set()
    for path in SOURCES:
        if path.name == "events.py":
            continue
        tree = ast.parse(path.read_text())
        read = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            for inner in ast.walk(node)
        }
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in read
        }
    return found


WRITTEN = written_events()
SENTENCES = (ROOT / "ARCHITECTURE.md").read_text()


@pytest.mark.parametrize("event", sorted({e for floor in FLOORS.values() for e in floor}))
def test_every_event_has_a_writer_a_place_in_the_architecture_and_two_names(event):
    floor, texts = next((name, table[event]) for name, table in FLOORS.items() if event in table)
    elsewhere = [p for p in SOURCES if p.parts[-1] != "events.py" and floor in p.parts]
    assert any(f'"{event}"' in path.read_text() for path in elsewhere), "its floor does not name it"
    assert event in WRITTEN, "nobody writes it"
    assert f"`{event}`" in SENTENCES
    assert re.search("[ぁ-んァ-ン一-龥]", texts[0])
    assert texts[1].isascii()
    assert texts[1] != event


@pytest.mark.parametrize("floor", FLOORS)
def test_fsck_knows_what_every_event_says_of_the_rows(floor):
    """A new event type: let a rule of `<floor>/replay.py` read it, or name it in SILENT there."""
    read, silent = REPLAYS[floor]
    assert silent <= set(FLOORS[floor])
    assert set(FLOORS[floor]) - silent <= read
    assert not silent & read


def test_no_event_is_written_that_has_no_name():
    named = {event for floor in FLOORS.values() for event in floor}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and getattr(
                node.func, "id", getattr(node.func, "attr", "")
            )
            if called == "append" and isinstance(node, ast.Call) and len(node.args) == 2:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    assert first.value in named, f"{path}: {first.value}"


def test_every_code_that_is_given_is_in_the_catalogue():
    unknown = {code: file for code, file in raised_codes().items() if code and code not in CODES}
    assert not unknown


def test_every_code_of_the_catalogue_is_given_somewhere():
    texts = "\n".join(p.read_text() for p in SOURCES if p.name != "refusals.py")
    unused = {code for code in CODES if f'"{code}' not in texts}
    assert not unused


def test_the_readme_is_short_and_its_files_exist():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.split()) <= 500
    for name in re.findall(r"`([A-Z_]+\.md|docker/[\w.]+)`", readme):
        assert (ROOT / name).is_file(), name


def test_every_file_named_in_the_architecture_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for name in re.findall(r"`((?:registry|training|audit)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name


def test_every_make_target_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z0-9-]+):(.*)$", makefile, re.MULTILINE)
    assert all("## " in rest for _, rest in targets)
