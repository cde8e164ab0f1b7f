"""The face pack and the demonstration's photographs, as in `tests/engines`."""

from tests.engines.conftest import (  # noqa: F401 - fixtures
    demo_dir,
    engine,
    own_pack,
    pack_dir,
    scenery_dir,
)
