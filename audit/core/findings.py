"""What tracing measured, in words for whoever must judge it: stage 9, pure.

For the operator's desk and for a court, never in a public answer: a number tells an attacker how
far he is from the threshold. A bound is given as a power of ten, rounded towards the innocent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from registry.core.refusals import Locale


@dataclass(frozen=True)
class Finding:
    """One registered thing that a file was recognised as.

    `how` is the way (`tracing.How`, or `escrow`: the mark read beside the master). For a mark,
    `score` is t, `needed` its threshold and `rate_log10` the logarithm of a bound on how often a
    file in which no marked copy was used shows as much for any registered id; None for a mark
    beneath another one. For a likeness of content, `score` is a cosine, `needed` the alarm, and
    there is no bound.
    """

    how: str
    lora_id: str
    delivery_id: str | None
    score: float | None = None
    needed: float | None = None
    rate_log10: float | None = None


_WORDS: Final = {
    "file": {
        "ja": "納品 {delivery} (LoRA {lora}) のファイルそのものです。SHA-256 が一致しました。",
        "en": "This is the very file of delivery {delivery} (LoRA {lora}): its SHA-256 is equal.",
    },
    "tensors": {
        "ja": "重みが {what} と同一です。ファイルの見出しは問いません。",
        "en": "Its weights are those of {what}, whatever the header of the file says.",
    },
    "watermark": {
        "ja": "電子透かしを読み取りました。納品 {delivery} (LoRA {lora}) の識別子との一致は"
        " t = {score:.1f} で、名指しに必要な値は {needed:.1f} です。{bound}",
        "en": "Its watermark was read. It agrees with the id of delivery {delivery} (LoRA {lora})"
        " at t = {score:.1f}; {needed:.1f} is needed to name it. {bound}",
    },
    "escrow": {
        "ja": "保管中の原本を差し引いて電子透かしを読み取りました。納品 {delivery} (LoRA {lora}) の"
        "識別子との一致は t = {score:.1f} で、名指しに必要な値は {needed:.1f} です。{bound}",
        "en": "Its watermark was read beside the escrowed master. It agrees with the id of delivery"
        " {delivery} (LoRA {lora}) at t = {score:.1f}; {needed:.1f} is needed to name it. {bound}",
    },
    "lineage": {
        "ja": "内部の構造が LoRA {lora} に似ています (余弦 {score:.2f}、目安 {needed:.2f})。"
        "調べる手がかりであって、証明ではありません。",
        "en": "Its inner structure resembles LoRA {lora} (cosine {score:.2f}, alarm at"
        " {needed:.2f}). That opens an inquiry and proves nothing.",
    },
    "manifest": {
        "ja": "LoRA {lora} の見本画像で、署名付きの来歴 (C2PA) が一致しました。",
        "en": "A sample picture of LoRA {lora}, with its signed manifest (C2PA).",
    },
    "imagemark": {
        "ja": "画像の透かしは LoRA {lora} の見本を指しています。"
        "透かしは写せるので、証明ではありません。",
        "en": "The mark in the picture points to a sample of LoRA {lora}. Marks can be copied: that"
        " proves nothing by itself.",
    },
    "alike": {
        "ja": "LoRA {lora} の見本画像に似ています。証明ではありません。",
        "en": "It looks like a sample picture of LoRA {lora}. That proves nothing.",
    },
}
_BOUND: Final = {
    "ja": "透かし入りの写しを一つも使っていないファイルが、登録済みのいずれかの識別子にこれ以上"
    "一致する確率は、重みの内容によらず 10 の {power} 乗以下です (Hoeffding の不等式による上界)。"
    "誰の手を経て広まったかは、これだけでは分かりません。",
    "en": "A file in which no marked copy was used agrees as well with any registered id with a"
    " probability of at most 10^{power}, whatever its weights are (a bound by Hoeffding's"
    " inequality). Through whose hands it came, this does not say.",
}
_BENEATH: Final = {
    "ja": "別の透かしを取り除いたあとの読み取りで、誤りの確率の上界は示せません。",
    "en": "It was read after another mark was taken out; for this one no bound can be given.",
}


def sentence(finding: Finding, lang: Locale) -> str:
    """What was found, as one may say it to a court."""
    what = {"ja": f"LoRA {finding.lora_id} の原本", "en": f"the master of LoRA {finding.lora_id}"}
    if finding.delivery_id is not None:
        what = {"ja": f"納品 {finding.delivery_id}", "en": f"delivery {finding.delivery_id}"}
    bound = _BENEATH[lang]
    if finding.rate_log10 is not None:
        bound = _BOUND[lang].format(power=math.ceil(finding.rate_log10))
    return _WORDS[finding.how][lang].format(
        lora=finding.lora_id,
        delivery=finding.delivery_id,
        what=what[lang],
        score=finding.score,
        needed=finding.needed,
        bound=bound,
    )
