"""Who locks what in which order: nobody waits in a circle. In committed rows, two transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from registry.models import Lane, TrainingRequest
from registry.services import answers, grants, letters
from tests.services.studio import Studio
from tests.services.test_stops import WAIT_S, _somebody_waits
from tests.world import World, at
from training.models import Dataset
from training.services import curation, datasets


def while_held(request: TrainingRequest, waiter: Callable[[], Any], then: Callable[[], Any]) -> Any:
    """`waiter` runs into a request's lock that is held here; `then` runs meanwhile, in this very
    transaction. What `waiter` answered, once it could."""
    said: list[Any] = []

    def run() -> None:
        try:
            said.append(waiter())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        TrainingRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        thread.start()
        for _ in range(int(WAIT_S / 0.02)):
            if _somebody_waits() or not thread.is_alive():
                break
            thread.join(0.02)
        then()
    thread.join(WAIT_S)
    return said[0]


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(live, tmp_path)


def free_row(dataset: Dataset) -> Dataset:
    """The data set's row, if nobody holds it; `OperationalError` otherwise."""
    return Dataset.objects.select_for_update(nowait=True, of=("self",)).get(pk=dataset.pk)


def test_sealing_waits_for_the_request_before_it_takes_the_pictures(studio: Studio) -> None:
    """Reopening locks the request and then the pictures; the other way round they would meet."""
    dataset = studio.curated()
    made = while_held(
        studio.request,
        lambda: curation.dataset_seal(dataset=dataset),
        lambda: free_row(dataset),
    )
    assert not isinstance(made, list), made
    world = studio.world
    answers.answer_return(
        person=world.alice.person,
        grant=made,
        by="talent",
        remarks=[{"field": "pictures", "text": "less of the third"}],
    )
    reopened = while_held(
        studio.request,
        lambda: datasets.dataset_reopen(dataset=dataset),
        lambda: free_row(dataset),
    )
    assert isinstance(reopened, Dataset), reopened


def test_a_reminder_waits_for_no_case_that_is_being_decided(live: World) -> None:
    """It locks the lane alone; whoever answers holds request and grant and then takes the lane."""
    grant = live.asked()
    lane = Lane.objects.get(grant=grant, by="agency_officer")

    def remind() -> list[Lane]:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '3s'")
        return letters.remind(lanes=[lane], at=at(days=2))

    told: list[list[Lane]] = []
    with transaction.atomic():
        grants.lock(grant.id)
        thread = threading.Thread(target=lambda: told.append(_closing(remind)))
        thread.start()
        thread.join(WAIT_S)
        assert told == [[lane]]


def _closing(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        connections.close_all()
