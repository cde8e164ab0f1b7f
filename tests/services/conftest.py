"""Fixtures of the services' tests: the test world, in one transaction or in committed rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from registry.log import sequencer
from registry.services import keyring
from tests.world import World, make_world

LIFT = (Path(__file__).parents[1] / "lift_truncate_guard.sql").read_text()


@pytest.fixture(scope="session", autouse=True)
def _keys() -> None:
    keyring.create()


@pytest.fixture
def world(db: None, settings: Any) -> World:
    """The world inside a transaction that is rolled back; `tests.world.sequence` runs the log."""
    settings.LOG_EXPORT_DIR = None
    return make_world()


@pytest.fixture
def live(transactional_db: None, settings: Any) -> Iterator[World]:
    """The world in committed rows, with the sequencer running beside it."""
    settings.LOG_EXPORT_DIR = None
    stop = threading.Event()
    thread = threading.Thread(target=_sequence, args=(stop,))
    thread.start()
    try:
        yield make_world()
    finally:
        stop.set()
        thread.join()
        with connection.cursor() as cursor:
            cursor.execute(LIFT)


def _sequence(stop: threading.Event) -> None:
    try:
        sequencer.run(sequencer.load_signers(), stop, interval=0.02)
    finally:
        connections.close_all()
