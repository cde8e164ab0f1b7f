"""The worker's side of the worker API: every request signed with the worker's key.

Trusts nothing that comes back: objects are hashed, the manifest is parsed strictly, and tokens and
keys are checked by the trainer. An expected "no" is a `Refusal`; a registry that cannot be reached
is `Unreachable`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from registry.core import dpop
from registry.core.refusals import CODES, Refusal
from registry.log.core import canonical
from registry.log.core.errors import Error, VerificationError
from registry.log.core.keys import Ed25519Signer
from training.core.manifest import Manifest, is_digest

API: Final = "/api/worker/v1"
TIMEOUT_S: Final = 20.0
MAX_ANSWER: Final = 256 << 20


class Unreachable(Error):
    """No usable answer from the registry: the network, or a fault on its side."""


@dataclass(frozen=True)
class Claimed:
    """A job that this worker holds, with its token."""

    job_id: str
    fence: int
    token: str = field(repr=False)
    recipe: Mapping[str, Any]
    base_sha256: str
    audience: str
    lease_seconds: int


@dataclass(frozen=True)
class Released:
    """The answer to a redeemed token."""

    sealed_key: bytes = field(repr=False)
    status_list: str = field(repr=False)
    worker_id: str


@dataclass(frozen=True)
class Renewed:
    """The answer to a renewal."""

    status_list: str = field(repr=False)
    stop_code: str | None


def _utc_now() -> datetime:
    return datetime.now(UTC)


_PLAIN: Final = {"Content-Type": "application/json"}


class Client:
    """The registry, seen from one worker. `base_url` is its public address, which proofs name."""

    def __init__(
        self,
        base_url: str,
        signer: Ed25519Signer,
        *,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._base, self._signer, self._now = base_url.rstrip("/"), signer, now
        # No redirect is followed: a proof is for one address. No proxy or netrc from the machine.
        self._http = httpx.Client(transport=transport, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def keyset(self) -> bytes | None:
        """The registry's signed key set, unverified; `None` where there is none."""
        try:
            response = self._http.request("GET", f"{self._base}/keyset.json", headers=_PLAIN)
        except httpx.HTTPError as error:
            raise Unreachable(f"/keyset.json: {type(error).__name__}") from error
        if response.status_code not in (200, 404):
            raise Unreachable(f"/keyset.json: status {response.status_code}")
        return response.content if response.status_code == 200 else None

    def claim(self) -> Claimed | Refusal | None:
        """The next job, or `None` when nothing waits."""
        answer = self._json("POST", "/claims", {})
        if answer is None or isinstance(answer, Refusal):
            return answer
        try:
            return Claimed(**answer)
        except TypeError as error:
            raise Unreachable(f"claim: {error}") from error

    def manifest(self, job_id: str) -> Manifest | Refusal:
        """The job's pictures. Raises `VerificationError("malformed")`."""
        answer = self._json("GET", f"/jobs/{job_id}/manifest")
        return answer if isinstance(answer, Refusal) else Manifest.from_payload(answer)

    def object(self, job_id: str, digest: str) -> bytes | Refusal:
        """One sealed object, hashed. Raises `VerificationError("dataset_mismatch")`."""
        if not is_digest(digest):
            raise VerificationError("malformed", "object digest")
        data = self._send("GET", f"/jobs/{job_id}/objects/{digest}")
        if isinstance(data, bytes) and hashlib.sha256(data).hexdigest() != digest:
            raise VerificationError("dataset_mismatch", digest)
        return data

    def redeem(self, job_id: str, fence: int, token: str) -> Released | Refusal:
        """Spend the token; the answer holds the data key, sealed to this worker."""
        body = {"fence": fence, "token": token}
        answer = self._json("POST", f"/jobs/{job_id}/redeem", body)
        if isinstance(answer, Refusal):
            return answer
        try:
            key = canonical.unb64u(answer["sealed_key"])
            return Released(key, answer["status_list"], answer["worker_id"])
        except (KeyError, TypeError, VerificationError) as error:
            raise Unreachable(f"redeem: {error}") from error

    def lease(
        self, job_id: str, fence: int, step: int, points: Sequence[tuple[int, float]]
    ) -> Renewed | Refusal:
        """Renew the lease and tell how far the run is."""
        body = {"fence": fence, "step": step, "points": [list(point) for point in points]}
        answer = self._json("POST", f"/jobs/{job_id}/lease", body)
        if isinstance(answer, Refusal):
            return answer
        try:
            return Renewed(answer["status_list"], answer["stop_code"])
        except (KeyError, TypeError) as error:
            raise Unreachable(f"lease: {error}") from error

    def result(
        self,
        job_id: str,
        fence: int,
        master: bytes,
        statement: Mapping[str, Any],
        *,
        samples: bytes = b"",
        base_samples: bytes = b"",
    ) -> Refusal | None:
        """Hand in a finished run: the head's length, the head, the sealed master, the samples.

        `samples` is the sealed grid of sample pictures, `base_samples` what the base model alone
        draws; empty when the recipe makes none.
        """
        sizes = {"sample_bytes": len(samples), "base_sample_bytes": len(base_samples)}
        told = {"fence": fence, "statement": statement, **sizes}
        head = json.dumps(told).encode()
        body = len(head).to_bytes(4, "big") + head + master + samples + base_samples
        answer = self._send("POST", f"/jobs/{job_id}/result", body, "application/octet-stream")
        return answer if isinstance(answer, Refusal) else None

    def report(self, job_id: str, end: str, body: Mapping[str, Any]) -> Refusal | None:
        """Tell how a run ended otherwise; `end` is `stopped`, `refused` or `failed`."""
        answer = self._json("POST", f"/jobs/{job_id}/{end}", body)
        return answer if isinstance(answer, Refusal) else None

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        answer = self._send(method, path, raw, "application/json")
        if isinstance(answer, Refusal):
            return answer
        if not answer:
            return None
        try:
            return canonical.loads(answer, max_bytes=MAX_ANSWER)
        except VerificationError as error:
            raise Unreachable(f"{path}: not JSON") from error

    def _send(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> bytes | Refusal:
        url = f"{self._base}{API}{path}"
        proof = dpop.prove(self._signer, method=method, url=url, body=body, at=self._now())
        headers = {"DPoP": proof, "Content-Type": content_type}
        try:
            response = self._http.request(method, url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(f"{path}: {type(error).__name__}") from error
        if response.is_success:
            return response.content
        return _refusal(response, path)


def _refusal(response: httpx.Response, path: str) -> Refusal:
    """The registry's code, when the answer is a problem of ours; else `Unreachable`."""
    try:
        problem = canonical.loads(response.content)
        code, detail = problem["code"], str(problem.get("detail", ""))
    except (KeyError, TypeError, AttributeError, VerificationError) as error:
        raise Unreachable(f"{path}: status {response.status_code}") from error
    if not isinstance(code, str) or code.partition(":")[0] not in CODES:
        raise Unreachable(f"{path}: status {response.status_code}")
    return Refusal(code, detail)
