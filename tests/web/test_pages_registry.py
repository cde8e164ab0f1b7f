"""The registry's pages: who sees what, equal answers, a withdrawal without a key, a receipt."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from registry import selectors
from registry.core.narrowing import scope_items
from registry.models import Lane
from registry.services import keyring, parties
from registry.views import home
from tests.web.pages import as_, text
from tests.world import make_world, sequence, state


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


PRIVATE = ("agency-inbox", "requests", "my-consents", "my-keys")


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_stranger_reads_the_front_page_in_their_language(db, language):
    page = Client(headers={"accept-language": language}).get("/")
    assert page.status_code == 200
    assert f'<html lang="{language}">' in page.content.decode()
    assert ("その人が署名した" in text(page)) == (language == "ja")


@pytest.mark.parametrize("name", PRIVATE)
def test_a_stranger_is_asked_to_sign_in(db, name):
    page = Client().get(reverse(name))
    assert (page.status_code, page["Location"]) == (302, f"/login/?next={reverse(name)}")


@pytest.mark.parametrize("name", PRIVATE)
def test_a_login_that_is_no_person_is_told_so(db, name):
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_user("operator"))
    page = client.get(reverse(name))
    assert page.status_code == 403
    assert "belongs to no person" in text(page)


def test_everybody_is_led_to_their_own_inbox(world):
    places = {"alice": "/my/", "bob": "/agency/", "charlie": "/requests/"}
    for name, place in places.items():
        assert as_(getattr(world, name)).get("/")["Location"] == place


def test_what_is_private_is_kept_by_no_cache(world):
    for name in PRIVATE:
        assert as_(world.alice).get(reverse(name))["Cache-Control"] == "private, no-store"


def test_pages_carry_no_inline_script_or_style(world):
    grant = world.asked()
    pages = [as_(world.alice).get(f"/my/requests/{grant.request_id}"), as_(world.bob).get("/my/")]
    for page in [*pages, Client().get("/"), Client().get("/verify")]:
        body = page.content.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", body)
        assert "default-src 'self'" in page["Content-Security-Policy"]


def test_the_inbox_shows_who_still_has_to_answer(world):
    grant = world.asked()
    world.alice.approve(grant, "talent")
    page = text(as_(world.bob).get("/agency/"))
    assert "Talent Approved" in page
    assert "Agency Sent" in page
    assert "alice" in page
    assert "e-photobook" in page


def test_mallory_sees_no_case_of_others(world):
    grant = world.asked()
    mallory = as_(world.mallory)
    assert "alice" not in text(mallory.get("/agency/"))
    assert "Charlie" not in text(mallory.get("/requests/"))
    for path in (
        f"/agency/requests/{grant.request_id}",
        f"/my/requests/{grant.request_id}",
        f"/requests/{grant.request_id}",
        f"/my/grants/{grant.id}/withdraw",
        f"/grants/{grant.id}/receipt",
    ):
        there, nowhere = mallory.get(path), mallory.get(path.replace(grant.id[-6:], "ffffff"))
        assert there.status_code == 404
        assert text(there) == text(nowhere)


def test_charlie_may_not_open_the_talents_or_the_agencys_page(world):
    grant = world.asked()
    charlie = as_(world.charlie)
    assert charlie.get(f"/agency/requests/{grant.request_id}").status_code == 404
    assert charlie.get(f"/my/requests/{grant.request_id}").status_code == 404
    assert charlie.post(f"/my/grants/{grant.id}/withdraw").status_code == 404


def test_alice_withdraws_with_her_session_alone_and_gets_a_receipt(world):
    grant = world.made()
    alice = as_(world.alice)
    mine = text(alice.get("/my/"))
    assert "Withdraw my permission" in mine
    assert state(grant) == "active"
    assert alice.get(f"/my/grants/{grant.id}/withdraw").status_code == 200
    assert state(grant) == "active"  # looking changes nothing
    done = alice.post(f"/my/grants/{grant.id}/withdraw", {"reason": ""})
    assert done["Location"] == f"/grants/{grant.id}/receipt"
    assert state(grant) == "withdrawn"
    assert "is being entered" in text(alice.get(done["Location"]))
    sequence()
    receipt = text(alice.get(done["Location"]))
    assert "You allowed it" in receipt
    assert "You withdrew" in receipt
    assert "is being entered" not in receipt
    assert grant.digest in receipt
    proofs = re.findall(r'href="(/log/proof/\d+)"', alice.get(done["Location"]).content.decode())
    assert len(proofs) == 2
    assert all(alice.get(path).status_code == 200 for path in proofs)


def test_a_receipt_fetches_itself_until_the_log_has_the_answer(world):
    grant = world.asked()
    world.alice.approve(grant, "talent")
    alice, path = as_(world.alice), f"/grants/{grant.id}/receipt"
    assert "hx-get" in alice.get(path).content.decode()
    sequence()
    assert "hx-get" not in alice.get(path, headers={"hx-request": "true"}).content.decode()


def test_bob_cannot_withdraw_in_alices_place(world):
    grant = world.made()
    assert as_(world.bob).post(f"/my/grants/{grant.id}/withdraw").status_code == 404
    assert state(grant) == "active"


def test_the_agency_declines_with_a_reason_and_not_without(world):
    grant = world.asked()
    bob, path = as_(world.bob), f"/grants/{grant.id}/refuse"
    again = bob.post(path, {"by": "agency_officer", "reason": " "}, follow=True)
    assert "Please write a reason" in text(again)
    assert state(grant) == "asking"
    bob.post(path, {"by": "agency_officer", "reason": "the term is too long"})
    assert state(grant) == "refused"
    shown = text(as_(world.charlie).get(f"/requests/{grant.request_id}"))
    assert "the term is too long" in shown


def test_alice_declines_without_a_reason(world):
    grant = world.asked()
    as_(world.alice).post(f"/grants/{grant.id}/refuse", {"by": "talent", "reason": ""})
    assert Lane.objects.get(grant=grant, by="talent").state == "refused"


def test_nobody_declines_in_anothers_place(world):
    grant = world.asked()
    answer = as_(world.bob).post(f"/grants/{grant.id}/refuse", {"by": "talent"}, follow=True)
    assert "cannot be done" in text(answer) or answer.status_code == 404
    assert state(grant) == "asking"


def test_the_three_answers_have_the_same_look_and_nothing_is_chosen_before(world):
    grant = world.asked()
    alice, page = as_(world.alice), f"/my/requests/{grant.request_id}"
    every = [item.code for item in scope_items(selectors.core_grant(grant).terms)]
    for body in (
        alice.get(page).content.decode(),
        alice.get(f"{page}/answer", {"tick": every}).content.decode(),
        alice.get(f"{page}/answer", {"tick": every[:1]}).content.decode(),
    ):
        decide = body.partition('id="decide"')[2].partition("</div>")[0]
        assert re.findall(r'class="(button[^"]*)"', decide) == ["button plain"] * 3
        assert not re.search(r"<(input|option)[^>]* (checked|selected)", body)


def test_a_person_without_a_key_is_led_to_make_one(world):
    grant = world.asked()
    key = selectors.credentials_of(world.alice.person).get()
    parties.credential_retire(credential=key)
    alice = as_(world.alice)
    assert "You have no key yet" in text(alice.get("/my/"))
    every = [item.code for item in scope_items(selectors.core_grant(grant).terms)]
    answer = alice.get(f"/my/requests/{grant.request_id}/answer", {"tick": every})
    page = answer.content.decode()
    assert "data-passkey" not in page
    assert reverse("my-keys") in page


def test_a_key_is_shown_with_the_log_entry_that_made_it_public(world):
    sequence()
    page = text(as_(world.alice).get("/my/keys"))
    assert "Test key" in page
    assert re.search(r"Entry \d+ of the log", page)


def test_names_are_shown_in_the_readers_language(world):
    world.studio.name, world.studio.name_en = "スタジオ港", "Studio Minato"
    world.studio.save()
    world.asked()
    assert "Studio Minato" in text(as_(world.alice, "en").get("/my/"))
    assert "スタジオ港" in text(as_(world.alice, "ja").get("/my/"))


def test_japanese_pages_write_dates_in_japanese(world):
    world.asked()
    assert re.search(r"\d{4}年\d{1,2}月\d{1,2}日", text(as_(world.alice, "ja").get("/my/")))


def test_the_mode_is_named_on_every_page(db):
    assert "Test mode" in text(Client(headers={"accept-language": "en"}).get("/verify"))


@override_settings(DEBUG=False)
def test_a_fault_of_ours_is_told_in_both_languages(db, monkeypatch):
    def broken(request):
        raise RuntimeError("a planted fault")

    monkeypatch.setattr(home, "viewer", broken)
    for language, words in (("ja", "こちら側で問題が起きました"), ("en", "on our side failed")):
        client = Client(raise_request_exception=False, headers={"accept-language": language})
        page = client.get("/")
        assert page.status_code == 500
        assert words in text(page)
