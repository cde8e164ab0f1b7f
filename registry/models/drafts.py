"""What a photographer has typed so far: kept as it was typed, and seen by nobody else."""

from __future__ import annotations

from django.db import models

from registry.models.fields import PseudonymField
from registry.models.parties import Person


class RequestDraft(models.Model):
    """A request before it is filed. Gone in the moment in which the request stands."""

    id = PseudonymField(prefix="drf")
    person = models.ForeignKey(Person, models.PROTECT, related_name="request_drafts")
    data = models.JSONField(default=dict)  # registry.core.request_form: field -> what was typed
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.id
