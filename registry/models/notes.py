"""What a person tells the platform alone: no other party of the case ever reads these rows."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.db import models

from registry.models.clearance import Lane
from registry.models.fields import PseudonymField
from registry.models.parties import Person, Talent

_BLOCK: Final = 2048


class PrivateNote(models.Model):
    """One is written with every answer of a talent or guardian, whether or not anything is in it.

    So an answer with "I was pressed" does the same work and looks the same as one without. While a
    note with `pressed` has not been looked at, nothing is minted for the talent. What was said, and
    what the platform found, is encrypted under the person's own key and filled up to whole blocks:
    a copy of the database tells neither the words nor how many there were.
    """

    talent = models.ForeignKey(Talent, models.PROTECT, related_name="private_notes")
    person = models.ForeignKey(Person, models.PROTECT, related_name="private_notes")
    lane = models.ForeignKey(Lane, models.PROTECT, null=True, related_name="private_notes")
    sealed_reason = models.BinaryField(null=True, editable=False)
    pressed = models.BooleanField(default=False)
    at = models.DateTimeField()
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    sealed_finding = models.BinaryField(null=True, editable=False)

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

    @property
    def reason(self) -> str:
        """Why, in the person's words; empty if nothing was said, or once the person is erased."""
        return self._unsealed(self.sealed_reason)

    @reason.setter
    def reason(self, text: str) -> None:
        self.sealed_reason = self._sealed(text)

    @property
    def finding(self) -> str:
        """What the platform's operator found and did."""
        return self._unsealed(self.sealed_finding)

    @finding.setter
    def finding(self, text: str) -> None:
        self.sealed_finding = self._sealed(text)

    def _sealed(self, text: str) -> bytes | None:
        if self.person.own_key() is None:  # erased: nothing is kept about them any more
            return None
        filled = {"said": text, "fill": " " * (_BLOCK - len(text.encode()) % _BLOCK)}
        return self.person.seal(filled, "private_note")

    def _unsealed(self, data: bytes | memoryview | None) -> str:
        found = self.person.unseal(data, "private_note")
        return "" if found is None else str(found["said"])


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
