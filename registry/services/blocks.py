"""Barring an organisation that misused a likeness: nothing is licensed, minted or delivered to it.

Beside every stage. An operator decides, with a cause on record; the log tells that and since when,
never why. What was delivered before is out: that is what the audit follows.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.log.append import append
from registry.models import Organisation, OrganisationBlock


@transaction.atomic
def organisation_block(
    *, organisation: Organisation, cause: str, by: str, at: datetime | None = None
) -> OrganisationBlock | Refusal:
    """Bar an organisation from now on. `wrong_state` when it is barred already.

    Raises `ValueError` without a cause in words, or without who decided.
    """
    at = at or timezone.now()
    if not cause.strip() or not by.strip():
        raise ValueError("a cause and who decided are needed")
    Organisation.objects.select_for_update(no_key=True).get(id=organisation.id)
    if blocked(organisation) is not None:
        return Refusal("wrong_state", "blocked already")
    event = append("organisation.blocked", {"organisation_id": organisation.id}, at=at)
    return OrganisationBlock.objects.create(
        organisation=organisation,
        cause=cause.strip(),
        placed_by=by.strip(),
        placed_at=at,
        event=event,
    )


@transaction.atomic
def organisation_unblock(*, organisation: Organisation, at: datetime | None = None) -> bool:
    """Lift the bar; False when there is none."""
    at = at or timezone.now()
    rows = OrganisationBlock.objects.filter(organisation=organisation, lifted_at=None)
    if not rows.update(lifted_at=at):
        return False
    append("organisation.unblocked", {"organisation_id": organisation.id}, at=at)
    return True


def blocked(*organisations: Organisation) -> Refusal | None:
    """`licensee_blocked` naming the first of these that is barred now."""
    ids = [row.id for row in organisations]
    rows = OrganisationBlock.objects.filter(organisation__in=ids, lifted_at=None)
    found = rows.order_by("organisation_id").first()
    return None if found is None else Refusal("licensee_blocked", found.organisation_id)
