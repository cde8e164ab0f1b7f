"""The face engine of this process, opened once. Absent means refused, never skipped.

Serves stage 5. Trusts the pack's pinned digest, which `training.engines` checks before loading.
"""

from __future__ import annotations

import importlib
import threading
from pathlib import Path

from django.conf import settings

from registry.core.refusals import Refusal
from training.engines.base import FaceEngine
from training.services import tools

_lock = threading.Lock()
_opened: dict[Path, FaceEngine] = {}


def engine_open() -> FaceEngine | Refusal:
    """The engine on the pack in ENGINE_DIR, with the calibration of CALIBRATION or its own.

    Refusals: `tool_licence`, `engine_missing`, `engine_altered`, `calibration_mismatch`.
    """
    folder = Path(settings.ENGINE_DIR)
    with _lock:
        # Asked every time: a licence may have been revised while the engine was open.
        refusal = tools.tools_refusal()
        if refusal is not None:
            return refusal
        found = _opened.get(folder)
        if found is not None:
            return found
        try:
            # Loaded on first use: ONNX Runtime is large, and most processes never measure a face.
            module = importlib.import_module("training.engines.insightface")
        except ImportError as error:
            return Refusal("engine_missing", type(error).__name__)
        pinned = {"digest": settings.ENGINE_SHA256} if settings.ENGINE_SHA256 else {}
        engine: FaceEngine | Refusal = module.open_engine(
            folder,
            calibration=settings.CALIBRATION,
            scenery=Path(settings.SCENERY_DIR),
            **pinned,
        )
        if not isinstance(engine, Refusal):
            _opened[folder] = engine
        return engine
