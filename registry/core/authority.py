"""What a change of authority does to a grant that exists: why it pauses, and who lets it go on.

Between stages 2 and 4. Pure. A grant rests on the people who signed it, or on those who confirmed
it after its last pause; when one of them no longer speaks for the talent it is paused and never
inherited (A17). It goes on when everybody who speaks for the talent today has confirmed with a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry.core.parties import APPROVE, Speaker, Standing, speakers
from registry.core.refusals import Refusal
from registry.log.core import canonical

FORMAT: Final = "kyodaku/confirmation/v1"
# The words of `registry.core.holds` that come from here; another floor's holds are lifted there.
REASONS: Final = ("representation", "came_of_age", "guardian", "retired", "deceased", "age_doubt")


@dataclass(frozen=True)
class Bound:
    """Somebody on whose word a grant rests. `agency_id` is that of the representation, if any."""

    by: str
    subject: str
    person_id: str
    authority: str = ""
    agency_id: str = ""


@dataclass(frozen=True)
class Wanted:
    """Somebody who must confirm before a paused grant goes on, and for which talent."""

    subject: str
    speaker: Speaker


def causes(bound: Iterable[Bound], standings: Mapping[str, Standing]) -> list[tuple[str, str]]:
    """Why a grant pauses on a day: (reason, id of what caused it), each once."""
    found: list[tuple[str, str]] = []
    for party in bound:
        found += _causes(party, standings[party.subject])
    return list(dict.fromkeys(found))


def _causes(party: Bound, standing: Standing) -> list[tuple[str, str]]:
    talent = standing.talent_id
    found = []
    if standing.age_alarm:
        found.append(("age_doubt", talent))
    if standing.retired and not standing.died:
        found.append(("retired", talent))
    if standing.died and party.by in ("talent", "guardian"):
        found.append(("deceased", talent))
    if party.by == "estate" and party.person_id not in {h.person_id for h in standing.heirs}:
        found.append(("deceased", talent))
    if party.by == "guardian" and not standing.died:
        if not standing.minor:
            found.append(("came_of_age", talent))
        elif party.authority not in {g.id for g in standing.guardians}:
            found.append(("guardian", party.authority))
    # A contract that the same agency renewed without a gap is the same authority.
    signs = {r.agency_id for r in standing.representations if APPROVE in r.powers}
    if party.by == "agency_officer" and party.agency_id not in signs:
        found.append(("representation", party.authority))
    return found


def wanted(standings: Sequence[Standing]) -> list[Wanted | Refusal]:
    """Everybody who must confirm today, talent by talent, or why nobody can."""
    found: list[Wanted | Refusal] = []
    for standing in standings:
        for item in speakers(standing):
            found.append(item if isinstance(item, Refusal) else Wanted(standing.talent_id, item))
    return found


def challenge(grant_digest: str, holds: Iterable[tuple[str, str]], *, nonce: str) -> bytes:
    """The 32 bytes that a key signs to let a grant go on: the grant and what it was paused for.

    `nonce` is drawn when the person is asked, so that nobody is made to confirm the next pause too.

    A context of its own, so that a confirmation is never an approval and the other way round.
    """
    causes_ = [{"reason": reason, "ref": ref} for reason, ref in sorted(holds)]
    said = {"grant_digest": grant_digest, "holds": causes_, "nonce": nonce}
    return canonical.digest(FORMAT, said)
