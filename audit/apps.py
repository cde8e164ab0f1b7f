"""The audit floor as a Django app: the roof. It reads everything and nothing below knows of it."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Uses, traces, evidence."""

    name = "audit"
    label = "audit"
    verbose_name = "Kyodaku audit"
    default_auto_field = "django.db.models.BigAutoField"
