"""Messages to people and the links in them. A row says what became of each: nothing is silent."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.models.clearance import Lane, TrainingRequest
from registry.models.fields import PseudonymField
from registry.models.parties import Person


class Letter(models.Model):
    """One thing to tell one person. Its words are in `registry.core.letters`, never here."""

    class State(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        FAILED = "failed"
        DROPPED = "dropped"  # answered before it was sent

    class Channel(models.TextChoices):
        EMAIL = "email"
        PORTAL = "portal"  # no address: it stands on the person's own page

    id = PseudonymField(prefix="ltr")
    person = models.ForeignKey(Person, models.PROTECT, related_name="letters")
    kind = models.CharField(max_length=12)
    request = models.ForeignKey(TrainingRequest, models.PROTECT, null=True, related_name="letters")
    lane = models.ForeignKey(Lane, models.PROTECT, null=True, related_name="letters")
    channel = models.CharField(max_length=8, choices=Channel, default=Channel.EMAIL)
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED, db_index=True)
    error = models.CharField(max_length=24, blank=True)  # no_address, rejected, undeliverable
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    send_after = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["state", "send_after"], name="registry_letter_queue")
        ]

    def __str__(self) -> str:
        return self.id


class AccessLink(models.Model):
    """A link in a message: opens, asks, refuses and withdraws for one person; never approves.

    Only hashes are kept. `code_digest` is keyed with the link's own token, so that the six digits
    cannot be found from this row.
    """

    id = PseudonymField(prefix="lnk")
    person = models.ForeignKey(Person, models.PROTECT, related_name="links")
    digest = models.CharField(max_length=64, unique=True)
    code_digest = models.CharField(max_length=64)
    wrong_codes = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.id


class UsedForm(models.Model):
    """A form behind a link that was sent in: each counts once."""

    nonce = models.CharField(primary_key=True, max_length=32)
    used_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.nonce


class Question(models.Model):
    """What a party wants to know before answering. It ends nothing and delays nothing."""

    id = PseudonymField(prefix="qst")
    lane = models.ForeignKey(Lane, models.PROTECT, related_name="questions")
    person = models.ForeignKey(Person, models.PROTECT, related_name="questions")
    text = models.TextField()
    asked_at = models.DateTimeField()
    reply = models.TextField(blank=True)
    replied_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    replied_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.id
