"""Base models and their licences as dated facts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.models.fields import PseudonymField


class BaseModelLicence(models.Model):
    """One base model, by digest, with the licence as it was read on a day."""

    class Commercial(models.TextChoices):
        YES = "yes"
        NO = "no"
        UNKNOWN = "unknown"  # refuses commercial use

    id = PseudonymField(prefix="bas")
    name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64)
    licence_id = models.CharField(max_length=120)
    licence_text = models.TextField()
    licence_sha256 = models.CharField(max_length=64)
    commercial = models.CharField(max_length=8, choices=Commercial)
    source = models.CharField(max_length=200, blank=True)
    read_on = models.DateField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sha256", "licence_sha256"], name="registry_baselicence_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.licence_id})"
