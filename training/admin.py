"""Training's rows for operators: to look at, never to change. The services are the only way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from training.models import Dataset, Delivery, Lora, TrainingJob, Worker

if TYPE_CHECKING:
    Base = admin.ModelAdmin[models.Model]
else:
    Base = admin.ModelAdmin


class ReadOnly(Base):
    """No adding, changing or deleting."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("id", "name", "pool", "approved_at", "revoked_at", "last_seen_at")


@admin.register(TrainingJob)
class TrainingJobAdmin(ReadOnly):
    list_display = ("id", "request", "state", "attempt", "step", "refusal_code", "lease_until")
    list_filter = ("state",)


@admin.register(Dataset)
class DatasetAdmin(ReadOnly):
    list_display = ("id", "request", "state", "count", "sealed_at")


@admin.register(Lora)
class LoraAdmin(ReadOnly):
    list_display = ("id", "job", "state", "frozen_code", "created_at")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("id", "lora", "recipient", "expires_at", "fetched_at")
    exclude = ("artefact_id", "link_token_hash")
