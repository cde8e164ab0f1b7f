"""People on the wire: a photographer's system with an API key, people who sign in on the site."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import httpx
from django.conf import settings
from django.urls import reverse

from audit.demo.world import Human

TIMEOUT_S = 180.0


class Unexpected(Exception):
    """The site answered otherwise than the story says."""


@dataclass(frozen=True)
class Answer:
    """One answer: status, and what the JSON said."""

    status: int
    body: dict[str, Any]
    content: bytes

    @property
    def code(self) -> str:
        """The refusal's code; empty for a yes."""
        return "" if self.status < 400 else str(self.body.get("code", self.status))

    def yes(self) -> dict[str, Any]:
        """The body of a yes. Raises `Unexpected` for a no."""
        if self.status >= 400:
            raise Unexpected(f"{self.status} {self.body or self.content[:200]!r}")
        return self.body

    def no(self, code: str) -> str:
        """The code of an expected no. Raises `Unexpected` for anything else."""
        if self.code != code:
            raise Unexpected(f"expected {code}, got {self.status} {self.body}")
        return self.code


class Wire:
    """An HTTP client of the site's public address."""

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        self._http = httpx.Client(
            base_url=settings.PUBLIC_URL,
            headers={"Accept-Language": "ja", **(headers or {})},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def get(self, path: str) -> Answer:
        """GET."""
        return _answer(self._http.get(path))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """POST JSON; a retry would be answered as the first time."""
        return _answer(self._http.post(path, json=body or {}, headers=self._once()))

    def send(self, path: str, data: bytes, kind: str) -> Answer:
        """POST raw bytes."""
        headers = {**self._once(), "Content-Type": kind}
        return _answer(self._http.post(path, content=data, headers=headers))

    def patch(self, path: str, body: dict[str, Any]) -> Answer:
        """PATCH JSON."""
        return _answer(self._http.patch(path, json=body))

    def _once(self) -> dict[str, str]:
        return {"Idempotency-Key": secrets.token_hex(16)}


class Visitor(Wire):
    """Somebody who signed in on the site with name and password, and holds an authenticator."""

    def __init__(self, human: Human) -> None:
        super().__init__()
        self.human = human
        page = self._http.get(reverse("login"))
        form = {"username": human.username, "password": human.password}
        form["csrfmiddlewaretoken"] = self._csrf()
        answer = self._http.post(reverse("login"), data=form, follow_redirects=False)
        if page.status_code != 200 or answer.status_code != 302:
            raise Unexpected(f"{human.username} could not sign in")

    def _once(self) -> dict[str, str]:
        referer = {"Referer": settings.PUBLIC_URL}
        return {**super()._once(), "X-CSRFToken": self._csrf(), **referer}

    def _csrf(self) -> str:
        return self._http.cookies.get("csrftoken") or ""

    def enrol(self) -> None:
        """Enrol one's own key, once."""
        begun = self.post("/api/v1/credentials/options").yes()
        known = {item["id"] for item in begun["options"].get("excludeCredentials", [])}
        if known:
            return
        response = self.human.authenticator.register(begun["options"], settings.PUBLIC_URL)
        body = {"challenge_id": begun["challenge_id"], "response": response, "label": "デモ"}
        self.post("/api/v1/credentials", body).yes()

    def approve(self, grant: str, by: str, hand: Human | None = None) -> Answer:
        """Approve with one's own authenticator; `hand` is whoever really signs."""
        begun = self.post("/api/v1/approvals/challenge", {"grant": grant, "by": by})
        if begun.code:
            return begun
        options = begun.body["options"]
        if hand is not None:  # an intruder ignores which keys were asked for
            options = {**options, "allowCredentials": []}
        signer = (hand or self.human).authenticator
        response = signer.approve(options, settings.PUBLIC_URL)
        body = {"challenge_id": begun.body["challenge_id"], "response": response}
        return self.post("/api/v1/approvals", body)


def _answer(response: httpx.Response) -> Answer:
    kind = response.headers.get("Content-Type", "")
    body = response.json() if "json" in kind else {}
    return Answer(response.status_code, body if isinstance(body, dict) else {}, response.content)
