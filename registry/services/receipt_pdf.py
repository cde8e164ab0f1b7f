"""The printed form of a consent receipt: one or two A4 pages, Japanese or English.

Draws what it is given and decides nothing. The machine file is attached to the PDF, so that one
file is enough to verify both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from registry.core.receipts import Verified
from registry.core.refusals import Locale, party_label
from registry.core.terms import JST
from registry.services.paper import Paper

# word: (Japanese, English)
_WORDS: Final = {
    "title": ("同意証", "Consent receipt"),
    "test": (
        "テスト用の記録です。本番の許諾ではありません。",
        "A test record, not a live grant.",
    ),
    "signer": ("同意した人", "Given by"),
    "capacity": ("立場", "Capacity"),
    "signed": ("同意した日時", "Given at"),
    "requester": ("申請者", "Requested by"),
    "licensee": ("使う会社", "Licensee"),
    "until": ("期間の終わり", "Valid until"),
    "others": ("全員の回答", "Everybody's answer"),
    "text": ("同意した内容(全文)", "What was agreed (the whole text)"),
    "stop": ("やめるとき", "To withdraw"),
    "stop_how": (
        "{url} を開き「許可を取り消す」を選んでください。理由は要りません。いつでもできます。",
        "Open {url} and choose “Withdraw”. No reason is needed, at any time.",
    ),
    "proof": ("記録と確かめ方", "Record and how to check it"),
    "digest": ("許諾のハッシュ", "Grant digest"),
    "log": ("公開記録の番号", "Log entry"),
    "how": (
        "このPDFには機械用のファイル(receipt.json)が添付されています。"
        "kyodaku verify receipt.json --trust trust.json で、登録簿に頼らずに確かめられます。",
        "The machine file (receipt.json) is attached to this PDF. kyodaku verify receipt.json "
        "--trust trust.json checks it without relying on the registry.",
    ),
}
_STATES: Final = {
    "signed": ("承認", "approved"),
    "refused": ("却下", "refused"),
    "withdrawn": ("撤回", "withdrawn"),
    "dismissed": ("内容の変更により無効", "void: the content changed"),
    "expired": ("期限切れ", "expired"),
}
_WAITING: Final = ("未回答", "no answer yet")


@dataclass(frozen=True)
class Sheet:
    """What the page says. Names are here, and only here."""

    verified: Verified
    signer: str
    requester: str
    licensee: str
    state: str
    withdraw_at: str
    answers: tuple[tuple[str, str], ...]


def draw(sheet: Sheet, machine: bytes, locale: Locale) -> bytes:
    """The PDF. The same sheet gives the same bytes: its date is that of the signature."""
    receipt = sheet.verified.receipt
    at = datetime.fromisoformat(receipt.approval.asserted_at.replace("Z", "+00:00"))
    page = Paper(locale, at, f"{_word('title', locale)} {receipt.approval.approval_id}")
    page.put_title(_word("title", locale), receipt.approval.approval_id)
    if receipt.grant.mode != "live":
        page.put_note(_word("test", locale))
    facts = {
        "signer": sheet.signer,
        "capacity": party_label(receipt.approval.by, locale),
        "signed": f"{at.astimezone(JST):%Y-%m-%d %H:%M} (JST)",
        "requester": sheet.requester,
        "licensee": sheet.licensee,
        "until": receipt.grant.terms.end.isoformat(),
        "others": _answers(sheet, locale),
    }
    for name, value in facts.items():
        page.put_fact(_word(name, locale), value)
    page.put_heading(_word("text", locale))
    page.put_text(receipt.grant.text(locale))
    page.put_heading(_word("stop", locale))
    page.put_text(_word("stop_how", locale).format(url=sheet.withdraw_at))
    page.put_heading(_word("proof", locale))
    page.put_fact(_word("digest", locale), receipt.grant.digest().hex())
    head = sheet.verified.head
    page.put_fact(_word("log", locale), f"{sheet.verified.index} / {head.size}  ({head.origin})")
    page.put_text(_word("how", locale))
    page.embed_file(basename="receipt.json", bytes=machine, mime_type="application/json")
    return bytes(page.output())


def _word(name: str, locale: Locale) -> str:
    return _WORDS[name][0 if locale == "ja" else 1]


def _answers(sheet: Sheet, locale: Locale) -> str:
    place = 0 if locale == "ja" else 1
    return "  ".join(
        f"{party_label(by, locale)}: {_STATES.get(state, _WAITING)[place]}"
        for by, state in sheet.answers
    )
