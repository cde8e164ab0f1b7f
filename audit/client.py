"""The CLI's only network code: one question to a registry. Stage 9; imported by `trace` alone.

Trusts the registry for its answer, which is a pointer to evidence and not evidence: what it names
is proved by an evidence pack.
"""

from __future__ import annotations

from typing import Any

import httpx

from registry.log.core.errors import Error

TIMEOUT_S = 120.0


class ClientError(Error):
    """The registry could not be asked, or did not answer with what was asked for."""


def trace(url: str, key: str, data: bytes, lang: str) -> dict[str, Any]:
    """Upload a file to `POST /api/v1/trace`. Raises `ClientError`."""
    headers = {"Accept-Language": lang, "Content-Type": "application/octet-stream"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        answer = httpx.post(
            url.rstrip("/") + "/api/v1/trace", content=data, headers=headers, timeout=TIMEOUT_S
        )
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ClientError(f"{url}: {error}") from error
    words = {"found", "sentence"}
    if answer.status_code != 200 or not isinstance(body, dict) or not words <= body.keys():
        detail = body.get("detail") if isinstance(body, dict) else None
        raise ClientError(f"{url}: {answer.status_code} {detail or ''}".strip())
    return body
