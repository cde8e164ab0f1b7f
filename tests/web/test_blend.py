"""A blend on every page and in the API: that there are others is shown, who they are is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from registry.models import Grant
from tests.services.cases import Sitter, filled, newcomer, sealed, solo
from tests.services.conftest import _keys, world
from tests.services.sitters import sitting
from tests.services.studio import Studio
from tests.web.pages import as_, text
from tests.world import World
from training.models import Picture, ReferencePicture

__all__ = ["_keys", "world"]


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """Charlie's studio with storage of its own."""
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


@pytest.fixture
def zoe(studio: Studio) -> Sitter:
    """The other person; `studio.request` is the blend's."""
    zoe = newcomer("zoe", 1)
    studio.request = studio.world.request(
        talents=[studio.world.talent, zoe.talent],
        base_model=studio.base,
        recipe=studio.request.recipe,
        max_runs=3,
    )
    pictures = [*solo(3), sitting(50, 1), sitting(51, 1)]
    people = {studio.world.talent: 0, zoe.talent: 1}
    assert isinstance(sealed(studio, filled(studio, studio.request, pictures, people)), Grant)
    return zoe


def test_each_side_sees_its_own_pictures_and_no_other(studio, zoe):
    sides = (
        (studio.world.alice, "my/requests", [0, 1, 2]),
        (studio.world.bob, "agency/requests", [0, 1, 2]),
        (zoe.who, "my/requests", [3, 4]),
        (zoe.officer, "agency/requests", [3, 4]),
    )
    for who, page, own in sides:
        client = as_(who)
        shown = client.get(f"/{page}/{studio.request.pk}").content.decode()
        for place, picture in enumerate(Picture.objects.all()):
            path = f"/requests/{studio.request.pk}/pictures/{picture.pk}"
            assert (path in shown) == (place in own)
            assert client.get(path).status_code == (200 if place in own else 404)
        for reference in ReferencePicture.objects.all():
            path = f"/requests/{studio.request.pk}/references/{reference.pk}"
            mine = (reference.talent_id == zoe.talent.pk) == (3 in own)
            assert client.get(path).status_code == (200 if mine else 404)


def test_the_lanes_name_nobody_of_the_other_side(studio, zoe):
    shown = text(as_(studio.world.bob).get(f"/agency/requests/{studio.request.pk}"))
    assert "another person of the blend" in shown
    assert "and others: 1" in shown
    assert "zoe" not in shown
    charlie = text(as_(studio.world.charlie).get(f"/requests/{studio.request.pk}"))
    assert "zoe" in charlie


def test_the_api_names_nobody_of_the_other_side(studio, zoe):
    client = APIClient()
    as_(studio.world.alice)
    client.force_authenticate(studio.world.alice.person.user)
    answer = client.get(f"/api/v1/requests/{studio.request.pk}")
    body = answer.content.decode()
    assert answer.json()["others"] == 1
    for secret in ("zoe", zoe.talent.pk, zoe.who.person.pk, zoe.officer.person.pk):
        assert secret not in body
