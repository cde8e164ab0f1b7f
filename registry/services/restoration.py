"""After a backup was restored: end again what had ended, from the log that was published since.

Serves no stage; the drill of A40. A restored database holds key shares that were destroyed, grants
that were withdrawn and people who were erased after the backup was made. The exported log lives
elsewhere and tells of each. Only what narrows is done again, through the services that did it the
first time, so that this database's own log tells it, too; whatever would widen is left to people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from registry.core import cases
from registry.log import folder as exported
from registry.log import selectors as log
from registry.log.core import canonical
from registry.models import Credential, Grant, Person, TrainingRequest
from registry.services import erasure, grants, parties, vault

REDONE: Final = ("keyshare.shredded", "grant.ended", "credential.retired", "person.erased")


@dataclass(frozen=True)
class Restored:
    """How many entries were lost, what was done again, and what waits for people, by event type."""

    lost: int
    redone: Mapping[str, int]
    left: Mapping[str, int]


def ends_redo(*, folder: Path, vkeys: Sequence[str], at: datetime | None = None) -> Restored:
    """Do again every end that the exported log tells and this database does not know of.

    (1) the export's checkpoint verifies under the pinned keys, and its entries give the signed
    root; (2) what this database's own log holds is not lost; (3) each end is done again, oldest
    first, all or nothing. Raises `VerificationError` for an export that does not hold.
    """
    at = at or timezone.now()
    # (1)
    events = [canonical.loads(entry) for entry in exported.entries(folder, vkeys)]
    # (2)
    unknown = log.unknown_events([event["id"] for event in events])
    lost = [event for event in events if event["id"] in unknown]
    # (3)
    redone: Counter[str] = Counter()
    left: Counter[str] = Counter()
    with transaction.atomic():
        for event in lost:
            done = event["type"] in REDONE and _redo(event["type"], event["data"], at)
            (redone if done else left)[event["type"]] += 1
    return Restored(len(lost), dict(redone), dict(left))


def _redo(kind: str, data: Mapping[str, Any], at: datetime) -> bool:
    """Whether there was something left to end."""
    if kind == "keyshare.shredded":
        request = TrainingRequest.objects.filter(pk=data["request_id"]).first()
        return request is not None and vault.shares_shred(request=request, at=at) > 0
    if kind == "grant.ended":
        return _end_again(data["grant_id"], data["state"], at)
    if kind == "credential.retired":
        found = Credential.objects.filter(thumbprint=data["key"], retired_at=None).first()
        if found is not None:
            parties.credential_retire(credential=found, at=at)
        return found is not None
    person = Person.objects.filter(pk=data["party_id"], erased_at=None).first()
    return person is not None and erasure.person_erase(person=person, at=at) is None


def _end_again(grant_id: str, state: str, at: datetime) -> bool:
    if not Grant.objects.filter(pk=grant_id, state__in=cases.LIVE_GRANT).exists():
        return False
    grant = grants.lock(grant_id)
    if not grants.move(grant, state, at=at):
        return False
    grants.request_move(grant.request, "withdrawn" if state == "withdrawn" else "closed")
    grants.log_end(grant, at=at)
    return True
