"""Numbers, days and lists as people in Japan write them. Stage 1, pure.

Full-width digits, commas, spaces and units are never an error; a day may be written with hyphens,
slashes, dots, 年月日 or in the era 令和. What cannot be read is None: nothing is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Final

_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_DAY: Final = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_ERA: Final = re.compile(r"(?:令和|R)([0-9]{1,2}|元)[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_REIWA: Final = 2018  # 令和元年 is 2019
_UNITS: Final = re.compile(r"(円|点|回|日間|日|か月|ヶ月|カ月|個|枚|部|%|JPY)$")
_SEPARATORS: Final = re.compile(r"[、,;\n]+")


def plain(text: str) -> str:
    """NFKC without any blank: full-width digits become digits, the dashes of a date hyphens."""
    folded = unicodedata.normalize("NFKC", text)
    return re.sub(r"[‐‑‒–—―−ー]", "-", "".join(folded.split()))


def number(text: str) -> int | None:
    """A whole number of 0 and above: `１，５００円` is 1500."""
    bare = _UNITS.sub("", plain(text).removeprefix("¥").removeprefix("約")).replace(",", "")
    return int(bare) if _NUMBER.fullmatch(bare) else None


def permille(text: str) -> int | None:
    """A percentage with at most one decimal, in thousandths: `１２．５％` is 125."""
    bare = plain(text).removesuffix("%").replace(",", "")
    found = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]))?", bare)
    return int(found[1]) * 10 + int(found[2] or 0) if found else None


def day(text: str) -> date | None:
    """A calendar day: `2027-03-31`, `２０２７年３月３１日`, `令和9年3月31日`."""
    bare = plain(text)
    found = _DAY.fullmatch(bare)
    if found:
        year = int(found[1])
    else:
        found = _ERA.fullmatch(bare)
        if found is None:
            return None
        year = _REIWA + (1 if found[1] == "元" else int(found[1]))
    try:
        return date(year, int(found[2]), int(found[3]))
    except ValueError:
        return None


def listed(text: str) -> tuple[str, ...]:
    """Names with 、 or commas or line breaks between them, without the empty ones."""
    parts = (part.strip(" 　") for part in _SEPARATORS.split(text.replace("，", ",")))
    return tuple(dict.fromkeys(part for part in parts if part))


def one_line(text: str) -> str:
    """A text field as it is kept: no blanks around, a line break from a paste becomes a blank."""
    return re.sub(r"\s*[\r\n]+\s*", " ", text).strip(" 　")
