"""The WSGI application that granian serves. Not a stage; trusts its settings.

The start-up checks run here too: a web server started by hand must not serve an unsafe site.
"""

import multiprocessing
import os

from django.core.checks import Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from registry.local.child import follow_parent

if multiprocessing.parent_process() is not None:
    # One of granian's own: killed with its parent, or it would serve on beside the next one, for
    # ever and with the code of then.
    follow_parent()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
application = get_wsgi_application()

if faults := [found for found in run_checks(tags=[Tags.security]) if found.is_serious()]:
    raise ImproperlyConfigured("\n".join(str(fault) for fault in faults))
