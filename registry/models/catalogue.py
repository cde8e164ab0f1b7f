"""The licence catalogue: models by digest, and what their licences allow, as dated revisions.

A revision is never edited: the database itself refuses (migration `catalogue`). What a base allows
is worked out from the newest revisions of the record and of its parts, by `registry.core.licences`.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from django.db import models

from registry.core.licences import KINDS, ROLES, Facts
from registry.models.fields import PseudonymField
from registry.models.parties import Organisation, Person


class ModelRecord(models.Model):
    """One model. `sha256` names its bytes; a record without it is a template that an operator
    completes by hashing a file."""

    id = PseudonymField(prefix="mdl")
    kind = models.CharField(max_length=20, choices=[(kind, kind) for kind in KINDS], default="base")
    name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64, blank=True)
    files = models.JSONField(default=list, blank=True)  # [{"name", "sha256"}] inside it
    air_id = models.CharField(max_length=200, blank=True)  # urn:air:…, as Civitai names models
    seed_key = models.CharField(max_length=60, blank=True)  # its row in registry/catalogue/
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sha256"], condition=~models.Q(sha256=""), name="registry_model_digest_once"
            ),
            models.UniqueConstraint(
                fields=["seed_key"],
                condition=~models.Q(seed_key=""),
                name="registry_model_seed_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def current(self) -> ModelRevision:
        """The newest revision. Raises `ModelRevision.DoesNotExist` for a record without one."""
        return self.revisions.order_by("number").select_related("record").latest("number")


class ModelRevision(models.Model):
    """The licence facts of one model as somebody read them on a day."""

    id = PseudonymField(prefix="rev")
    record = models.ForeignKey(ModelRecord, models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    facts = models.JSONField()  # registry.core.licences.Facts payload
    facts_sha256 = models.CharField(max_length=64)
    licence_text = models.TextField(blank=True)  # a snapshot, when we have one
    recorded_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    recorded_at = models.DateTimeField()
    event = models.CharField(max_length=40)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["record", "number"], name="registry_model_revision_number"
            )
        ]
        ordering: ClassVar = ["number"]

    def __str__(self) -> str:
        return f"{self.record} r{self.number}"

    def core(self) -> Facts:
        """The facts. Raises `ValueError` if the row was tampered with."""
        return Facts.from_payload(self.facts)

    @property
    def read_on(self) -> date:
        """The day on which somebody read the licence."""
        return date.fromisoformat(self.facts["read_on"])


class ModelPart(models.Model):
    """One model inside another, as a revision of the outer one says."""

    revision = models.ForeignKey(ModelRevision, models.PROTECT, related_name="parts")
    part = models.ForeignKey(ModelRecord, models.PROTECT, related_name="part_of")
    role = models.CharField(max_length=20, choices=[(role, role) for role in ROLES])

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["revision", "part", "role"], name="registry_model_part_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.revision} {self.role} {self.part}"


class LicenseeDeclaration(models.Model):
    """What a licensee declared so that licences with a size limit can be held against it: that a
    measure stays below a round figure. The newest of a measure and currency counts."""

    id = PseudonymField(prefix="dec")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="declarations")
    measure = models.CharField(max_length=20)  # registry.core.licences.MEASURES
    currency = models.CharField(max_length=3, blank=True)
    below = models.PositiveBigIntegerField()  # 0: not below anything that it would name
    declared_on = models.DateField()
    declared_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.organisation_id} {self.measure} < {self.below} {self.currency}"


class LicenceRegistration(models.Model):
    """An organisation's registration with the maker of a model, where the licence asks for one."""

    id = PseudonymField(prefix="lrg")
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, related_name="licence_registrations"
    )
    licence_id = models.CharField(max_length=120)
    number = models.CharField(max_length=120)
    registered_on = models.DateField()
    ended_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organisation", "licence_id"],
                condition=models.Q(ended_on__isnull=True),
                name="registry_registration_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id} {self.licence_id}"
