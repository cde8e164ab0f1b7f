"""What an event is about: the ids and digests in it, so that they can be looked up.

Ground floor, pure. The log does not know what the words mean; it only finds them again. The lookup
table made from them is a cache of the entries: `fsck` recomputes it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MIN_WORD: Final = 16
MAX_WORD: Final = 128
# Ids, hex and base64url digests, UUIDs; no times, no sentences, no short words such as `talent`.
_WORD: Final = re.compile(r"(?!\d{4}-\d\d-\d\dT)[A-Za-z0-9_.:/+=-]{16,128}")


def is_word(value: object) -> bool:
    """Whether a value is of the kind that is looked up: 16 to 128 characters of an id or digest."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def words_of(event: Mapping[str, Any]) -> list[str]:
    """Return every such word among the values of the event's `data`, at any depth, sorted, once."""
    return sorted({value for value in _values(event["data"]) if _WORD.fullmatch(value)})


def _values(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item)
