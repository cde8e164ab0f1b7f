"""How often somebody did something lately: what bounds guessing and costly questions."""

from __future__ import annotations

from django.db import models


class Throttle(models.Model):
    """A counter over a window. `key` is a keyed hash: it names no account and no address."""

    key = models.CharField(primary_key=True, max_length=64)
    count = models.PositiveIntegerField()
    resets_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key[:8]} {self.count}"
