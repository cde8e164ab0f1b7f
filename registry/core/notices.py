"""What people are told once, by kind: short sentences without names. Pure; append, never reuse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from registry.core.parties import ADULT_AT, BIRTHDAY_NOTICES, birthday
from registry.core.refusals import Locale

TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "adult_in_60": (
        "60日以内に18歳の誕生日を迎えます。その日から、保護者が承認した許可は、本人が自分で確認するまで停止します。",
        "The 18th birthday is within 60 days. From that day on, what a guardian approved is paused "
        "until the talent confirms it.",
    ),
    "adult_in_14": (
        "14日以内に18歳の誕生日を迎えます。続けたい許可は、誕生日のあとに本人が確認してください。",
        "The 18th birthday is within 14 days. What shall go on must be confirmed by the talent "
        "after that day.",
    ),
    "key_enrolled": (
        "承認用の新しい鍵が登録されました。心当たりがないときは、すぐに運用者へ連絡してください。",
        "A new approval key was enrolled. If it was not you, tell the operator at once.",
    ),
    "contact_added": (
        "連絡先が追加されました。心当たりがないときは、すぐに運用者へ連絡してください。",
        "A contact was added. If it was not you, tell the operator at once.",
    ),
    "grant_paused": (
        "所属や本人の状況が変わったため、許可が停止しました。続けるかどうかを確認してください。",
        "A permission was paused because of a change. Please look whether it shall go on.",
    ),
    "claim_filed": (
        "別の事務所が、あなたの所属事務所だと届け出ました。どちらが正しいかを答えてください。",
        "Another agency says that it represents you. Please say which one is right.",
    ),
    "hand_over": (
        "退職・異動した人の申請が、引き継ぎを待っています。",
        "A request of somebody who left waits for a colleague to take it over.",
    ),
}


def sentence(kind: str, locale: Locale = "ja") -> str:
    """What a page says. Raises `KeyError` for a kind that is none."""
    return TEXTS[kind][0 if locale == "ja" else 1]


def birthday_notices(born: date, day: date) -> list[tuple[str, date]]:
    """The notices before the 18th birthday that are due on a day, each with its due day.

    A run that comes late still finds them, until the birthday itself.
    """
    adult = birthday(born, ADULT_AT)
    due = [(f"adult_in_{n}", adult - timedelta(days=n)) for n in BIRTHDAY_NOTICES]
    return [(kind, on) for kind, on in due if on <= day < adult]
