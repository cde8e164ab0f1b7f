"""`celery --app=tests.chaos.gpu worker`: the site's own worker, with a trainer chosen by the job.

A quarter of the jobs, by the last digit of their id, get the real trainer; the others the stand-in
without torch, whose admission, lease and wiping are the real ones.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from registry.celery import app

app.loader.import_default_modules()

from training import tasks  # noqa: E402

CHOOSER = Path(__file__).with_name("chooser.py")
_here = tasks.local_worker


def _chosen() -> object:
    return dataclasses.replace(_here(), trainer=(sys.executable, str(CHOOSER)))


vars(tasks)["local_worker"] = _chosen
