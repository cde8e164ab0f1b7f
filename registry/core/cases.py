"""The one state machine of a case: which state of a request, a grant and a lane follows which.

Stage 2 of the flow, pure. Everything that moves one of the three moves it by these tables, and a
grant's state while people answer is computed from its lanes, never set beside them: `outcome`.
Field study 6.1, 6.2: the ways to end are kept apart because they mean different things to people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from registry.core.refusals import Refusal

States = Mapping[str, frozenset[str]]

# State of a request -> states it may go to. `submitted`: pictures are gathered and curated;
# `in_clearance`: a grant is being asked for; `returned`: somebody asked for a change; `cleared`:
# the grant holds. A new data set leads back to `in_clearance`, with every approval void.
REQUEST_STATES: Final[States] = {
    "draft": frozenset({"submitted"}),
    "submitted": frozenset({"in_clearance", "closed"}),
    "in_clearance": frozenset(
        {"in_clearance", "returned", "cleared", "refused", "withdrawn", "closed"}
    ),
    "returned": frozenset({"in_clearance", "refused", "withdrawn", "closed"}),
    "cleared": frozenset({"in_clearance", "withdrawn", "closed"}),
    "refused": frozenset(),
    "withdrawn": frozenset(),
    "closed": frozenset(),
}

# State of a grant -> states it may go to. Nothing that has ended comes back, and what was returned
# is never signed: a new grant takes its place.
GRANT_STATES: Final[States] = {
    "asking": frozenset({"active", "returned", "refused", "withdrawn", "superseded", "expired"}),
    "returned": frozenset({"refused", "withdrawn", "superseded", "expired"}),
    "active": frozenset({"paused", "withdrawn", "revoked", "superseded", "expired", "closed_out"}),
    "paused": frozenset({"active", "withdrawn", "revoked", "superseded", "expired", "closed_out"}),
    "refused": frozenset(),
    "withdrawn": frozenset(),
    "revoked": frozenset(),
    "superseded": frozenset(),
    "expired": frozenset(),
    "closed_out": frozenset(),
}
LIVE_GRANT: Final = tuple(state for state, onward in GRANT_STATES.items() if onward)

_ANSWERS: Final = frozenset({"signed", "refused", "returned", "countered"})
_OVERTAKEN: Final = frozenset({"expired", "withdrawn", "dismissed"})
# State of a lane -> states it may go to. `opened`: the content was looked at; `unreachable`: no
# message arrives, the person may still answer; `dismissed`: the content changed or the case ended,
# so whatever was said about it no longer counts.
LANE_STATES: Final[States] = {
    "open": frozenset({"asked"}) | _OVERTAKEN,
    "asked": frozenset({"opened", "unreachable"}) | _ANSWERS | _OVERTAKEN,
    "opened": _ANSWERS | _OVERTAKEN,
    "unreachable": frozenset({"opened"}) | _ANSWERS | _OVERTAKEN,
    "signed": frozenset({"withdrawn", "dismissed"}),
    # A no is always possible, and taking oneself out of it as well.
    "returned": frozenset({"refused", "withdrawn", "dismissed"}),
    "countered": frozenset({"refused", "withdrawn", "dismissed"}),
    "refused": frozenset({"withdrawn"}),
    "expired": frozenset({"withdrawn"}),
    "dismissed": frozenset({"withdrawn"}),
    "withdrawn": frozenset(),
}
# Lanes that wait for an answer.
PENDING: Final = frozenset({"asked", "opened", "unreachable"})

# Who may end a grant without a reason, at any time, with no veto of anybody.
MAY_WITHDRAW: Final = frozenset({"talent", "guardian", "estate"})
# Whoever works for the one who asks, or worked on the pictures, answers in none of these; whoever
# filed the request, only for photographs of their own. A colleague named as bystander would clear
# a stranger's face; a colleague who really stands there is masked.
NOT_BY_THEIR_SIDE: Final = frozenset(
    {"talent", "guardian", "agency_officer", "estate", "bystander"}
)
NOT_BY_REQUESTER: Final = NOT_BY_THEIR_SIDE | {"work_rights"}
# Who gets time to think before a yes counts; a no always counts at once.
COOLED: Final = frozenset({"talent", "guardian", "estate"})


def may_move(states: States, old: str, new: str) -> bool:
    """Whether a request, grant or lane may go from `old` to `new`."""
    return new in states.get(old, frozenset())


def sources(states: States, new: str) -> tuple[str, ...]:
    """The states from which `new` may be reached: what a compare-and-set compares with."""
    return tuple(old for old, onward in states.items() if new in onward)


def outcome(lanes: Collection[str]) -> str:
    """The state of a grant that is being asked for, from the states of all its lanes.

    `active` needs every lane signed, and at least one lane: nothing else is a yes.
    """
    for lane, grant in (
        ("withdrawn", "withdrawn"),
        ("refused", "refused"),
        ("dismissed", "superseded"),
        ("expired", "expired"),
        ("returned", "returned"),
        ("countered", "returned"),
    ):
        if lane in lanes:
            return grant
    return "active" if lanes and all(state == "signed" for state in lanes) else "asking"


@dataclass(frozen=True)
class Remark:
    """One thing somebody wants changed: the field of the request, and what, in their words."""

    field: str
    text: str


# What a remark may be about: members of the terms, and the rest of the request.
REMARK_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "media": ("使うもの", "what it is used for"),
    "territory": ("地域", "territory"),
    "term": ("期間", "term"),
    "quantity": ("点数", "number"),
    "client": ("依頼主・商品", "client and product"),
    "purpose": ("目的", "purpose"),
    "likeness_parts": ("使う部分", "parts of the likeness"),
    "transformations": ("変えてよいこと", "what may be changed"),
    "exposure": ("露出", "exposure"),
    "categories": ("分野", "fields"),
    "duties": ("義務", "duties"),
    "fee": ("対価", "fee"),
    "pictures": ("写真", "pictures"),
    "other": ("そのほか", "something else"),
}
MAX_REMARKS: Final = 20
MAX_REMARK: Final = 1000


def remarks_of(given: Iterable[Mapping[str, Any]]) -> tuple[Remark, ...] | Refusal:
    """Remarks as they came in; `remark_missing` for none, for an unknown field or an empty text."""
    found = []
    for item in given:
        field, text = item.get("field"), item.get("text")
        if field not in REMARK_FIELDS or not isinstance(text, str) or not text.strip():
            return Refusal("remark_missing", str(field)[:40])
        found.append(Remark(str(field), text.strip()[:MAX_REMARK]))
    if not 1 <= len(found) <= MAX_REMARKS:
        return Refusal("remark_missing", f"{len(found)} remarks")
    return tuple(found)


def conflict(by: str, *, filed: bool, their_side: bool) -> Refusal | None:
    """`self_approval` where somebody would answer for another what they ask for themselves.

    `filed`: it is their own request; `their_side`: they act for the company that asks, or worked on
    the pictures. Requirement R02: one account may have several roles, but not in one case.
    """
    if (filed and by in NOT_BY_REQUESTER) or (their_side and by in NOT_BY_THEIR_SIDE):
        return Refusal("self_approval", by)
    return None


def cooling_until(
    by: str, *, asked_at: datetime, territory: Collection[str], hours: Mapping[str, int]
) -> datetime:
    """From when a yes of this capacity counts. `hours`: `default` and, apart from it, by country.

    Time to think starts when exactly this content was put before the person, so any change of it
    starts anew. The longest time of all countries named holds; the whole world takes the longest.
    """
    if by not in COOLED:
        return asked_at
    named = [hours["default"], *(hours[land] for land in territory if land in hours)]
    if "worldwide" in territory:
        named += hours.values()
    return asked_at + timedelta(hours=max(named))


def cooling(until: datetime, *, at: datetime) -> Refusal | None:
    """`cooling` while the time to think runs; the detail says until when (ISO 8601)."""
    if at >= until:
        return None
    return Refusal("cooling", until.isoformat(timespec="minutes"))
