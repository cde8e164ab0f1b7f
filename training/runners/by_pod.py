"""The Kubernetes runner: a Job for each row that waits, asked of the cluster's API.

Trusts the cluster with running the image, and with nothing else: a pod's keys are a worker's, and
what it may train is decided at the claim. Our own account may create Jobs in one namespace.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from training.core import pods
from training.runners import NotWoken, Waiting

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S: Final = 10.0
_CREATED, _THERE = 201, 409


@dataclass(frozen=True)
class Cluster:
    """Where the API is, and our account's folder (`token`, `ca.crt`), which Kubernetes renews."""

    url: str = "https://kubernetes.default.svc"
    account: Path = ACCOUNT


class ByPod:
    """Creates one Job for each attempt at each row; one that is there already is left alone."""

    def __init__(
        self, cluster: Cluster, pod: pods.Pod, *, registry_url: str, runtime_s: int
    ) -> None:
        if not cluster.url.startswith("https://"):
            raise ValueError("the cluster's API is spoken to over https only")
        self.cluster, self.pod = cluster, pod
        self.registry_url, self.runtime_s = registry_url, runtime_s

    def wake(self, waiting: Sequence[Waiting]) -> int:
        """Ask for the oldest rows' Jobs, at most `at_most` of them."""
        if not waiting:
            return 0
        try:
            trusted = ssl.create_default_context(cafile=self.cluster.account / "ca.crt")
            token = (self.cluster.account / "token").read_text(encoding="ascii").strip()
            with httpx.Client(
                base_url=self.cluster.url,
                verify=trusted,
                timeout=TIMEOUT_S,
                trust_env=False,
                headers={"Authorization": f"Bearer {token}"},
            ) as api:
                return sum(self._create(api, row) for row in waiting[: self.pod.at_most])
        except (OSError, ValueError, httpx.HTTPError) as error:
            raise NotWoken(f"cluster: {type(error).__name__}") from error

    def _create(self, api: httpx.Client, row: Waiting) -> bool:
        body = pods.manifest(
            self.pod,
            job_id=row.job_id,
            attempt=row.attempt,
            registry_url=self.registry_url,
            runtime_s=self.runtime_s,
        )
        answer = api.post(f"/apis/batch/v1/namespaces/{self.pod.namespace}/jobs", json=body)
        if answer.status_code not in (_CREATED, _THERE):
            raise NotWoken(f"cluster: status {answer.status_code}")
        return answer.status_code == _CREATED
