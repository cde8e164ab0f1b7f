"""Training's event types: permanent words. See `registry.core.events` for the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# type: (Japanese, English), for the ledger page.
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "worker.enrolled": ("ワーカーを登録", "worker enrolled"),
    "worker.approved": ("ワーカーを承認", "worker approved"),
    "rights.declared": ("写真の権利を届け出", "rights in photographs declared"),
    "rights.breached": ("虚偽の届け出を認定", "false declaration of rights found"),
    "picture.masked": ("写り込みを隠した版に差し替え", "picture replaced by a masked version"),
    "dataset.refused": ("写真の封印を拒否", "sealing of the data set refused"),
    "dataset.reopened": ("写真の封印を解いて修正へ", "data set reopened for a change"),
    "dataset.sealed": ("写真を封印", "data set sealed"),
    "run.queued": ("学習ジョブを登録", "training job queued"),
    "run.refused": ("学習を拒否", "run refused"),
    "run.admitted": ("学習を許可", "run admitted"),
    "run.started": ("学習を開始", "run started"),
    "run.stopped": ("学習を停止し消去", "run stopped and wiped"),
    "run.failed": ("学習が失敗", "run failed"),
    "run.finished": ("学習を完了", "run finished"),
    "lora.sealed": ("透かしを確かめLoRAを封印", "watermark proven, LoRA sealed"),
    "lora.frozen": ("LoRAを凍結", "LoRA frozen"),
    "template.erased": ("顔の特徴データを消去", "face template erased"),
    "output.probed": ("出力を測定", "outputs measured"),
    "output.released": ("似た登録者の確認を経て保留を解除", "held outputs set free after a look"),
    "output.upheld": ("似た登録者を理由に保留を確定", "held outputs kept back for good"),
    "output.approved": ("出力を承認", "outputs approved"),
    "output.returned": ("出力を差し戻し", "outputs returned"),
    "lora.thawed": ("LoRAの凍結を解除", "LoRA set free"),
    "image.made": ("見本画像に印を付与", "sample pictures marked"),
    "watermark.rotated": ("透かしの鍵を更新", "watermark key rotated"),
    "delivery.made": ("納品", "delivery made"),
    "delivery.fetched": ("納品物の受け取り", "delivery fetched"),
}
