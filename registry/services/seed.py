"""The catalogue as it is shipped: facts about models that many use, with how sure each is.

Set-up time. `registry/catalogue/models.json` holds facts and sources, no licence's text. A row with
a digest is ready; one without is a template that an operator completes from a file. Nothing an
operator recorded is ever replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.core.licences import Facts
from registry.core.requests import jst_day
from registry.models import ModelRecord, Person
from registry.services import catalogue, drift

FORMAT: Final = "kyodaku/catalogue/v1"
SHIPPED: Final = Path(__file__).resolve().parents[1] / "catalogue" / "models.json"


@dataclass
class Seeded:
    """What a run did, by key."""

    recorded: list[str]
    revised: list[str]
    kept: list[str]


@transaction.atomic
def catalogue_seed(*, file: Path = SHIPPED, at: datetime | None = None) -> Seeded:
    """Record every row of the file that is not on record; a second run changes nothing.

    A row whose facts changed in a newer release becomes a revision, unless a person has revised
    the record meanwhile: theirs stands (`kept`). Raises `ValueError` for a file that is malformed.
    """
    at = at or timezone.now()
    document = json.loads(file.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise ValueError(f"not a catalogue of format {FORMAT}")
    done = Seeded([], [], [])
    for row in document["models"]:
        _one(row, done, at)
    return done


def _one(row: Mapping[str, Any], done: Seeded, at: datetime) -> None:
    key, text = row["key"], _text(row)
    facts = Facts.from_payload(row["facts"])
    if text:
        facts = replace(facts, licence_sha256=catalogue.text_sha256(text))
    inside = [(_known(part), role) for role, part in row.get("parts", [])]
    found = ModelRecord.objects.filter(seed_key=key).first()
    if found is None:
        catalogue.model_record(
            name=row["name"],
            kind=row["kind"],
            facts=facts,
            sha256=row.get("sha256", ""),
            files=row.get("files", []),
            inside=inside,
            licence_text=text,
            seed_key=key,
            at=at,
        )
        done.recorded.append(key)
    elif (
        found.current.recorded_by_id or found.revisions.filter(facts_sha256=facts.digest()).exists()
    ):
        done.kept.append(key)
    else:
        drift.model_revise(record=found, facts=facts, inside=inside, licence_text=text, at=at)
        done.revised.append(key)


def _known(key: str) -> ModelRecord:
    """A row that stands before this one in the file. Raises `ValueError` otherwise."""
    found = ModelRecord.objects.filter(seed_key=key).first()
    if found is None:
        raise ValueError(f"{key}: parts stand before what they are part of")
    return found


def _text(row: Mapping[str, Any]) -> str:
    """The licence's text, where the tree has it because it ships the weights' own notices."""
    name = row.get("licence_file")
    folder = Path(settings.BASE_DIR) / "training" / "engines" / "licences"
    return (folder / name).read_text(encoding="utf-8") if name else ""


@transaction.atomic
def model_from(
    *,
    template: ModelRecord,
    sha256: str,
    inside: catalogue.Inside | None = None,
    licence_text: str = "",
    name: str = "",
    by: Person | None = None,
    at: datetime | None = None,
) -> ModelRecord:
    """A model of one's own: the template's facts and parts, for bytes that were hashed.

    `inside` replaces the template's parts.

    With the licence's text and a person who read it, the facts count as read on this day. Raises
    `ValueError` as `catalogue.model_record` does.
    """
    at = at or timezone.now()
    last = template.current
    facts = last.core()
    if licence_text:
        facts = replace(facts, licence_sha256=catalogue.text_sha256(licence_text))
    # A text lying beside a second-hand record says nothing yet: somebody must have read it.
    if licence_text and by is not None:
        day = jst_day(at).isoformat()
        facts = replace(facts, confidence="T", read_on=day, reviewed_by=by.id)
    if inside is None:
        inside = [(row.part, row.role) for row in last.parts.select_related("part")]
    return catalogue.model_record(
        name=name or template.name,
        kind=template.kind,
        facts=facts,
        sha256=sha256,
        inside=inside,
        licence_text=licence_text,
        air_id=template.air_id,
        by=by,
        at=at,
    )
