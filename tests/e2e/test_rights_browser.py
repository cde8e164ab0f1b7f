"""The rights page and a blend's page in a real Chromium, in both sizes and languages."""

from __future__ import annotations

import pytest

from registry.models import Grant
from tests.e2e.test_pages_browser import Tab, browser, studio, tabs
from tests.services.cases import filled, newcomer, sealed, solo
from tests.services.sitters import Sitters, sitting
from training.services import curation, datasets

pytestmark = pytest.mark.browser
__all__ = ["browser", "studio"]


def test_charlie_records_the_rights_on_a_desktop_and_on_a_phone(browser, live_server, studio):
    dataset = datasets.dataset_open(request=studio.request)
    for data in [*solo(4), sitting(50, 0, 3)]:
        datasets.picture_add(dataset=dataset, data=data)
    for seed in range(3):
        shown = sitting(900 + seed, 0)
        datasets.reference_add(dataset=dataset, talent=studio.world.talent, data=shown)
    curation.dataset_survey(dataset=dataset, engine=Sitters())
    address = f"/requests/{studio.request.pk}/rights"
    for tab in tabs(browser, live_server.url, studio.world.charlie.person):
        tab.open(address)
        tab.look("rights-empty")
    tab = Tab(browser, live_server.url, "desk", "en").login(studio.world.charlie.person)
    tab.open(address)
    page = tab.page
    page.locator(".sheet img").first.evaluate("image => image.decode()")
    for box in page.locator("input[name=pictures]").all():
        box.check()
    page.fill("#id_shot_on", "2026-04-01")
    page.fill("#id_client", "Midori Press")
    page.fill("#id_purpose", "a magazine spread")
    page.select_option("#id_holder", studio.world.charlie.person.pk)
    page.select_option("#id_basis", "owner")
    page.check("#id_moral_rights")
    page.get_by_role("button", name="Record for the ticked pictures").click()
    page.get_by_text("Recorded for 5 picture(s).").wait_for()
    page.get_by_role("button", name="Mask this face").click()
    page.get_by_text("Masked. Have the pictures checked again.").wait_for()
    tab.close()
    for tab in tabs(browser, live_server.url, studio.world.charlie.person):
        tab.open(address)
        tab.look("rights-recorded")


def test_a_blend_on_alices_phone(browser, live_server, studio):
    zoe = newcomer("zoe", 1)
    request = studio.world.request(
        talents=[studio.world.talent, zoe.talent],
        base_model=studio.base,
        recipe=studio.request.recipe,
    )
    people = {studio.world.talent: 0, zoe.talent: 1}
    pictures = [*solo(3), sitting(50, 1), sitting(51, 1)]
    assert isinstance(sealed(studio, filled(studio, request, pictures, people)), Grant)
    for tab in tabs(browser, live_server.url, studio.world.alice.person):
        tab.open(f"/my/requests/{request.pk}")
        tab.look("blend")
