"""Abuse cases of the case: a term that ends, pressure, tired people."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from registry import selectors
from registry.core.narrowing import scope_items
from registry.core.terms import Terms
from registry.models import Approval, Grant, Lane, PrivateNote, Token
from registry.services import approvals, grants, welfare
from tests.e2e.test_pages_browser import Tab, browser, pytestmark, tabs
from tests.e2e.test_pages_browser import studio as site
from tests.services.studio import Studio
from tests.web import pages
from tests.world import RUN, log_types, state
from training.models import TrainingJob
from training.services import gate

__all__ = ["browser", "site"]
in_browser = pytestmark


@pytest.fixture
def studio(world, tmp_path, settings):
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(world, tmp_path)


# --- A10 ----------------------------------------------------------------------------------------


def test_a10_a_run_that_would_outlast_the_term_gets_no_token(world):
    """A10: term ends mid-training; finish-before-expiry at mint."""
    today = timezone.localdate()
    grant = world.made(terms=world.terms(start=today, end=today + timedelta(days=1)))
    ends = selectors.core_grant(grant).terms.ends_at()
    long = timedelta(seconds=RUN.max_runtime_s)
    late = world.mint(grant, at=ends - long + timedelta(seconds=1))
    assert [item.code for item in late] == ["ends_before_finish"]
    assert isinstance(world.mint(grant, at=ends - long), Token)


def test_a10_a_run_that_is_still_going_when_the_term_ends_is_stopped(studio):
    """A10: heartbeat stop at the end anyway."""
    job = pages.running(studio)
    ends = selectors.core_grant(job.grant).terms.ends_at()
    before = gate.lease_renew(
        worker=studio.worker, job=job, fence=job.fence, at=ends - timedelta(seconds=1)
    )
    assert before.stop_code is None
    told = gate.lease_renew(worker=studio.worker, job=job, fence=job.fence, at=ends)
    assert told.stop_code == "expired"
    grants.grants_expire(at=ends)
    assert state(job.grant) == "expired"
    job = TrainingJob.objects.get(pk=job.pk)
    assert job.stop_code == "expired"


# --- A26 ----------------------------------------------------------------------------------------


def test_a26_a_yes_waits_and_a_no_does_not(world, settings):
    """A26: coerced approval; cooling period."""
    settings.COOLING_HOURS = {"default": 48}
    grant = world.asked()
    assert world.alice.approve(grant, "talent").code == "cooling"
    assert approvals.approval_refuse(person=world.alice.person, grant=grant, by="talent") is None
    other = world.asked()
    later = timezone.now() + timedelta(hours=48, minutes=1)
    assert isinstance(world.alice.approve(other, "talent", at=later), Approval)


def test_a26_a_silent_flag_reaches_the_platform_and_nobody_else(world):
    """A26: "I was pressed" silent flag to platform."""
    grant = world.asked()
    for who, by in world.signers():
        given = who.approve(grant, by, **({"pressed": True} if by == "talent" else {}))
        assert isinstance(given, Approval)
    assert state(grant) == "active"
    assert [item.code for item in world.mint(grant)] == ["under_review"]
    assert [note.talent for note in welfare.open_notes()] == [world.talent]
    assert not any("press" in kind or "note" in kind for kind in log_types())
    shown = [
        pages.text(pages.as_(world.bob).get(f"/agency/requests/{grant.request_id}")),
        pages.text(pages.as_(world.charlie).get(f"/requests/{grant.request_id}")),
    ]
    assert not any(re.search(r"pressed|review", page) for page in shown)


def test_a26_a_private_reason_is_not_shown_to_the_agency(world):
    """A26: private refusal reason not shown to agency."""
    grant = world.asked()
    pages.as_(world.alice).post(
        f"/grants/{grant.id}/refuse", {"by": "talent", "reason": "she told me to"}
    )
    assert [n.talent for n in PrivateNote.objects.all() if n.reason == "she told me to"] == [
        world.talent
    ]
    for who, path in (
        (world.bob, f"/agency/requests/{grant.request_id}"),
        (world.charlie, f"/requests/{grant.request_id}"),
    ):
        client = pages.as_(who)
        assert "she told me to" not in client.get(path).content.decode()
        assert (
            "she told me to"
            not in client.get(f"/api/v1/requests/{grant.request_id}").content.decode()
        )


def test_a26_the_emergency_stop_is_the_talents_alone(world):
    """A26: talent-only emergency stop."""
    grant = world.made()
    for who in (world.bob, world.charlie, world.mallory):
        assert welfare.emergency_stop(person=who.person).code == "wrong_state"
    assert state(grant) == "active"
    assert welfare.emergency_stop(person=world.alice.person) == [grant.id]
    assert [item.code for item in world.mint(grant)] == ["paused"]


# --- A27 ----------------------------------------------------------------------------------------

# What a person could choose, and which of it is chosen already.
CHOSEN = """() => [...document.querySelectorAll('input[type=checkbox], input[type=radio]')]
  .filter((e) => e.checked).map((e) => e.outerHTML)"""
LOOKS = """(e) => { const s = getComputedStyle(e), b = e.getBoundingClientRect();
  return [Math.round(b.width), Math.round(b.height), s.backgroundColor, s.borderWidth, s.fontWeight,
          s.fontSize]; }"""


@in_browser
def test_a27_nothing_is_ticked_and_the_three_answers_are_equal(browser, live_server, site):
    """A27: no pre-ticked boxes, refuse as large as accept, plain summary read back."""
    grant = site.sealed()
    for tab in tabs(browser, live_server.url, site.world.alice.person):
        tab.open(f"/my/requests/{grant.request_id}")
        assert tab.page.evaluate(CHOSEN) == []
        first = [e.evaluate(LOOKS) for e in tab.page.locator("#decide > .choices .button").all()]
        assert len(first) == 3
        assert len({tuple(look) for look in first}) == 1
        for box in tab.page.locator(".switches input").all():
            box.check()
        tab.look("ask-talent-ticked")
        tab.page.locator("#decide > .choices button").first.click()
        tab.page.wait_for_url("**/answer?**")
        assert tab.page.evaluate(CHOSEN) == []
        looks = [e.evaluate(LOOKS) for e in tab.page.locator("#decide > .choices .button").all()]
        assert len(looks) == 3
        assert len({tuple(look) for look in looks}) == 1
        assert tab.page.locator(".sentence").count() == 1
        tab.look("answer")


@in_browser
def test_a27_one_request_a_screen_and_no_clock(browser, live_server, site, settings):
    """A27: one request per screen; only a date, never a countdown."""
    settings.COOLING_HOURS = {"default": 48}
    first = site.sealed()
    site.request = site.new_request()
    site.sealed()
    assert Grant.objects.filter(state="asking").count() == 2
    tab = Tab(browser, live_server.url, "phone", "ja").login(site.world.alice.person)
    tab.open(f"/my/requests/{first.request_id}")
    assert tab.page.locator("form#scope").count() == 1
    codes = [item.code for item in scope_items(Terms.from_payload(first.payload["terms"]))]
    tab.open(f"/my/requests/{first.request_id}/answer?" + "&".join(f"tick={c}" for c in codes))
    assert tab.page.locator("#decide").count() == 1
    assert "から許可できます" in tab.page.locator("#decide").inner_text()
    text = tab.page.locator("main").inner_text()
    tab.page.wait_for_timeout(1200)
    assert tab.page.locator("main").inner_text() == text
    tab.look("answer-cooling")
    tab.page.get_by_role("button", name="許可しない").first.click()
    tab.page.wait_for_url("**/receipt")
    assert Lane.objects.get(grant=first, by="talent").state == "refused"
    tab.close()
