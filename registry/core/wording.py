"""The text that people read before they sign, rendered from the terms and never typed.

Stage 2 of the flow. Three forms: Japanese, English, easy Japanese (short sentences, readings in
parentheses, no terms of law). The same terms give the same bytes on every machine, and different
terms give different bytes: each member has a line of its own, and what people typed holds no line
break. The SHA-256 of each form stands in the grant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Final

from registry.core import vocabulary as words
from registry.core.terms import Terms
from registry.core.vocabulary import CATEGORIES, TextLocale, names

Lines = list[str]


def render(terms: Terms, locale: TextLocale, *, pictures: int, max_runs: int) -> str:
    """The text of a grant for `pictures` photographs and `max_runs` trainings."""
    return "\n".join(_FORMS[locale](terms, pictures, max_runs)) + "\n"


def text_digest(text: str) -> str:
    """SHA-256 of the rendered text as UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _barred(terms: Terms) -> tuple[str, ...]:
    return tuple(word for word in CATEGORIES if word not in terms.categories)


def _publicity(terms: Terms) -> tuple[str, ...]:
    found = {kind for word in terms.media for kind in words.PUBLICITY[word]}
    return tuple(kind for kind in words.PUBLICITY_TYPES if kind in found)


# --- Japanese -------------------------------------------------------------------------------------


def _ja(terms: Terms, pictures: int, max_runs: int) -> Lines:
    say = partial(names, locale="ja")
    return [
        f"この{pictures}枚の写真だけを使って、AI(LoRA)を{max_runs}回だけ学習します。",
        f"目的: {terms.purpose}",
        "本人に似せること: " + ("目的に含む" if terms.likeness_goal else "目的ではない"),
        f"段階: {say(words.STAGES, (terms.stage,))}",
        f"依頼主: {terms.client}",
        f"商品・作品: {terms.product}",
        f"使うもの: {say(words.MEDIA, terms.media)}",
        f"肖像の使い方の種類: {say(words.PUBLICITY_TYPES, _publicity(terms))}",
        f"地域: {say(words.TERRITORY, terms.territory)}",
        f"期間: {terms.start.isoformat()} から {terms.end.isoformat()} まで",
        f"点数: {_upto(terms.quantity, '{:,}点まで', '定めなし')}",
        f"表示回数: {_upto(terms.impressions, '{:,}回まで', '定めなし')}",
        "価格: " + _band(terms, "1点{:,}円から{:,}円まで", "定めなし"),
        f"使う部分: {say(words.LIKENESS_PARTS, terms.likeness_parts)}",
        f"変えてよいこと: {say(words.TRANSFORMATIONS, terms.transformations)}",
        f"露出の上限: {say(words.EXPOSURE, (terms.exposure,))}",
        f"名前: {say(words.NAME_USE, (terms.name_use,))}",
        f"独占: {say(words.EXCLUSIVITY, (terms.exclusivity,))}",
        f"独占する業種: {_quoted(terms, '「{}」', 'なし')}",
        *[f"競合する会社: {name}" for name in terms.competitors],
        f"対価: {terms.fee_jpy:,}円",
        f"売上の分配: {_share(terms, 'なし')}",
        f"最低保証: {terms.guarantee_jpy:,}円",
        f"支払う人: {say(words.PAID_BY, (terms.paid_by,))}",
        f"支払期限: {_day(terms.pay_by, '定めなし')}",
        "この許諾は撮影の仕事の代わりに"
        + ("なります。" if terms.replaces_booked_shoot else "なりません。"),
        f"利用者の義務: {say(words.DUTIES, terms.duties) or 'なし'}",
        f"使用報告の間隔: {terms.report_months}か月ごと",
        f"消去の期限: {_day(terms.destroy_by, '期間の終わり')}",
        f"本人の相談先: {say(words.ADVISED_BY, (terms.advised_by,))}",
        f"特に許す分野: {say(CATEGORIES, terms.categories) or 'なし'}",
        f"使えない分野: {say(CATEGORIES, _barred(terms)) or 'なし'}",
        "ほかの会社への再許諾: " + ("できる" if terms.sublicence else "できない"),
        "ここに書かれていない使い方はできません。",
        f"期間の後の在庫の販売: {_upto(terms.sell_off_days, '{:,}日間', 'できない')}",
        "いつでも、理由なく撤回できます。撤回すると、進行中の学習はすぐに止まります。",
        f"撤回の後の新しい制作: {_generation_ja(terms)}",
        "撤回の後、公表していない画像: すべて消去する",
        f"撤回の後、公表したもの: {_published_ja(terms)}",
        "撤回の後、学習したデータ: すべて消去し、"
        f"{terms.on_withdrawal.attest_days}日以内に誓約する",
        "未成年の保護、性的な画像、偽の同意、裁判所の命令による撤回では、上の猶予はありません。",
        "返事をしないことは、承認になりません。",
    ]


def _generation_ja(terms: Terms) -> str:
    agreed = terms.on_withdrawal
    if agreed.new_generation == "after_days":
        return f"{agreed.new_generation_days}日後に止める"
    return "すぐに止める"


def _published_ja(terms: Terms) -> str:
    agreed = terms.on_withdrawal
    if agreed.published == "sell_off":
        return f"作り終えた在庫だけ{agreed.sell_off_days}日間販売できる"
    return "回収する"


# --- English --------------------------------------------------------------------------------------


def _en(terms: Terms, pictures: int, max_runs: int) -> Lines:
    say = partial(names, locale="en")
    runs = "once" if max_runs == 1 else f"{max_runs} times"
    return [
        f"An AI model (LoRA) is trained {runs}, from these {pictures} photographs only.",
        f"Purpose: {terms.purpose}",
        "Likeness to the person: " + ("a goal" if terms.likeness_goal else "not a goal"),
        f"Stage: {say(words.STAGES, (terms.stage,))}",
        f"Client: {terms.client}",
        f"Product or work: {terms.product}",
        f"Used for: {say(words.MEDIA, terms.media)}",
        f"Kind of publicity: {say(words.PUBLICITY_TYPES, _publicity(terms))}",
        f"Territory: {say(words.TERRITORY, terms.territory)}",
        f"Term: from {terms.start.isoformat()} to {terms.end.isoformat()}",
        f"Units: {_upto(terms.quantity, 'up to {:,}', 'no number set')}",
        f"Showings: {_upto(terms.impressions, 'up to {:,}', 'no number set')}",
        "Price: " + _band(terms, "JPY {:,} to {:,} each", "not set"),
        f"Parts of the likeness: {say(words.LIKENESS_PARTS, terms.likeness_parts)}",
        f"May be changed: {say(words.TRANSFORMATIONS, terms.transformations)}",
        f"Exposure ceiling: {say(words.EXPOSURE, (terms.exposure,))}",
        f"Use of the name: {say(words.NAME_USE, (terms.name_use,))}",
        f"Exclusivity: {say(words.EXCLUSIVITY, (terms.exclusivity,))}",
        f"Exclusive category: {_quoted(terms, '“{}”', 'none')}",
        *[f"Competitor: {name}" for name in terms.competitors],
        f"Fee: JPY {terms.fee_jpy:,}",
        f"Share of sales: {_share(terms, 'none')}",
        f"Minimum guarantee: JPY {terms.guarantee_jpy:,}",
        f"Paid by: {say(words.PAID_BY, (terms.paid_by,))}",
        f"Payable by: {_day(terms.pay_by, 'no day set')}",
        "This "
        + ("replaces" if terms.replaces_booked_shoot else "does not replace")
        + " a booked shoot.",
        f"Duties of the user: {say(words.DUTIES, terms.duties) or 'none'}",
        f"Uses are reported every: {terms.report_months} month(s)",
        f"Destroyed by: {_day(terms.destroy_by, 'the end of the term')}",
        f"Adviser of the talent: {say(words.ADVISED_BY, (terms.advised_by,))}",
        f"Fields opened: {say(CATEGORIES, terms.categories) or 'none'}",
        f"Barred fields: {say(CATEGORIES, _barred(terms)) or 'none'}",
        "Sub-licence to other companies: " + ("allowed" if terms.sublicence else "not allowed"),
        "What is not written here is not allowed.",
        f"Selling stock after the term: {_upto(terms.sell_off_days, '{:,} days', 'not allowed')}",
        "You may withdraw at any time, without a reason: running training stops at once.",
        f"After a withdrawal, new pictures: {_generation_en(terms)}",
        "After a withdrawal, unpublished pictures: all are destroyed",
        f"After a withdrawal, what is published: {_published_en(terms)}",
        "After a withdrawal, trained data: destroyed, and attested within "
        f"{terms.on_withdrawal.attest_days} days",
        "None of these periods applies to a minor's, intimate, forged or court-ordered case.",
        "Giving no answer is never an approval.",
    ]


def _generation_en(terms: Terms) -> str:
    agreed = terms.on_withdrawal
    if agreed.new_generation == "after_days":
        return f"stop after {agreed.new_generation_days} days"
    return "stop at once"


def _published_en(terms: Terms) -> str:
    agreed = terms.on_withdrawal
    if agreed.published == "sell_off":
        return f"only stock already made may be sold, for {agreed.sell_off_days} days"
    return "is recalled"


# --- easy Japanese --------------------------------------------------------------------------------


def _easy(terms: Terms, pictures: int, max_runs: int) -> Lines:
    say = partial(names, locale="ja-easy")
    none = "ない"
    free = "決(き)めていない"
    return [
        f"あなたの写真(しゃしん)を{pictures}まい使(つか)います。ほかの写真は使いません。",
        f"写真でAIを作(つく)ります。AIを作るのは{max_runs}回(かい)だけです。",
        f"なんのため: {terms.purpose}",
        "あなたに似(に)た絵(え)を作ることが目的(もくてき): "
        + ("はい" if terms.likeness_goal else "いいえ"),
        f"本番(ほんばん)か、ためしか: {say(words.STAGES, (terms.stage,))}",
        f"たのんだ会社(かいしゃ): {terms.client}",
        f"なにを作るか: {terms.product}",
        f"なにに使うか: {say(words.MEDIA, terms.media)}",
        f"どんな使い方か: {say(words.PUBLICITY_TYPES, _publicity(terms))}",
        f"どこで使うか: {say(words.TERRITORY, terms.territory)}",
        f"いつから: {_day_easy(terms.start)}",
        f"いつまで: {_day_easy(terms.end)}",
        f"いくつまで: {_upto(terms.quantity, '{:,}こまで', free)}",
        f"何回(なんかい)見(み)せるか: {_upto(terms.impressions, '{:,}回まで', free)}",
        "ねだん: " + _band(terms, "1つ{:,}円(えん)から{:,}円まで", free),
        f"あなたのどこを使うか: {say(words.LIKENESS_PARTS, terms.likeness_parts)}",
        f"変(か)えていいこと: {say(words.TRANSFORMATIONS, terms.transformations)}",
        f"服(ふく)や体(からだ): {say(words.EXPOSURE, (terms.exposure,))}",
        f"名前(なまえ): {say(words.NAME_USE, (terms.name_use,))}",
        f"ほかの仕事(しごと): {say(words.EXCLUSIVITY, (terms.exclusivity,))}",
        f"できなくなる仕事の種類(しゅるい): {_quoted(terms, '「{}」', none)}",
        *[f"仕事ができなくなる会社: {name}" for name in terms.competitors],
        f"もらえるお金(かね): {terms.fee_jpy:,}円",
        f"売(う)れたお金から: {_share(terms, none)}",
        f"少(すく)なくても: {terms.guarantee_jpy:,}円",
        f"払(はら)う人(ひと): {say(words.PAID_BY, (terms.paid_by,))}",
        f"払う日(ひ): {_day_easy(terms.pay_by) if terms.pay_by else free}",
        "これをすると、写真をとる仕事が"
        + ("なくなります。" if terms.replaces_booked_shoot else "なくなることはありません。"),
        f"会社の約束(やくそく): {say(words.DUTIES, terms.duties) or none}",
        f"会社が知(し)らせる: {terms.report_months}か月(げつ)に1回",
        "データを消(け)す日: "
        + (_day_easy(terms.destroy_by) if terms.destroy_by else "終(お)わりの日"),
        f"あなたが相談(そうだん)した人: {say(words.ADVISED_BY, (terms.advised_by,))}",
        f"とくに「いい」とすること: {say(CATEGORIES, terms.categories) or none}",
        f"使ってはいけないこと: {say(CATEGORIES, _barred(terms)) or none}",
        "ほかの会社にあげること: " + ("できる" if terms.sublicence else "できない"),
        "ここに書(か)いていないことは、できません。",
        f"終わったあと、のこった物(もの)を売ること: "
        f"{_upto(terms.sell_off_days, '{:,}日(にち)だけできる', 'できない')}",
        "いつでも「やめる」と言(い)えます。わけは言わなくていいです。AIを作るのはすぐに止(と)まります。",
        f"やめたあと、新(あたら)しい絵を作ること: {_generation_easy(terms)}",
        "やめたあと、まだ見せていない絵: ぜんぶ消します",
        f"やめたあと、もう見せた物: {_published_easy(terms)}",
        "やめたあと、AIのデータ: ぜんぶ消します。"
        f"{terms.on_withdrawal.attest_days}日までに「消しました」と約束します",
        "18さいになる前(まえ)の人や、うその「はい」のときは、すぐにぜんぶ止めます。",
        "体がたくさん見える写真のときや、裁判所(さいばんしょ)が言ったときも、すぐに止めます。",
        "返事(へんじ)をしないときは、「いいえ」と同(おな)じです。",
    ]


def _generation_easy(terms: Terms) -> str:
    agreed = terms.on_withdrawal
    if agreed.new_generation == "after_days":
        return f"{agreed.new_generation_days}日あとに止めます"
    return "すぐに止めます"


def _published_easy(terms: Terms) -> str:
    agreed = terms.on_withdrawal
    if agreed.published == "sell_off":
        return f"もう作った物だけ、{agreed.sell_off_days}日のあいだ売れます"
    return "集(あつ)めて、もう使いません"


def _day_easy(day: date) -> str:
    return f"{day.year}年(ねん){day.month}月(がつ){day.day}日"


# --- all ------------------------------------------------------------------------------------------


def _upto(number: int, said: str, unset: str) -> str:
    return said.format(number) if number else unset


def _band(terms: Terms, said: str, unset: str) -> str:
    return said.format(terms.price_min_jpy, terms.price_max_jpy) if terms.price_max_jpy else unset


def _share(terms: Terms, unset: str) -> str:
    whole, tenths = divmod(terms.share_permille, 10)
    return f"{whole}.{tenths}%" if terms.share_permille else unset


def _quoted(terms: Terms, said: str, unset: str) -> str:
    # In quotation marks, so that a category called "none" does not read like none.
    return said.format(terms.exclusivity_category) if terms.exclusivity_category else unset


def _day(day: date | None, unset: str) -> str:
    return day.isoformat() if day else unset


_FORMS: Final[Mapping[TextLocale, Callable[[Terms, int, int], Lines]]] = {
    "ja": _ja,
    "en": _en,
    "ja-easy": _easy,
}

# member: (Japanese, English, easy Japanese) of an item that the talent ticks by itself.
_ITEMS: Final[words.Labels] = {
    "media": ("使うもの", "Used for", "なにに使(つか)うか"),
    "territory": ("地域", "Territory", "どこで使(つか)うか"),
    "category": ("特に許す分野", "Field opened", "とくに「いい」とすること"),
    "exposure": ("露出の上限", "Exposure ceiling", "服(ふく)や体(からだ)"),
    "transformation": ("変えてよいこと", "May be changed", "変(か)えていいこと"),
    "name_use": ("名前の使用", "Use of the name", "名前(なまえ)を使(つか)うこと"),
    "sell_off": (
        "終わった後も在庫を売ること",
        "Selling stock after the end",
        "終(お)わったあと、のこった物(もの)を売(う)ること",
    ),
}
_ITEM_WORDS: Final[Mapping[str, words.Labels]] = {
    "media": words.MEDIA,
    "territory": words.TERRITORY,
    "category": CATEGORIES,
    "exposure": words.EXPOSURE,
    "transformation": words.TRANSFORMATIONS,
}


def item_label(item: str, locale: TextLocale) -> str:
    """An item of `terms.explicit_items` as people read it. Raises `KeyError` for anything else."""
    member, _, word = item.partition(":")
    head = _ITEMS[member][words.TEXT_LOCALES.index(locale)]
    return f"{head}: {names(_ITEM_WORDS[member], (word,), locale)}" if word else head
