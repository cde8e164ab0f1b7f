"""Settings of the tests: throw-away keys and folders, a queue in memory, no default anywhere.

The database's address stands in DATABASE_URL, or `tests/conftest.py` starts an embedded server
the first time a test asks for one and fills it in.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path

SCRATCH = Path(tempfile.mkdtemp(prefix="kyodaku-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
# A worker of pytest-xdist inherits the environment of the process that started it.
NOWHERE = "postgresql://nobody@/kyodaku?host=/nonexistent"
OWN_DATABASE = os.environ.get("DATABASE_URL", NOWHERE) == NOWHERE


def _keys(folder: Path) -> None:
    """The seeds that the services read: 32 random bytes each, in files only we can read."""
    folder.mkdir(mode=0o700)
    for name in ("checkpoint.ed25519", "checkpoint.mldsa44"):
        (folder / name).write_bytes(secrets.token_bytes(32))
        (folder / name).chmod(0o600)
    (folder / "django-secret").write_text(secrets.token_urlsafe(64), encoding="ascii")
    (folder / "django-secret").chmod(0o600)


_keys(SCRATCH / "keys")
(SCRATCH / "static").mkdir()
for name in [name for name in os.environ if name.startswith("KYODAKU_")]:
    if name != "KYODAKU_VECTORS":  # a developer's own settings must not decide a test
        del os.environ[name]
# Nor may the file .env.
os.environ |= {"KYODAKU_MODE": "test", "KYODAKU_HOME": str(SCRATCH), "KYODAKU_DOTENV": "none"}
os.environ["CELERY_BROKER_URL"] = "memory://"
os.environ.setdefault("DATABASE_URL", NOWHERE)

from registry.settings import *  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
