"""Check the lookup table against the entries: it decides what people find, so it is checked too."""

from collections.abc import Sequence

from django.db import connection

from registry.log import models
from registry.log.core import canonical, subjects
from registry.log.core.errors import VerificationError


def check_page(entries: Sequence[models.Entry]) -> int:
    """Return how many lookups these entries have; each must be there.

    Raises VerificationError `fsck_subject` naming the first entry that lacks one.
    """
    named = [
        (word, row.index)
        for row in entries
        for word in subjects.words_of(canonical.loads(bytes(row.payload)))
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.index, e.word FROM unnest(%s::text[], %s::bigint[]) AS e(word, index)"
            " WHERE NOT EXISTS (SELECT 1 FROM log_subject s WHERE s.word = e.word"
            " AND s.index = e.index) ORDER BY e.index, e.word LIMIT 1",
            [[word for word, _index in named], [index for _word, index in named]],
        )
        missing = cursor.fetchone()
    if missing is not None:
        raise VerificationError("fsck_subject", f"entry {missing[0]} is not found by {missing[1]}")
    return len(named)


def check_total(expected: int) -> None:
    """Refuse lookups beyond the `expected` ones, which were all found: `fsck_subject`."""
    if models.Subject.objects.count() == expected:
        return
    for row in models.Subject.objects.order_by("index", "word").iterator(2_000):
        entry = models.Entry.objects.filter(index=row.index).first()
        event = None if entry is None else canonical.loads(bytes(entry.payload))
        if event is None or row.word not in subjects.words_of(event):
            raise VerificationError("fsck_subject", f"{row}: no such entry names it")
    raise VerificationError("fsck_subject", "the lookup table changed while it was checked")
