"""Base models and their licences, recorded as dated facts. Stage 1 asks them."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Final

from django.db import transaction

from registry.core.grants import BaseModel
from registry.log.append import append
from registry.models import BaseModelLicence

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@transaction.atomic
def base_record(
    *,
    name: str,
    sha256: str,
    licence_id: str,
    licence_text: str,
    commercial: str,
    source: str,
    read_on: date,
) -> BaseModelLicence:
    """Record a base model (by digest) and its licence as read on a day; the same facts once.

    `commercial` is `yes`, `no` or `unknown`. A changed licence text is a new record beside the old
    one. Raises `ValueError` for a malformed digest or word.
    """
    if not _SHA256.fullmatch(sha256) or commercial not in BaseModelLicence.Commercial.values:
        raise ValueError("a base model has a SHA-256 in hex and commercial yes, no or unknown")
    licence_sha256 = hashlib.sha256(licence_text.encode()).hexdigest()
    row, made = BaseModelLicence.objects.get_or_create(
        sha256=sha256,
        licence_sha256=licence_sha256,
        defaults={
            "name": name,
            "licence_id": licence_id,
            "licence_text": licence_text,
            "commercial": commercial,
            "source": source,
            "read_on": read_on,
        },
    )
    if made:
        append(
            "base.recorded",
            {
                "base_id": row.id,
                "base_sha256": sha256,
                "licence_sha256": licence_sha256,
                "commercial": commercial,
                "read_on": read_on.isoformat(),
            },
        )
    return row


def as_core(row: BaseModelLicence) -> BaseModel:
    """The base model as a grant names it. Only a plain `yes` is one; a retired licence is none."""
    return BaseModel(
        sha256=row.sha256,
        name=row.name,
        licence_id=row.licence_id,
        licence_sha256=row.licence_sha256,
        commercial=row.commercial == BaseModelLicence.Commercial.YES and row.retired_at is None,
    )
