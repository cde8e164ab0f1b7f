"""The Celery application: a message wakes a worker, and carries an id and no authority.

Not a stage. Trusts the broker for nothing: each task looks at the row, which is the truth, so a
message that is doubled, late, lost or forged changes nothing that the row does not allow.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_embedded_init, worker_process_init

from registry.local.child import follow_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")

app = Celery("kyodaku")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
@beat_embedded_init.connect
def _follow_parent(**kwargs: Any) -> None:
    """A worker's own children must not outlive it: the embedded beat would tick on for ever."""
    follow_parent()
