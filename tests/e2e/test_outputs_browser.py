"""Approving outputs in a real Chromium: samples, her passkey, and a page that comes by itself."""

from __future__ import annotations

import pytest

from tests.e2e.test_pages_browser import Tab, browser, studio, tabs  # noqa: F401 - fixtures
from tests.services.studio import lora_sealed
from training.models import OutputDecision

pytestmark = pytest.mark.browser


def test_alice_approves_the_outputs_with_her_passkey(
    browser,  # noqa: F811
    live_server,
    studio,  # noqa: F811
    monkeypatch,
):
    """The button is brought by htmx after the page was loaded, and works all the same."""
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    world = studio.world
    studio.request.terms["duties"] = [*studio.request.terms["duties"], "output_approval"]
    studio.request.save()
    job = studio.queued()
    world.alice.person.credentials.update(retired_at="2026-01-01T00:00:00Z")
    tab = Tab(browser, live_server.url, "phone", "ja").login(world.alice.person)
    tab.authenticator()
    tab.open("/my/keys")
    tab.page.fill("#label", "わたしの電話")
    tab.page.click("[data-passkey=enrol]")
    tab.page.get_by_role("heading", name="わたしの電話").wait_for()
    tab.open(f"/jobs/{job.pk}")  # still waiting: nothing to approve
    assert studio.run().state == "finished"
    assert not hasattr(lora_sealed(job=job), "code")
    tab.page.locator("[data-passkey=approve]").wait_for()
    tab.look("outputs")
    tab.page.click("[data-passkey=approve]")
    tab.page.locator(".lanes .chip.ok", has_text="許可").first.wait_for()
    assert OutputDecision.objects.get().decision == "approved"
    tab.look("outputs-approved")
    tab.close()
    for each in tabs(browser, live_server.url, world.bob.person):
        each.open(f"/jobs/{job.pk}")
        each.look("outputs-agency")
