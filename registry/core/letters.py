"""Messages that only say that something waits: when they may be sent, and their words.

Stage 2, pure. A message names no project, no picture, no company and no answer; it carries nothing
that allows. At most two reminders, none at night, none after an answer (field study A27).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from registry.core.terms import JST

QUIET_FROM: Final = time(21)
QUIET_UNTIL: Final = time(8)
MAX_REMINDERS: Final = 2
REMIND_GAP: Final = timedelta(hours=24)
LAST_CALL: Final = timedelta(days=2)
# A message that could not be handed over is tried again so many times, each time later.
MAX_ATTEMPTS: Final = 5


def not_at_night(at: datetime) -> datetime:
    """`at`, or the first moment after the quiet hours (21:00 to 08:00 in Japan) it falls into."""
    local = at.astimezone(JST)
    if local.time() >= QUIET_FROM:
        local = datetime.combine(local.date() + timedelta(days=1), QUIET_UNTIL, JST)
    elif local.time() < QUIET_UNTIL:
        local = datetime.combine(local.date(), QUIET_UNTIL, JST)
    else:
        return at
    return local.astimezone(at.tzinfo)


def may_remind(*, reminders: int, last_told: datetime, sign_by: datetime, at: datetime) -> bool:
    """Whether somebody who has not answered may be reminded once more, by whoever wants to."""
    return reminders < MAX_REMINDERS and at - last_told >= REMIND_GAP and at < sign_by


def reminder_due(
    *,
    asked_at: datetime,
    sign_by: datetime,
    reminders: int,
    last_told: datetime,
    at: datetime,
) -> bool:
    """Whether a reminder goes out by itself: one half-way, one two days before the deadline."""
    if not may_remind(reminders=reminders, last_told=last_told, sign_by=sign_by, at=at):
        return False
    half = asked_at + (sign_by - asked_at) / 2
    return at >= (half if reminders == 0 else sign_by - LAST_CALL)


def retry_at(attempts: int, at: datetime) -> datetime:
    """When to try again after so many attempts: 2, 4, 8, 16 minutes."""
    return at + timedelta(minutes=2**attempts)


@dataclass(frozen=True)
class Text:
    """A message as plain text."""

    subject: str
    body: str


# kind: (ja subject, ja line, en subject, en line)
_KINDS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "asked": (
        "確認のお願いがあります",
        "お返事を待っている依頼が{count}件あります。回答期限は{day}です。",
        "Something waits for your answer",
        "{count} request(s) wait for your answer, by {day}.",
    ),
    "reminder": (
        "確認のお願い(再度のご案内)",
        "お返事を待っている依頼が{count}件あります。回答期限は{day}です。"
        "期限までに回答がないときは「許可しない」と同じになります。",
        "Something still waits for your answer",
        "{count} request(s) wait for your answer, by {day}. No answer by then counts as no.",
    ),
    "returned": (
        "お知らせがあります",
        "申請{count}件に、修正の依頼か提案がありました。",
        "News on your requests",
        "A change was asked for, or less was offered, on {count} request(s).",
    ),
    "link": (
        "新しいリンクです",
        "ご依頼により、新しいリンクをお送りします。",
        "Your new link",
        "Here is the new link that you asked for.",
    ),
}
KINDS: Final = frozenset(_KINDS)


def text(kind: str, *, count: int, day: str, address: str, link: str, code: str) -> Text:
    """The message in both languages. `address` is the registry's own, for who clicks no links.

    Raises `KeyError` for an unknown kind.
    """
    ja_subject, ja_line, en_subject, en_line = _KINDS[kind]
    body = _BODY.format(
        ja=ja_line.format(count=count, day=day),
        en=en_line.format(count=count, day=day),
        link=link,
        code=code,
        address=address,
    )
    return Text(f"{ja_subject} / {en_subject}", body)


_BODY: Final = """{ja}

このメールから許可することはできません。許可できるのは、ご本人の鍵だけです。
リンク先では、内容を読む・質問する・許可しない・取り消すことができます。
そのときは、下のコードを入力してください。

リンク / Link: {link}
コード / Code: {code}

リンクを使わずに {address} を開いてサインインすることもできます。
心当たりがないときは、何もしなくてかまいません。

----
{en}

Nothing can be allowed from this message: only your own key allows. Through the link
you can read, ask, decline and withdraw; type the code there.
You can also open {address} yourself and sign in. If you expected nothing, do nothing.
"""
