"""Who must say yes to exactly these photographs, and what the grant says about it.

Stage 2, pure. One case clears every right around a picture: each person in it, everybody who speaks
for them, one copyright party for each holder of a photograph, the holders of every character,
costume and work, and each bystander who may be seen. `Clearances` is the part of the grant that
people sign about it; everything in it is counted from the rights sheet and nothing is typed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from registry.core.payload import Payload
from registry.core.refusals import Refusal
from registry.core.rights import BASES, RESERVED, Sheet

# Speaks for the talent whose id is the party's subject.
LIKENESS: Final = frozenset({"talent", "estate"})
PERMILLE: Final = 1000


@dataclass(frozen=True)
class Seat:
    """One yes that is needed: from a person, in a capacity, about a subject, by an authority.

    `subject` is the talent, the holder of photographs, the work, or the bystander. `authority` is
    the id of the record that gives the power; empty for people who speak for themselves.
    """

    person: str
    by: str
    subject: str
    authority: str = ""


@dataclass(frozen=True)
class Signer:
    """Somebody who may sign for a holder today: the holder, an officer, a committee's delegate."""

    person: str
    authority: str = ""


@dataclass(frozen=True)
class Copyright(Payload):
    """One holder's photographs on one basis: how many, and how many carry a machine-readable no."""

    holder: str
    party_id: str
    basis: str
    count: int
    reserved: int = 0


@dataclass(frozen=True)
class WorkClearance(Payload):
    """One holder of one character, costume or work, and in how many photographs it is seen."""

    work: str
    holder: str
    party_id: str
    kinds: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class BystanderClearance(Payload):
    """One person beside the talents who may be seen, and in how many photographs."""

    party_id: str
    count: int


@dataclass(frozen=True)
class Share(Payload):
    """A talent's part of a data set: in how many photographs, and that in permille of all."""

    talent: str
    count: int
    permille: int


# Members may only be appended, with a default.
@dataclass(frozen=True)
class Clearances(Payload):
    """What a grant says about the rights in its photographs."""

    rights_digest: str = ""
    copyright: tuple[Copyright, ...] = ()
    works: tuple[WorkClearance, ...] = ()
    bystanders: tuple[BystanderClearance, ...] = ()
    shares: tuple[Share, ...] = ()
    masked: int = 0
    retouchers: tuple[str, ...] = ()

    @classmethod
    def from_payload(cls, payload: Any) -> Clearances:
        """Parse strictly. Raises `ValueError`; the grant compares the result with its bytes."""
        found = super().from_payload(payload)
        rows = [*found.copyright, *found.works, *found.bystanders, *found.shares]
        counts = [v for row in rows for k, v in vars(row).items() if k in _COUNTS]
        # A count below nothing would balance another.
        if any(n < 0 for n in (*counts, found.masked)):
            raise ValueError("clearances: a count")
        return found


_COUNTS: Final = frozenset({"count", "reserved", "permille"})


class PartyLike(Protocol):
    """What `check` needs of a grant's party."""

    @property
    def party_id(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def subject(self) -> str: ...


def who_must_sign(
    sheet: Sheet,
    *,
    likeness: Iterable[Seat | Refusal],
    holders: Mapping[str, Sequence[Signer]],
    works: Mapping[str, Mapping[str, Sequence[Signer]]],
    requester: str,
) -> list[Seat | Refusal]:
    """Every seat of a case, in the order in which pages show them.

    `likeness` are the seats of the talents and of those who speak for them; `holders` says who may
    sign for each holder of photographs; `works` the same for each holder of each work. Nobody signs
    for a work what they asked for themselves; a photographer does sign for own photographs.
    """
    seats = list(likeness)
    for holder in sorted({row.holder for row in sheet.pictures}):
        seats.append(_seat("photo_copyright", holder, holders.get(holder, ())))
    for work in sorted({use.work for row in sheet.pictures for use in row.works}):
        for _holder, signers in sorted(works.get(work, {}).items()):
            others = [signer for signer in signers if signer.person != requester]
            seats.append(_seat("work_rights", work, others))
    for person in sorted({who for row in sheet.pictures for who in row.bystanders}):
        seats.append(Seat(person, "bystander", person))
    return list(dict.fromkeys(seats))


def _seat(by: str, subject: str, signers: Sequence[Signer]) -> Seat | Refusal:
    if not signers:
        return Refusal(f"approval_missing:{by}", subject)
    return Seat(signers[0].person, by, subject, signers[0].authority)


def clearances(
    sheet: Sheet,
    *,
    holders: Mapping[str, Sequence[Signer]],
    works: Mapping[str, Mapping[str, Sequence[Signer]]],
    requester: str,
) -> Clearances:
    """What the grant says, counted from the sheet. `who_must_sign` has found everybody before."""
    photos = Counter((row.holder, row.basis) for row in sheet.pictures)
    reserved = Counter(
        (row.holder, row.basis) for row in sheet.pictures if row.reservation in RESERVED
    )
    seen = Counter(who for row in sheet.pictures for who in row.bystanders)
    return Clearances(
        rights_digest=sheet.digest(),
        copyright=tuple(
            Copyright(holder, holders[holder][0].person, basis, count, reserved[holder, basis])
            for (holder, basis), count in sorted(photos.items())
        ),
        works=tuple(_works(sheet, works, requester)),
        bystanders=tuple(BystanderClearance(who, seen[who]) for who in sorted(seen)),
        shares=shares(Counter(talent for row in sheet.pictures for talent in row.talents)),
        masked=sum(row.masks > 0 for row in sheet.pictures),
        retouchers=sheet.retouchers(),
    )


def _works(
    sheet: Sheet, works: Mapping[str, Mapping[str, Sequence[Signer]]], requester: str
) -> list[WorkClearance]:
    found = []
    for work in sorted({use.work for row in sheet.pictures for use in row.works}):
        kinds = {use.kind for row in sheet.pictures for use in row.works if use.work == work}
        count = sum(any(use.work == work for use in row.works) for row in sheet.pictures)
        for holder, signers in sorted(works[work].items()):
            person = next(s.person for s in signers if s.person != requester)
            found.append(WorkClearance(work, holder, person, tuple(sorted(kinds)), count))
    return found


def shares(appearances: Mapping[str, int]) -> tuple[Share, ...]:
    """Each talent's part, from the number of pictures: whole permille that sum to exactly 1000.

    What rounding down leaves over goes to the largest remainders, and among equals to the first
    id, so that the same pictures always give the same shares.
    """
    counts = sorted(appearances.items())
    total = sum(count for _, count in counts)
    if not total:
        return ()
    floors = [count * PERMILLE // total for _, count in counts]
    by_remainder = sorted(
        range(len(counts)), key=lambda place: -(counts[place][1] * PERMILLE % total)
    )
    for place in by_remainder[: PERMILLE - sum(floors)]:
        floors[place] += 1
    return tuple(
        Share(talent, count, permille)
        for (talent, count), permille in zip(counts, floors, strict=True)
    )


def follows(found: Clearances, sheet: Sheet) -> bool:
    """Whether everything that a grant counts is what its rights sheet says; who signs for each
    holder is `check`'s to hold against the parties."""
    holders = {row.holder: [Signer(row.party_id)] for row in found.copyright}
    works: dict[str, dict[str, list[Signer]]] = {}
    for row in found.works:
        works.setdefault(row.work, {})[row.holder] = [Signer(row.party_id)]
    named = {row.holder for row in sheet.pictures} <= set(holders)
    shown = {use.work for row in sheet.pictures for use in row.works} <= set(works)
    return (
        named and shown and clearances(sheet, holders=holders, works=works, requester="") == found
    )


def check(found: Clearances, parties: Sequence[PartyLike], *, count: int) -> list[Refusal]:
    """What is wrong with a grant's clearances, whoever signed it; empty when they hold.

    (1) every photograph belongs to a holder on an accepted basis, no more and no fewer than there
    are; (2) whoever is named is a party of this grant in that very capacity, about that subject, so
    that their approval is among those that are counted; (3) the talents with a share are exactly
    the talents who sign, and the shares follow from the counts.
    """
    refusals = []
    # (1)
    held = sum(row.count for row in found.copyright)
    sound = all(row.basis in BASES and row.reserved <= row.count for row in found.copyright)
    if held != count or not sound or not found.rights_digest:
        refusals.append(Refusal("uncleared_copyright", f"{held} of {count} photographs"))
    # (2)
    named = {(party.party_id, party.by, party.subject) for party in parties}
    wanted = [(row.party_id, "photo_copyright", row.holder) for row in found.copyright]
    wanted += [(row.party_id, "work_rights", row.work) for row in found.works]
    wanted += [(row.party_id, "bystander", row.party_id) for row in found.bystanders]
    refusals += [
        Refusal(f"approval_missing:{by}", f"{party} for {subject}: no such party in the grant")
        for party, by, subject in wanted
        if (party, by, subject) not in named
    ]
    # (3)
    talents = {party.subject for party in parties if party.by in LIKENESS}
    counted = shares({share.talent: share.count for share in found.shares})
    fits = all(0 < share.count <= count for share in found.shares)
    same = {share.talent for share in found.shares} == talents and counted == found.shares
    if talents and not (fits and same):
        refusals.append(Refusal("shares_mismatch", f"{len(found.shares)} of {len(talents)}"))
    return refusals


def reserved(found: Clearances, approved: Iterable[tuple[str, str]]) -> list[Refusal]:
    """Holders whose files say no to training and who have not said yes in this very case.

    `approved` are pairs of party id and capacity. A machine-readable no is lifted by that holder's
    own signature and by nothing else; the next case finds it again.
    """
    given = set(approved)
    return [
        Refusal("reserved_by_holder", f"{row.party_id}: {row.reserved} photographs")
        for row in found.copyright
        if row.reserved and (row.party_id, "photo_copyright") not in given
    ]


def seen_by(found: Clearances, talent: str) -> dict[str, Any]:
    """What a talent's page shows of a blend: her own share, that there are others, not who."""
    own = next((share for share in found.shares if share.talent == talent), None)
    return {
        "people": len(found.shares),
        "own_permille": 0 if own is None else own.permille,
        "own_count": 0 if own is None else own.count,
        "others_permille": sorted(
            (share.permille for share in found.shares if share.talent != talent), reverse=True
        ),
    }
