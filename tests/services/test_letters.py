"""Messages and their links, with a mail server that works, fails or refuses."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import re
import smtplib
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.core.terms import JST
from registry.models import AccessLink, Approval, Lane, Letter
from registry.services import answers, letters, links, mailing, questions
from tests.world import log_types, state

# Yesterday at noon in Japan: whatever the hour is now, it has passed and was no night.
NOON = (
    (timezone.now() - timedelta(days=1))
    .astimezone(JST)
    .replace(hour=12, minute=0, second=0, microsecond=0)
)


class Refusing(BaseEmailBackend):
    """A mail server that knows nobody."""

    def send_messages(self, email_messages):
        raise smtplib.SMTPRecipientsRefused({})


class Down(BaseEmailBackend):
    """A mail server that is down."""

    def send_messages(self, email_messages):
        raise ConnectionRefusedError


def mailbox(who, address: str) -> None:
    who.person.user = User.objects.create_user(who.person.pk, email=address)
    who.person.save()


@pytest.fixture
def asked(world):
    mailbox(world.alice, "alice@example.jp")
    mailbox(world.bob, "")
    grant = world.asked(sign_by=NOON + timedelta(days=10))
    Lane.objects.filter(grant=grant).update(asked_at=NOON)
    Letter.objects.update(send_after=NOON, created_at=NOON)
    return grant


def of(who) -> Letter:
    return Letter.objects.filter(person=who.person).latest("created_at")


def test_everybody_is_told_and_what_became_of_it_is_kept(world, asked):
    assert mailing.letters_send(at=NOON) == {"sent": 2, "failed": 1, "dropped": 0, "queued": 0}
    assert (of(world.alice).state, of(world.alice).channel) == ("sent", "email")
    assert (of(world.bob).state, of(world.bob).channel) == ("sent", "portal")
    assert (of(world.charlie).state, of(world.charlie).error) == ("failed", "no_address")
    assert Lane.objects.get(grant=asked, by="photo_copyright").state == "unreachable"
    assert [n.person for n in letters.undelivered(asked.request)] == [world.charlie.person]
    assert [m.to for m in mail.outbox] == [["alice@example.jp"]]
    assert mailing.letters_send(at=NOON)["sent"] == 0


def test_a_message_names_no_project_and_nobody(world, asked):
    mailing.letters_send(at=NOON)
    text = mail.outbox[0].subject + mail.outbox[0].body
    for word in ("Kadoma", "photobook", "Charlie", "Hoshi", "alice", asked.id, asked.request_id):
        assert word not in text


def test_several_requests_are_one_message(world, asked):
    world.asked()
    Letter.objects.update(send_after=NOON)
    mailing.letters_send(at=NOON)
    assert len(mail.outbox) == 1
    assert "2件" in mail.outbox[0].body


def test_what_is_answered_meanwhile_is_not_sent(world, asked):
    assert isinstance(world.alice.approve(asked, "talent"), Approval)
    assert mailing.letters_send(at=NOON)["dropped"] == 1
    assert mail.outbox == []


def test_nothing_goes_out_at_night(world, asked):
    night: datetime = NOON.replace(hour=22)
    queued = letters.letter_queue(
        person=world.alice.person, kind="asked", request=asked.request, lane=None, at=night
    )
    assert queued.send_after == (NOON + timedelta(days=1)).replace(hour=8)


def test_reminders_come_twice_and_stop_with_an_answer(world, asked):
    told = []
    for day in range(1, 10):
        if day == 9:
            assert isinstance(world.bob.approve(asked, "agency_officer"), Approval)
        told += [(day, lane.by) for lane in letters.reminders_queue(at=NOON + timedelta(days=day))]
    assert sorted(told) == sorted(
        (day, by) for day in (5, 8) for by in ("talent", "agency_officer", "photo_copyright")
    )
    assert set(Lane.objects.filter(grant=asked).values_list("reminders", flat=True)) == {2}
    assert letters.remind(lanes=Lane.objects.filter(grant=asked), at=NOON + timedelta(days=9)) == []


def test_nobody_is_reminded_twice_a_day_whoever_presses(world, asked):
    lanes = list(Lane.objects.filter(grant=asked, by="talent"))
    assert letters.remind(lanes=lanes, at=NOON + timedelta(hours=23)) == []
    assert len(letters.remind(lanes=lanes, at=NOON + timedelta(hours=24))) == 1
    assert letters.remind(lanes=lanes, at=NOON + timedelta(hours=25)) == []


def test_an_address_that_is_refused_is_seen_and_tried_again_when_put_right(world, asked, settings):
    settings.EMAIL_BACKEND = "tests.services.test_letters.Refusing"
    mailing.letters_send(at=NOON)
    assert (of(world.alice).state, of(world.alice).error) == ("failed", "rejected")
    assert Lane.objects.get(grant=asked, by="talent").state == "unreachable"
    assert "approval.undelivered" in log_types()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert letters.letter_again(letter=of(world.alice), at=NOON) is None
    assert mailing.letters_send(at=NOON)["sent"] == 1
    assert letters.letter_again(letter=of(world.alice), at=NOON).code == "wrong_state"


def test_a_server_that_is_down_is_tried_five_times_and_then_given_up_visibly(
    world, asked, settings
):
    settings.EMAIL_BACKEND = "tests.services.test_letters.Down"
    at = NOON
    for _ in range(4):
        mailing.letters_send(at=at)
        assert of(world.alice).state == "queued"
        at += timedelta(minutes=17)
    mailing.letters_send(at=at)
    assert (of(world.alice).state, of(world.alice).error) == ("failed", "undeliverable")


def test_a_registry_without_mail_says_so(world, asked, settings):
    settings.EMAIL_BACKEND = "registry.mail.NoMail"
    mailing.letters_send(at=NOON)
    assert of(world.alice).attempts == 1


def test_the_requester_is_told_of_a_return(world, asked):
    answers.answer_return(
        person=world.bob.person,
        grant=asked,
        by="agency_officer",
        remarks=[{"field": "term", "text": "x"}],
    )
    assert of(world.charlie).kind == "returned"


# --- links --------------------------------------------------------------------------------------


@pytest.fixture
def link(world, asked):
    mailing.letters_send(at=timezone.now())
    body = mail.outbox[-1].body
    token = re.search(r"/l/(\S+)", body).group(1)
    code = re.search(r"Code: (\d{6})", body).group(1)
    return token, code


def form(token, grant, action):
    row = links.link_find(token)
    assert isinstance(row, AccessLink)
    return links.form_token(row, grant.id, action)


def act(link, grant, action="refuse", **changes):
    token, code = link
    values = {
        "token": token,
        "grant": grant,
        "action": action,
        "form": form(token, grant, action),
        "code": code,
    }
    return links.act(**(values | changes))


def test_a_link_refuses_once_with_the_digits(link, asked):
    assert act(link, asked) is None
    assert state(asked) == "refused"


def test_a_link_withdraws(world, link, asked):
    assert isinstance(world.alice.approve(asked, "talent"), Approval)
    assert act(link, asked, "withdraw") is None
    assert state(asked) == "withdrawn"


def test_a_link_asks(world, link, asked):
    assert act(link, asked, "ask", text="いつですか") is None
    question = Lane.objects.get(grant=asked, by="talent").questions.get()
    assert question.text == "いつですか"
    no = questions.question_reply(question=question, by=world.charlie.person, text=" ")
    assert no.code == "remark_missing"
    done = questions.question_reply(question=question, by=world.charlie.person, text="来月です")
    assert done is None
    assert act(link, asked, "ask", text=" ").code == "remark_missing"
    assert state(asked) == "asking"


@pytest.mark.parametrize("code", ["", "test", "000000x", "１"])
def test_what_a_scanner_types_changes_nothing_and_locks_nobody_out(link, asked, code):
    for _ in range(links.MAX_WRONG_CODES + 1):
        assert act(link, asked, code=code).code == "wrong_code"
    assert state(asked) == "asking"
    assert act(link, asked) is None


def test_guessing_the_digits_ends_the_link(link, asked):
    wrong = f"{(int(link[1]) + 1) % 10**6:06d}"
    ready = form(link[0], asked, "refuse")
    for _ in range(links.MAX_WRONG_CODES):
        assert act(link, asked, code=wrong, form=ready).code == "wrong_code"
    assert isinstance(links.link_find(link[0]), Refusal)
    done = links.act(token=link[0], grant=asked, action="refuse", form=ready, code=link[1])
    assert done.code == "link_expired"
    assert state(asked) == "asking"


def test_a_form_counts_once_for_its_own_act_and_not_for_ever(world, link, asked):
    other = form(link[0], asked, "withdraw")
    assert act(link, asked, form=other).code == "form_used"
    assert act(link, asked, form="forged").code == "form_used"
    once = form(link[0], asked, "ask")
    assert act(link, asked, "ask", form=once, text="x") is None
    assert act(link, asked, "ask", form=once, text="x").code == "form_used"


def test_a_link_ends_and_approves_never(link, asked):
    later = timezone.now() + timedelta(days=15)
    assert links.link_find(link[0], at=later).code == "link_expired"
    assert links.link_find("no such link") is None
    assert "approve" not in links.ACTIONS
    done = links.act(
        token=link[0],
        grant=asked,
        action="approve",
        form=form(link[0], asked, "approve"),
        code=link[1],
    )
    assert isinstance(done, Refusal)
    assert state(asked) == "asking"


def test_no_copy_of_a_link_or_its_code_is_kept(link):
    row = AccessLink.objects.latest("created_at")
    kept = "".join(str(value) for value in vars(row).values())
    assert link[0] not in kept
    assert link[1] not in (row.digest, row.code_digest)
