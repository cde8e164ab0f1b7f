"""The licences of the models that this product itself works with: the packs that look at pictures.

Stage 5, and at the start. Trusts the catalogue. Where consents count (live mode) a pack without a
record that allows it is refused; elsewhere only one whose record forbids it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.conf import settings

from registry.core.refusals import Refusal
from registry.models import ModelRecord
from registry.services import catalogue

MANIFEST = "manifest.json"


def pack_digest(folder: Path) -> str:
    """What names a pack: the SHA-256 of its manifest, which pins its files. Empty without one."""
    manifest = folder / MANIFEST
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""


def tools_refusal() -> Refusal | None:
    """`tool_licence` when one of the packs that look at pictures may not be used here."""
    folders = (Path(settings.ENGINE_DIR), Path(settings.SCENERY_DIR))
    return next(filter(None, map(engine_refusal, folders)), None)


def engine_refusal(folder: Path) -> Refusal | None:
    """`tool_licence` when the pack in a folder may not be used; None when it may.

    A folder without a pack is no question of licences: the engine is missing.
    """
    if not folder.is_dir():
        return None
    digest = pack_digest(folder)
    known = bool(digest) and ModelRecord.objects.filter(sha256=digest).exists()
    if settings.KYODAKU_MODE != "live" and not known:
        return None
    return catalogue.tool_refusal(digest)
