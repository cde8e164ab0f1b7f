"""Pages about people: the agency's talents, members, notices, a paused permission."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.core.parties import LegalName
from registry.models import HandOver, Membership, RepresentationClaim
from registry.services import authority, contacts, keyring, parties, people, seats
from tests.web.pages import as_, text
from tests.world import ORIGIN, human, make_world, organisation, state


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


def file_of(world) -> str:
    return reverse("agency-talent", args=[world.talent.id])


def open_claim(world) -> RepresentationClaim:
    agency = organisation("agency", "Tsuki Agency")
    officer = human("tsuki")
    parties.membership_add(person=officer.person, organisation=agency, role="officer")
    claim = authority.claim_file(
        talent=world.talent,
        agency=agency,
        by=officer.person,
        begun_on=timezone.localdate(),
        proof_sha256="cc" * 32,
    )
    assert isinstance(claim, RepresentationClaim)
    return claim


def test_the_agency_sees_its_talents_of_today_and_their_file(world):
    world.alice.person.legal_name = LegalName("朝日", "花子")
    world.alice.person.save()
    world.agency.domains = ["hoshi.example"]
    world.agency.save()
    contacts.contact_add(person=world.alice.person, kind="mail", value="a@hoshi.example")
    bob = as_(world.bob)
    assert "alice" in text(bob.get(reverse("agency-talents")))
    page = text(bob.get(file_of(world)))
    assert "朝日 花子" in page
    assert "belongs to the agency" in page
    assert "a@hoshi.example" not in page


def test_from_the_day_after_the_end_the_old_agency_sees_nothing_of_her(world):
    row = world.talent.representations.get()
    parties.representation_end(
        representation=row, ended_on=timezone.localdate() - timedelta(days=1)
    )
    bob = as_(world.bob)
    assert "alice" not in text(bob.get(reverse("agency-talents")))
    assert bob.get(file_of(world)).status_code == 404


def test_a_former_name_stands_on_no_page(world):
    people.stage_name_change(
        talent=world.talent, name="前の名前", begun_on=timezone.localdate() + timedelta(days=1)
    )
    page = text(as_(world.bob).get(file_of(world)))
    assert "前の名前" not in page


@pytest.mark.parametrize(("role", "status"), [("legal", 200), ("accounting", 404), ("viewer", 404)])
def test_a_file_is_for_the_roles_that_need_it(world, role, status):
    dora = human("dora")
    parties.membership_add(person=dora.person, organisation=world.agency, role=role)
    assert as_(dora).get(file_of(world)).status_code == status


def test_a_manager_ends_a_role_and_a_colleague_takes_the_work_over(world):
    dora = human("dora")
    parties.membership_add(person=dora.person, organisation=world.studio, role="manager")
    request = world.request()
    seat = Membership.objects.get(person=world.charlie.person)
    browser = as_(dora)
    assert "charlie" in text(browser.get(reverse("members")))
    assert as_(world.mallory).post(reverse("member-end", args=[seat.id])).status_code == 404
    assert as_(world.charlie).post(reverse("member-end", args=[seat.id])).status_code == 404
    browser.post(reverse("member-end", args=[seat.id]))
    row = HandOver.objects.get(request=request)
    assert "Take over" in text(browser.get(reverse("members")))
    assert as_(world.mallory).post(reverse("take-over", args=[row.id])).status_code == 404
    browser.post(reverse("take-over", args=[row.id]))
    row.refresh_from_db()
    assert row.taken_by == dora.person
    assert browser.post(reverse("member-end", args=[seat.id]), follow=True).status_code == 200


def test_she_answers_a_claim_in_her_own_session_with_two_equal_buttons(world):
    claim = open_claim(world)
    browser = as_(world.alice)
    page = browser.get(reverse("my-matters")).content.decode()
    assert page.count('<button class="button plain" name="agrees"') == 2
    address = reverse("claim-answer", args=[claim.id])
    assert as_(world.bob).post(address, {"agrees": "yes"}).status_code == 404
    assert browser.post(address, {}).status_code == 400
    browser.post(address, {"agrees": "no"})
    claim.refresh_from_db()
    assert claim.talent_agrees is False
    assert claim.state == "open"


def test_a_notice_is_new_once(world):
    open_claim(world)
    browser = as_(world.alice)
    assert "New Another agency says" in text(browser.get(reverse("my-matters")))
    assert "New Another agency says" not in text(browser.get(reverse("my-matters")))


def test_a_paused_permission_says_why_and_goes_on_with_a_key(world):
    grant = world.made()
    people.talent_retire(talent=world.talent, from_day=timezone.localdate())
    address = reverse("go-on", args=[grant.id])
    page = text(as_(world.alice).get(address))
    assert "because the talent has retired" in page
    assert "Let it go on" not in page
    people.talent_return(talent=world.talent)
    for who in (world.alice, world.bob):
        browser = as_(who)
        assert "Let it go on" in text(browser.get(address))
        begun = browser.post(
            reverse("api-go-on-challenge", args=[grant.id]), content_type="application/json"
        ).json()
        answer = who.soft.approve(begun["options"], ORIGIN)
        body = {"challenge_id": begun["challenge_id"], "response": answer}
        done = browser.post(
            reverse("api-go-on", args=[grant.id]), body, content_type="application/json"
        )
        assert done.status_code == 201, done.content
    assert state(grant) == "active"
    assert "Nothing holds this permission" in text(as_(world.alice).get(address))
    again = as_(world.alice).post(
        reverse("api-go-on-challenge", args=[grant.id]), content_type="application/json"
    )
    assert again.json()["code"] == "wrong_state"


def test_the_pages_read_in_japanese_too(world):
    world.talent.birth_date = date(2015, 1, 1)
    world.talent.save()
    seats.membership_end(membership=Membership.objects.get(person=world.charlie.person))
    page = text(as_(world.bob, "ja").get(file_of(world)))
    assert "未成年" in page
    assert "本名" in page
    assert "承認者" in text(as_(world.bob, "ja").get(reverse("members")))
