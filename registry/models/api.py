"""What the HTTP API remembers of its callers' retries."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.models.parties import Person


class IdempotencyKey(models.Model):
    """One POST that its sender may repeat: the answer is given again, the work is not done again.

    `status` is 0 while the first one is still running. Rows are kept for a day.
    """

    person = models.ForeignKey(Person, models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    path = models.CharField(max_length=300)
    body_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["person", "key"], name="registry_idempotency_once")
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.key}"
