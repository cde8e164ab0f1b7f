"""What changes because a day has come: ends of contracts and roles, birthdays, new names.

Between stages 2 and 4. Idempotent, and it catches up: whatever was missed is found by the state of
the rows, not by having run on the day. Nothing is ever resumed here.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from django.db.models import Q
from django.utils import timezone

from registry import selectors
from registry.core import notices
from registry.core.requests import jst_day
from registry.log.core.errors import VerificationError
from registry.models import Grant, StageName, Talent
from registry.services import people, review, seats
from registry.services.contacts import notice_give

logger = logging.getLogger(__name__)
_LIVE: Final = ("active", "paused")


def authority_sweep(*, at: datetime | None = None) -> dict[str, int]:
    """Carry out everything that is due; how much of each was done.

    (1) roles that ended; (2) names that began; (3) notices before an 18th birthday; (4) grants that
    no longer rest on anybody's authority are paused. One row that cannot be read stops no other; it
    is counted in `failed` and named in the log of the process.
    """
    at = at or timezone.now()
    done = {"left": seats.seats_close(at=at), "renamed": _rename(at), "told": _tell(at)}
    paused, failed = 0, 0
    for grant in Grant.objects.filter(state__in=_LIVE).order_by("id").iterator():
        try:
            paused += len(review.grants_review([grant], at=at))
        except (VerificationError, ValueError, KeyError):
            failed += 1
            logger.exception("grant %s cannot be reviewed", grant.id)
    return {**done, "paused": paused, "failed": failed}


def _rename(at: datetime) -> int:
    day = jst_day(at)
    begun = StageName.objects.filter(begun_on__lte=day).filter(
        Q(ended_on__isnull=True) | Q(ended_on__gte=day)
    )
    rows = Talent.objects.filter(id__in=begun.values("talent")).select_related("person")
    return sum(people.name_apply(talent=talent, day=day) for talent in rows.iterator())


def _tell(at: datetime) -> int:
    """To the talent and to whoever speaks for her today."""
    day, told = jst_day(at), 0
    guarded = Talent.objects.filter(guardianships__ended_on__isnull=True).distinct()
    for talent in guarded.filter(guardianships__isnull=False).select_related("person"):
        born = talent.birth_date
        if born is None:
            continue
        for kind, due_on in notices.birthday_notices(born, day):
            hearers = {talent.person_id}
            hearers |= {row.person_id for row in selectors.guardians_on(talent, day)}
            for person_id in sorted(hearers):
                told += notice_give(
                    person_id=person_id, kind=kind, subject=talent.id, due_on=due_on
                )
    return told
