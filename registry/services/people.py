"""What happens in a talent's life: another name, retirement and return, death (A17, A37, A38).

Before stage 1. The id of a person never changes and the log names nobody, so another name changes
nothing that was signed. A day to come is carried out by `registry.services.sweep`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import parties as rules
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import Problem
from registry.log.append import append
from registry.models import Person, StageName, Talent
from registry.services.review import talent_review


@transaction.atomic
def stage_name_change(
    *,
    talent: Talent,
    name: str,
    begun_on: date,
    kana: str = "",
    romaji: str = "",
    at: datetime | None = None,
) -> StageName | Problem | Refusal:
    """Another stage name from a day on; the former one is kept and shown to nobody.

    `wrong_state`: the present name began on that day or later.
    """
    at = at or timezone.now()
    tidy = rules.tidy_name(name, "name")
    reading = rules.tidy_name(kana, "kana", needed=False)
    latin = rules.tidy_name(romaji, "romaji", needed=False)
    if isinstance(tidy, Problem):
        return tidy
    if isinstance(reading, Problem):
        return reading
    if isinstance(latin, Problem):
        return latin
    Talent.objects.select_for_update(no_key=True).get(id=talent.id)
    old = StageName.objects.filter(talent=talent, ended_on__isnull=True).first()
    if old is not None:
        if old.begun_on >= begun_on:
            return Refusal("wrong_state", "a name begins after the one before it")
        old.ended_on = begun_on - timedelta(days=1)
        old.save(update_fields=["ended_on"])
    row = StageName.objects.create(
        talent=talent, name=tidy, kana=reading, romaji=latin, begun_on=begun_on
    )
    append("talent.renamed", {"talent_id": talent.id, "day": begun_on.isoformat()}, at=at)
    name_apply(talent=talent, day=jst_day(at))
    return row


def name_apply(*, talent: Talent, day: date) -> bool:
    """Show the talent under the name of the day; False: it is shown already."""
    current = selectors.stage_name_on(talent, day)
    person = Person.objects.get(id=talent.person_id)
    if current is None or person.erased_at is not None:
        return False
    shown = (person.display_name, person.display_name_en, talent.kana)
    if shown == (current.name, current.romaji, current.kana):
        return False
    Person.objects.filter(id=person.id).update(
        display_name=current.name, display_name_en=current.romaji
    )
    Talent.objects.filter(id=talent.id).update(kana=current.kana)
    talent.refresh_from_db()
    return True


@transaction.atomic
def talent_retire(*, talent: Talent, from_day: date, at: datetime | None = None) -> list[str]:
    """The talent retires from a day on: every grant pauses; returns those paused at once."""
    at = at or timezone.now()
    Talent.objects.filter(id=talent.id).update(retired_from=from_day)
    append("talent.retired", {"talent_id": talent.id, "day": from_day.isoformat()}, at=at)
    talent.refresh_from_db()
    return talent_review(talent=talent, at=at)


@transaction.atomic
def talent_return(*, talent: Talent, at: datetime | None = None) -> Refusal | None:
    """The talent is back. What was paused stays paused until it is confirmed."""
    at = at or timezone.now()
    rows = Talent.objects.filter(id=talent.id, retired_from__isnull=False)
    if rows.update(retired_from=None) != 1:
        return Refusal("wrong_state", "not retired")
    append("talent.returned", {"talent_id": talent.id}, at=at)
    talent.refresh_from_db()
    return None


@transaction.atomic
def talent_died(
    *, talent: Talent, died_on: date, proof_sha256: str, at: datetime | None = None
) -> list[str]:
    """The talent has died: everything pauses until the estate's authority is proven (A37).

    Raises `ValueError` for a day to come or without the digest of a proof.
    """
    at = at or timezone.now()
    if died_on > jst_day(at) or len(proof_sha256) != 64:
        raise ValueError("a death has a day and a proof")
    Talent.objects.filter(id=talent.id).update(died_on=died_on)
    data = {"talent_id": talent.id, "day": died_on.isoformat(), "proof_sha256": proof_sha256}
    append("talent.died", data, at=at)
    talent.refresh_from_db()
    return talent_review(talent=talent, at=at)
