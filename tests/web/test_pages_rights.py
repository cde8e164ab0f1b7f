"""The photographer's page for the rights of the pictures, and its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.services.cases import filled, solo
from tests.services.conftest import _keys, world
from tests.services.sitters import PLACES, Sitters, sitting
from tests.services.studio import Studio
from tests.web.pages import as_, text
from tests.world import World
from training.models import Dataset, Picture, PictureRights
from training.services import curation, datasets

__all__ = ["_keys", "world"]


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """Charlie's studio with storage of its own."""
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


@pytest.fixture
def dataset(studio: Studio) -> Dataset:
    """Five pictures, none of them declared."""
    found = datasets.dataset_open(request=studio.request)
    for data in solo():
        assert isinstance(datasets.picture_add(dataset=found, data=data), Picture)
    return found


def page(studio: Studio) -> str:
    return f"/requests/{studio.request.pk}/rights"


def filled_in(studio: Studio, **changes: Any) -> dict[str, Any]:
    ids = list(Picture.objects.values_list("pk", flat=True))
    values = {
        "pictures": ids,
        "shot_on": "2026-04-01",
        "client": "Kadoma Press",
        "purpose": "a magazine spread",
        "holder": studio.world.charlie.person.pk,
        "basis": "owner",
        "moral_rights": "on",
    }
    return values | changes


def test_charlie_records_many_pictures_at_once(studio, dataset):
    charlie = as_(studio.world.charlie)
    before = text(charlie.get(page(studio)))
    assert "5 picture(s) still lack something" in before
    after = text(charlie.post(page(studio), filled_in(studio), follow=True))
    assert "Recorded for 5 picture(s)." in after
    assert "Everything is on record" in after
    assert PictureRights.objects.filter(holder__person=studio.world.charlie.person).count() == 5


def test_nothing_is_chosen_beforehand(studio, dataset):
    shown = as_(studio.world.charlie).get(page(studio)).content.decode()
    assert " checked" not in shown
    assert "selected" not in shown.replace('<option value="" selected>', "")


def test_a_mistake_loses_nothing_that_was_typed(studio, dataset):
    charlie = as_(studio.world.charlie)
    sent = filled_in(studio, original_sha256="not a hash", credit_line="Photo: Charlie")
    shown = charlie.post(page(studio), sent).content.decode()
    assert "A SHA-256 in hex." in shown
    assert shown.count(" checked") == 6  # five pictures and the moral rights
    assert "Photo: Charlie" in shown
    assert not PictureRights.objects.exists()


def test_no_tick_and_no_content_are_told(studio, dataset):
    charlie = as_(studio.world.charlie)
    assert "Choose the pictures again" in text(
        charlie.post(page(studio), filled_in(studio, pictures=[]))
    )
    only = {"pictures": [Picture.objects.all()[0].pk]}
    assert "Fill in what is to change" in text(charlie.post(page(studio), only))


def test_a_work_is_proposed_and_stays_uncleared(studio, dataset):
    charlie = as_(studio.world.charlie)
    charlie.post(page(studio), filled_in(studio))
    first = {"pictures": [Picture.objects.all()[0].pk], "work_kind": "costume"}
    shown = text(charlie.post(page(studio), first | {"work_title": "変形学生服"}, follow=True))
    assert "変形学生服 Not cleared" in shown
    assert "1 picture(s) still lack something" in shown


@pytest.mark.parametrize("who", ["alice", "bob", "mallory"])
def test_nobody_else_sees_the_page_or_a_picture_on_it(studio, dataset, who):
    client = as_(getattr(studio.world, who))
    assert client.get(page(studio)).status_code == 404
    picture = Picture.objects.all()[0]
    assert client.get(f"{page(studio)}/{picture.pk}").status_code == 404
    assert client.post(f"{page(studio)}/{picture.pk}/face", {"number": 0}).status_code == 404


def test_charlie_sees_own_uploads_until_they_are_sealed(studio):
    dataset = filled(studio, studio.request, solo())
    charlie = as_(studio.world.charlie)
    path = f"{page(studio)}/{Picture.objects.all()[0].pk}"
    assert charlie.get(path)["Cache-Control"] == "no-store"
    Dataset.objects.filter(pk=dataset.pk).update(state="sealed")
    assert charlie.get(path).status_code == 404
    assert path not in charlie.get(page(studio)).content.decode()


def test_a_face_is_masked_with_one_click(studio):
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, 3)])
    curation.dataset_survey(dataset=dataset, engine=Sitters())
    charlie = as_(studio.world.charlie)
    assert "Faces of nobody who is asked" in text(charlie.get(page(studio)))
    picture = dataset.pictures.all()[4]
    path = f"{page(studio)}/{picture.pk}/face"
    assert charlie.post(path, {"number": "7"}).status_code == 404
    shown = text(charlie.post(path, {"number": "1"}, follow=True))
    assert "Masked. Have the pictures checked again." in shown
    assert Picture.objects.get(replaces=picture).masks == [list(PLACES[1])]


def test_a_bystander_is_named_with_one_click(studio):
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, 3)])
    curation.dataset_survey(dataset=dataset, engine=Sitters())
    picture = dataset.pictures.all()[4]
    path = f"{page(studio)}/{picture.pk}/face"
    who = studio.world.mallory.person.pk
    as_(studio.world.charlie).post(path, {"number": "1", "person": who})
    picture.refresh_from_db()
    assert picture.rights.bystanders == [{"person": who, "box": list(PLACES[1])}]


def test_the_case_page_shows_what_nobody_signs(studio):
    studio.sealed()
    shown = text(as_(studio.world.bob).get(f"/agency/requests/{studio.request.pk}"))
    assert "Checked by the registry" in shown
    assert "Licence of the base model Holds" in shown
    assert "Check of the pictures Holds" in shown


# --- over the API ---------------------------------------------------------------------------------


def api(studio: Studio, who: str = "charlie") -> tuple[APIClient, str]:
    client = APIClient()
    person = getattr(studio.world, who)
    as_(person)  # gives the person a login
    client.force_authenticate(person.person.user)
    return client, f"/api/v1/requests/{studio.request.pk}"


def declared(studio: Studio, **changes: Any) -> dict[str, Any]:
    shoot = {"shot_on": "2026-04-01", "client": "Kadoma", "purpose": "a spread"}
    holder = studio.world.charlie.person.pk
    return {"shoot": shoot, "holder": holder, "basis": "owner", "moral_rights": True} | changes


def test_rights_over_the_api(studio, dataset):
    client, address = api(studio)
    before = client.get(f"{address}/rights").json()["items"]
    assert [item["code"] for item in before[0]["missing"]] == ["image_unrecorded"]
    answer = client.post(f"{address}/rights", declared(studio), format="json")
    assert answer.status_code == 200, answer.json()
    assert {item["basis"] for item in answer.json()["items"]} == {"owner"}
    assert all(not item["missing"] for item in answer.json()["items"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"basis": "30-4"}, "uncleared_copyright"),
        ({"holder": "per_nobody"}, "terms_invalid"),
        ({"retoucher": "per_nobody"}, "terms_invalid"),
        ({"pictures": ["pic_nobody"]}, "terms_invalid"),
        ({"works": [{"kind": "costume"}]}, "terms_invalid"),
        ({"works": [{"kind": "hat", "title": "x"}]}, "terms_invalid"),
    ],
)
def test_a_wrong_declaration_over_the_api_is_refused_whole(studio, dataset, change, code):
    client, address = api(studio)
    answer = client.post(f"{address}/rights", declared(studio, **change), format="json")
    assert answer.json()["code"] == code, answer.json()
    assert not PictureRights.objects.exists()


def test_a_picture_is_masked_over_the_api(studio, dataset):
    client, address = api(studio)
    picture = dataset.pictures.all()[0]
    path = f"{address}/pictures/{picture.pk}/mask"
    made = client.post(path, {"box": [10, 10, 40, 40]}, format="json")
    assert made.status_code == 201
    assert Picture.objects.get(replaces=picture).pk == made.json()["id"]
    wrong = client.post(path, {"box": [10, 10, 9999, 40]}, format="json")
    assert wrong.json()["code"] == "terms_invalid"
    elsewhere = f"{address}/pictures/pic_nobody/mask"
    assert client.post(elsewhere, {"box": [1, 1, 2, 2]}, format="json").status_code == 404


@pytest.mark.parametrize("who", ["alice", "bob", "mallory"])
def test_nobody_else_declares_over_the_api(studio, dataset, who):
    client, address = api(studio, who)
    assert client.get(f"{address}/rights").status_code == 404
    assert client.post(f"{address}/rights", declared(studio), format="json").status_code == 404
