"""Who there is: people, organisations, who represents whom from when to when, and their keys.

Names and birth dates are here and nowhere else; the log, the grants and the tokens hold
pseudonymous ids. Erasing a person clears these rows and destroys the key share; every proof still
verifies.
"""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models

from registry.models.fields import PseudonymField

CAPACITY_CHOICES = [
    ("talent", "talent"),
    ("guardian", "guardian"),
    ("agency_officer", "agency_officer"),
    ("photo_copyright", "photo_copyright"),
    ("work_rights", "work_rights"),
    ("bystander", "bystander"),
    ("estate", "estate"),
]


class Organisation(models.Model):
    """An agency, a studio, a publisher: whoever acts under a company's name."""

    class Kind(models.TextChoices):
        AGENCY = "agency"
        STUDIO = "studio"
        CLIENT = "client"

    id = PseudonymField(prefix="org")
    kind = models.CharField(max_length=12, choices=Kind)
    name = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200, blank=True)
    # The age recipient to which deliveries for this organisation are encrypted.
    delivery_recipient = models.CharField(max_length=200, blank=True)
    # Sells adult content: no minor is ever licensed to it, and nobody can lift that.
    adult_rated = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Person(models.Model):
    """A human being who signs, whatever hats they wear. `id` is the party id in grants."""

    id = PseudonymField(prefix="per")
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    display_name = models.CharField(max_length=120)
    display_name_en = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.display_name


class Talent(models.Model):
    """The person depicted. Never "asset"."""

    id = PseudonymField(prefix="tal")
    person = models.OneToOneField(Person, models.PROTECT, related_name="talent")
    kana = models.CharField(max_length=120, blank=True)
    birth_date = models.DateField(null=True, blank=True)
    # Words of registry.core.terms that this person never allows. The agency cannot shorten it.
    never_list = models.JSONField(default=list, blank=True)
    # Words of registry.core.terms.OPENABLE that this person opened, in her own session. Only she
    # lengthens it; the agency can shorten it.
    opened_list = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return str(self.person)

    def is_minor(self, on: date) -> bool:
        """Under 18 on that day; an unknown birth date counts as minor (fail closed)."""
        if self.birth_date is None:
            return True
        born = self.birth_date
        years = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
        return years < 18


class Membership(models.Model):
    """A person acts for an organisation, in a role, while the row is active."""

    class Role(models.TextChoices):
        OFFICER = "officer"  # may approve for the agency
        MANAGER = "manager"
        VIEWER = "viewer"
        PHOTOGRAPHER = "photographer"

    id = PseudonymField(prefix="mbr")
    person = models.ForeignKey(Person, models.PROTECT, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)
    active = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["person", "organisation", "role"], name="registry_membership_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} {self.role} {self.organisation}"


class Representation(models.Model):
    """An agency represents a talent exclusively over a period. Always looked up as of a date."""

    id = PseudonymField(prefix="rep")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="representations")
    agency = models.ForeignKey(Organisation, models.PROTECT, related_name="representations")
    period = DateRangeField()
    # The talent's key as int8, because the embedded server lacks btree_gist and an exclusion
    # constraint needs a range-typed key: int8range(n, n, '[]') && is equality.
    talent_number = models.BigIntegerField(editable=False)

    class Meta:
        constraints: ClassVar = [
            ExclusionConstraint(
                name="registry_representation_exclusive",
                expressions=[
                    (
                        models.Func(
                            models.F("talent_number"),
                            models.F("talent_number"),
                            models.Value("[]"),
                            function="int8range",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    ("period", RangeOperators.OVERLAPS),
                ],
            )
        ]

    def __str__(self) -> str:
        return f"{self.agency} / {self.talent} {self.period}"

    def save(self, **kwargs: Any) -> None:
        """Derive the range-typed key from the talent's id (60 of its 80 random bits)."""
        self.talent_number = int(self.talent_id[4:19], 16)
        super().save(**kwargs)


class Guardianship(models.Model):
    """A guardian speaks for a minor from a day until a day, at most until the 18th birthday."""

    id = PseudonymField(prefix="gua")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="guardianships")
    person = models.ForeignKey(Person, models.PROTECT, related_name="guardianships")
    begun_on = models.DateField()
    ended_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["talent", "person"],
                condition=models.Q(ended_on__isnull=True),
                name="registry_guardianship_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} / {self.talent}"


class Credential(models.Model):
    """A key with which a person approves: enrolled by that person on their own device.

    `enrolment_event` is the log entry that made the key public before it could approve anything.
    """

    id = PseudonymField(prefix="key")
    person = models.ForeignKey(Person, models.PROTECT, related_name="credentials")
    credential_id = models.BinaryField(unique=True)
    cose_key = models.BinaryField()
    thumbprint = models.CharField(max_length=64, unique=True)
    assurance = models.CharField(max_length=8, choices=[("passkey", "passkey"), ("test", "test")])
    label = models.CharField(max_length=60, blank=True)
    enrolment_event = models.CharField(max_length=40)
    enrolled_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.person} {self.thumbprint[:8]}"


class KeyShare(models.Model):
    """A talent's share of every data set key that shows them, wrapped under the root key.

    Scoped to one training request, so that withdrawing from one does not shred another. The row is
    deleted to shred; `shredded_at` on the tombstone says when.
    """

    talent = models.ForeignKey(Talent, models.PROTECT, related_name="key_shares")
    request = models.ForeignKey(
        "registry.TrainingRequest", models.PROTECT, related_name="key_shares"
    )
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    shredded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["talent", "request"], name="registry_keyshare_once"),
            models.CheckConstraint(
                condition=models.Q(wrapped__isnull=False, shredded_at__isnull=True)
                | models.Q(wrapped__isnull=True, shredded_at__isnull=False),
                name="registry_keyshare_whole_or_shredded",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.talent_id} {self.request_id}"


class ApiKey(models.Model):
    """An organisation's key to the HTTP API. Only its hash is kept; it is shown once."""

    id = PseudonymField(prefix="api")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="api_keys")
    person = models.ForeignKey(Person, models.PROTECT, related_name="api_keys")
    prefix = models.CharField(max_length=24, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.prefix
