"""Auditing's tables: what people said they used, and what was traced. No workflow here."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from registry.models import Person
from registry.models.fields import PseudonymField
from training.models import Delivery, Lora


class UseReport(models.Model):
    """One use of a delivered LoRA, as its licensee reported it. Recorded whether allowed or not."""

    id = PseudonymField(prefix="use")
    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="uses")
    reported_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    medium = models.CharField(max_length=40)  # a word of registry.core.vocabulary.MEDIA
    country = models.CharField(max_length=20)  # ISO 3166 code, or worldwide
    quantity = models.PositiveIntegerField(default=0)
    impressions = models.PositiveIntegerField(default=0)
    unit_price_jpy = models.PositiveIntegerField(default=0)
    # What the outputs show: transformations, exposure, categories, name_shown, stock.
    context = models.JSONField(default=dict)
    first_day = models.DateField()
    note = models.TextField(blank=True)  # stays here; the log holds no free text
    # What the terms do not cover, as members of Terms, and the grant's code; empty when covered.
    outside = models.JSONField(default=list)
    event = models.CharField(max_length=40)
    reported_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(quantity__gte=0), name="audit_use_quantity_gte_0"
            )
        ]
        ordering: ClassVar = ["reported_at", "id"]

    def __str__(self) -> str:
        return self.id


class TraceFound(models.Model):
    """A file that somebody held up and that was recognised. The file itself is not kept."""

    id = PseudonymField(prefix="trc")
    file_sha256 = models.CharField(max_length=64)
    how = models.CharField(max_length=10)
    band = models.CharField(max_length=10)
    lora = models.ForeignKey(Lora, models.PROTECT, related_name="traces")
    delivery = models.ForeignKey(Delivery, models.PROTECT, null=True, related_name="traces")
    asked_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    event = models.CharField(max_length=40)
    found_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "traces found"
        ordering: ClassVar = ["found_at", "id"]

    def __str__(self) -> str:
        return self.id
