"""What changes who may speak for a talent: estates, claims, proofs of identity, notices.

Beside `registry.models.parties`, which says who there is. Whether a row counts on a day is decided
by `registry.core.parties`.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from registry.models.clearance import Grant, TrainingRequest
from registry.models.drafts import RequestDraft
from registry.models.fields import PseudonymField
from registry.models.parties import CAPACITY_CHOICES, Organisation, Person, Representation, Talent


class Estate(models.Model):
    """Who speaks for a talent who has died, and by which chain of authority (A37)."""

    id = PseudonymField(prefix="est")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="estates")
    person = models.ForeignKey(Person, models.PROTECT, related_name="estates")
    chain = models.CharField(max_length=12)  # registry.core.parties.ESTATE_CHAINS
    proof_sha256 = models.CharField(max_length=64)
    checked_by = models.CharField(max_length=60)
    checked_on = models.DateField()
    begun_on = models.DateField()
    ended_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["talent", "person"],
                condition=models.Q(ended_on__isnull=True),
                name="registry_estate_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.person_id} / {self.talent_id}"


class RepresentationClaim(models.Model):
    """A second agency says that it represents the talent (A18).

    While it is open nobody can approve or mint for her. It is settled by two people: the talent
    says which agency it is, and an operator records the proof.
    """

    class State(models.TextChoices):
        OPEN = "open"
        UPHELD = "upheld"
        REJECTED = "rejected"

    id = PseudonymField(prefix="clm")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="claims")
    agency = models.ForeignKey(Organisation, models.PROTECT, related_name="claims")
    against = models.ForeignKey(Representation, models.PROTECT, related_name="claims")
    filed_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    filed_at = models.DateTimeField()
    begun_on = models.DateField()
    proof_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    talent_agrees = models.BooleanField(null=True)
    talent_said_at = models.DateTimeField(null=True, blank=True)
    settling_sha256 = models.CharField(max_length=64, blank=True)
    proved_by = models.CharField(max_length=60, blank=True)
    proved_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["talent", "agency"],
                condition=models.Q(state="open"),
                name="registry_claim_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.agency_id} / {self.talent_id} {self.state}"


class IdentityCheck(models.Model):
    """Somebody looked at proof of who a person or an organisation is (R03, A24).

    `sealed_birth` is the birth date on the document, encrypted for the person: a birth date that is
    changed afterwards is no longer proven.
    """

    id = PseudonymField(prefix="idc")
    person = models.ForeignKey(Person, models.PROTECT, null=True, related_name="identity_checks")
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, null=True, related_name="identity_checks"
    )
    kind = models.CharField(max_length=20)  # registry.core.parties.IDENTITY_LEVELS
    level = models.PositiveSmallIntegerField()
    document_sha256 = models.CharField(max_length=64, blank=True)
    sealed_birth = models.BinaryField(null=True, editable=False)
    checked_by = models.CharField(max_length=60)
    checked_on = models.DateField()
    void_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(person__isnull=False, organisation__isnull=True)
                | models.Q(person__isnull=True, organisation__isnull=False),
                name="registry_identity_one_subject",
            )
        ]

    def __str__(self) -> str:
        return f"{self.person_id or self.organisation_id} {self.kind}"


class AgeAlarm(models.Model):
    """Somebody who may be younger than the birth date says; stands until a document proves it."""

    class Source(models.TextChoices):
        CURATION = "curation"
        OPERATOR = "operator"

    id = PseudonymField(prefix="aal")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="age_alarms")
    source = models.CharField(max_length=10, choices=Source)
    raised_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(IdentityCheck, models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["talent"],
                condition=models.Q(settled_at__isnull=True),
                name="registry_age_alarm_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.talent_id} {self.source}"


class ContactPoint(models.Model):
    """Where a person is reached, encrypted for them. Replaced ones stay: warnings go there."""

    class Kind(models.TextChoices):
        MAIL = "mail"
        PHONE = "phone"

    id = PseudonymField(prefix="ctp")
    person = models.ForeignKey(Person, models.PROTECT, related_name="contacts")
    kind = models.CharField(max_length=5, choices=Kind)
    sealed_value = models.BinaryField(null=True, editable=False)
    added_at = models.DateTimeField()
    verified_at = models.DateTimeField(null=True, blank=True)
    replaced_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.person_id} {self.kind}"

    @property
    def value(self) -> str | None:
        """Decrypted; None once the person is erased."""
        found: str | None = self.person.unseal(self.sealed_value, self.id)
        return found


class Notice(models.Model):
    """Something a person must be told, once. `contact`: where to, if to a certain place."""

    id = PseudonymField(prefix="ntc")
    person = models.ForeignKey(Person, models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=24)  # registry.core.notices.TEXTS
    subject = models.CharField(max_length=24, blank=True)
    contact = models.CharField(max_length=24, blank=True)
    due_on = models.DateField()
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["person", "kind", "subject", "contact"], name="registry_notice_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.kind}"


class Confirmation(models.Model):
    """A person's key over "let this paused grant go on": stored whole, like an approval."""

    id = PseudonymField(prefix="cnf")
    grant = models.ForeignKey(Grant, models.PROTECT, related_name="confirmations")
    person = models.ForeignKey(Person, models.PROTECT, related_name="+")
    by = models.CharField(max_length=16, choices=CAPACITY_CHOICES)
    subject = models.CharField(max_length=24)  # the talent
    authority = models.CharField(max_length=24, blank=True)
    payload = models.JSONField()  # the assertion, as in registry.core.approvals.Approval
    confirmed_at = models.DateTimeField()
    event = models.CharField(max_length=40)
    # Set once everybody has confirmed: from then on these people stand in the place of the signers.
    counted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.grant_id} {self.by}"


class HandOver(models.Model):
    """A request or a draft of somebody who left an organisation, waiting for a colleague (R21)."""

    id = PseudonymField(prefix="hov")
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, related_name="+")
    request = models.ForeignKey(
        TrainingRequest, models.PROTECT, null=True, related_name="hand_overs"
    )
    draft = models.ForeignKey(RequestDraft, models.CASCADE, null=True, related_name="hand_overs")
    left_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    since = models.DateTimeField()
    taken_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request"],
                condition=models.Q(taken_at__isnull=True),
                name="registry_handover_one_open",
            ),
            models.UniqueConstraint(
                fields=["draft"],
                condition=models.Q(taken_at__isnull=True),
                name="registry_handover_one_open_draft",
            ),
            models.CheckConstraint(
                condition=models.Q(request__isnull=False, draft__isnull=True)
                | models.Q(request__isnull=True, draft__isnull=False),
                name="registry_handover_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class OrganisationBlock(models.Model):
    """An organisation that misused a likeness; open while `lifted_at` is empty.

    Why stays here; the log tells that it is so.
    """

    id = PseudonymField(prefix="blk")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="blocks")
    cause = models.TextField()
    placed_by = models.CharField(max_length=120)
    placed_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)
    event = models.CharField(max_length=40)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organisation"],
                condition=models.Q(lifted_at__isnull=True),
                name="registry_block_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id} since {self.placed_at}"
