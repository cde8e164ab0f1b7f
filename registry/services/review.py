"""Looking again at grants when somebody's authority has changed: they pause, never more than that.

Between stages 2 and 4. Decides nothing itself: `registry.core.authority` does. It is called at once
by the service that recorded the change and again by the periodic sweep, and is idempotent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from registry import selectors
from registry.core import authority
from registry.core.requests import jst_day
from registry.models import Grant, GrantHold, Talent
from registry.services import grants
from registry.services.contacts import notice_give


def talent_review(*, talent: Talent, at: datetime) -> list[str]:
    """Pause what no longer rests on anybody's authority for this talent; those grants' ids."""
    live = Grant.objects.filter(request__talents=talent, state__in=("active", "paused"))
    return grants_review(live.order_by("id"), at=at)


def grants_review(rows: Iterable[Grant], *, at: datetime) -> list[str]:
    """The same for any grants."""
    return [grant.id for grant in rows if _review(grant, at)]


def _review(grant: Grant, at: datetime) -> bool:
    standings = selectors.standings_of(grant, jst_day(at))
    found = authority.causes(
        selectors.bound_parties(grant), {row.talent_id: row for row in standings}
    )
    paused = False
    for reason, ref in found:
        if grants.grant_pause(grant_id=grant.id, reason=reason, ref=ref, at=at):
            paused = True
            _tell(grant, reason, ref, at)
    return paused


def _tell(grant: Grant, reason: str, ref: str, at: datetime) -> None:
    hold = GrantHold.objects.get(grant=grant, reason=reason, ref=ref, lifted_at=None)
    for person_id in sorted({party.person_id for party in selectors.bound_parties(grant)}):
        notice_give(person_id=person_id, kind="grant_paused", subject=hold.id, due_on=jst_day(at))
