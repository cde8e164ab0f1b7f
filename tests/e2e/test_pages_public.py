"""The public pages in a real Chromium: ledger, codes, and what a limit looks like.

Shares the site and the browser of `test_pages_browser`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.services import throttle
from tests.e2e.test_pages_browser import browser, studio, tabs

__all__ = ["browser", "studio"]  # fixtures
pytestmark = pytest.mark.browser


def refused(limit, who, *, at):
    """Every limit is used up."""
    return Refusal("too_many", "754")


def test_the_ledger_and_the_codes_fit_phone_and_desk(browser, live_server, studio):
    studio.approved()
    today = timezone.localdate()
    for tab in tabs(browser, live_server.url):
        tab.open("/ledger")
        tab.page.locator("tbody tr").first.wait_for()
        tab.look("ledger")
        tab.open(f"/ledger?as_of={(today - timedelta(days=1)).isoformat()}")
        tab.page.locator(".notice").first.wait_for()
        tab.look("ledger-as-of")
        tab.open("/ledger/0")
        tab.look("ledger-entry")
        tab.open("/problems/")
        tab.look("problems")
        tab.open("/problems/withdrawn")
        tab.look("problem")


def test_a_limit_says_when_to_try_again(browser, live_server, studio, monkeypatch, tmp_path):
    monkeypatch.setattr(throttle, "look", refused)
    monkeypatch.setattr(throttle, "take", refused)
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"no weights")
    for tab in tabs(browser, live_server.url):
        tab.open("/login/")
        tab.page.fill("#id_username", "somebody")
        tab.page.fill("#id_password", "a guess")
        tab.page.click("main button")
        assert "13" in tab.page.locator("[role=alert]").inner_text()
        tab.faults.clear()  # Chromium reports the 429 itself
        tab.look("login-limited")
        tab.open("/verify")
        tab.page.set_input_files("#file", str(file))
        tab.page.click("main form button")
        assert "13" in tab.page.locator(".answer").inner_text()
        tab.faults.clear()
        tab.look("verify-limited")
