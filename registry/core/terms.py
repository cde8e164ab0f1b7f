"""Licence terms: what exactly is allowed, in a closed vocabulary, and the text that people read.

Stage 2 of the flow. Deny by default: what is not named is not allowed. The human text is rendered
from the terms by `render`, never typed, and its SHA-256 goes into the grant, so that what a person
read and what a machine enforces are one object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final
from unicodedata import category

from registry.core.refusals import Locale, Refusal

Labels = Mapping[str, tuple[str, str]]

# word: (Japanese, English). The words are permanent: they stand in signed grants.
MEDIA: Final[Labels] = {
    "bromide": ("生写真・ブロマイド", "bromide photo cards"),
    "photobook_print": ("写真集", "printed photobook"),
    "photobook_ebook": ("電子写真集", "e-photobook"),
    "calendar": ("カレンダー", "calendar"),
    "goods_acrylic": ("アクリルスタンドなどのグッズ", "acrylic stands and similar goods"),
    "goods_apparel": ("アパレルグッズ", "apparel goods"),
    "packaging": ("パッケージ", "packaging"),
    "ad_web": ("ウェブ広告", "web advertising"),
    "ad_ooh": ("屋外・交通広告", "outdoor and transit advertising"),
    "ad_tv": ("テレビ広告", "television advertising"),
    "ad_print": ("印刷広告", "print advertising"),
    "magazine_gravure": ("雑誌グラビア", "magazine pictorial"),
    "magazine_editorial": ("雑誌記事", "magazine editorial"),
    "web_article": ("ウェブ記事", "web article"),
    "stage_visual": ("舞台のメインビジュアル", "stage key visual"),
    "pamphlet": ("パンフレット", "programme booklet"),
    "sns_promo": ("SNSでの宣伝", "promotion on social media"),
    "portfolio": ("ポートフォリオ", "portfolio"),
    "internal_comp": ("社内カンプ", "internal comp"),
    "research_prototype": ("研究・試作", "research prototype"),
}
# The only media that need no commercial permission of the base model.
NON_COMMERCIAL: Final = frozenset({"portfolio", "internal_comp", "research_prototype"})

TRANSFORMATIONS: Final[Labels] = {
    "none": ("変えない", "none"),
    "background_only": ("背景だけ", "background only"),
    "wardrobe": ("衣装", "wardrobe"),
    "hair_makeup": ("髪型・メイク", "hair and make-up"),
    "pose": ("ポーズ", "pose"),
    "age": ("年齢", "age"),
    "gender": ("性別", "gender"),
    "body": ("体型", "body"),
    "ethnicity": ("民族的な特徴", "ethnic features"),
    "stylise": ("イラスト調など", "stylisation"),
    "persona_new_name": ("別名の人物", "a persona under a new name"),
    "group_with_others": ("ほかの人との合成", "grouping with others"),
}
# In rising order: a ceiling allows itself and everything before it.
EXPOSURE: Final[Labels] = {
    "full_clothed": ("通常の着衣", "fully clothed"),
    "sleeveless_legs": ("袖なし・脚の露出まで", "sleeveless, legs"),
    "swimwear": ("水着まで", "swimwear"),
    "underwear": ("下着まで", "underwear"),
    "above": ("下着を超える露出", "beyond underwear"),
}
LIKENESS_PARTS: Final[Labels] = {
    "face": ("顔", "face"),
    "body": ("体", "body"),
    "hands": ("手", "hands"),
    "hair": ("髪", "hair"),
    "back": ("後ろ姿", "back view"),
}
CATEGORIES: Final[Labels] = {
    "sexual": ("性的な表現", "sexual content"),
    "political": ("政治", "politics"),
    "religious": ("宗教", "religion"),
    "medical_claim": ("医療・健康の効能", "medical claims"),
    "gambling": ("ギャンブル", "gambling"),
    "tobacco": ("たばこ", "tobacco"),
    "alcohol": ("酒", "alcohol"),
    "finance": ("金融", "finance"),
    "defamatory": ("名誉を傷つける表現", "defamation"),
    "weapons": ("武器", "weapons"),
}
EXCLUSIVITY: Final[Labels] = {
    "none": ("独占なし", "non-exclusive"),
    "category": ("同業種で独占", "exclusive in the category"),
    "full": ("完全独占", "fully exclusive"),
}
DUTIES: Final[Labels] = {
    "report_use": ("使用を報告する", "report every use"),
    "credit": ("名前を表示する", "credit the talent"),
    "ai_notice": ("AI生成と表示する", "mark as AI-generated"),
    "output_approval": ("出力を事前に確認してもらう", "have outputs approved first"),
    "destroy_at_end": ("期間の終わりに消去する", "destroy at the end of the term"),
    "attest_yearly": ("年に一度、誓約する", "attest once a year"),
    "pay": ("対価を支払う", "pay the fee"),
}
WORLDWIDE: Final = "worldwide"
_COUNTRIES: Final[Labels] = {
    "JP": ("日本国内", "Japan"),
    "US": ("アメリカ合衆国", "the United States"),
    "KR": ("韓国", "South Korea"),
    "TW": ("台湾", "Taiwan"),
    "CN": ("中国", "China"),
    "GB": ("イギリス", "the United Kingdom"),
    "FR": ("フランス", "France"),
    "DE": ("ドイツ", "Germany"),
    WORLDWIDE: ("全世界", "worldwide"),
}
_MINOR_CEILING: Final = "sleeveless_legs"
# No consent runs for ever, and calendars end at 9999: a later day would break every sweep.
LAST_YEAR: Final = 2200
MAX_TEXT: Final = 500
# Unicode: control, format (bidi marks, zero width), surrogate, private, line, paragraph.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Japan has had one offset and no summer time since 1951, so a fixed offset is the calendar.
JST: Final = timezone(timedelta(hours=9))


@dataclass(frozen=True)
class Terms:
    """One licence scope. Every field is part of the signed grant; new ones go last with a default.

    Dates are calendar days in Japan, both inclusive. `quantity` is a number of
    units, 0 where units make no sense; `fee_jpy` is the whole fee in yen.
    """

    media: tuple[str, ...]
    client: str
    product: str
    territory: tuple[str, ...]
    start: date
    end: date
    purpose: str
    quantity: int = 0
    transformations: tuple[str, ...] = ("none",)
    exposure: str = "full_clothed"
    likeness_parts: tuple[str, ...] = ("face",)
    categories: tuple[str, ...] = ()
    exclusivity: str = "none"
    duties: tuple[str, ...] = ("report_use", "ai_notice", "destroy_at_end")
    name_use: bool = False
    sublicence: bool = False
    fee_jpy: int = 0
    replaces_booked_shoot: bool = False
    sell_off_days: int = 0

    def starts_at(self) -> datetime:
        """The first moment of the term."""
        return datetime.combine(self.start, time(), JST)

    def ends_at(self) -> datetime:
        """The first moment after the term."""
        return datetime.combine(self.end + timedelta(days=1), time(), JST)

    @property
    def commercial(self) -> bool:
        """Whether any of the media needs a base model that may be used commercially."""
        return any(word not in NON_COMMERCIAL for word in self.media)

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that stands in the grant: strings, integers, booleans and arrays only."""
        payload = asdict(self)
        payload["start"], payload["end"] = self.start.isoformat(), self.end.isoformat()
        return {k: list(v) if isinstance(v, tuple) else v for k, v in payload.items()}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Terms:
        """Parse strictly. Raises `ValueError` for an unknown, missing or ill-typed member."""
        known = {f.name: str(f.type) for f in fields(cls)}
        unknown = set(payload) - set(known)
        if unknown:
            raise ValueError(f"unknown member: {sorted(unknown)[0]}")
        values = {name: _typed(name, known[name], value) for name, value in payload.items()}
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


def _typed(name: str, kind: str, value: Any) -> Any:
    if kind == "date":
        if not isinstance(value, str):
            raise ValueError(f"{name}: a date is written YYYY-MM-DD")
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{name}: a date is written YYYY-MM-DD") from error
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{name}: a list of words is needed")
        return tuple(value)
    expected = {"str": str, "int": int, "bool": bool}[kind]
    # bool is an int in Python; a quantity of `true` is a mistake, not one.
    if type(value) is not expected:
        raise ValueError(f"{name}: {kind} is needed")
    return value


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the terms: the field, and what to correct, in both languages."""

    field: str
    ja: str
    en: str


def problems(terms: Terms, *, today: date) -> list[Problem]:
    """Everything that keeps the terms from being asked for; empty when they are complete."""
    found = [*_text_problems(terms), *_word_problems(terms), *_date_problems(terms, today)]
    if terms.quantity < 0 or terms.fee_jpy < 0 or terms.sell_off_days < 0:
        found.append(
            Problem("quantity", "数は0以上にしてください。", "Numbers cannot be negative.")
        )
    if WORLDWIDE in terms.territory and len(terms.territory) > 1:
        found.append(
            Problem(
                "territory",
                "全世界とほかの地域は同時に選べません。",
                "Worldwide excludes naming single territories.",
            )
        )
    if terms.sublicence:
        found.append(Problem("sublicence", "再許諾はできません。", "Sub-licensing is not offered."))
    return found


def _text_problems(terms: Terms) -> list[Problem]:
    found = []
    for name, shortest in (("client", 1), ("product", 1), ("purpose", 10)):
        text = getattr(terms, name)
        # A line break would write lines of its own into the text that people sign; a direction
        # mark would turn one around.
        if len(text) > MAX_TEXT or any(category(c) in _UNSEEN for c in text):
            found.append(
                Problem(
                    name,
                    f"改行や制御文字を含まない{MAX_TEXT}文字以内で書いてください。",
                    f"At most {MAX_TEXT} characters, without line breaks or control characters.",
                )
            )
        if len(getattr(terms, name).strip()) < shortest:
            found.append(
                Problem(
                    name,
                    f"{shortest}文字以上で具体的に書いてください。",
                    f"Be specific: at least {shortest} character(s).",
                )
            )
    return found


def _word_problems(terms: Terms) -> list[Problem]:
    lists: dict[str, tuple[Labels, tuple[str, ...]]] = {
        "media": (MEDIA, terms.media),
        "transformations": (TRANSFORMATIONS, terms.transformations),
        "likeness_parts": (LIKENESS_PARTS, terms.likeness_parts),
        "categories": (CATEGORIES, terms.categories),
        "duties": (DUTIES, terms.duties),
        "exposure": (EXPOSURE, (terms.exposure,)),
        "exclusivity": (EXCLUSIVITY, (terms.exclusivity,)),
        "territory": (_COUNTRIES, terms.territory),
    }
    found = []
    for name, (vocabulary, words) in lists.items():
        if name != "categories" and name != "duties" and not words:
            found.append(Problem(name, "一つ以上選んでください。", "Choose at least one."))
        found += [
            Problem(name, f"「{word}」は用語にありません。", f"“{word}” is not in the vocabulary.")
            for word in words
            if word not in vocabulary
        ]
    return found


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
    return []


def check_person(
    terms: Terms, *, minor: bool, never: frozenset[str] = frozenset()
) -> list[Refusal]:
    """Rules about the person that no approval can lift.

    A minor is never shown above `sleeveless_legs` nor in sexual content. `never` holds
    words of any vocabulary that the talent ruled out; an agency can lower, never raise.
    """
    refusals = []
    levels = list(EXPOSURE)
    if minor and (
        levels.index(terms.exposure) > levels.index(_MINOR_CEILING) or "sexual" in terms.categories
    ):
        refusals.append(Refusal("minor_rule", terms.exposure))
    asked = {*terms.media, *terms.transformations, *terms.categories}
    asked |= set(levels[: levels.index(terms.exposure) + 1])
    refusals += [Refusal("never_list", word) for word in sorted(asked & never)]
    return refusals


def _names(vocabulary: Labels, words: tuple[str, ...], locale: Locale) -> str:
    position = 0 if locale == "ja" else 1
    return ("、" if locale == "ja" else ", ").join(vocabulary[w][position] for w in words)


def label(member: str, words: tuple[str, ...], locale: Locale) -> str:
    """Words of one member of `Terms` as people read them. Raises `KeyError` for unknown ones."""
    return _names(_VOCABULARY[member], words, locale)


_VOCABULARY: Final[Mapping[str, Labels]] = {
    "media": MEDIA,
    "territory": _COUNTRIES,
    "transformations": TRANSFORMATIONS,
    "likeness_parts": LIKENESS_PARTS,
    "exposure": EXPOSURE,
    "exclusivity": EXCLUSIVITY,
    "duties": DUTIES,
    "categories": CATEGORIES,
}


def render(terms: Terms, locale: Locale, *, pictures: int, max_runs: int) -> str:
    """The text a person reads before signing. The same input always gives the same bytes."""
    barred = tuple(word for word in CATEGORIES if word not in terms.categories)
    shown = {
        "media": _names(MEDIA, terms.media, locale),
        "territory": _names(_COUNTRIES, terms.territory, locale),
        "transformations": _names(TRANSFORMATIONS, terms.transformations, locale),
        "parts": _names(LIKENESS_PARTS, terms.likeness_parts, locale),
        "exposure": _names(EXPOSURE, (terms.exposure,), locale),
        "exclusivity": _names(EXCLUSIVITY, (terms.exclusivity,), locale),
        "duties": _names(DUTIES, terms.duties, locale),
        "barred": _names(CATEGORIES, barred, locale) or ("なし" if locale == "ja" else "none"),
        "opened": _names(CATEGORIES, terms.categories, locale)
        or ("なし" if locale == "ja" else "none"),
    }
    lines = _lines_ja(terms, shown, pictures, max_runs)
    if locale == "en":
        lines = _lines_en(terms, shown, pictures, max_runs)
    return "\n".join(lines) + "\n"


def _lines_ja(terms: Terms, shown: Mapping[str, str], pictures: int, max_runs: int) -> list[str]:
    units = f"{terms.quantity:,}点まで" if terms.quantity else "点数の定めなし"
    return [
        f"この{pictures}枚の写真だけを使って、AI(LoRA)を{max_runs}回だけ学習します。",
        f"目的: {terms.purpose}",
        f"依頼主: {terms.client} / 商品・作品: {terms.product}",
        f"使うもの: {shown['media']}({units})",
        f"地域: {shown['territory']}",
        f"期間: {terms.start.isoformat()} から {terms.end.isoformat()} まで",
        f"使う部分: {shown['parts']}",
        f"変えてよいこと: {shown['transformations']}",
        f"露出の上限: {shown['exposure']}",
        f"名前の使用: {'あり' if terms.name_use else 'なし'}",
        f"独占: {shown['exclusivity']}",
        f"対価: {terms.fee_jpy:,}円",
        "この許諾は撮影の仕事の代わりに"
        + ("なります。" if terms.replaces_booked_shoot else "なりません。"),
        f"利用者の義務: {shown['duties']}",
        f"特に許す分野: {shown['opened']}",
        f"使えない分野: {shown['barred']}",
        "ほかの会社への再許諾はできません。ここに書かれていない使い方はできません。",
        "いつでも撤回できます。撤回すると、進行中の学習は止まり、新しい利用はできなくなります。"
        + (
            f"作り終えた在庫は{terms.sell_off_days}日間だけ販売できます。"
            if terms.sell_off_days
            else ""
        ),
        "返事をしないことは、承認になりません。",
    ]


def _lines_en(terms: Terms, shown: Mapping[str, str], pictures: int, max_runs: int) -> list[str]:
    units = f"up to {terms.quantity:,} units" if terms.quantity else "no number of units set"
    runs = "once" if max_runs == 1 else f"{max_runs} times"
    return [
        f"An AI model (LoRA) is trained {runs}, from these {pictures} photographs only.",
        f"Purpose: {terms.purpose}",
        f"Client: {terms.client} / product or work: {terms.product}",
        f"Used for: {shown['media']} ({units})",
        f"Territory: {shown['territory']}",
        f"Term: from {terms.start.isoformat()} to {terms.end.isoformat()}",
        f"Parts of the likeness: {shown['parts']}",
        f"May be changed: {shown['transformations']}",
        f"Exposure ceiling: {shown['exposure']}",
        f"Use of the name: {'yes' if terms.name_use else 'no'}",
        f"Exclusivity: {shown['exclusivity']}",
        f"Fee: JPY {terms.fee_jpy:,}",
        "This "
        + ("replaces" if terms.replaces_booked_shoot else "does not replace")
        + " a booked shoot.",
        f"Duties of the user: {shown['duties']}",
        f"Fields opened: {shown['opened']}",
        f"Barred fields: {shown['barred']}",
        "No sub-licence to other companies. What is not written here is not allowed.",
        "You may withdraw at any time: running training stops and no new use may be made."
        + (
            f" Stock already made may be sold for {terms.sell_off_days} days."
            if terms.sell_off_days
            else ""
        ),
        "Giving no answer is never an approval.",
    ]


def text_digest(text: str) -> str:
    """SHA-256 of the rendered text as UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
