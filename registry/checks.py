"""Start-up checks: a live registry refuses to start unsafe, and says what to change.

Not a stage. Run by every `manage.py` command and by the supervisor before anything is served.
Trusts the settings only as far as it looks at them.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "0.0.0.0", "*"})  # noqa: S104


def live_mode(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """What may never be true when signatures count; in test mode, one warning that they do not."""
    if settings.KYODAKU_MODE != "live":
        return [Warning("Test mode: consents signed here bind nobody.", id="kyodaku.W001")]
    found = {
        "E001": settings.DEBUG,
        "E002": any(host in LOCAL_HOSTS for host in settings.ALLOWED_HOSTS),
        "E003": not settings.PUBLIC_URL.startswith("https:"),
        "E004": _reserved(settings.LOG_ORIGIN),
        "E005": settings.SECRET_KEY.startswith("django-insecure"),
    }
    return [Error(*LIVE_ERRORS[code], id=f"kyodaku.{code}") for code in found if found[code]]


LIVE_ERRORS = {
    "E001": ("DEBUG is on in live mode.", "Unset KYODAKU_DEBUG."),
    "E002": ("A local or catch-all host is allowed in live mode.", "Set KYODAKU_ALLOWED_HOSTS."),
    "E003": ("The public address is not https in live mode.", "Set KYODAKU_PUBLIC_URL."),
    "E004": (
        "The log's origin is a test or local name in live mode.",
        "Set KYODAKU_LOG_ORIGIN to a name you own, once and for ever: receipts carry it.",
    ),
    "E005": ("The secret key is a generated example.", "Run python -m registry.local keys."),
}


def relying_party(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Passkeys work only when the relying-party id is the site's name or a parent of it.

    WebAuthn Level 3, 5.1.3: the RP ID must be "a registrable domain suffix of or … equal to" the
    origin's effective domain.
    """
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if host == settings.RP_ID or host.endswith(f".{settings.RP_ID}"):
        return []
    hint = "Set KYODAKU_RP_ID to the host of KYODAKU_PUBLIC_URL or to a parent domain."
    message = f"No passkey can work: {settings.RP_ID} is not the host {host} nor a parent of it."
    return [Error(message, hint=hint, id="kyodaku.E006")]


def _reserved(origin: str) -> bool:
    host = origin.split("/")[0].split(":")[0]
    return host in LOCAL_HOSTS or host.rsplit(".", 1)[-1] in {"invalid", "test", "localhost"}
