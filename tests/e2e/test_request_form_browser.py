"""P1 in a real Chromium: typed on a phone, kept while it is typed, filed after the check."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from registry.models import RequestDraft, TrainingRequest
from tests.e2e.test_pages_browser import browser, studio, tabs  # noqa: F401 - fixtures

pytestmark = pytest.mark.browser


def kept(page, field):
    """Wait until what was typed last has reached the draft."""
    for _ in range(100):
        if any(RequestDraft.objects.get().data.get(field, ())):  # [""] came before it was typed
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{field} was not kept")


def test_charlie_files_a_request_on_a_phone_and_a_desk(browser, live_server, studio):  # noqa: F811
    world = studio.world
    for n, tab in enumerate(tabs(browser, live_server.url, world.charlie.person)):
        page = tab.page
        tab.open("/requests/")
        page.locator("main a.button").first.click()
        page.wait_for_url("**/requests/new")
        tab.look("request-new")
        page.locator("main form button").first.click()
        page.wait_for_url("**/who")
        page.check(f"input[name=talents][value={world.talent.id}]")
        page.locator("#aside .lanes li").first.wait_for()  # htmx answered
        page.fill("#i-licensee", "みどり出版")
        page.select_option("#i-base_model", studio.base.id)
        page.check("input[name=recipe][value=tiny_cpu]")
        tab.look("request-who")
        page.click("button[value=on]")
        page.wait_for_url("**/use")
        page.fill("#i-client", "星野きらり👩‍🎤ファンクラブ公式グッズ部門ときめき☆チーム")
        page.click("button[value=on]")
        page.locator(".error").first.wait_for()
        errors = [fault for fault in tab.faults if "422" in fault]
        tab.faults[:] = [fault for fault in tab.faults if fault not in errors]
        assert page.input_value("#i-client").startswith("星野きらり👩‍🎤")
        tab.look("request-use-errors")
        page.fill("#i-product", "春の写真集『港』")
        page.fill("#i-purpose", "春の電子写真集のうち、背景を替えた画像を作る")
        page.check("input[name=likeness_goal][value=yes]")
        page.check("input[name=stage][value=production]")
        page.check("input[name=media][value=photobook_ebook]")
        page.click("button[value=on]")
        page.wait_for_url("**/terms")
        end = timezone.localdate() + timedelta(days=90)
        page.fill("#i-start", timezone.localdate().isoformat())
        page.fill("#i-end", f"{end.year}年{end.month}月{end.day}日")
        page.check("input[name=territory][value=JP]")
        page.check("input[name=likeness_parts][value=face]")
        page.fill("#i-fee_jpy", "３００，０００")
        page.check("input[name=replaces_booked_shoot][value=no]")
        page.fill("#i-sign_by", (timezone.localdate() + timedelta(days=14)).isoformat())
        fee = "300,000円" if tab.language == "ja" else "JPY 300,000"
        page.get_by_text(fee).wait_for()  # the text beside the form follows the typing
        kept(page, "sign_by")
        page.reload()
        assert page.input_value("#i-fee_jpy") == "３００，０００"
        tab.look("request-terms")
        page.click("button[value=on]")
        expect(page).to_have_url(re.compile("/check$"), timeout=30_000)
        tab.look("request-check")
        page.locator("main form button").last.click()
        expect(page).to_have_url(re.compile("/requests/req_"), timeout=30_000)
        assert not RequestDraft.objects.exists()
        assert TrainingRequest.objects.filter(recipe__rank=8).count() == n + 2


def test_alices_own_rules_fit_a_phone(browser, live_server, studio):  # noqa: F811
    for tab in tabs(browser, live_server.url, studio.world.alice.person):
        tab.open("/my/rules")
        tab.look("my-rules")
        tab.page.check("input[name=opened][value=finance]")
        tab.page.locator("main form button").last.click()
        tab.page.locator(".notice.ok").wait_for()
        studio.world.talent.refresh_from_db()
        assert studio.world.talent.opened_list == ["finance"]
        tab.page.uncheck("input[name=opened][value=finance]")
        tab.page.locator("main form button").last.click()
        tab.page.locator(".notice.ok").wait_for()
