"""What keeps terms from being asked for, whoever they are about: each problem at its field.

Stage 1 of the flow, pure. Rules about one person are in `terms.check_person`.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Final

from registry.core import vocabulary as words
from registry.core.term_length import last_day, longest_years
from registry.core.terms import Problem, Terms
from registry.core.vocabulary import WORLDWIDE

# No consent runs for ever, and calendars end at 9999: a later day would break every sweep.
LAST_YEAR: Final = 2200
MAX_TEXT: Final = 500
MAX_COMPETITORS: Final = 20
MAX_NUMBER: Final = 2**31 - 1
# More media than this in one request is a blanket consent in all but name (A28).
MAX_MEDIA: Final = 8
PROTOTYPE_DAYS: Final = 180
MAX_WITHDRAWAL_DAYS: Final = 365
# Unicode: control, format (bidi marks, zero width), surrogate, private, line, paragraph.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_MARKS: Final = frozenset({"Mn", "Me"})
MAX_PILED: Final = 4  # pointed and accented Hebrew needs as many
_JOINER: Final = "\u200d"


# Words that fill a field and name nothing: a blanket consent cannot be represented (A28, R10).
_BLANKET: Final = frozenset(
    {"すべて", "全て", "全部", "一切", "なんでも", "何でも", "全商品", "全作品", "各社", "各種"}
    | {"未定", "汎用", "その他", "なし", "any", "anything", "all", "everything", "various"}
    | {"tbd", "n/a", "none", "anyone", "general"}
)
_GENERAL: Final = ("汎用", "general purpose", "general-purpose", "あらゆる用途", "any purpose")


def problems(terms: Terms, *, today: date) -> list[Problem]:
    """Everything that keeps the terms from being asked for; empty when they are complete."""
    return [
        *_text_problems(terms),
        *_word_problems(terms),
        *_date_problems(terms, today),
        *_number_problems(terms),
        *_contradictions(terms),
        *_withdrawal_problems(terms),
    ]


def _text_problems(terms: Terms) -> list[Problem]:
    found = []
    for name, shortest in (("client", 1), ("product", 1), ("purpose", 10)):
        found += _writing(name, getattr(terms, name), shortest)
    found += _writing("exclusivity_category", terms.exclusivity_category, 0)
    for competitor in terms.competitors[: MAX_COMPETITORS + 1]:
        found += _writing("competitors", competitor, 1)
    if len(terms.competitors) > MAX_COMPETITORS:
        text = f"At most {MAX_COMPETITORS}."
        found.append(Problem("competitors", f"{MAX_COMPETITORS}社までにしてください。", text))
    found += [
        Problem(
            name,
            "何のためかがわかるように、一つに決めて書いてください。",
            "Name one: a blanket entry cannot be consented to.",
        )
        for name in ("client", "product")
        if _bare(getattr(terms, name)) in _BLANKET
    ]
    if any(word in unicodedata.normalize("NFKC", terms.purpose).casefold() for word in _GENERAL):
        found.append(
            Problem(
                "purpose",
                "「汎用」は目的になりません。何を、どの商品のために作るかを書いてください。",
                "“General purpose” is no purpose: say what is made, and for which product.",
            )
        )
    return found


def _bare(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip(" 　.。・*「」『』\"'").casefold()


def _writing(name: str, text: str, shortest: int) -> list[Problem]:
    found = []
    # A line break would write lines of its own into the text that people sign; a direction
    # mark would turn one around.
    if len(text) > MAX_TEXT or not readable(text):
        found.append(
            Problem(
                name,
                f"改行・制御文字・重ねた記号を含まない{MAX_TEXT}文字以内で書いてください。",
                f"At most {MAX_TEXT} characters; no line breaks, control or piled-up marks.",
            )
        )
    if len(text.strip()) < shortest:
        found.append(
            Problem(
                name,
                f"{shortest}文字以上で具体的に書いてください。",
                f"Be specific: at least {shortest} character(s).",
            )
        )
    return found


def readable(text: str) -> bool:
    """Whether every character shows what it is. The joiner inside one emoji does.

    Marks piled on one letter cover the lines above and below it, which are what people sign.
    """
    piled = 0
    for place, character in enumerate(text):
        piled = piled + 1 if unicodedata.category(character) in _MARKS else 0
        if piled > MAX_PILED:
            return False
        if character == _JOINER and _joins(text, place):
            continue
        if unicodedata.category(character) in _UNSEEN:
            return False
    return True


def _joins(text: str, place: int) -> bool:
    # Symbol, skin tone (Sk) or emoji variation selector (Mn) before; a symbol after.
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return (
        bool(before and after)
        and (unicodedata.category(before) in {"So", "Sk"} or before == "\ufe0f")
        and unicodedata.category(after) == "So"
    )


def _word_problems(terms: Terms) -> list[Problem]:
    found = []
    for name, vocabulary in words.VOCABULARY.items():
        value = getattr(terms, name)
        given = (value,) if isinstance(value, str) else value
        if name not in {"categories", "duties"} and not given:
            found.append(Problem(name, "一つ以上選んでください。", "Choose at least one."))
        found += [_unknown(name, word) for word in given if word not in vocabulary]
        if len(set(given)) != len(given):
            found.append(Problem(name, "同じ言葉が二度あります。", "A word stands there twice."))
    return found


def _unknown(name: str, word: str) -> Problem:
    if name == "likeness_parts" and word in words.NOT_OFFERED:
        ja, en, _ = words.NOT_OFFERED[word]
        return Problem(name, f"「{ja}」は取り扱っていません。", f"The {en} is not offered.")
    shown = word[:40]
    return Problem(name, f"「{shown}」は用語にありません。", f"“{shown}” is not in the vocabulary.")


def _date_problems(terms: Terms, today: date) -> list[Problem]:
    if terms.end < terms.start:
        return [
            Problem("end", "終了日は開始日より後にしてください。", "The end must follow the start.")
        ]
    if terms.end.year > LAST_YEAR:
        return [
            Problem("end", f"{LAST_YEAR}年までにしてください。", f"Not later than {LAST_YEAR}.")
        ]
    if terms.end < today:
        return [Problem("end", "終了日が過ぎています。", "The end has already passed.")]
    found = []
    years = longest_years(terms.territory, minor=False)
    if terms.end > last_day(terms.start, years):
        found.append(
            Problem(
                "end",
                f"期間は{years}年以内にしてください。期限のない許諾はできません。",
                f"A term is at most {years} years; there is no permission without an end.",
            )
        )
    if terms.prototype and (terms.end - terms.start).days > PROTOTYPE_DAYS:
        found.append(
            Problem(
                "end",
                f"試作の期間は{PROTOTYPE_DAYS}日以内にしてください。",
                f"A prototype's term is at most {PROTOTYPE_DAYS} days.",
            )
        )
    for name in ("pay_by", "destroy_by"):
        day = getattr(terms, name)
        if day is not None and not terms.start <= day <= date(LAST_YEAR, 12, 31):
            found.append(
                Problem(name, "開始日より後の日にしてください。", "Choose a day after the start.")
            )
    return found


def _number_problems(terms: Terms) -> list[Problem]:
    found = []
    for name in (
        "quantity",
        "impressions",
        "fee_jpy",
        "guarantee_jpy",
        "price_min_jpy",
        "price_max_jpy",
    ):
        if not 0 <= getattr(terms, name) <= MAX_NUMBER:
            span = f"0 – {MAX_NUMBER:,}"
            found.append(
                Problem(
                    name,
                    f"数は{span}にしてください。",
                    f"Choose {span}; numbers cannot be negative.",
                )
            )
    for name, low, high in (
        ("share_permille", 0, 1000),
        ("report_months", 1, 12),
        ("sell_off_days", 0, MAX_WITHDRAWAL_DAYS),
    ):
        if not low <= getattr(terms, name) <= high:
            found.append(
                Problem(name, f"{low} – {high}にしてください。", f"Choose {low} to {high}.")
            )
    if terms.price_min_jpy > terms.price_max_jpy:
        found.append(
            Problem(
                "price_max_jpy",
                "最高価格は最低価格以上にしてください。",
                "The highest price cannot be below the lowest.",
            )
        )
    return found


def _contradictions(terms: Terms) -> list[Problem]:
    """Answers of which each is a word, and which do not go together."""
    cases = (
        (
            WORLDWIDE in terms.territory and len(terms.territory) > 1,
            "territory",
            "全世界とほかの地域は同時に選べません。",
            "Worldwide excludes naming single territories.",
        ),
        (terms.sublicence, "sublicence", "再許諾はできません。", "Sub-licensing is not offered."),
        (
            "none" in terms.transformations and len(terms.transformations) > 1,
            "transformations",
            "「変えない」とほかの変更は同時に選べません。",
            "“None” excludes any change.",
        ),
        (
            len(terms.media) > MAX_MEDIA,
            "media",
            f"一つの申請で選べるのは{MAX_MEDIA}つまでです。申請を分けてください。",
            f"At most {MAX_MEDIA} in one request; file another for the rest.",
        ),
        (
            "name" in terms.likeness_parts and terms.name_use == "none",
            "name_use",
            "名前を使うときは、使い方を選んでください。",
            "The name is among what is used: say how.",
        ),
        (
            terms.exclusivity == "category" and not terms.exclusivity_category.strip(),
            "exclusivity_category",
            "独占する業種を書いてください。",
            "Name the category that is exclusive.",
        ),
        (
            terms.exclusivity == "none"
            and bool(terms.exclusivity_category.strip() or terms.competitors),
            "exclusivity",
            "独占なしのときは、業種や競合会社を書かないでください。",
            "Without exclusivity there is neither a category nor a competitor.",
        ),
        (
            terms.prototype and not set(terms.media) <= words.PROTOTYPE_MEDIA,
            "media",
            "試作では、社内カンプと研究・試作のほかは選べません。",
            "A prototype is for an internal comp or research only.",
        ),
        (
            not terms.prototype and "research_prototype" in terms.media,
            "stage",
            "研究・試作は、段階を「試作」にして別に申請してください。",
            "A research prototype is a request of its own, of the stage “prototype”.",
        ),
        (
            terms.prototype and bool(terms.quantity or terms.impressions or terms.price_max_jpy),
            "quantity",
            "試作では、点数・表示回数・価格を定めません。",
            "A prototype has no units, showings or price.",
        ),
    )
    return [Problem(name, ja, en) for holds, name, ja, en in cases if holds]


def _withdrawal_problems(terms: Terms) -> list[Problem]:
    agreed, name = terms.on_withdrawal, "on_withdrawal"
    found = []
    fixed = {"training": "stop_now", "unpublished_outputs": "destroy", "artefact": "destroy"}
    if any(getattr(agreed, member) != word for member, word in fixed.items()):
        found.append(
            Problem(
                name,
                "撤回のとき、学習の停止とデータの消去は変えられません。",
                "On withdrawal training always stops and data are always destroyed.",
            )
        )
    if agreed.new_generation not in words.NEW_GENERATION or agreed.published not in words.PUBLISHED:
        found.append(
            Problem(name, "用語にない言葉があります。", "A word is not in the vocabulary.")
        )
    spans = (
        (agreed.new_generation_days, agreed.new_generation == "after_days"),
        (agreed.sell_off_days, agreed.published == "sell_off"),
        (agreed.attest_days, True),
    )
    for days, used in spans:
        if not (1 <= days <= MAX_WITHDRAWAL_DAYS if used else days == 0):
            found.append(
                Problem(
                    name,
                    f"日数は1 – {MAX_WITHDRAWAL_DAYS}、使わないときは0にしてください。",
                    f"Days are 1 to {MAX_WITHDRAWAL_DAYS}, and 0 where none are agreed.",
                )
            )
            break
    return found
