"""What a talent never allows, and what she opened: set by herself, narrowed by her agency. Stage 1.

R44: the talent can widen, the agency alone cannot. What she opens may be asked for; each request
still needs her tick and her key. The log tells that it changed, never what: it is public.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from registry import selectors
from registry.core import vocabulary
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import OPENABLE, Problem
from registry.core.vocabulary import NOT_FOR_MINORS
from registry.log.append import append
from registry.models import Person, Talent

# What can be ruled out for ever: words that stand for something that is done with the person.
RULED_OUT: Final = (
    *vocabulary.MEDIA,
    *(word for word in vocabulary.TRANSFORMATIONS if word != "none"),
    *(word for word in vocabulary.EXPOSURE if word != "full_clothed"),
    *vocabulary.CATEGORIES,
    vocabulary.WORLDWIDE,
)


@transaction.atomic
def wishes_set(
    *,
    by: Person,
    talent: Talent,
    never: Collection[str],
    opened: Collection[str],
    at: datetime | None = None,
) -> Talent | list[Refusal | Problem]:
    """Replace both lists. (1) who asks; (2) the words; (3) whether it narrows; (4) row and log.

    The talent sets them as she likes; an officer of the agency that represents her today only adds
    to `never` and takes from `opened` (`talent_only` otherwise). Raises `PermissionDenied` for
    anybody else.
    """
    at = at or timezone.now()
    row = Talent.objects.select_for_update(of=("self",), no_key=True).get(id=talent.id)
    # (1)
    herself = row.person_id == by.id
    if not herself and not _speaks_for(by, row, at):
        raise PermissionDenied
    # (2)
    found: list[Refusal | Problem] = [
        Problem(
            name, f"「{word[:40]}」は用語にありません。", f"“{word[:40]}” is not in the vocabulary."
        )
        for name, given, known in (("never", never, RULED_OUT), ("opened", opened, OPENABLE))
        for word in sorted(set(given) - set(known))
    ]
    if row.is_minor(jst_day(at)):
        found += [Refusal("minor_rule", w) for w in sorted(NOT_FOR_MINORS.intersection(opened))]
    # (3)
    wider = set(opened) - set(row.opened_list) or set(row.never_list) - set(never)
    if not herself and wider:
        found.append(Refusal("talent_only"))
    if found:
        return found
    # (4)
    row.never_list, row.opened_list = sorted(set(never)), sorted(set(opened))
    row.save(update_fields=["never_list", "opened_list"])
    capacity = "talent" if herself else "agency_officer"
    append("wishes.changed", {"talent_id": row.id, "party_id": by.id, "by": capacity}, at=at)
    return row


def _speaks_for(person: Person, talent: Talent, at: datetime) -> bool:
    representation = selectors.representation_on(talent, jst_day(at))
    return representation is not None and person in selectors.officers_of(representation.agency)
