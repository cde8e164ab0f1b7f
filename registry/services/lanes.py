"""How lanes change state: by compare-and-set along `registry.core.cases`, under the grant's lock.

Stage 2. Callers hold the lock of `registry.services.grants.lock`; what a change of lanes makes of
the grant is decided by `cases.outcome`, in one place for every answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from registry.core import cases
from registry.log.append import append
from registry.models import Approval, Grant, Lane

# What becomes of a lane that still waits when its grant ends in some state.
_LEFT_OVER = {"expired": "expired"}


def move(lanes: QuerySet[Lane], state: str, **values: Any) -> list[Lane]:
    """Set the state of those lanes that may go there; returns them as they are now.

    `values` are further columns, set in the same statement.
    """
    movable = lanes.filter(state__in=cases.sources(cases.LANE_STATES, state)).order_by("id")
    ids = list(movable.values_list("id", flat=True))
    movable.model.objects.filter(
        id__in=ids, state__in=cases.sources(cases.LANE_STATES, state)
    ).update(state=state, **values)
    return list(Lane.objects.filter(id__in=ids, state=state).order_by("id"))


def outcome(grant: Grant) -> str:
    """What the lanes make of a grant that is being asked for."""
    return cases.outcome(list(Lane.objects.filter(grant=grant).values_list("state", flat=True)))


def close(grant: Grant, *, at: datetime) -> None:
    """The grant has ended: nothing waits for an answer any more."""
    waiting = Lane.objects.filter(grant=grant, state__in={"open", *cases.PENDING})
    move(waiting, _LEFT_OVER.get(grant.state, "dismissed"), decided_at=at)


def dismiss(grant: Grant, *, successor: str, at: datetime) -> list[Lane]:
    """New content takes this grant's place: what anybody said about it no longer counts.

    Each signature that is voided so stands in the log.
    """
    signed = {lane.id for lane in Lane.objects.filter(grant=grant, state="signed")}
    gone = move(Lane.objects.filter(grant=grant), "dismissed")
    for row in Approval.objects.filter(lane__in=signed).order_by("id"):
        if row.id != row.payload["approval_id"]:
            continue  # one signature over several lanes is dismissed once
        append(
            "approval.dismissed",
            {
                "approval_id": row.id,
                "grant_id": grant.id,
                "grant_digest": grant.digest,
                "party_id": row.payload["party_id"],
                "by": row.payload["by"],
                "successor": successor,
            },
            at=at,
        )
    return gone
