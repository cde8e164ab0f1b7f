"""The training floor as a Django app. What ran under which agreement; never imported from below."""

import importlib

from django.apps import AppConfig
from django.core.checks import Tags, register


class TrainingConfig(AppConfig):
    """Data sets, jobs, workers, LoRAs, deliveries."""

    name = "training"
    label = "training"
    verbose_name = "Kyodaku training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the start-up checks that look at the database."""
        # It imports models, which it may only once the apps are loaded.
        checks = importlib.import_module("training.checks")
        register(checks.tool_licences, Tags.database)
        register(checks.watermark_keys, Tags.database)
