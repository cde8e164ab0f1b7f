"""The Django app of the transparency log, the ground floor: it knows nothing of what it records."""

from django.apps import AppConfig


class LogConfig(AppConfig):
    """Label `log`; tables `log_outbox`, `log_entry`, `log_tile`, `log_checkpoint`."""

    name = "registry.log"
    label = "log"
    verbose_name = "Transparency log"
