"""What operators type, looked up: models, people, licence facts. Errors are theirs to read."""

from __future__ import annotations

import json
from pathlib import Path

from django.core.management.base import CommandError

from registry.core.licences import Facts
from registry.models import ModelRecord, Organisation, Person
from registry.services import catalogue


def facts_from(path: Path, text: str = "") -> Facts:
    """Facts from a JSON file; with the text, its hash is filled in. Raises `CommandError`."""
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
        if text and isinstance(payload, dict):
            payload["licence_sha256"] = catalogue.text_sha256(text)
        return Facts.from_payload(payload)
    except (ValueError, OSError) as error:
        raise CommandError(f"{path.name}: {error}") from error


def text_from(path: Path | None) -> str:
    """A licence's text. Raises `CommandError`."""
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except (ValueError, OSError) as error:
        raise CommandError(f"{path}: {error}") from error


def model(word: str) -> ModelRecord:
    """A record by id, digest, seed key or exact name. Raises `CommandError`: none, or several.

    A template and what was recorded from it may share a name; the name means the template.
    """
    for field in ("id", "sha256", "seed_key", "name"):
        found = list(ModelRecord.objects.filter(**{field: word}).order_by("created_at"))
        narrowed = [row for row in found if not row.sha256] if len(found) > 1 else found
        if word and len(narrowed) == 1:
            return narrowed[0]
        if found:
            raise CommandError(f"{word}: several records, such as {found[0].id}; name one by id")
    raise CommandError(f"{word}: no such model on record")


def inside(words: list[str] | None) -> list[tuple[ModelRecord, str]] | None:
    """`ROLE=MODEL` words as parts; None when none was given. Raises `CommandError`."""
    if not words:
        return None
    pairs = [word.partition("=") for word in words]
    return [(model(name), role) for role, _, name in pairs]


def organisation(word: str) -> Organisation:
    """An organisation by id or exact name. Raises `CommandError`."""
    for field in ("id", "name"):
        found = list(Organisation.objects.filter(**{field: word})[:2])
        if len(found) == 1:
            return found[0]
    raise CommandError(f"{word}: not exactly one organisation on record")


def person(username: str | None) -> Person | None:
    """The person behind a login; None for no login. Raises `CommandError` for one of nobody."""
    if not username:
        return None
    found = Person.objects.filter(user__username=username).first()
    if found is None:
        raise CommandError(f"{username}: no person with this login")
    return found
