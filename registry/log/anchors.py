"""What stands outside: witnesses and time-stamping authorities, and how each of them fared.

Whoever relies on the log relies on these, so none of them fails silently: the newest answer and the
newest failure of each are rows, shown by `manage.py log_status` and by whoever asks `states`.
"""

from typing import Final

from django.utils import timezone

from registry.log import models

ROLLED_BACK_ADVICE: Final = (
    "Nothing is signed. If this database was restored from a backup: restore the newest one"
    " instead, or open a new origin with `manage.py log_new_origin`, which keeps these entries and"
    " says in the log what was lost. Never delete the exported checkpoint to get past this"
)


def answered(name: str, kind: str, size: int) -> None:
    """Record that `name` vouched for the tree of `size`; its last failure is over."""
    models.Anchor.objects.update_or_create(
        name=name,
        defaults={"kind": kind, "size": size, "answered_at": timezone.now(), "failure": ""},
    )


def failed(name: str, kind: str, reason: str) -> None:
    """Record that `name` did not vouch, and why (at most 500 characters are kept)."""
    models.Anchor.objects.update_or_create(
        name=name,
        defaults={"kind": kind, "failed_at": timezone.now(), "failure": reason[:500]},
    )


def sizes() -> dict[str, int]:
    """Return the size that each anchor vouched for last."""
    return dict(models.Anchor.objects.values_list("name", "size"))


def states() -> list[models.Anchor]:
    """Return every anchor's state, witnesses first; `failure` is empty when all is well."""
    return list(models.Anchor.objects.order_by("-kind", "name"))
