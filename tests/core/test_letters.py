"""Messages: not at night, at most twice, not after the deadline, and with no project in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import letters
from registry.core.terms import JST

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=JST)


@pytest.mark.parametrize(
    ("hour", "minute", "day", "sent"),
    [
        (7, 59, 20, (8, 0)),
        (8, 0, 20, (8, 0)),
        (20, 59, 20, (20, 59)),
        (21, 0, 21, (8, 0)),
        (0, 0, 20, (8, 0)),
    ],
)
def test_nothing_is_sent_between_nine_and_eight(hour, minute, day, sent):
    found = letters.not_at_night(NOON.replace(hour=hour, minute=minute))
    assert (found.day, found.hour, found.minute) == (day, *sent)


@settings(deadline=None)
@given(st.integers(0, 365 * 24 * 60))
def test_a_message_waits_less_than_a_night_and_never_goes_back(minutes):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = letters.not_at_night(at)
    assert timedelta() <= found - at < timedelta(hours=11, minutes=1)
    assert letters.QUIET_UNTIL <= found.astimezone(JST).time() < letters.QUIET_FROM
    assert letters.not_at_night(found) == found


ASKED, SIGN_BY = NOON, NOON + timedelta(days=10)


@pytest.mark.parametrize(
    ("reminders", "told_days", "now_days", "due"),
    [
        (0, 0, 4, False),
        (0, 0, 5, True),
        (1, 5, 7, False),
        (1, 5, 8, True),
        (1, 7.5, 8, False),
        (2, 5, 9, False),
        (0, 0, 10, False),
    ],
)
def test_one_half_way_one_at_the_end_and_no_more(reminders, told_days, now_days, due):
    found = letters.reminder_due(
        asked_at=ASKED,
        sign_by=SIGN_BY,
        reminders=reminders,
        last_told=ASKED + timedelta(days=told_days),
        at=ASKED + timedelta(days=now_days),
    )
    assert found is due


@pytest.mark.parametrize("kind", sorted(letters.KINDS))
def test_a_message_says_that_it_cannot_allow_and_how_to_do_without_it(kind):
    text = letters.text(
        kind,
        count=2,
        day="2026-12-01",
        address="https://registry.example",
        link="https://registry.example/l/x",
        code="123456",
    )
    assert "このメールから許可することはできません" in text.body
    assert "Nothing can be allowed from this message" in text.body
    assert text.body.count("https://registry.example/l/x") == 1
    assert "123456" in text.body
    assert "{" not in text.subject + text.body
    assert len(text.body.encode()) < 4096


def test_a_failed_hand_over_is_tried_later_and_later():
    waits = [letters.retry_at(n, NOON) - NOON for n in range(1, letters.MAX_ATTEMPTS)]
    assert waits == sorted(waits)
    assert waits[0] >= timedelta(minutes=2)
