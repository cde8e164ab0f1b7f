"""Answers on the pages: ticks, read-back, offers, returns, questions, reminders, links, flags."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry import selectors
from registry.core.narrowing import scope_items
from registry.log.models import Outbox
from registry.models import Approval, Grant, Lane, Letter, PrivateNote, Question
from registry.services import answers, links, mailing, welfare
from tests.services.conftest import _keys, live, world
from tests.services.studio import Studio
from tests.web.pages import as_, login, text
from tests.world import guard, human, log_types, state
from training.models import Dataset

__all__ = ["_keys", "live", "world"]


@pytest.fixture
def studio(world, tmp_path, settings):
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(world, tmp_path)


def codes(grant) -> list[str]:
    return [item.code for item in scope_items(selectors.core_grant(grant).terms)]


def lane(grant, by) -> Lane:
    return Lane.objects.get(grant=grant, by=by)


def answer_page(who, grant, ticks, language="en", out=()):
    query = {"tick": ticks, "out": out}
    return as_(who, language).get(f"/my/requests/{grant.request_id}/answer", query)


# --- the talent ---------------------------------------------------------------------------------


def test_looking_at_a_request_is_told_to_who_asks(world):
    grant = world.asked()
    as_(world.alice).get(f"/my/requests/{grant.request_id}")
    assert lane(grant, "talent").state == "opened"
    assert "Talent alice Opened" in text(as_(world.charlie).get(f"/requests/{grant.request_id}"))


def test_what_is_ticked_is_read_back_in_one_sentence(world):
    grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar"), quantity=500))
    shown = text(answer_page(world.alice, grant, codes(grant), "ja"))
    assert "電子写真集、カレンダーの画像に、日本国内で、" in shown
    assert "500" in shown
    assert "許可する" in shown
    assert "この内容だけを提案する" not in shown


def test_money_and_days_are_read_back_as_people_write_them(world):
    grant = world.asked(terms=world.terms(fee_jpy=300_000, end=date(2027, 2, 23)))
    shown = text(answer_page(world.alice, grant, codes(grant), "ja"))
    assert "2027年2月23日まで使えます" in shown
    assert "300,000円" in shown
    alice = as_(world.alice, "ja")
    assert "300,000円" in text(alice.get("/my/"))
    assert text(alice.get(f"/my/requests/{grant.request_id}")).count("300,000円") > 1
    terms = replace(selectors.core_grant(grant).terms, fee_jpy=350_000)
    answers.answer_counter(person=world.alice.person, grant=grant, by="talent", terms=terms)
    shown = text(as_(world.charlie, "ja").get(f"/requests/{grant.request_id}"))
    assert "300,000円 → 350,000円" in shown


def test_nobody_is_led_to_a_page_that_is_closed_to_them(world):
    operator = human("operator").person
    own = as_(world.alice).get("/my/").content.decode()
    login(operator)
    operator.user.is_staff = True
    operator.user.save()
    staff = login(operator)
    assert staff.get("/").headers["Location"] == "/operator/flags"
    assert 'href="/operator/flags"' in staff.get("/my/keys").content.decode()
    assert "/operator/flags" not in own
    assert 'href="/my/rules"' in own
    mother = human("mother").person
    guard(world.talent, mother)
    assert "/my/rules" not in login(mother).get("/my/").content.decode()
    assert "/requests/new" not in staff.get("/requests/").content.decode()
    assert "/requests/new" in as_(world.charlie).get("/requests/").content.decode()
    assert 'id="remind"' not in as_(world.bob).get("/agency/").content.decode()
    world.asked()
    assert 'id="remind"' in as_(world.bob).get("/agency/").content.decode()


def test_a_part_becomes_an_offer_and_nothing_is_signed(world):
    grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar")))
    part = [code for code in codes(grant) if code != "media:calendar"]
    page = answer_page(world.alice, grant, part)
    assert "data-passkey" not in page.content.decode()
    assert "Offer only this" in text(page)
    posted = as_(world.alice).post(
        f"/requests/{grant.request_id}/counter", {"by": "talent", "tick": part}
    )
    assert posted.status_code == 302
    assert state(grant) == "returned"
    assert lane(grant, "talent").offer["terms"]["media"] == ["photobook_ebook"]
    shown = text(as_(world.charlie).get(f"/requests/{grant.request_id}"))
    assert "Used for : e-photobook, calendar → e-photobook" in shown.replace("：", ":")
    assert "Accept, and ask everybody for exactly this" in shown
    assert "Accept, and" not in text(as_(world.bob).get(f"/agency/requests/{grant.request_id}"))


def test_nothing_ticked_leaves_nothing_to_allow(world):
    grant = world.asked()
    shown = text(answer_page(world.alice, grant, []))
    assert "You ticked nothing" in shown
    assert "I allow it" not in shown


def test_the_time_to_think_is_a_date_and_declining_stays(world, settings):
    settings.COOLING_HOURS = {"default": 48}
    grant = world.asked()
    page = answer_page(world.alice, grant, codes(grant)).content.decode()
    assert "Possible from" in page
    assert "data-passkey" not in page
    posted = as_(world.alice).post(f"/grants/{grant.id}/refuse", {"by": "talent"})
    assert posted.status_code == 302
    assert state(grant) == "refused"


def test_the_answer_page_is_for_who_is_asked(world):
    grant = world.asked()
    path = f"/my/requests/{grant.request_id}/answer"
    for who in (world.bob, world.charlie, world.mallory):
        assert as_(who).get(path).status_code == 404
    counter = {"by": "talent", "tick": codes(grant)[:1]}
    for who in (world.bob, world.charlie, world.mallory):
        answer = as_(who).post(f"/requests/{grant.request_id}/counter", counter)
        assert answer.status_code == 404
    assert state(grant) == "asking"


def test_a_question_ends_nothing_and_later_decides_nothing(world):
    grant = world.asked()
    alice = as_(world.alice)
    shown = alice.post(f"/grants/{grant.id}/ask", {"question": ""}, follow=True)
    assert "Nothing was decided" in text(shown)
    alice.post(f"/grants/{grant.id}/ask", {"question": "Which stores?"})
    question = Question.objects.get()
    assert "Which stores?" in text(as_(world.charlie).get(f"/requests/{grant.request_id}"))
    reply = f"/questions/{question.id}/reply"
    assert as_(world.mallory).post(reply, {"text": "x"}).status_code == 404
    assert as_(world.bob).post(reply, {"text": "x"}).status_code == 404
    as_(world.charlie).post(reply, {"text": "Two stores"})
    assert "Two stores" in text(alice.get(f"/my/requests/{grant.request_id}"))
    assert state(grant) == "asking"


def test_easy_japanese_is_one_link_away(world):
    grant = world.asked()
    page = as_(world.alice, "ja").get(f"/my/requests/{grant.request_id}")
    easy = selectors.core_grant(grant).text("ja-easy")
    assert easy.splitlines()[0] in text(page)


# --- the flag -----------------------------------------------------------------------------------


def masked(response) -> tuple[int, bytes, dict[str, str]]:
    """A response without what is random in every one."""
    body = re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", response.content)
    return response.status_code, body, dict(response.headers)


@pytest.mark.parametrize(
    ("address", "given"),
    [
        ("/grants/{grant}/refuse", {"by": "talent", "reason": ""}),
        ("/grants/{grant}/ask", {"question": "?"}),
        ("/my/grants/{grant}/withdraw", {"reason": ""}),
        ("/requests/{request}/counter", {"by": "talent", "tick": ["media:calendar"]}),
        ("/requests/{request}/return", {"by": "talent", "field": "term", "text": "x"}),
        ("/my/private", {"reason": ""}),
    ],
)
def test_an_answer_with_the_flag_looks_like_one_without(world, address, given):
    """The same bytes, the same statements, the same log entries, the same pages for the others."""
    seen = []
    for pressed in (False, True):
        grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar")))
        path = address.format(grant=grant.id, request=grant.request_id)
        alice = as_(world.alice)
        before = len(log_types())
        with CountQueries() as counted:
            response = alice.post(path, given | ({"pressed": "1"} if pressed else {}))
        status, body, headers = masked(response)
        where = headers.get("Location", "").replace(grant.id, "G").replace(grant.request_id, "R")
        others = [
            text(as_(world.bob).get(f"/agency/requests/{grant.request_id}")),
            text(as_(world.charlie).get(f"/requests/{grant.request_id}")),
        ]
        plain = [re.sub(r"\w{3}_\w+|[0-9a-f]{4} [0-9a-f ]+…|\d", "", page) for page in others]
        seen.append((status, body, where, counted.statements, log_types()[before:], plain))
    assert seen[0] == seen[1]
    assert PrivateNote.objects.filter(pressed=True).count() == 1


class CountQueries:
    """The statements that a block sends to the database, with their values masked."""

    def __enter__(self):
        self.context = CaptureQueriesContext(connection)
        self.context.__enter__()
        return self

    def __exit__(self, *error):
        self.context.__exit__(*error)
        self.statements = [row["sql"].split(" ", 1)[0] for row in self.context.captured_queries]


def test_the_flag_stands_in_no_log_entry(world):
    grant = world.asked()
    welfare.note_leave(person=world.alice.person, pressed=True, reason="ひみつの事情")
    written = b"".join(bytes(row.payload) for row in Outbox.objects.all())
    assert b"press" not in written
    assert "ひみつの事情".encode() not in written
    for who in (world.alice, world.bob, world.charlie):
        for path in (f"/my/requests/{grant.request_id}", f"/requests/{grant.request_id}", "/my/"):
            assert "ひみつの事情" not in as_(who).get(path).content.decode()


def test_operators_alone_see_the_queue_and_settle_with_words(world):
    welfare.note_leave(person=world.alice.person, pressed=True)
    note = PrivateNote.objects.get()
    for who in (world.alice, world.bob, world.charlie):
        assert as_(who).get("/operator/flags").status_code == 404
        assert as_(who).post(f"/operator/flags/{note.id}", {"finding": "x"}).status_code == 404
    staff = Client(headers={"accept-language": "en"})
    staff.force_login(User.objects.create_user("operator", is_staff=True))
    assert "alice" in text(staff.get("/operator/flags"))
    staff.post(f"/operator/flags/{note.id}", {"finding": " "})
    assert welfare.open_notes().exists()
    staff.post(f"/operator/flags/{note.id}", {"finding": "spoke to her"})
    assert not welfare.open_notes().exists()


def test_a_stop_takes_two_taps_and_shows_on_her_page_alone(world):
    grant = world.made()
    alice = as_(world.alice)
    assert "Stop now" in text(alice.get("/my/stop"))
    assert state(grant) == "active"
    assert "You stopped everything" in text(alice.post("/my/stop", follow=True))
    assert state(grant) == "paused"
    assert as_(world.bob).get("/my/stop").status_code == 404


def test_going_on_needs_her_own_key(world):
    grant = world.made()
    welfare.emergency_stop(person=world.alice.person)
    alice = as_(world.alice)
    begun = alice.post("/api/v1/stop/challenge", content_type="application/json").json()
    forged = world.bob.soft.approve(
        begun["options"] | {"allowCredentials": []}, "http://localhost:8000"
    )
    body = {"challenge_id": begun["challenge_id"], "response": forged}
    no = alice.post("/api/v1/stop/lift", body, content_type="application/json")
    assert no.json()["code"] == "bad_signature"
    assert state(grant) == "paused"
    begun = alice.post("/api/v1/stop/challenge", content_type="application/json").json()
    own = world.alice.soft.approve(begun["options"], "http://localhost:8000")
    body = {"challenge_id": begun["challenge_id"], "response": own}
    done = alice.post("/api/v1/stop/lift", body, content_type="application/json")
    assert done.json() == {"holds_again": [grant.id]}
    assert state(grant) == "active"


# --- agency and photographer --------------------------------------------------------------------


def test_the_agency_returns_with_remarks_and_the_photographer_reads_them(world):
    grant = world.asked()
    path = f"/requests/{grant.request_id}/return"
    empty = as_(world.bob).post(path, {"by": "agency_officer", "field": "term", "text": ""})
    assert empty.status_code == 302
    assert state(grant) == "asking"
    given = {
        "by": "agency_officer",
        "field": ["term", "fee"],
        "text": ["半年にしてください", ""],
    }
    as_(world.bob).post(path, given)
    assert state(grant) == "returned"
    shown = text(as_(world.charlie).get(f"/requests/{grant.request_id}"))
    assert "半年にしてください" in shown
    assert "asks for a change" in shown


def test_the_agency_can_offer_a_part(world):
    grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar")))
    page = as_(world.bob).get(f"/requests/{grant.request_id}/offer")
    assert "checked" not in page.content.decode()
    assert as_(world.mallory).get(f"/requests/{grant.request_id}/offer").status_code == 404
    part = [code for code in codes(grant) if code != "media:calendar"]
    as_(world.bob).post(
        f"/requests/{grant.request_id}/counter", {"by": "agency_officer", "tick": part}
    )
    assert lane(grant, "agency_officer").state == "countered"


def test_an_offer_is_accepted_in_one_step_and_the_difference_is_shown(studio):
    grant = studio.sealed()
    alice = as_(studio.world.alice)
    ticks = [code for code in codes(grant) if not code.startswith("likeness:")] + ["likeness:face"]
    page = answer_page(studio.world.alice, grant, ticks, out=grant.pictures[:1])
    assert "Without the pictures: 1." in text(page)
    terms = selectors.core_grant(grant).terms
    answers.answer_counter(
        person=studio.world.alice.person,
        grant=grant,
        by="talent",
        terms=replace(terms, fee_jpy=terms.fee_jpy + 1000),
    )
    offered = lane(grant, "talent")
    path = f"/requests/{studio.request.pk}/offers/{offered.id}"
    assert as_(studio.world.mallory).post(path).status_code == 404
    assert as_(studio.world.bob).post(path).status_code == 404
    shown = text(as_(studio.world.charlie).post(path, follow=True))
    assert "Everybody has been asked again" in shown
    made = Grant.objects.filter(request=studio.request).latest("created_at")
    assert (made.state, state(grant)) == ("asking", "superseded")
    shown = text(alice.get(f"/my/requests/{studio.request.pk}"))
    assert "What was changed" in shown
    assert "Fee" in shown


def test_the_photographer_takes_back_opens_and_asks_again(studio):
    grant = studio.sealed()
    charlie = as_(studio.world.charlie)
    page = f"/requests/{studio.request.pk}"
    assert as_(studio.world.bob).post(f"{page}/recall").status_code == 404
    charlie.post(f"{page}/recall")
    assert state(grant) == "returned"
    charlie.post(f"{page}/reopen")
    assert Dataset.objects.get(request=studio.request).state == "curated"
    assert "Seal and ask everybody" in text(charlie.get(page))
    charlie.post(f"{page}/seal")
    assert state(grant) == "superseded"
    again = Grant.objects.filter(request=studio.request).latest("created_at")
    charlie.post(f"{page}/recall")
    charlie.post(f"{page}/reopen", {"again": "1"})
    assert state(again) == "superseded"


def test_views_of_the_inbox_and_bulk_reminders(world):
    grant = world.asked()
    Lane.objects.update(asked_at=timezone.now() - timedelta(days=2))
    bob = as_(world.bob)
    page = f"/agency/requests/{grant.request_id}"
    assert page in bob.get("/agency/?view=mine").content.decode()
    for view in ("waiting", "unreachable", "soon"):
        assert page not in bob.get(f"/agency/?view={view}").content.decode()
    assert "checked" not in bob.get("/agency/").content.decode()
    Letter.objects.all().delete()
    shown = text(bob.post("/remind", {"request": [grant.request_id]}, follow=True))
    assert "Reminders queued: 2" in shown
    assert set(Letter.objects.values_list("person_id", flat=True)) == {
        world.alice.person.id,
        world.charlie.person.id,
    }
    as_(world.mallory).post("/remind", {"request": [grant.request_id]})
    assert Letter.objects.count() == 2


def test_a_message_that_reached_nobody_is_seen_on_the_case(world):
    grant = world.asked()
    Letter.objects.update(send_after=timezone.now())
    mailing.letters_send()
    charlie = as_(world.charlie)
    shown = text(charlie.get(f"/requests/{grant.request_id}"))
    assert "No message reached alice" in shown
    failed = Letter.objects.filter(person=world.alice.person).get()
    assert as_(world.mallory).post(f"/letters/{failed.id}/again").status_code == 404
    charlie.post(f"/letters/{failed.id}/again")
    failed.refresh_from_db()
    assert failed.state == "queued"


# --- links and scanners -------------------------------------------------------------------------


@pytest.fixture
def mailed(world):
    world.alice.person.user = User.objects.create_user("alice", email="alice@example.jp")
    world.alice.person.save()
    grant, given = world.asked(), world.asked()
    assert isinstance(world.alice.approve(given, "talent"), Approval)
    Letter.objects.update(send_after=timezone.now())
    mailing.letters_send()
    body = mail.outbox[-1].body
    return grant, given, re.search(r"(/l/\S+)", body).group(1), re.search(r"(\d{6})", body).group(1)


def scan(client, path, seen) -> None:
    """Open a page, follow every link on it, send in every form with its own and with made-up
    values: what mail scanners do."""
    if path in seen or len(seen) > 60:
        return
    seen.add(path)
    page = client.get(path)
    if page.status_code != 200 or "text/html" not in page.headers.get("Content-Type", ""):
        return
    html = page.content.decode()
    for action, inner in re.findall(r"<form([^>]*)>(.*?)</form>", html, re.S):
        where = re.search(r'action="([^"]*)"', action)
        target = where.group(1) if where else path
        fields = dict(re.findall(r'name="([^"]+)"[^>]*value="([^"]*)"', inner))
        fields |= dict.fromkeys(re.findall(r'<textarea[^>]*name="([^"]+)"', inner), "test")
        for made_up in ("", "test", "1"):
            client.post(target, fields | {"code": made_up})
    for link in re.findall(r'href="(/[^"#]*)"', html):
        if not link.startswith(("/static", "/api")):
            scan(client, link, seen)


def test_a_scanner_that_opens_and_sends_in_everything_changes_nothing(mailed):
    grant, given, path, _code = mailed
    before = (
        list(Lane.objects.order_by("id").values_list("state", flat=True)),
        list(Grant.objects.order_by("id").values_list("state", flat=True)),
        log_types(),
        Question.objects.count(),
    )
    seen: set[str] = set()
    scan(Client(), path, seen)
    assert f"{path}/{grant.id}/refuse" in seen
    assert f"{path}/{given.id}/withdraw" in seen
    after = (
        list(Lane.objects.order_by("id").values_list("state", flat=True)),
        list(Grant.objects.order_by("id").values_list("state", flat=True)),
        log_types(),
        Question.objects.count(),
    )
    assert before == after


def test_after_the_scanner_the_person_still_can(mailed):
    grant, _given, path, code = mailed
    scan(Client(), path, set())
    client = Client(headers={"accept-language": "en"})
    page = client.get(f"{path}/{grant.id}/refuse").content.decode()
    form = re.search(r'name="form" value="([^"]+)"', page).group(1)
    wrong = client.post(f"{path}/{grant.id}/refuse", {"form": form, "code": ""})
    assert "Type the six digits" in text(wrong)
    done = client.post(f"{path}/{grant.id}/refuse", {"form": form, "code": f" {code} "})
    assert "You declined" in text(done)
    assert state(grant) == "refused"


def test_a_link_says_no_in_the_capacity_that_is_still_open(world, mailed):
    """Somebody with two capacities has answered in one; one no ends the grant all the same."""
    grant, _given, _path, _code = mailed
    alice = world.alice.person
    Lane.objects.filter(grant=grant, by="agency_officer").update(person=alice, state="signed")
    assert links._act(alice, grant, "refuse", "", timezone.now()) is None
    assert state(grant) == "refused"


def test_a_link_shows_nothing_that_allows_and_leaves_no_trail(mailed):
    grant, _given, path, _code = mailed
    page = Client().get(path)
    assert "data-passkey" not in page.content.decode()
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in page.headers["Cache-Control"]
    assert lane(grant, "talent").state == "asked"
    assert Client().get("/l/nothing").status_code == 404
    assert Client().get(f"{path}/{grant.id}/approve").status_code == 404
    other = Grant.objects.exclude(lanes__person=grant.lanes.first().person).first()
    assert other is None or Client().get(f"{path}/{other.id}/refuse").status_code == 404


# --- over the API -------------------------------------------------------------------------------


def call(who, method, path, body):
    client = as_(who)
    return getattr(client, method)(f"/api/v1/{path}", body, content_type="application/json")


def test_a_machine_returns_offers_and_amends_by_the_same_rules(world):
    grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar")))
    terms = grant.payload["terms"]
    wider = {"by": "talent", "terms": terms | {"media": ["ad_web"]}}
    no = call(world.alice, "post", f"grants/{grant.id}/counter", wider)
    assert (no.status_code, no.json()["code"]) == (422, "counter_wider")
    broken = {"by": "talent", "terms": terms | {"media": "x"}}
    assert call(world.alice, "post", f"grants/{grant.id}/counter", broken).status_code == 422
    empty = {"by": "agency_officer", "remarks": []}
    no = call(world.bob, "post", f"grants/{grant.id}/return", empty)
    assert (no.status_code, no.json()["code"]) == (422, "remark_missing")
    less = {"by": "talent", "terms": terms | {"media": ["calendar"]}}
    assert call(world.mallory, "post", f"grants/{grant.id}/counter", less).status_code == 404
    assert (
        call(world.alice, "post", f"grants/{grant.id}/counter", less).json()["state"] == "returned"
    )
    path = f"requests/{grant.request_id}"
    assert call(world.bob, "patch", path, {"terms": less["terms"]}).status_code == 404
    bad = call(world.charlie, "patch", path, {"terms": terms | {"end": "never"}})
    assert bad.status_code == 422
    done = call(world.charlie, "patch", path, {"terms": less["terms"]})
    assert done.json()["terms"]["media"] == ["calendar"]
    other = world.asked()
    remarks = {"by": "agency_officer", "remarks": [{"field": "term", "text": "shorter"}]}
    assert (
        call(world.bob, "post", f"grants/{other.id}/return", remarks).json()["state"] == "returned"
    )
