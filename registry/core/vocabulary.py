"""The closed vocabulary of licence terms: every word with its names in three languages.

Stage 2 of the flow, data only. Words are permanent: they stand in signed grants. Names stand in
texts whose digests people sign, so a changed name voids the grants that are being asked for; the
snapshots in `tests/vectors/terms` make it visible. What is not in here cannot be allowed.

The third name is easy Japanese (やさしい日本語): plain words, readings in parentheses.
Source of the words: field study 7; publicity types: Supreme Court of Japan, 2 Feb 2012 (Pink Lady).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from registry.core.countries import COUNTRIES

TextLocale = Literal["ja", "en", "ja-easy"]
# The languages of the human text, in the order in which pages offer them.
TEXT_LOCALES: Final[tuple[TextLocale, ...]] = ("ja", "en", "ja-easy")
Labels = Mapping[str, tuple[str, str, str]]

MEDIA: Final[Labels] = {
    "bromide": ("生写真・ブロマイド", "bromide photo cards", "写真(しゃしん)のカード"),
    "photobook_print": ("写真集", "printed photobook", "紙(かみ)の写真集(しゃしんしゅう)"),
    "photobook_ebook": (
        "電子写真集",
        "e-photobook",
        "スマホなどで見(み)る写真集(しゃしんしゅう)",
    ),
    "calendar": ("カレンダー", "calendar", "カレンダー"),
    "goods_acrylic": (
        "アクリルスタンドなどのグッズ",
        "acrylic stands and similar goods",
        "アクリルスタンドなどのグッズ",
    ),
    "goods_apparel": ("アパレルグッズ", "apparel goods", "Tシャツなど、着(き)るグッズ"),
    "packaging": ("パッケージ", "packaging", "商品(しょうひん)の箱(はこ)や袋(ふくろ)"),
    "ad_web": ("ウェブ広告", "web advertising", "インターネットの広告(こうこく)"),
    "ad_ooh": (
        "屋外・交通広告",
        "outdoor and transit advertising",
        "まちや駅(えき)、電車(でんしゃ)の広告(こうこく)",
    ),
    "ad_tv": ("テレビ広告", "television advertising", "テレビの広告(こうこく)"),
    "ad_print": (
        "印刷広告",
        "print advertising",
        "新聞(しんぶん)や雑誌(ざっし)、チラシの広告(こうこく)",
    ),
    "magazine_gravure": (
        "雑誌グラビア",
        "magazine pictorial",
        "雑誌(ざっし)の写真(しゃしん)のページ",
    ),
    "magazine_editorial": ("雑誌記事", "magazine editorial", "雑誌(ざっし)の記事(きじ)"),
    "web_article": ("ウェブ記事", "web article", "インターネットの記事(きじ)"),
    "stage_visual": (
        "舞台のメインビジュアル",
        "stage key visual",
        "舞台(ぶたい)のポスターなどの大(おお)きな絵(え)",
    ),
    "pamphlet": ("パンフレット", "programme booklet", "パンフレット"),
    "sns_promo": ("SNSでの宣伝", "promotion on social media", "SNSでの宣伝(せんでん)"),
    "portfolio": (
        "ポートフォリオ(撮影者の実績紹介)",
        "portfolio of the photographer",
        "写真家(しゃしんか)が自分(じぶん)の仕事(しごと)を見(み)せること",
    ),
    "internal_comp": (
        "社内カンプ",
        "internal comp",
        "会社(かいしゃ)の中(なか)だけの見本(みほん)",
    ),
    "research_prototype": ("研究・試作", "research prototype", "研究(けんきゅう)やためし"),
}
# How a medium relates to the right of publicity, after the Pink Lady judgment: the likeness itself
# is the product that is looked at (1), it sets goods apart (2), it advertises (3); `none`: not
# shown to the public. Two types where the study gives two.
PUBLICITY: Final[Mapping[str, tuple[str, ...]]] = {
    "bromide": ("viewing_product",),
    "photobook_print": ("viewing_product",),
    "photobook_ebook": ("viewing_product",),
    "calendar": ("viewing_product",),
    "goods_acrylic": ("goods_differentiation",),
    "goods_apparel": ("goods_differentiation",),
    "packaging": ("goods_differentiation",),
    "ad_web": ("advertising",),
    "ad_ooh": ("advertising",),
    "ad_tv": ("advertising",),
    "ad_print": ("advertising",),
    "magazine_gravure": ("viewing_product", "other"),
    "magazine_editorial": ("other",),
    "web_article": ("other",),
    "stage_visual": ("viewing_product", "goods_differentiation"),
    "pamphlet": ("viewing_product", "goods_differentiation"),
    "sns_promo": ("advertising",),
    "portfolio": ("other",),
    "internal_comp": ("none",),
    "research_prototype": ("none",),
}
PUBLICITY_TYPES: Final[Labels] = {
    "viewing_product": (
        "肖像そのものを鑑賞する商品",
        "the likeness itself is the product",
        "写真(しゃしん)そのものを売(う)る",
    ),
    "goods_differentiation": (
        "商品を差別化する",
        "sets goods apart",
        "グッズなどにつけて売(う)る",
    ),
    "advertising": ("広告に使う", "advertising", "広告(こうこく)に使(つか)う"),
    "other": ("その他", "other", "そのほか"),
    "none": ("公表しない", "not published", "だれにも見(み)せない"),
}
# The only media that need no commercial permission of the base model.
NON_COMMERCIAL: Final = frozenset({"portfolio", "internal_comp", "research_prototype"})
# The only media of a prototype: nothing of it is delivered, published or sold (R09).
PROTOTYPE_MEDIA: Final = frozenset({"internal_comp", "research_prototype"})

STAGES: Final[Labels] = {
    "production": ("本番", "production", "本番(ほんばん)"),
    "prototype": (
        "試作(納品・公表・販売なし)",
        "prototype (no delivery, no publication, no sale)",
        "ためし(渡(わた)さない、見(み)せない、売(う)らない)",
    ),
}
TRANSFORMATIONS: Final[Labels] = {
    "none": ("変えない", "none", "なにも変(か)えない"),
    "background_only": ("背景だけ", "background only", "後(うし)ろの景色(けしき)だけ"),
    "wardrobe": ("衣装", "wardrobe", "服(ふく)"),
    "hair_makeup": ("髪型・メイク", "hair and make-up", "髪(かみ)の形(かたち)とメイク"),
    "pose": ("ポーズ", "pose", "ポーズ"),
    "age": ("年齢", "age", "年(とし)"),
    "gender": ("性別", "gender", "男(おとこ)か女(おんな)か"),
    "body": ("体型", "body", "体(からだ)の形(かたち)"),
    "ethnicity": (
        "民族的な特徴",
        "ethnic features",
        "どこの国(くに)の人(ひと)のように見(み)えるか",
    ),
    "stylise": ("イラスト調など", "stylisation", "イラストのような絵(え)"),
    "persona_new_name": (
        "別名の人物",
        "a persona under a new name",
        "ちがう名前(なまえ)の人(ひと)にすること",
    ),
    "group_with_others": (
        "ほかの人との合成",
        "grouping with others",
        "ほかの人(ひと)といっしょに見(み)せること",
    ),
}
# Transformations after which the face may no longer be hers: each needs her own tick (R43).
CHANGES_THE_PERSON: Final = ("age", "gender", "body", "ethnicity", "persona_new_name")
# In rising order: a ceiling allows itself and everything before it.
EXPOSURE: Final[Labels] = {
    "full_clothed": ("通常の着衣", "fully clothed", "ふつうに服(ふく)を着(き)た姿(すがた)"),
    "sleeveless_legs": (
        "袖なし・脚の露出まで",
        "sleeveless, legs",
        "そでのない服(ふく)や、足(あし)が見(み)える姿(すがた)まで",
    ),
    "swimwear": ("水着まで", "swimwear", "水着(みずぎ)まで"),
    "underwear": ("下着まで", "underwear", "下着(したぎ)まで"),
    "above": (
        "下着を超える露出",
        "beyond underwear",
        "下着(したぎ)よりも体(からだ)が見(み)える姿(すがた)",
    ),
}
LIKENESS_PARTS: Final[Labels] = {
    "face": ("顔", "face", "顔(かお)"),
    "body": ("体", "body", "体(からだ)"),
    "hands": ("手", "hands", "手(て)"),
    "hair": ("髪", "hair", "髪(かみ)"),
    "back": ("後ろ姿", "back view", "後(うし)ろ姿(すがた)"),
    "name": ("名前", "name", "名前(なまえ)"),
    "signature": ("サイン", "signature", "サイン"),
}
# Parts of a person that exist and are not offered: refused by their name, not as a typing mistake.
NOT_OFFERED: Final[Labels] = {"voice": ("声", "voice", "声(こえ)")}
# Barred by default. A word in `Terms.categories` is a field that is opened.
CATEGORIES: Final[Labels] = {
    "sexual": ("性的な表現", "sexual content", "性的(せいてき)なもの"),
    "political": ("政治", "politics", "政治(せいじ)"),
    "religious": ("宗教", "religion", "宗教(しゅうきょう)"),
    "medical_claim": (
        "医療・健康の効能",
        "medical claims",
        "病気(びょうき)や体(からだ)にきくという宣伝(せんでん)",
    ),
    "gambling": ("ギャンブル", "gambling", "ギャンブル"),
    "tobacco": ("たばこ", "tobacco", "たばこ"),
    "alcohol": ("酒", "alcohol", "お酒(さけ)"),
    "finance": ("金融", "finance", "お金(かね)を借(か)りる、ふやすなどの商品(しょうひん)"),
    "defamatory": (
        "名誉を傷つける表現",
        "defamation",
        "人(ひと)をきずつける、ばかにするもの",
    ),
    "weapons": ("武器", "weapons", "武器(ぶき)"),
}
# What no minor is ever shown in or for, whoever signs (field 3: the model agencies' guideline).
NOT_FOR_MINORS: Final = frozenset({"sexual", "alcohol", "tobacco", "gambling"})
MINOR_CEILING: Final = "sleeveless_legs"
EXCLUSIVITY: Final[Labels] = {
    "none": ("独占なし", "non-exclusive", "ほかの会社(かいしゃ)の仕事(しごと)もできる"),
    "category": (
        "同業種で独占",
        "exclusive in the category",
        "同(おな)じ種類(しゅるい)の会社(かいしゃ)の仕事(しごと)はできない",
    ),
    "full": (
        "完全独占",
        "fully exclusive",
        "ほかの会社(かいしゃ)の仕事(しごと)はできない",
    ),
}
NAME_USE: Final[Labels] = {
    "none": ("使わない", "none", "使(つか)わない"),
    "stage_name": ("芸名を使う", "the stage name", "芸名(げいめい)を使(つか)う"),
    "credit_line": (
        "クレジット表記のみ",
        "a credit line only",
        "小(ちい)さく名前(なまえ)を書(か)くだけ",
    ),
}
DUTIES: Final[Labels] = {
    "report_use": ("使用を報告する", "report every use", "使(つか)ったら知(し)らせる"),
    "credit": ("名前を表示する", "credit the talent", "名前(なまえ)を書(か)く"),
    "ai_notice": (
        "AI生成と表示する",
        "mark as AI-generated",
        "AIで作(つく)ったと書(か)く",
    ),
    "output_approval": (
        "出力を事前に確認してもらう",
        "have outputs approved first",
        "使(つか)う前(まえ)に画像(がぞう)を見(み)せて、聞(き)く",
    ),
    "destroy_at_end": (
        "期間の終わりに消去する",
        "destroy at the end of the term",
        "終(お)わったらデータを消(け)す",
    ),
    "attest_yearly": (
        "年に一度、誓約する",
        "attest once a year",
        "1年(ねん)に1回(かい)、約束(やくそく)を守(まも)っていると書(か)いて出(だ)す",
    ),
    "pay": ("対価を支払う", "pay the fee", "お金(かね)を払(はら)う"),
}
PAID_BY: Final[Labels] = {
    "client": ("依頼主", "the client", "たのんだ会社(かいしゃ)"),
    "licensee": ("利用する会社", "the licensee", "使(つか)う会社(かいしゃ)"),
    "requester": ("申請者", "the requester", "申(もう)しこんだ人(ひと)"),
}
ADVISED_BY: Final[Labels] = {
    "none": ("なし", "nobody", "いない"),
    "counsel": ("弁護士", "counsel", "弁護士(べんごし)"),
    "union": (
        "労働組合・団体",
        "a union or association",
        "仕事(しごと)の仲間(なかま)の団体(だんたい)",
    ),
}
NEW_GENERATION: Final[Labels] = {
    "stop_now": ("すぐに止める", "stop at once", "すぐに止(と)める"),
    "after_days": (
        "日数の後に止める",
        "stop after some days",
        "何日(なんにち)か後(あと)に止(と)める",
    ),
}
PUBLISHED: Final[Labels] = {
    "recall": ("回収する", "recall", "集(あつ)めて、もう使(つか)わない"),
    "sell_off": (
        "在庫だけ販売できる",
        "sell off what is made",
        "もう作(つく)った物(もの)だけ売(う)れる",
    ),
}
WORLDWIDE: Final = "worldwide"
TERRITORY: Final[Labels] = {
    **COUNTRIES,
    WORLDWIDE: ("全世界", "worldwide", "世界(せかい)のどこでも"),
}

# Every member of `Terms` that holds words, with its vocabulary.
VOCABULARY: Final[Mapping[str, Labels]] = {
    "media": MEDIA,
    "stage": STAGES,
    "territory": TERRITORY,
    "transformations": TRANSFORMATIONS,
    "likeness_parts": LIKENESS_PARTS,
    "exposure": EXPOSURE,
    "exclusivity": EXCLUSIVITY,
    "duties": DUTIES,
    "categories": CATEGORIES,
    "name_use": NAME_USE,
    "paid_by": PAID_BY,
    "advised_by": ADVISED_BY,
}


def label(member: str, words: Iterable[str], locale: TextLocale) -> str:
    """Words of one member of `Terms` as people read them. Raises `KeyError` for unknown ones."""
    return names(VOCABULARY[member], words, locale)


def names(vocabulary: Labels, words: Iterable[str], locale: TextLocale) -> str:
    """Words of a vocabulary in one line, in the order given. Raises `KeyError` for unknown ones."""
    place = TEXT_LOCALES.index(locale)
    return (", " if locale == "en" else "、").join(vocabulary[word][place] for word in words)


def levels_to(ceiling: str) -> tuple[str, ...]:
    """The exposure levels that a ceiling allows, in rising order."""
    order = tuple(EXPOSURE)
    return order[: order.index(ceiling) + 1]
