"""Licence drift: a revision that narrows holds every grant that rests on the model.

Between stages 2 and 4, and for ever after. The catalogue is dated, so a grant can be held against
the facts of any revision. Nothing here sets a grant free by itself: a person does, once the newest
facts allow it again. The floors above find out by reading the grant's state and its holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry import selectors
from registry.core import grants as core
from registry.core import licences
from registry.core.cases import LIVE_GRANT
from registry.core.licences import Reason
from registry.core.refusals import Refusal
from registry.models import Grant, GrantHold, ModelRevision, Organisation, Person
from registry.services import catalogue
from registry.services.grants import grant_pause, grant_resume

log = logging.getLogger(__name__)
REASON: Final = "base_licence"


@dataclass(frozen=True)
class Affected:
    """A grant that a revision concerns: what the facts refuse, if anything, and new conditions.

    `reasons` are the same refusals, each with the part whose facts gave it.
    """

    grant: Grant
    refusals: tuple[Refusal, ...]
    changed: bool
    reasons: tuple[Reason, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the licences still cover the grant's terms."""
        return not self.refusals


def model_revise(**values: Any) -> tuple[ModelRevision, list[Affected]]:
    """Revise a record and hold what no longer holds, in one transaction.

    Arguments and errors are `catalogue.model_revise`'s. Returns the revision and what it concerns.
    """
    at = values.get("at") or timezone.now()
    with transaction.atomic():
        revision = catalogue.model_revise(**{**values, "at": at})
        affected = drift_of(revision, at=at)
        _hold(affected, ref=revision.id, at=at)
    return revision, affected


def drift_of(revision: ModelRevision, *, at: datetime | None = None) -> list[Affected]:
    """Every grant that was made on the model, directly or as a part, held against this revision.

    Grants that were made and have ended are among them: what was trained under them is there.
    """
    at = at or timezone.now()
    bases = catalogue.bases_with(revision.record)
    rows = Grant.objects.filter(
        Q(state__in=LIVE_GRANT) | ~Q(made_event=""), request__base_model__in=bases
    )
    found = rows.select_related("request__base_model", "request__licensee").order_by("created_at")
    return [_held_against(grant, at=at, instead=revision) for grant in found]


def licence_refusals(grant: Grant, *, at: datetime | None = None) -> list[Refusal]:
    """Why today's catalogue does not cover a grant's terms; empty when it does.

    What people signed stands in the grant; this is whether it may still be used.
    """
    return list(_held_against(grant, at=at or timezone.now()).refusals)


def _held_against(grant: Grant, *, at: datetime, instead: ModelRevision | None = None) -> Affected:
    signed = selectors.core_grant(grant)
    request = grant.request
    now = catalogue.as_core(request.base_model, request.licensee, at=at, instead=instead)
    refusals = tuple(core.base_licence_refusals((now,), signed.terms))
    parts = catalogue.parts_of(request.base_model, instead=instead) if refusals else []
    return Affected(
        grant=grant,
        reasons=tuple(licences.reasons(parts, signed.terms, now.declared)),
        refusals=refusals,
        changed=now.conditions not in [base.conditions for base in signed.base_models],
    )


def _hold(affected: Iterable[Affected], *, ref: str, at: datetime) -> list[str]:
    """Pause what the licences no longer cover; the ids of those newly held.

    One hold for all licences of a grant is enough: lifting it asks every fact of today again.
    """
    open_ = GrantHold.objects.filter(reason=REASON, lifted_at=None)
    known = set(open_.values_list("grant", flat=True))
    held = [
        item.grant.id
        # In the order in which a talent's stop locks them.
        for item in sorted(affected, key=lambda item: item.grant.id)
        if not item.holds
        and item.grant.state in ("active", "paused")
        and item.grant.id not in known
        and grant_pause(grant_id=item.grant.id, reason=REASON, ref=ref, at=at)
    ]
    for grant_id in held:
        log.warning("base_licence: grant %s is held (%s)", grant_id, ref)
    return held


def licence_sweep(*, at: datetime | None = None) -> list[str]:
    """Hold every live grant whose licences do not cover it today; the ids of those newly held.

    Finds what no revision announced: a grant made while one was recorded, a declaration that got
    too old, a record that was retired.
    """
    at = at or timezone.now()
    rows = Grant.objects.filter(state__in=("active", "paused"))
    live = rows.select_related("request__base_model", "request__licensee")
    return _hold([_held_against(grant, at=at) for grant in live], ref="", at=at)


def licensee_sweep(licensee: Organisation, *, at: datetime | None = None) -> list[str]:
    """The same for one licensee, after it declared another size."""
    at = at or timezone.now()
    rows = Grant.objects.filter(state__in=("active", "paused"), request__licensee=licensee)
    live = rows.select_related("request__base_model", "request__licensee")
    return _hold([_held_against(grant, at=at) for grant in live], ref=licensee.id, at=at)


def hold_lift(*, grant: Grant, by: Person, at: datetime | None = None) -> list[Refusal]:
    """A person sets a grant free that a licence held. Refusals when today's facts still forbid, or
    when nothing holds it; empty when it was done."""
    at = at or timezone.now()
    with transaction.atomic():
        row = Grant.objects.select_related("request__base_model", "request__licensee")
        found = licence_refusals(row.get(pk=grant.pk), at=at)
        if not found and not grant_resume(grant_id=grant.pk, reason=REASON, by=by, at=at):
            found = [Refusal("wrong_state", grant.pk)]
    return found
