"""Why a grant is paused: one word a cause, so that lifting one cause never lifts another.

Between stages 2 and 4. Pure. The words stand in the log; append, never reuse.
"""

from __future__ import annotations

from typing import Final

from registry.core.refusals import Locale

# reason: (Japanese, English), as pages say it.
REASONS: Final[dict[str, tuple[str, str]]] = {
    "representation": (
        "所属の変更があったため、確認が済むまで停止しています。",
        "Paused until somebody has looked at a change of representation.",
    ),
    "base_licence": (
        "ベースモデルのライセンスの記録が変わり、この用途を認めなくなったため停止しています。",
        "Paused because the base model's licence record no longer allows this use.",
    ),
    "talent_stop": (
        "本人がすべての利用を緊急に停止しています。",
        "Stopped by the talent, with everything else of theirs.",
    ),
}


def sentence(reason: str, locale: Locale = "ja") -> str:
    """What a page says of a hold. Raises `KeyError` for a word that is none."""
    return REASONS[reason][0 if locale == "ja" else 1]
