"""One case: a training request, its lanes, the grant that came of it, and the tokens minted."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.models.catalogue import ModelRecord
from registry.models.fields import PseudonymField
from registry.models.parties import CAPACITY_CHOICES, Credential, Organisation, Person, Talent


class TrainingRequest(models.Model):
    """What a photographer asks for. States: `registry.core.cases`."""

    id = PseudonymField(prefix="req")
    requester = models.ForeignKey(Organisation, models.PROTECT, related_name="requests")
    submitted_by = models.ForeignKey(Person, models.PROTECT, related_name="requests")
    licensee = models.ForeignKey(Organisation, models.PROTECT, related_name="licensed_requests")
    copyright_holder = models.ForeignKey(Person, models.PROTECT, related_name="+")
    talents = models.ManyToManyField(Talent, related_name="requests")
    base_model = models.ForeignKey(ModelRecord, models.PROTECT, related_name="requests")
    terms = models.JSONField()  # registry.core.terms.Terms payload
    recipe = models.JSONField()  # what the run will do: training.trainer.config.Recipe payload
    max_runs = models.PositiveSmallIntegerField(default=1)
    # Who worked on the pictures: they answer for nobody who is asked about them.
    retouchers = models.ManyToManyField(Person, related_name="retouched_requests", blank=True)
    state = models.CharField(max_length=16, default="draft")
    sign_by = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.id


class Grant(models.Model):
    """The exact bytes that people sign. One live grant a request; a change makes a new one."""

    id = PseudonymField(prefix="grt")
    request = models.ForeignKey(TrainingRequest, models.PROTECT, related_name="grants")
    payload = models.JSONField()
    canonical = models.BinaryField()  # RFC 8785 bytes: what was hashed, kept as evidence
    digest = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=12, default="asking")  # registry.core.cases.GRANT_STATES
    # The pictures by id, in their order, and what differs from the grant before this one:
    # {"terms": [{member, old, new}], "left_out": [positions], "added": [positions]}.
    pictures = models.JSONField(default=list, blank=True)
    changes = models.JSONField(default=dict, blank=True)
    runs_used = models.PositiveSmallIntegerField(default=0)
    made_event = models.CharField(max_length=40, blank=True)  # the `grant.made` log entry
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request"],
                condition=models.Q(state__in=["asking", "returned", "active", "paused"]),
                name="registry_grant_one_live",
            ),
            models.CheckConstraint(
                condition=models.Q(runs_used__gte=0), name="registry_grant_runs_used"
            ),
        ]

    def __str__(self) -> str:
        return self.id


class Lane(models.Model):
    """One party that must say yes, and how far that is. States: `registry.core.cases`."""

    class State(models.TextChoices):
        OPEN = "open"
        ASKED = "asked"
        OPENED = "opened"
        SIGNED = "signed"
        REFUSED = "refused"
        RETURNED = "returned"
        COUNTERED = "countered"
        UNREACHABLE = "unreachable"
        EXPIRED = "expired"
        WITHDRAWN = "withdrawn"
        DISMISSED = "dismissed"

    grant = models.ForeignKey(Grant, models.PROTECT, related_name="lanes")
    person = models.ForeignKey(Person, models.PROTECT, related_name="lanes")
    by = models.CharField(max_length=16, choices=CAPACITY_CHOICES)
    subject = models.CharField(max_length=24)
    authority = models.CharField(max_length=24, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.ASKED)
    # What the others may read; a talent's own reason is a `PrivateNote` until she shares it.
    reason = models.TextField(blank=True)
    ticks = models.JSONField(default=list, blank=True)  # what was ticked one by one, when signing
    remarks = models.JSONField(default=list, blank=True)  # of a return: [{field, text}]
    # Of a counter-offer: {"terms": payload, "left_out": [picture ids]}.
    offer = models.JSONField(null=True, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    reminders = models.PositiveSmallIntegerField(default=0)
    reminded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["grant", "person", "by", "subject"], name="registry_lane_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.by} {self.state}"


class Challenge(models.Model):
    """A WebAuthn challenge in flight, used once.

    `value` is what the key signs; for approvals and confirmations the id is the nonce in it.
    """

    class Purpose(models.TextChoices):
        ENROL = "enrol"
        APPROVE = "approve"
        RESUME = "resume"
        CONFIRM = "confirm"
        OUTPUTS = "outputs"

    id = PseudonymField(prefix="cha")
    person = models.ForeignKey(Person, models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=8, choices=Purpose)
    value = models.BinaryField()
    grant = models.ForeignKey(Grant, models.CASCADE, null=True, related_name="+")
    by = models.CharField(max_length=16, blank=True)
    ticks = models.JSONField(default=list, blank=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.id


class Approval(models.Model):
    """One signature, stored whole, for ever."""

    id = PseudonymField(prefix="apv")
    lane = models.OneToOneField(Lane, models.PROTECT, related_name="approval")
    credential = models.ForeignKey(Credential, models.PROTECT, related_name="approvals")
    payload = models.JSONField()  # registry.core.approvals.Approval payload
    asserted_at = models.DateTimeField()
    event = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.id


class Token(models.Model):
    """A consent token that was minted. `redeemed_at` is set by one statement, once."""

    jti = PseudonymField(prefix="tok")
    grant = models.ForeignKey(Grant, models.PROTECT, related_name="tokens")
    job_id = models.CharField(max_length=24)
    jkt = models.CharField(max_length=43)
    text = models.TextField()
    status_index = models.PositiveIntegerField(unique=True)
    status = models.PositiveSmallIntegerField(default=0)  # registry.core.status_list
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.jti


class SeenProof(models.Model):
    """A DPoP proof id that was used: RFC 9449 11.1, replay within the window is refused."""

    jti = models.CharField(primary_key=True, max_length=64)
    jkt = models.CharField(max_length=43)
    seen_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.jti
