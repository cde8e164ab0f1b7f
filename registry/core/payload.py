"""Strict JSON for frozen dataclasses that stand in signed objects.

A dataclass believes whoever fills it. What a stranger sends must not reach the rules as a list
where a word is meant: they would fail on it, instead of refusing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T", bound="Payload")


class Payload:
    """Mixed into a frozen dataclass: its strict JSON object, both ways."""

    def to_payload(self) -> dict[str, Any]:
        """The JSON object: strings, integers, booleans, arrays and objects only."""
        return {name: _plain(getattr(self, name)) for name in _hints(type(self))}

    @classmethod
    def from_payload(cls: type[_T], payload: Any) -> _T:
        """Parse strictly. Raises `ValueError` for an unknown, missing or ill-typed member."""
        if not isinstance(payload, Mapping):
            raise ValueError(f"{cls.__name__}: an object is needed")
        hints = _hints(cls)
        unknown = sorted(set(payload) - set(hints))
        if unknown:
            raise ValueError(f"unknown member: {unknown[0]}")
        try:
            return cls(**{name: _typed(name, hints[name], payload[name]) for name in payload})
        except TypeError as error:
            raise ValueError(str(error)) from error


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    """The members of a dataclass and their types, in order; looked up once, because it is slow."""
    if cls not in _HINTS:
        _HINTS[cls] = get_type_hints(cls)
    return _HINTS[cls]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.to_payload() if isinstance(value, Payload) else value


def _typed(name: str, kind: Any, value: Any) -> Any:
    if type(value) is kind:
        return value
    if get_origin(kind) is tuple:
        (item, _) = get_args(kind)
        if not isinstance(value, list):
            raise ValueError(f"{name}: a list is needed")
        return tuple(_typed(name, item, entry) for entry in value)
    if isinstance(kind, type) and issubclass(kind, Payload):
        return kind.from_payload(value)
    # bool is an int in Python; an amount of `true` is a mistake, not one.
    raise ValueError(f"{name}: {kind.__name__} is needed")
