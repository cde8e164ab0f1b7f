"""Start-up checks: the packs' licences are on record, and every watermark key is there.

Needs the database, so it runs where Django is told to look at one: `check --database default`, as
the local site does after its tables are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connection

from registry.log.keyfiles import KeyFileError
from training.models import WatermarkEpoch
from training.services import epochs, tools


def tool_licences(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E007 for a pack that may not be used in this mode."""
    if not databases:
        return []
    refusal = tools.tools_refusal()
    if refusal is None:
        return []
    message = f"{refusal.sentence('en')} ({refusal.detail})"
    return [Error(message, hint=refusal.next_step("en"), id="kyodaku.E007")]


def watermark_keys(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E008 for the key of an epoch that is missing: its deliveries could not be traced."""
    # `migrate` looks before it has made the tables.
    if not databases or WatermarkEpoch._meta.db_table not in connection.introspection.table_names():
        return []
    try:
        epochs.keys()
    except KeyFileError as error:
        return [Error(str(error), hint="Restore it from a backup.", id="kyodaku.E008")]
    return []
