"""What keeps a grant paused: a row a cause. A grant holds again when none of its rows is open."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.models.clearance import Grant
from registry.models.fields import PseudonymField
from registry.models.parties import Person


class GrantHold(models.Model):
    """One cause for which a grant is paused. `ref` is the id of what caused it."""

    id = PseudonymField(prefix="hld")
    grant = models.ForeignKey(Grant, models.PROTECT, related_name="holds")
    reason = models.CharField(max_length=40)  # registry.core.holds.REASONS
    ref = models.CharField(max_length=40, blank=True)
    placed_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["grant", "reason", "ref"],
                condition=models.Q(lifted_at__isnull=True),
                name="registry_hold_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.reason}"
