"""The C2SP texts' own examples, and notes that other people's software signed, read by our parsers.

The data are in `tests/vectors/c2sp/examples.json`, with their sources.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry.log.core import canonical, checkpoint, tiles, tlog_proof
from tests.conformance.suites import Result, accepts, judged

FILE = Path(__file__).parents[1] / "vectors/c2sp/examples.json"


def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return data


def notes() -> Result:
    """signed-note, tlog-checkpoint, tlog-cosignature: text, signers, sizes, and real signatures."""
    return judged("c2sp notes and checkpoints", _note_verdicts())


def _note_verdicts() -> Iterator[tuple[str, bool]]:
    for case in _data()["notes"]:
        name, note = case["name"], case["note"]
        text, lines = checkpoint.parse_note(note)
        signers = [line.name for line in lines]
        yield f"{name}: text and signers", (text, signers) == (case["text"], case["signers"])
        if "size" in case:
            yield f"{name}: size", checkpoint.parse_body(text).size == case["size"]
            yield f"{name}: written again", checkpoint.parse_body(text).body() == text
        if "cosigned" in case:
            (stamp,) = {int.from_bytes(line.signature[:8], "big") for line in lines[1:]}
            yield f"{name}: timestamp", stamp == case["time"]
            message = checkpoint._cosignature_v1(text, stamp)
            yield f"{name}: signed message", message == case["cosigned"].encode()
        if case["vkey"]:
            yield f"{name}: verifies", accepts(checkpoint.verify_note, note, [case["vkey"]])
            forged = note.replace(text, text.replace("o", "0", 1), 1)
            yield f"{name}: changed", not accepts(checkpoint.verify_note, forged, [case["vkey"]])
            again = str(checkpoint.VerifierKey.parse(case["vkey"]))
            yield f"{name}: key written again", again == case["vkey"]


def proofs() -> Result:
    """tlog-proof: the example. Its text cuts the signatures with "[...]", which no reader takes."""
    return judged("c2sp tlog-proof", _proof_verdicts())


def _proof_verdicts() -> Iterator[tuple[str, bool]]:
    for case in _data()["proofs"]:
        found = tlog_proof.inspect_proof(case["text"])
        hashes = [canonical.b64(item) for item in found.hashes]
        same = (found.index, hashes) == (case["index"], case["hashes"])
        yield f"{case['name']}: index and path", same
        yield f"{case['name']}: extra", canonical.b64(found.extra or b"") == case["extra"]
        head = checkpoint.parse_body(found.note.partition("\n\n")[0] + "\n")
        yield f"{case['name']}: checkpoint", head.size == case["size"]
        yield f"{case['name']}: written again", tlog_proof.format_proof(found) == case["text"]
        yield f"{case['name']}: cut signature", not accepts(checkpoint.parse_note, found.note)


def tile_paths() -> Result:
    """tlog-tiles: the path example, and the tiles of the two trees that the text counts."""
    return judged("c2sp tlog-tiles", _tile_verdicts())


def _tile_verdicts() -> Iterator[tuple[str, bool]]:
    data = _data()
    for case in data["paths"]:
        place = (case["level"], case["n"], case["width"])
        yield f"{case['name']}: read", tiles.parse_path(case["path"]) == place
        entries = case["level"] is None
        spelled = tiles.entries_path(*place[1:]) if entries else tiles.tile_path(*place)
        yield f"{case['name']}: written", spelled == case["path"]
    for case in data["trees"]:
        spans = tiles.spans(case["size"])
        full = Counter(str(level) for level, _, width in spans if width == tiles.WIDTH)
        partial = {str(level): width for level, _, width in spans if width < tiles.WIDTH}
        yield f"{case['name']}: full tiles", dict(full) == case["full"]
        yield f"{case['name']}: partial tiles", partial == case["partial"]
    yield "a partial tile of 256 is none", not accepts(tiles.parse_path, "tile/0/000.p/256")


SUITES = [(str(FILE), notes), (str(FILE), proofs), (str(FILE), tile_paths)]
