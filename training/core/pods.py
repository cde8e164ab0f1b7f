"""The Kubernetes Job in which one worker looks for one job: decided here, sent by `runners`.

Pure. The manifest grants nothing: the pod holds a worker's own enrolled keys, and the registry
decides at the claim whether there is anything to do. It carries no secret in clear, no token of the
cluster, no writable root; job folders lie in memory and are gone with the pod.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

# A tag can be moved to another image after somebody looked at it; a digest cannot.
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,200}@sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label
_QUANTITY: Final = re.compile(r"[1-9][0-9]{0,6}(m|Ki|Mi|Gi)?")
_RESOURCE: Final = re.compile(r"[a-z0-9.-]{1,100}/[a-zA-Z0-9._-]{1,63}")
_LABEL: Final = re.compile(r"([a-z0-9.-]{1,100}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_JOB_ID: Final = re.compile(r"job_([0-9a-f]{20})")

USER: Final = 10001  # the images' own user (docker/Dockerfile)
GRACE_S: Final = 60  # from SIGTERM to SIGKILL: the trainer stops within a step and wipes
START_S: Final = 900  # for pulling the image and the pictures, beside the run itself
# A pod that found the registry out of reach has ended without a claim; its name is free again soon.
FORGOTTEN_AFTER_S: Final = 60
KEY_FILES: Final = ("worker.ed25519", "worker.x25519")
# A Secret is mounted as links, group-readable; the worker refuses such a key file. So it is copied
# to memory, for its user alone, before the worker starts.
ADOPT: Final = "umask 077 && cp -L " + " ".join(f"/secret/{name}" for name in KEY_FILES) + " /keys/"


@dataclass(frozen=True)
class Pod:
    """What an operator decides about pods, once, in a TOML file. Amounts are Kubernetes quantities.

    `memory` holds the job's folder, too. `keys_secret` is the Secret with the two key files,
    `trust_config_map` the ConfigMap with `trust.json`, `bases_claim` a volume of base models.
    """

    namespace: str
    image: str
    keys_secret: str
    trust_config_map: str
    bases_claim: str
    cpu: str = "4"
    memory: str = "32Gi"
    job_memory: str = "8Gi"
    disk: str = "1Gi"
    gpu: str = "nvidia.com/gpu"
    node_labels: Mapping[str, str] | None = None
    at_most: int = 8

    def __post_init__(self) -> None:
        """Raises `ValueError` naming the member that is wrong."""
        told: Mapping[str, object] = vars(self)  # from a file: of any type
        shapes = {
            _NAME: ("namespace", "keys_secret", "trust_config_map", "bases_claim"),
            _IMAGE: ("image",),
            _QUANTITY: ("cpu", "memory", "job_memory", "disk"),
            _RESOURCE: ("gpu",),
        }
        for shape, names in shapes.items():
            for name in names:
                value = told[name]
                if not isinstance(value, str) or not shape.fullmatch(value):
                    raise ValueError(f"{name}: {value!r}")
        at_most, labels = told["at_most"], told["node_labels"]
        if type(at_most) is not int or not 1 <= at_most <= 1000:
            raise ValueError(f"at_most: {at_most!r}")
        if labels is not None and not _are_labels(labels):
            raise ValueError(f"node_labels: {labels!r}")


def _are_labels(labels: object) -> bool:
    return isinstance(labels, Mapping) and all(
        isinstance(part, str) and _LABEL.fullmatch(part) for pair in labels.items() for part in pair
    )


def read_pod(text: str) -> Pod:
    """Parse the operator's file. Raises `ValueError` for what is missing, unknown or ill-formed."""
    found = tomllib.loads(text)
    known = {one.name for one in fields(Pod)}
    needed = {one.name for one in fields(Pod) if one.default is MISSING}
    if set(found) - known or needed - set(found):
        unknown, missing = sorted(set(found) - known), sorted(needed - set(found))
        raise ValueError(f"unknown: {unknown}, missing: {missing}")
    return Pod(**found)


def job_name(job_id: str, attempt: int) -> str:
    """The Job's name: one for each attempt at each row, so that a doubled wake-up makes one pod."""
    found = _JOB_ID.fullmatch(job_id)
    if found is None or not 0 <= attempt < 1000:
        raise ValueError(f"{job_id!r}, attempt {attempt}")
    return f"kyodaku-run-{found[1]}-{attempt}"


def manifest(
    pod: Pod, *, job_id: str, attempt: int, registry_url: str, runtime_s: int
) -> dict[str, Any]:
    """The `batch/v1` Job that wakes one worker for a row that waits; `runtime_s` bounds it.

    The row's id is in the name alone. Kubernetes never starts it again (`backoffLimit` 0): attempts
    are counted in the row, and a new one has a new name.
    """
    name = job_name(job_id, attempt)
    labels = {"app.kubernetes.io/name": "kyodaku-run", "app.kubernetes.io/part-of": "kyodaku"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": pod.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": runtime_s + START_S,
            "ttlSecondsAfterFinished": FORGOTTEN_AFTER_S,
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(pod, registry_url)},
        },
    }


def _pod_spec(pod: Pod, registry_url: str) -> dict[str, Any]:
    selector = {"nodeSelector": dict(pod.node_labels)} if pod.node_labels else {}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "shareProcessNamespace": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **selector,
        "initContainers": [_adopting(pod)],
        "containers": [_working(pod, registry_url)],
        "volumes": [
            {"name": "secret", "secret": {"secretName": pod.keys_secret, "defaultMode": 0o400}},
            {"name": "trust", "configMap": {"name": pod.trust_config_map, "defaultMode": 0o444}},
            {
                "name": "bases",
                "persistentVolumeClaim": {"claimName": pod.bases_claim, "readOnly": True},
            },
            {"name": "keys", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            # Photographs in clear never reach a disk: this is memory, counted as the container's.
            {"name": "jobs", "emptyDir": {"medium": "Memory", "sizeLimit": pod.job_memory}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
    }


_TIGHT: Final = {
    "allowPrivilegeEscalation": False,
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _adopting(pod: Pod) -> dict[str, Any]:
    small = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "16Mi"}
    return {
        "name": "keys",
        "image": pod.image,
        "command": ["sh", "-c", ADOPT],
        "securityContext": _TIGHT,
        "resources": {"requests": small, "limits": small},
        "volumeMounts": [
            {"name": "secret", "mountPath": "/secret", "readOnly": True},
            {"name": "keys", "mountPath": "/keys"},
        ],
    }


def _working(pod: Pod, registry_url: str) -> dict[str, Any]:
    amounts = {"cpu": pod.cpu, "memory": pod.memory, "ephemeral-storage": pod.disk, pod.gpu: "1"}
    command = ["python", "-m", "training.worker", "run", "--once", "--registry", registry_url]
    places = ["--keys", "/keys", "--work", "/jobs", "--trust", "/trust/trust.json"]
    return {
        "name": "worker",
        "image": pod.image,
        "command": [*command, *places, "--base", "/bases"],
        "env": [{"name": "TMPDIR", "value": "/tmp"}, {"name": "HOME", "value": "/tmp"}],  # noqa: S108
        "securityContext": _TIGHT,
        "resources": {"requests": amounts, "limits": amounts},
        "volumeMounts": [
            {"name": "keys", "mountPath": "/keys", "readOnly": True},
            {"name": "trust", "mountPath": "/trust", "readOnly": True},
            {"name": "bases", "mountPath": "/bases", "readOnly": True},
            {"name": "jobs", "mountPath": "/jobs"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, in memory
        ],
    }
