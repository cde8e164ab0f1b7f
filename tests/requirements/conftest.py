"""The test world's fixtures, for the requirements."""

from tests.services.conftest import _keys, live, world

__all__ = ["_keys", "live", "world"]
