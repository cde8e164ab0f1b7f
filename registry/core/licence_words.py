"""The words for licence facts, in Japanese and English: what pages show and what people sign.

Stage 2 for the lines under a grant's text, which are rendered from `Conditions` and never typed.
Pure. The same input always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from registry.core.licences import Conditions, Facts, Limit

Labels = Mapping[str, tuple[str, str]]

KINDS: Final[Labels] = {
    "base": ("ベースモデル", "base model"),
    "vae": ("VAE", "VAE"),
    "text_encoder": ("テキストエンコーダー", "text encoder"),
    "training_adapter": ("学習用アダプター", "training adapter"),
    "merge_parent": ("マージ元", "merge parent"),
    "face_pack": ("顔照合モデル", "face model"),
    "segmentation": ("領域分割モデル", "segmentation model"),
    "watermark": ("電子透かしモデル", "watermark model"),
    "other": ("その他", "other"),
}
COMMERCIAL: Final[Labels] = {
    "yes": ("商用できる", "commercial use allowed"),
    "threshold": ("条件つきで商用できる", "commercial use below a limit"),
    "unknown": ("不明(商用できないものとして扱う)", "unknown (treated as no commercial use)"),
    "no": ("商用できない", "no commercial use"),
}
OUTPUTS: Final[Labels] = {
    "yes": ("制限なし", "free"),
    "conditional": ("条件つき", "with conditions"),
    "unknown": ("不明", "unknown"),
    "no": ("使えない", "not allowed"),
}
CONFIDENCE: Final[Labels] = {
    "T": ("ライセンス本文を読んだ", "the licence's text was read"),
    "R": ("配布元の表示を読んだ", "stated in the repository or model card"),
    "S": ("伝聞(人による確認が必要)", "second-hand (a person must confirm it)"),
}
DERIVATIVE_TERMS: Final[Labels] = {
    "pass_on": (
        "LoRAを渡す相手にも、ライセンスの利用制限を守る義務を負わせる",
        "pass the licence's use restrictions on to whoever gets the LoRA",
    ),
    "state_changes": ("変更したことを表示する", "state that it was changed"),
    "share_alike": (
        "LoRAを同じライセンスで公開する義務がある",
        "the LoRA must be shared under the same licence",
    ),
    "no_derivatives": ("派生物を作れない", "no derivatives"),
}
FIELD_OF_USE: Final[Labels] = {
    "use_policy": ("提供元の利用規約(禁止用途)を守る", "keep to the maker's acceptable-use policy"),
    "content_filtering": (
        "生成する場所に内容フィルターを置く",
        "filter content where it generates",
    ),
    "no_competing_model": (
        "出力をほかのモデルの学習に使わない",
        "do not train other models on the outputs",
    ),
    "biometric_ban": ("生体情報の処理を禁じている", "biometric processing is forbidden"),
}
_SCOPES: Final[Labels] = {
    "licensee": ("利用者", "the licensee"),
    "company_group": ("利用者とそのグループ会社", "the licensee and its affiliates"),
}
_PERIODS: Final[Labels] = {
    "year": ("年間", "a year"),
    "trailing_12_months": ("直近12か月", "over the last 12 months"),
    "month": ("月間", "a month"),
}


def word(labels: Labels, key: str, locale: str) -> str:
    """One word as people read it; a word that is none of ours as it stands."""
    found = labels.get(key)
    return key if found is None else found[1 if locale == "en" else 0]


def limit_text(limit: Limit, locale: str) -> str:
    """A threshold in words: whose, what, over which time, below how much."""
    scope, period = word(_SCOPES, limit.scope, locale), word(_PERIODS, limit.period, locale)
    if locale == "en":
        unit = f"{limit.currency} {limit.amount:,}" if limit.currency else f"{limit.amount:,} users"
        measure = "revenue" if limit.measure == "revenue" else "users"
        return f"{measure} of {scope} below {unit} {period}"
    unit = f"{limit.amount:,} {limit.currency}" if limit.currency else f"{limit.amount:,}人"
    measure = "売上" if limit.measure == "revenue" else "利用者数"
    return f"{scope}の{period}の{measure}が{unit}未満"


def lines(name: str, conditions: Conditions, locale: str) -> list[str]:
    """What a base model's licences ask of those who use the LoRA; nothing when they ask nothing.

    These lines are part of the text that people sign.
    """
    items = [word(DERIVATIVE_TERMS, key, locale) for key in conditions.derivative_terms]
    items += [word(FIELD_OF_USE, key, locale) for key in conditions.field_of_use]
    items += [limit_text(limit, locale) for limit in conditions.limits]
    english = locale == "en"
    items += [
        f"register with the holder of {licence}" if english else f"{licence}の提供元に登録する"
        for licence in conditions.registration
    ]
    items += [
        f"names begin with “{prefix}”" if english else f"名前を「{prefix}」で始める"
        for prefix in conditions.naming
    ]
    items += [
        f"show “{text}”" if english else f"「{text}」と表示する" for text in conditions.notices
    ]
    if conditions.outputs == "conditional":
        items.append(
            "outputs: the licence's own conditions apply"
            if english
            else "生成した画像にもライセンスの条件がかかる"
        )
    if not items:
        return []
    licences = ", ".join(conditions.licences)
    if english:
        return [f"Duties from the base model ({name}; {licences}): {'; '.join(items)}"]
    if locale == "ja-easy":
        return [f"もとになるAI({name}、{licences})のきまり: {'、'.join(items)}"]
    return [f"ベースモデル({name}、{licences})から来る義務: {'、'.join(items)}"]


def describe(facts: Facts, locale: str) -> list[tuple[str, str]]:
    """A revision's facts as (label, words), for a record's page."""
    english = locale == "en"

    def row(ja: str, en: str, text: str) -> tuple[str, str]:
        return (en if english else ja, text)

    def listed(labels: Labels, keys: tuple[str, ...]) -> str:
        return ("; " if english else "、").join(word(labels, key, locale) for key in keys)

    def yes(answer: bool) -> str:
        return ("yes" if answer else "no") if english else ("あり" if answer else "なし")

    rows = [
        row("ライセンス", "licence", facts.licence_id),
        row("商用利用", "commercial use", word(COMMERCIAL, facts.commercial, locale)),
        row("商用の条件", "limits", "; ".join(limit_text(x, locale) for x in facts.limits)),
        row("登録の義務", "registration needed", yes(facts.registration_required)),
        row("派生物(LoRA)", "derivatives (LoRA)", listed(DERIVATIVE_TERMS, facts.derivative_terms)),
        row("名前の決まり", "naming", facts.naming),
        row("表示する文", "notice", facts.notice),
        row("クレジット", "attribution", facts.attribution),
        row("生成した画像", "outputs", word(OUTPUTS, facts.outputs, locale)),
        row("使えない地域", "excluded territory", ", ".join(facts.territory_excluded)),
        row("用途の制限", "field of use", listed(FIELD_OF_USE, facts.field_of_use)),
        row("独占の禁止", "exclusivity forbidden", yes(facts.no_exclusivity)),
        row("本文のハッシュ", "text hash (SHA-256)", facts.licence_sha256),
        row("読んだ日", "read on", facts.read_on),
        row("確かさ", "confidence", word(CONFIDENCE, facts.confidence, locale)),
        row("出典", "source", facts.source),
        row("不確かな点", "what is uncertain", facts.note),
    ]
    return [(label, text) for label, text in rows if text]
