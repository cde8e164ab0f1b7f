"""Every abuse case and requirement that the registry answers has a test named after it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
ABUSE: Final = (
    *(*range(1, 12), *range(13, 23), *range(24, 30)),
    *(31, 33, 35, 37, 38, *range(40, 46)),
)
REQUIREMENTS: Final = (*(*range(1, 19), *range(21, 26), 27, 28, 29, *range(32, 41), 42, 43, 44),)


def named(folder: str) -> set[str]:
    """The cases that a test function in a folder is named after: `a17`, `r05`."""
    texts = "\n".join(path.read_text("utf-8") for path in (TESTS / folder).glob("test_*.py"))
    return set(re.findall(r"^\s*(?:async )?def test_([ar]\d\d)_", texts, re.MULTILINE))


@pytest.mark.parametrize("number", ABUSE)
def test_an_abuse_case_has_its_test(number: int) -> None:
    assert f"a{number:02}" in named("abuse")


@pytest.mark.parametrize("number", REQUIREMENTS)
def test_a_requirement_has_its_test(number: int) -> None:
    assert f"r{number:02}" in named("requirements") | named("abuse") | named("services")
