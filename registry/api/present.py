"""What the API shows of each row: plain dictionaries, and nothing that was not asked for."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from registry import selectors
from registry.core.requests import jst_day
from registry.core.vocabulary import TEXT_LOCALES
from registry.models import (
    Approval,
    Credential,
    Grant,
    Lane,
    ModelRecord,
    Organisation,
    Person,
    Talent,
    TrainingRequest,
)
from registry.services import catalogue


def request_line(row: TrainingRequest) -> dict[str, Any]:
    """A request in a list."""
    return {
        "id": row.id,
        "state": row.state,
        "requester": organisation(row.requester),
        "licensee": organisation(row.licensee),
        "sign_by": row.sign_by.isoformat(),
        "created_at": row.created_at.isoformat(),
    }


def request(row: TrainingRequest, viewer: Person) -> dict[str, Any]:
    """A request with everything that this party may see; the others of a blend stay unnamed."""
    newest = selectors.grant_of(row)
    hidden = selectors.hidden_talents(viewer, row)
    shown = row.talents.select_related("person").exclude(id__in=hidden).order_by("id")
    return {
        **request_line(row),
        "talents": [talent(t) for t in shown],
        "others": len(hidden),
        "copyright_holder": row.copyright_holder_id,
        "base_model": base_model(row.base_model),
        "terms": row.terms,
        "recipe": row.recipe,
        "max_runs": row.max_runs,
        "grant": None if newest is None else grant(newest, viewer),
    }


def grant(row: Grant, viewer: Person) -> dict[str, Any]:
    """A grant: the digest that is signed, the text that is read, and how far everybody is."""
    core = selectors.core_grant(row)
    hidden = selectors.hidden_talents(viewer, row.request)
    return {
        "id": row.id,
        "request": row.request_id,
        "state": row.state,
        "digest": row.digest,
        "text": {locale: core.text(locale) for locale in TEXT_LOCALES},
        "text_sha256": dict(core.text_sha256),
        "dataset": {
            "root": core.dataset_root,
            "count": core.dataset_count,
            "bytes": core.dataset_bytes,
        },
        "curation_digest": core.curation_digest,
        "max_runs": core.max_runs,
        "runs_used": row.runs_used,
        "lanes": [lane(item, hidden) for item in selectors.lanes_for(row)],
        "made_event": row.made_event,
    }


def lane(row: Lane, hidden: frozenset[str]) -> dict[str, Any]:
    """A party and its answer. Its private reason is not shown to the others."""
    unnamed = row.subject in hidden
    return {
        "by": row.by,
        "person": None if unnamed else row.person_id,
        "name": "" if unnamed else row.person.display_name,
        "subject": None if unnamed else row.subject,
        "state": row.state,
        "decided_at": row.decided_at.isoformat() if row.decided_at else None,
    }


def approval(row: Approval) -> dict[str, Any]:
    """A stored approval, and what it did to the grant."""
    stored = row.lane.grant
    stored.refresh_from_db()
    return {
        "id": row.id,
        "by": row.lane.by,
        "grant": stored.id,
        "grant_state": stored.state,
        "event": row.event,
    }


def talent(row: Talent) -> dict[str, Any]:
    """A talent in the directory."""
    represented = selectors.representation_on(row, jst_day(timezone.now()))
    return {
        "id": row.id,
        "name": row.person.display_name,
        "name_en": row.person.display_name_en,
        "agency": organisation(represented.agency) if represented else None,
    }


def organisation(row: Organisation) -> dict[str, Any]:
    """A company by id and name."""
    return {"id": row.id, "name": row.name, "name_en": row.name_en}


def base_model(row: ModelRecord) -> dict[str, Any]:
    """A base model, its own licence, and what it allows with everything inside it."""
    facts, whole = row.current.core(), catalogue.effective(row)
    return {
        "id": row.id,
        "kind": row.kind,
        "name": row.name,
        "sha256": row.sha256,
        "air_id": row.air_id,
        "licence_id": facts.licence_id,
        "licence_sha256": facts.licence_sha256,
        "commercial": whole.commercial,
        "conditions": whole.conditions.to_payload(),
        "read_on": facts.read_on,
        "revision": row.current.id,
    }


def credential(row: Credential) -> dict[str, Any]:
    """An enrolled key."""
    return {
        "id": row.id,
        "thumbprint": row.thumbprint,
        "assurance": row.assurance,
        "label": row.label,
        "event": row.enrolment_event,
    }
