"""What a fuzz target is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """`call` is fuzzed from `seeds`; `words` are what a mutation may insert whole."""

    call: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[str, ...] = ()
    max_len: int = 32_768


def text_of(data: bytes) -> str:
    """Any bytes as a text that a caller could hand over, broken code points included."""
    return data.decode("utf-8", errors="surrogateescape")
