"""The training floor as a Django app. What ran under which agreement; never imported from below."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Data sets, jobs, workers, LoRAs, deliveries."""

    name = "training"
    label = "training"
    verbose_name = "Kyodaku training"
    default_auto_field = "django.db.models.BigAutoField"
