"""Where the public vectors lie, and how each family is read. The vectors are data, not code."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(
    os.environ.get("KYODAKU_VECTORS", Path(__file__).parents[2] / "../shared/vectors")
).resolve()


def missing(*parts: str) -> str:
    """Return why a vector family cannot run, or an empty string."""
    path = ROOT.joinpath(*parts)
    return "" if path.exists() else f"public vectors absent: {'/'.join(parts)}"


def merkle_files() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, vector) of the transparency-dev proof files; `kind` is added."""
    root = ROOT / "merkle" / "testdata"
    for path in sorted(root.rglob("*.json")):
        vector = json.loads(path.read_text())
        yield path.relative_to(root).with_suffix("").as_posix(), vector


def jcs_cases() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (name, input, canonical form) of RFC 8785's test data."""
    root = ROOT / "jcs" / "testdata"
    for path in sorted((root / "input").glob("*.json")):
        octets = (root / "outhex" / f"{path.stem}.txt").read_text().split()
        yield path.stem, path.read_bytes(), bytes.fromhex("".join(octets))


def wycheproof(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (group, test) of a Wycheproof file."""
    data = json.loads((ROOT / "wycheproof" / name).read_text())
    for group in data["testGroups"]:
        for test in group["tests"]:
            yield group, test


def unb64(text: str | None) -> bytes:
    """Decode the base64 of the merkle vectors, where null means empty."""
    return base64.b64decode(text or "")
