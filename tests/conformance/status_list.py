"""The Token Status List's own examples and test vectors, read by `registry.core.status_list`."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from registry.core import status_list
from registry.log.core import canonical
from tests.conformance import vectors
from tests.conformance.suites import Result, judged

FOLDER = "status_list"
SIZE = 2**20
# Section "Test Vectors for Status List Encoding": 2^20 entries, all 0 but these.
LONG: Mapping[int, Mapping[int, int]] = {
    1: dict.fromkeys(
        (0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345), 1
    ),
    2: {
        0: 1,
        1993: 2,
        25460: 1,
        159495: 3,
        495669: 1,
        554353: 1,
        645645: 2,
        723232: 1,
        854545: 1,
        934534: 2,
        1000345: 3,
    },
    4: {
        0: 1,
        1993: 2,
        35460: 3,
        459495: 4,
        595669: 5,
        754353: 6,
        845645: 7,
        923232: 8,
        924445: 9,
        934534: 10,
        1004534: 11,
        1000345: 12,
        1030203: 13,
        1030204: 14,
        1030205: 15,
    },
}


def examples() -> Result:
    """Every list of the draft: each named status, every other one 0, and packed again the same."""
    return judged("token status list", _verdicts())


def _verdicts() -> Iterator[tuple[str, bool]]:
    for path in sorted((vectors.ROOT / FOLDER).glob("status_list_encoding*.md")):
        text = path.read_text()
        example = _example(text)
        bits, lst = example["bits"], canonical.unb64u(re.sub(r"\s", "", example["lst"]))
        octets = zlib.decompress(lst)
        size, per = len(octets) * 8 // bits, 8 // bits
        # `unpack` inflates the whole list each time, so it is asked only where something stands.
        places = [i * per + k for i, octet in enumerate(octets) if octet for k in range(per)]
        found = {i: s for i in places if (s := status_list.unpack(lst, i, bits=bits))}
        yield f"{path.stem}: packed again", _same(found, lst, size, bits)
        if "byte_array" in text:
            yield f"{path.stem}: bytes", zlib.decompress(lst) == _byte_array(text)
        elif bits in LONG:
            yield f"{path.stem}: statuses", found == LONG[bits]


def _example(text: str) -> dict[str, Any]:
    """The JSON object in the file; the draft breaks its long strings over lines."""
    body = text[text.index("{") : text.rindex("}") + 1]
    example: dict[str, Any] = json.loads(re.sub(r"\n\s*(?![\s\"}])", "", body))
    return example


def _byte_array(text: str) -> bytes:
    found = re.search(r"byte_array = \[(.*?)\]", text)
    return bytes(int(octet, 16) for octet in found[1].split(",")) if found else b""


def _same(found: Mapping[int, int], lst: bytes, size: int, bits: int) -> bool:
    again = status_list.pack(found, size=size, bits=bits)
    return zlib.decompress(again) == zlib.decompress(lst)


SUITE = (FOLDER, examples)
