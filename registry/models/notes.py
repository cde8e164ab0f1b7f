"""What a person tells the platform alone: no other party of the case ever reads these rows."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from registry.models.clearance import Lane
from registry.models.fields import PseudonymField
from registry.models.parties import Person, Talent


class PrivateNote(models.Model):
    """One is written with every answer of a talent or guardian, whether or not anything is in it.

    So an answer with "I was pressed" does the same work and looks the same as one without. While a
    note with `pressed` has not been looked at, nothing is minted for the talent.
    """

    talent = models.ForeignKey(Talent, models.PROTECT, related_name="private_notes")
    person = models.ForeignKey(Person, models.PROTECT, related_name="private_notes")
    lane = models.ForeignKey(Lane, models.PROTECT, null=True, related_name="private_notes")
    reason = models.TextField(blank=True)
    pressed = models.BooleanField(default=False)
    at = models.DateTimeField()
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    finding = models.TextField(blank=True)  # what the platform's operator found and did

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["talent"],
                condition=models.Q(pressed=True, reviewed_at__isnull=True),
                name="registry_note_open",
            )
        ]

    def __str__(self) -> str:
        return f"note {self.pk}"


class Review(models.Model):
    """The platform looks at something of a talent: nothing is minted for her meanwhile.

    Opened by an operator for any cause, so that being under review says nothing about its cause.
    """

    talent = models.ForeignKey(Talent, models.PROTECT, related_name="reviews")
    cause = models.TextField()
    opened_at = models.DateTimeField()
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        return f"review {self.pk}"


class EmergencyStop(models.Model):
    """A talent stopped everything of hers; open while `lifted_at` is empty."""

    id = PseudonymField(prefix="stp")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="stops")
    placed_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["talent"],
                condition=models.Q(lifted_at__isnull=True),
                name="registry_stop_one_open",
            )
        ]

    def __str__(self) -> str:
        return self.id
