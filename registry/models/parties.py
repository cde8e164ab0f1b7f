"""Who there is: people, organisations, who represents whom from when to when, and their keys.

Names are here and nowhere else; the log, the grants and the tokens hold pseudonymous ids. Legal
names and birth dates are encrypted under a key of the person's own (`registry.models.personal`):
erasing a person destroys it, and every proof still verifies.
"""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.utils import timezone

from registry.core import parties as rules
from registry.core.requests import jst_day
from registry.models import personal
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


def today() -> date:
    """The calendar day in Japan."""
    return jst_day(timezone.now())


def every_power() -> list[str]:
    """A contract that covers everything."""
    return list(rules.REPRESENTATION_POWERS)


class Organisation(models.Model):
    """An agency, a studio, a publisher, a committee: whoever acts under a company's name."""

    class Kind(models.TextChoices):
        AGENCY = "agency"
        STUDIO = "studio"
        PRODUCTION = "production"
        PUBLISHER = "publisher"
        RIGHTS_HOLDER = "rights_holder"
        COMMITTEE = "committee"
        CLIENT = "client"
        LICENSEE = "licensee"

    id = PseudonymField(prefix="org")
    kind = models.CharField(max_length=16, choices=Kind)
    name = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200, blank=True)
    # The key to which deliveries for this organisation are encrypted (`core.recipients`).
    delivery_recipient = models.CharField(max_length=2048, blank=True)
    # Sells adult content: no minor is ever licensed to it, and nobody can lift that.
    adult_rated = models.BooleanField(default=False)
    # Its mail domains. A talent whose address lies in one is reached through her agency (A02).
    domains = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Person(models.Model):
    """A human being who signs, whatever hats they wear. `id` is the party id in grants.

    `display_name` is the name by which others know them, a talent's stage name of today.
    """

    id = PseudonymField(prefix="per")
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    display_name = models.CharField(max_length=120)
    display_name_en = models.CharField(max_length=120, blank=True)
    # Wrapped under the root key; null once destroyed, and everything sealed under it is noise.
    data_key = models.BinaryField(null=True, editable=False)
    sealed_name = models.BinaryField(null=True, editable=False)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # No column: the one organisation for which somebody acts who came with its API key.
    acting_for: str = ""

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(data_key__isnull=False, erased_at__isnull=True)
                | models.Q(data_key__isnull=True, erased_at__isnull=False),
                name="registry_person_key_or_erased",
            )
        ]

    def __str__(self) -> str:
        return self.display_name

    def save(self, **kwargs: Any) -> None:
        """Nobody is stored without a key of their own."""
        self.own_key()
        super().save(**kwargs)

    def own_key(self) -> bytes | None:
        """The wrapped data key, made when it is first needed; None: destroyed."""
        if self.data_key is None and self.erased_at is None:
            self.data_key = personal.new_key()
        return None if self.data_key is None else bytes(self.data_key)

    def seal(self, value: Any, what: str) -> bytes | None:
        """Encrypt a value of this person's. Raises `ValueError` once the person is erased."""
        if value is None:
            return None
        key = self.own_key()
        if key is None:
            raise ValueError("this person was erased")
        return personal.seal(key, value, context=f"{self.id}:{what}")

    def unseal(self, data: bytes | memoryview | None, what: str) -> Any:
        """The value, or None if there is none or the key is destroyed."""
        key = self.own_key()
        if data is None or key is None:
            return None
        return personal.unseal(key, bytes(data), context=f"{self.id}:{what}")

    @property
    def legal_name(self) -> rules.LegalName | None:
        """The name on the identity document, decrypted; None if unknown or erased."""
        found = self.unseal(self.sealed_name, "legal_name")
        return None if found is None else rules.LegalName.from_payload(found)

    @legal_name.setter
    def legal_name(self, name: rules.LegalName | None) -> None:
        self.sealed_name = self.seal(None if name is None else name.to_payload(), "legal_name")


class Talent(models.Model):
    """The person depicted. Never "asset"."""

    id = PseudonymField(prefix="tal")
    person = models.OneToOneField(Person, models.PROTECT, related_name="talent")
    kana = models.CharField(max_length=120, blank=True)  # of the stage name of today
    sealed_birth = models.BinaryField(null=True, editable=False)
    # Words of registry.core.terms that this person never allows. The agency cannot shorten it.
    never_list = models.JSONField(default=list, blank=True)
    # Words of registry.core.terms.OPENABLE that this person opened, in her own session. Only she
    # lengthens it; the agency can shorten it.
    opened_list = models.JSONField(default=list, blank=True)
    retired_from = models.DateField(null=True, blank=True)
    died_on = models.DateField(null=True, blank=True)

    def __str__(self) -> str:
        return str(self.person)

    @property
    def birth_date(self) -> date | None:
        """Decrypted; None if unknown or erased."""
        found = self.person.unseal(self.sealed_birth, "birth_date")
        return None if found is None else date.fromisoformat(found)

    @birth_date.setter
    def birth_date(self, born: date | None) -> None:
        self.sealed_birth = self.person.seal(
            None if born is None else born.isoformat(), "birth_date"
        )

    def is_minor(self, on: date) -> bool:
        """Under 18 on that day; an unknown birth date counts as minor (fail closed)."""
        return rules.is_minor(self.birth_date, on)


class StageName(models.Model):
    """The name under which a talent appears, from a day until a day. The last has no end.

    Former names are kept, for proofs as of a day, and shown to nobody else.
    """

    talent = models.ForeignKey(Talent, models.PROTECT, related_name="stage_names")
    name = models.CharField(max_length=120)
    kana = models.CharField(max_length=120, blank=True)
    romaji = models.CharField(max_length=120, blank=True)
    begun_on = models.DateField()
    ended_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["talent", "begun_on"], name="registry_stagename_day"),
            models.UniqueConstraint(
                fields=["talent"],
                condition=models.Q(ended_on__isnull=True),
                name="registry_stagename_one_open",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person acts for an organisation, in a role, while the row is active.

    What a role may do: `registry.core.parties.ROLES`.
    """

    class Role(models.TextChoices):
        OFFICER = "officer"  # may approve for the agency
        MANAGER = "manager"
        LEGAL = "legal"
        ACCOUNTING = "accounting"
        VIEWER = "viewer"
        PHOTOGRAPHER = "photographer"

    id = PseudonymField(prefix="mbr")
    person = models.ForeignKey(Person, models.PROTECT, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)
    active = models.BooleanField(default=True)
    begun_on = models.DateField(default=today)
    ended_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["person", "organisation", "role"], name="registry_membership_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} {self.role} {self.organisation}"


class Representation(models.Model):
    """An agency represents a talent over a period, with powers. Always looked up as of a date."""

    id = PseudonymField(prefix="rep")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="representations")
    agency = models.ForeignKey(Organisation, models.PROTECT, related_name="representations")
    period = DateRangeField()
    powers = models.JSONField(default=every_power)  # registry.core.parties.REPRESENTATION_POWERS
    exclusive = models.BooleanField(default=True)
    # The talent's key as int8, because the embedded server lacks btree_gist and an exclusion
    # constraint needs a range-typed key: int8range(n, n, '[]') && is equality.
    talent_number = models.BigIntegerField(editable=False)

    class Meta:
        constraints: ClassVar = [
            ExclusionConstraint(
                name="registry_representation_exclusive",
                condition=models.Q(exclusive=True),
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
    """A guardian speaks for a minor from a day until a day, at most until the 18th birthday.

    Counts from `checked_on` on: somebody has looked at the proof. `custodians` is how many the
    proof names; all of them must sign.
    """

    id = PseudonymField(prefix="gua")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="guardianships")
    person = models.ForeignKey(Person, models.PROTECT, related_name="guardianships")
    begun_on = models.DateField()
    ended_on = models.DateField(null=True, blank=True)
    relation = models.CharField(max_length=40, blank=True)
    custodians = models.PositiveSmallIntegerField(default=1)
    proof_kind = models.CharField(
        max_length=20, blank=True
    )  # registry.core.parties.GUARDIAN_PROOFS
    proof_sha256 = models.CharField(max_length=64, blank=True)
    checked_by = models.CharField(max_length=60, blank=True)
    checked_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["talent", "person"],
                condition=models.Q(ended_on__isnull=True),
                name="registry_guardianship_once",
            ),
            models.CheckConstraint(
                condition=models.Q(custodians__gte=1), name="registry_guardianship_custodians"
            ),
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
