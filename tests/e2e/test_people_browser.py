"""The pages about people in a real Chromium: talents, members, notices, a paused permission."""

from __future__ import annotations

from datetime import date

import pytest
from django.utils import timezone

from registry.core.parties import LegalName
from registry.models import Membership
from registry.services import authority, contacts, parties, people, seats
from tests.e2e.test_pages_browser import Tab, browser, studio, tabs
from tests.web.pages import login
from tests.world import guard, human, organisation

pytestmark = pytest.mark.browser
__all__ = ["browser", "studio"]


def test_the_pages_about_people_fit_a_phone_and_a_desk(browser, live_server, studio):
    """Every page with something on it, at both sizes and in both languages."""
    world, today = studio.world, timezone.localdate()
    alice = world.alice.person
    alice.legal_name = LegalName("朝日", "花子", "あさひ", "はなこ", "Hanako Asahi")
    alice.save()
    world.talent.kana = "あさひありす"
    world.talent.birth_date = date(today.year - 16, 1, 1)
    world.talent.save()
    mother = human("母").person
    guard(world.talent, mother, relation="母")
    world.agency.domains = ["hoshi.example"]
    world.agency.save()
    contacts.contact_add(person=alice, kind="mail", value="alice@hoshi.example")
    tsuki = organisation("agency", "月あかり芸能")
    officer = human("月島").person
    parties.membership_add(person=officer, organisation=tsuki, role="officer")
    parties.membership_add(person=mother, organisation=world.studio, role="manager")
    authority.claim_file(
        talent=world.talent, agency=tsuki, by=officer, begun_on=today, proof_sha256="cc" * 32
    )
    seats.membership_end(membership=Membership.objects.get(person=world.charlie.person))
    login(mother)
    for person, name, address in (
        (world.bob.person, "talents", "/agency/talents/"),
        (world.bob.person, "talent", f"/agency/talents/{world.talent.id}"),
        (world.bob.person, "members", "/members/"),
        (mother, "hand-over", "/members/"),
        (alice, "matters", "/my/matters"),
    ):
        for tab in tabs(browser, live_server.url, person):
            tab.open(address)
            tab.look(name)


def test_a_paused_permission_goes_on_with_a_passkey_on_a_phone(browser, live_server, studio):
    """She reads why, confirms with the key that only her browser holds, and sees who is missing."""
    world = studio.world
    grant = studio.approved()
    people.talent_retire(talent=world.talent, from_day=timezone.localdate())
    people.talent_return(talent=world.talent)
    world.alice.person.credentials.update(retired_at="2026-01-01T00:00:00Z")
    tab = Tab(browser, live_server.url, "phone", "ja").login(world.alice.person)
    tab.authenticator()
    tab.open("/my/keys")
    tab.page.fill("#label", "わたしの電話")
    tab.page.click("[data-passkey=enrol]")
    tab.page.get_by_role("heading", name="わたしの電話").wait_for()
    world.alice.person.credentials.filter(label="わたしの電話").update(
        enrolled_at="2026-01-01T00:00:00Z"
    )
    tab.open(f"/grants/{grant.id}/go-on")
    tab.look("go-on")
    tab.page.click("[data-passkey=approve]")
    tab.page.get_by_text("確認済み").wait_for()
    tab.look("go-on-confirmed")
    tab.close()
