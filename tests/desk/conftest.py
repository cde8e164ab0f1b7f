"""The face pack and the demonstration's photographs, as in `tests/engines`."""

from tests.engines.conftest import demo_dir, engine, own_pack, pack_dir  # noqa: F401 - fixtures
