"""What only HTTP knows to refuse: status, meaning and next step of each such code, in ja and en.

Beside `registry.core.refusals`, whose codes are the product's; these are the protocol's. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from registry.core.refusals import Explanation, Locale

# code: (status, ja what, ja next, en what, en next)
TEXTS: Final[Mapping[str, tuple[int, str, str, str, str]]] = {
    "bad_request": (
        400,
        "リクエストを読み取れません。",
        "JSONの書式を確かめてください。",
        "The request cannot be read.",
        "Check that the body is well-formed JSON.",
    ),
    "not_authenticated": (
        401,
        "ログインまたはAPIキーが必要です。",
        "Authorization: Bearer に有効なAPIキーを指定してください。",
        "You must log in or present an API key.",
        "Send a valid API key as Authorization: Bearer.",
    ),
    "forbidden": (
        403,
        "この操作は許されていません。",
        "その組織の担当者に依頼してください。",
        "You may not do this.",
        "Ask somebody who acts for that organisation.",
    ),
    "not_found": (
        404,
        "見つかりません。",
        "アドレスと、見てよいものかどうかを確かめてください。",
        "There is nothing here.",
        "Check the address and that it is yours to see.",
    ),
    "method_not_allowed": (
        405,
        "このアドレスでは使えないメソッドです。",
        "APIの説明を確かめてください。",
        "This method cannot be used here.",
        "See the API's description.",
    ),
    "unsupported_media": (
        415,
        "この形式のデータは受け取れません。",
        "Content-Type を確かめてください。",
        "Data of this type is not accepted.",
        "Check the Content-Type.",
    ),
    "idempotency_running": (
        409,
        "同じ Idempotency-Key のリクエストを処理中です。",
        "少し待ってからもう一度送ってください。",
        "A request with this Idempotency-Key is still running.",
        "Wait a moment and send it again.",
    ),
    "idempotency_reused": (
        422,
        "この Idempotency-Key は別の内容で使われています。",
        "新しい内容には新しいキーを使ってください。",
        "This Idempotency-Key was used for another request.",
        "Use a new key for new content.",
    ),
}


def explain(code: str, locale: Locale) -> Explanation:
    """What a code means. Raises `KeyError` for a word that is none."""
    _, what_ja, next_ja, what_en, next_en = TEXTS[code]
    return Explanation(what_ja, next_ja) if locale == "ja" else Explanation(what_en, next_en)
