"""The paragraph of the human text about the rights in the photographs. Stage 2, pure.

Rendered from `Clearances` and never typed; it names nobody. The same input always gives the same
bytes, because people sign their hash.
"""

from __future__ import annotations

from typing import Final

from registry.core.clearance import Clearances
from registry.core.vocabulary import TEXT_LOCALES, TextLocale

# Sentence by situation, in the order of TEXT_LOCALES: ja, en, ja-easy.
_SENTENCES: Final[dict[str, tuple[str, str, str]]] = {
    "blend": (
        "これは{people}人の写真を合わせた学習です(枚数から計算した割合: {parts})。"
        "架空の人物として使う場合も、全員の許諾が必要です。",
        "This is a blend of {people} people (shares from the number of pictures: {parts}). "
        "Calling the result a fictional person takes away nobody's consent.",
        "{people}人の写真をまぜて使います(写真の数の割合: {parts})。"
        "「本当はいない人」として使うときも、全員の「いいです」が必要です。",
    ),
    "holders": (
        "写真の著作権者は{holders}者です。それぞれの承認が必要です。",
        "The photographs have {holders} copyright holder(s); each of them must approve.",
        "写真を撮った人や会社(権利を持つ人)は{holders}です。その全員の「いいです」も必要です。",
    ),
    "reserved": (
        "{reserved}枚のファイルにAI学習を拒む印があります。"
        "著作権者の署名は、この件に限ってそれを解きます。",
        "{reserved} file(s) carry a machine-readable refusal of AI training; the copyright "
        "holder's signature lifts it for this case only.",
        "{reserved}枚の写真に「AIに使わないで」という印があります。"
        "権利を持つ人が「いいです」と言ったときだけ使います。",
    ),
    "works": (
        "写っている役・衣装・作品は{works}件です。それぞれの権利者の承認が必要です。",
        "{works} character(s), costume(s) or work(s) are shown; the holders of each must approve.",
        "役・衣装・作品が{works}つ写っています。それを作った人や会社の「いいです」も必要です。",
    ),
    "bystanders": (
        "写り込んだ人のうち{bystanders}人は本人が承認し、{masked}枚は顔を隠しました。",
        "Bystanders: {bystanders} approve themselves; in {masked} picture(s) a face was masked.",
        "ほかの人が写っています。{bystanders}人には聞きます。{masked}枚は顔をかくしました。",
    ),
}


def text(found: Clearances, locale: TextLocale) -> str:
    """The lines in one form; each says how many, never who."""
    parts = " / ".join(f"{share.permille / 10:.1f}%" for share in found.shares)
    values = {
        "people": len(found.shares),
        "parts": parts,
        "holders": len({row.holder for row in found.copyright}),
        "reserved": sum(row.reserved for row in found.copyright),
        "works": len({row.work for row in found.works}),
        "bystanders": len(found.bystanders),
        "masked": found.masked,
    }
    shown = {
        "blend": values["people"] != 1,
        "holders": True,
        "reserved": values["reserved"],
        "works": values["works"],
        "bystanders": values["bystanders"] or values["masked"],
    }
    place = TEXT_LOCALES.index(locale)
    return "".join(
        forms[place].format(**values) + "\n" for name, forms in _SENTENCES.items() if shown[name]
    )
