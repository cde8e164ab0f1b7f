"""The registry's Django app: loads Celery and the start-up checks when Django is ready.

Not a stage. `registry/__init__.py` stays empty, so that importing `registry.core` loads neither
Django nor Celery; what a running site needs is loaded here instead.
"""

from django.apps import AppConfig
from django.core.checks import Tags, register

from registry import checks
from registry.celery import app as celery_app


class RegistryConfig(AppConfig):
    """Who agreed to what."""

    name = "registry"
    label = "registry"
    verbose_name = "Kyodaku registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make ours the Celery application of every thread, and register the checks."""
        celery_app.set_default()
        register(checks.live_mode, Tags.security)
        register(checks.relying_party, Tags.security)
