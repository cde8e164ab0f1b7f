"""Daily time stamps of the newest checkpoint by an authority outside, kept beside it.

Trusts nothing that comes back: a response is stored only after it verified. An authority that does
not answer is a visible state (`anchors`) and is asked again within the hour.
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from django.conf import settings

from registry.log import anchors, models, selectors
from registry.log.core import timestamp
from registry.log.core.errors import Error, VerificationError

logger = logging.getLogger(__name__)

EVERY: Final = timedelta(hours=24)
TIMEOUT_SECONDS: Final = 20.0


class TsaError(Error):
    """The settings name an authority but not what its stamps must lead to."""


def stamp(*, at: datetime) -> models.Timestamp | None:
    """Have the newest signed checkpoint stamped if the last stamp is a day old; else None.

    None too when no authority is set, when nothing new was signed, and when it could not be had:
    that is then recorded. Raises TsaError for settings that name no roots.
    """
    newest, authority = selectors.latest_checkpoint(), _authority()
    if newest is None or not authority:
        return None
    last = models.Timestamp.objects.filter(authority=authority).order_by("-at").first()
    if last is not None and (at - last.at < EVERY or last.size == newest.size):
        return None
    try:
        response = _ask(newest.note)
    except (httpx.HTTPError, VerificationError) as error:
        anchors.failed(authority, "tsa", f"{type(error).__name__}: {error}")
        logger.warning("no time stamp from %s: %s", authority, error)
        return None
    anchors.answered(authority, "tsa", newest.size)
    return models.Timestamp.objects.create(
        size=newest.size, authority=authority, response=response, at=at
    )


def check(row: models.Timestamp) -> datetime:
    """Verify a stored stamp offline and return its time; VerificationError `bad_timestamp`."""
    note = models.Checkpoint.objects.get(size=row.size).note
    return timestamp.verify(bytes(row.response), note, roots())


def roots() -> list[x509.Certificate]:
    """Return the certificates that stamps must lead to, from settings; TsaError without any."""
    path: Path | None = settings.LOG_TSA_ROOTS
    if path is None:
        raise TsaError("KYODAKU_LOG_TSA_ROOTS: must name a PEM file, as there is a TSA's address")
    return x509.load_pem_x509_certificates(path.read_bytes())


def _authority() -> str:
    return urlsplit(settings.LOG_TSA_URL).hostname or ""


def _ask(note: str) -> bytes:
    trusted, asked = roots(), timestamp.request(note)
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        got = client.post(
            settings.LOG_TSA_URL,
            content=asked.as_bytes(),
            headers={"Content-Type": timestamp.QUERY_TYPE},
        )
    got.raise_for_status()
    timestamp.verify(got.content, note, trusted, asked=asked)
    return got.content
