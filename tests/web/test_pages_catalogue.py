"""The catalogue's pages: what a model allows in words, its history, and one's own cases on it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import translation

from registry.core.licences import Limit
from registry.models import ModelRecord
from registry.services import catalogue, drift, keyring, seed
from registry.views import draft_fields
from tests.services.studio import Studio
from tests.web.pages import as_, finished, text
from tests.world import free, make_world


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


@pytest.fixture
def studio(world, tmp_path):
    return Studio(world, tmp_path)


def page(who, name, *args, language="en"):
    answer = as_(who, language).get(reverse(name, args=args))
    assert answer.status_code == 200, answer.content
    return text(answer)


@pytest.mark.parametrize("name", ["models", "model", "model-drift"])
def test_a_stranger_is_asked_to_sign_in(world, name):
    address = reverse(name, args=[] if name == "models" else [world.base.id])
    assert Client().get(address)["Location"] == f"/login/?next={address}"


@pytest.mark.parametrize("name", ["model", "model-drift"])
def test_a_model_that_is_not_there_is_404(world, name):
    assert as_(world.charlie).get(reverse(name, args=["mdl_none"])).status_code == 404


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ja", ("商用できる", "商用できない", "不明(できない扱い)", "SDXL 1.0", "利用制限")),
        ("en", ("Commercial use allowed", "No commercial use", "Unknown: counts as no")),
    ],
)
def test_the_list_says_what_each_model_allows(world, language, words):
    seed.catalogue_seed()
    shown = page(world.charlie, "models", language=language)
    for word in (*words, "tiny-portraits", "LicenseRef-kolors"):
        assert word in shown


def test_the_list_takes_a_fixed_number_of_queries(world, django_assert_max_num_queries):
    seed.catalogue_seed()
    with django_assert_max_num_queries(5):
        assert len(catalogue.overview()) == ModelRecord.objects.count()


def test_a_record_shows_every_revision_its_parts_and_its_text(world):
    vae = catalogue.model_record(name="the vae", kind="vae", facts=free(commercial="no"))
    words = "The text of the licence."
    facts = free(licence_sha256=catalogue.text_sha256(words), note="changed in February")
    drift.model_revise(record=world.base, facts=facts, licence_text=words, inside=[(vae, "vae")])
    shown = page(world.charlie, "model", world.base.id)
    for word in ("Revision 1", "Revision 2", "the vae", words, "changed in February"):
        assert word in shown
    assert "No commercial use" in shown
    assert "tiny-portraits" in page(world.charlie, "model", vae.id)


def test_each_sees_their_own_cases_on_a_model_and_an_operator_all(studio):
    lora, world = finished(studio), studio.world
    grant = lora.job.grant
    drift.model_revise(record=studio.base, facts=free(commercial="no"))
    for who in (world.charlie, world.bob, world.alice):
        assert grant.id in page(who, "model", studio.base.id)
        assert lora.id in page(who, "model-drift", studio.base.id)
    for name in ("model", "model-drift"):
        assert grant.id not in page(world.mallory, name, studio.base.id)
    User.objects.filter(pk=world.mallory.person.user_id).update(is_staff=True)
    shown = page(world.mallory, "model-drift", studio.base.id)
    assert lora.id in shown
    assert "No longer covered" in shown


def test_the_part_that_forbids_is_named(studio):
    studio.approved()
    vae = catalogue.model_record(name="the vae", kind="vae", facts=free(commercial="no"))
    drift.model_revise(record=studio.base, facts=free(), inside=[(vae, "vae")])
    shown = page(studio.world.charlie, "model-drift", studio.base.id)
    assert "the vae The licence of the base model" in shown


def test_a_case_says_why_it_is_paused(studio):
    studio.approved()
    drift.model_revise(record=studio.base, facts=free(commercial="no"))
    shown = as_(studio.world.charlie).get(reverse("request-detail", args=[studio.request.id]))
    assert "no longer allows this use" in text(shown)
    assert "There is no need to ask again" in text(shown)


def test_whoever_picks_a_base_reads_what_it_allows(world):
    limit = Limit("revenue", 1_000_000, "USD")
    capped = free(commercial="threshold", limits=(limit,))
    for number, facts in enumerate((capped, free(commercial="no"), free(confidence="S"))):
        catalogue.model_record(name=f"base {number}", sha256=f"{number}" * 64, facts=facts)
    said = [label for _, label in catalogue.base_choices("en")]
    assert said == [
        "base 0 - commercial use below a limit",
        "base 1 - no commercial use",
        "base 2 - unknown (treated as no commercial use)",
        "tiny-portraits - commercial use allowed",
    ]
    assert "商用できる" in dict(catalogue.base_choices("ja"))[world.base.id]


def test_the_request_form_says_it_where_the_base_is_picked(world):
    drift.model_revise(record=world.base, facts=free(commercial="no"))
    with translation.override("ja"):
        (choice,) = [text for value, text in draft_fields._bases(world.charlie.person) if value]
    assert choice.endswith("商用できない")
