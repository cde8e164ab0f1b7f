"""The test world's fixtures, for the abuse cases."""

from tests.services.conftest import _keys, live, world

__all__ = ["_keys", "live", "world"]
