"""Auditing's event types: permanent words. See `registry.core.events` for the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# type: (Japanese, English), for the ledger page.
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "use.reported": ("使用を報告", "use reported"),
    "trace.found": ("LoRAを特定", "LoRA traced to its licence"),
    "evidence.exported": ("証跡一式を出力", "evidence pack exported"),
}
