"""The one sentence with which a trace is answered, in both languages. Not a stage.

"Not found" accuses nobody, and "recognised" is kept apart from "allowed".
"""

from __future__ import annotations

from typing import Final

from registry.core.refusals import Locale

_NOT_FOUND: Final = {
    "ja": "登録が見つかりません。違反とは限りません。",
    "en": "No registration was found. That does not mean that anything is wrong.",
}
_HOW: Final = {
    "file": ("ファイルが一致", "the very file"),
    "tensors": ("重みが一致", "the very weights"),
    "watermark": ("電子透かしが一致", "by its watermark"),
    "manifest": ("署名された画像の来歴が一致", "by the signed manifest of its picture"),
    "imagemark": ("画像の印(要調査)", "by a mark in the picture, to be looked into"),
    "alike": ("よく似た見本画像(要調査)", "looks like one of its samples, to be looked into"),
    "lineage": ("派生の可能性(要調査)", "possibly derived, to be looked into"),
}
_FOUND: Final = {
    "ja": "登録されたLoRA {lora} です({how})。{standing}",
    "en": "This is the registered LoRA {lora} ({how}). {standing}",
}
_IN_FORCE: Final = {"ja": "許諾は現在有効です。", "en": "Its grant is in force."}
_FROZEN: Final = {
    "ja": "現在は停止中です({code})。",
    "en": "It is stopped at present ({code}).",
}


def not_found(locale: Locale) -> str:
    """Nothing was recognised."""
    return _NOT_FOUND[locale]


def found(how: str, lora: str, standing: str, locale: Locale) -> str:
    """What was recognised, how, and how it stands."""
    told = _IN_FORCE[locale]
    if standing != "in_force":
        told = _FROZEN[locale].format(code=standing)
    way = _HOW[how][0 if locale == "ja" else 1]
    return _FOUND[locale].format(lora=lora, how=way, standing=told)
