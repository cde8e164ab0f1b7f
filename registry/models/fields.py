"""Shared field types."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import models

from registry.core.ids import new_id


def _fresh(prefix: str) -> Callable[[], str]:
    return partial(new_id, prefix)


if TYPE_CHECKING:
    # Django's fields are generic for the type checker only.
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField


class PseudonymField(_CharField):
    """A primary key that names nobody: `tal_…`. See `registry.core.ids`."""

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs |= {"primary_key": True, "max_length": 24, "editable": False}
        if prefix:
            kwargs["default"] = _fresh(prefix)
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for key in ("primary_key", "max_length", "editable", "default"):
            kwargs.pop(key, None)
        return name, path, args, {**kwargs, "prefix": self.prefix}
