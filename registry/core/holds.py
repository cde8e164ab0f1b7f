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
    "came_of_age": (
        "本人が18歳になりました。保護者が承認した許可は、本人が自分の鍵で確認するまで停止しています。",
        "The talent has come of age: what a guardian approved is paused until she confirms it.",
    ),
    "guardian": (
        "承認した保護者が交代したため、今の保護者が確認するまで停止しています。",
        "The guardian who approved no longer speaks for the talent; paused until today's confirm.",
    ),
    "retired": (
        "本人が引退したため停止しています。",
        "Paused because the talent has retired.",
    ),
    "deceased": (
        "本人が亡くなったため、遺族の権限が確認され、遺族が確認するまで停止しています。",
        "Paused because the talent has died, until a proven estate confirms it.",
    ),
    "age_doubt": (
        "年齢に疑いがあるため、本人確認書類で確かめるまで停止しています。",
        "Paused because of doubt about the age, until an identity document settles it.",
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
