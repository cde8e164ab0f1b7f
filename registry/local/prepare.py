"""`python -m registry.local.prepare`: what a site needs before its first program starts.

Not a stage. One process instead of one per command, since each would load everything anew. Every
step is done once or does no harm when repeated; a failing one ends with its traceback.
"""

import hashlib
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect_static() -> None:
    """Collect the static files, unless they are those of the last time (it takes seconds)."""
    mark = Path(settings.STATIC_ROOT) / ".fingerprint"
    found = static_fingerprint()
    if mark.is_file() and mark.read_text(encoding="ascii") == found:
        return
    call_command("collectstatic", "--no-input", "--clear", "--verbosity=0")
    mark.write_text(found, encoding="ascii")  # a crash before this line repeats the work


def static_fingerprint() -> str:
    """A digest over path, size and time of every static file of every app."""
    digest = hashlib.sha256(repr(settings.STORAGES).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            seen = Path(storage.path(name)).stat()
            digest.update(f"{name}\0{seen.st_size}\0{seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()


STEPS: tuple[tuple[str, Callable[[], object]], ...] = (
    ("keys", lambda: call_command("create_keys")),
    ("checks", lambda: call_command("check")),
    ("tables", lambda: call_command("migrate", "--no-input", "--verbosity=0")),
    ("licence catalogue", lambda: call_command("catalogue_seed", stdout=io.StringIO())),
    ("tools", lambda: call_command("check", "--database=default")),
    ("static files", collect_static),
)


def enrol_this_machine() -> None:
    """The one-computer site trains on this computer; its operator is whoever started it."""
    call_command("enrol_worker", "--name=this-machine", "--approve", stdout=io.StringIO())


def main(argv: Sequence[str] | None = None) -> None:
    """Run every step; each line says how long it took. `--worker`: this machine trains, too."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
    django.setup()
    steps = list(STEPS)
    if "--worker" in (sys.argv[1:] if argv is None else argv):
        steps.append(("this machine's worker", enrol_this_machine))
    for name, step in steps:
        begun = time.monotonic()
        step()
        sys.stdout.write(f"{name}: {time.monotonic() - begun:.1f} s\n")


if __name__ == "__main__":
    main()
