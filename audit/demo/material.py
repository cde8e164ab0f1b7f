"""The photographs of the demonstration: the public-domain set, or the user's own."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from audit.demo.story import Photos
from training.demo import photos


def load(own: Path | None, references: Path | None) -> Photos:
    """The pictures to upload. The planted second person is always the public-domain one."""
    folder: Path = settings.HOME / "demo" / "photos"
    if not photos.is_written(folder):
        photos.write(photos.make(photos.collect()), folder)
    planted = (folder / "planted" / "planted.png").read_bytes()
    if own is not None and references is not None:
        return Photos(
            talent=tuple(photos.load_folder(own)),
            references=tuple(photos.load_folder(references)),
            second_person=planted,
            about=("ご自身の写真を使います。", "your own pictures are used"),
            reason="試しの学習のため、指摘を承知で使います(a trial run, points noted)",
        )
    return Photos(
        talent=tuple(photos.load_folder(folder / "talent")),
        references=tuple(photos.load_folder(folder / "references")),
        second_person=planted,
        about=(
            "パブリックドメインのNASAの肖像写真1枚を、切り抜き・光・背景を変えて合成した写真です。"
            "写っている人はこの製品と関係がなく、同意もしていません。",
            "composites of one public-domain NASA portrait (crop, light, background); the person "
            "shown is not connected with this product and has agreed to nothing",
        ),
        reason="デモ用の写真のため、衣装と髪型が同じです(the same outfit and hair, on purpose)",
    )
