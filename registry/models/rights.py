"""Whose the photographs are, which works they show, and who may sign for those holders."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.core.rights import WORK_KINDS
from registry.models.fields import PseudonymField
from registry.models.parties import Organisation, Person


class RightsHolder(models.Model):
    """A person or an organisation that holds rights. A committee signs by a mandate only."""

    id = PseudonymField(prefix="rho")
    person = models.OneToOneField(
        Person, models.PROTECT, null=True, blank=True, related_name="rights_holder"
    )
    organisation = models.OneToOneField(
        Organisation, models.PROTECT, null=True, blank=True, related_name="rights_holder"
    )
    # The companies of a production committee (製作委員会): together they hold, one signs for all.
    members = models.ManyToManyField(Organisation, blank=True, related_name="committees")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="registry_holder_is_one",
                condition=models.Q(person__isnull=False, organisation__isnull=True)
                | models.Q(person__isnull=True, organisation__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.person or self.organisation)

    @property
    def key(self) -> str:
        """How grants name this holder: the person's or the organisation's id."""
        return str(self.person_id or self.organisation_id)


class Mandate(models.Model):
    """A holder lets one person sign for it from a day until a day; the paper by its hash."""

    id = PseudonymField(prefix="man")
    holder = models.ForeignKey(RightsHolder, models.PROTECT, related_name="mandates")
    person = models.ForeignKey(Person, models.PROTECT, related_name="mandates")
    begun_on = models.DateField()
    ended_on = models.DateField(null=True, blank=True)
    proof_sha256 = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [
            # One delegated signer: two would let members play them off against each other.
            models.UniqueConstraint(
                fields=["holder"],
                condition=models.Q(ended_on__isnull=True),
                name="registry_mandate_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} / {self.holder}"


class Work(models.Model):
    """A character, costume or work that photographs may show.

    Anybody may propose one; until an operator has confirmed who holds it, no picture of it is
    cleared.
    """

    id = PseudonymField(prefix="wor")
    kind = models.CharField(max_length=20, choices=[(k, ja) for k, (ja, _) in WORK_KINDS.items()])
    title = models.CharField(max_length=200)
    title_en = models.CharField(max_length=200, blank=True)
    holders = models.ManyToManyField(RightsHolder, blank=True, related_name="works")
    proposed_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.title
