"""The Kubernetes Job: valid for the cluster, and with no right that a worker does not need."""

import shlex
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import kubernetes_validate
import pytest

from registry.log.keyfiles import KeyFileError
from training.core import pods
from training.worker import keys

JOB = "job_" + "0123456789abcdef0123"
EXAMPLE = Path(__file__).resolve().parents[2] / "docker" / "pod.toml"
# The oldest that gives a Job the members we use, and the newest that the schemas know.
VERSIONS = ("1.29.0", kubernetes_validate.__version__)


@pytest.fixture
def pod():
    return pods.read_pod(EXAMPLE.read_text())


@pytest.fixture
def made(pod):
    return pods.manifest(
        pod, job_id=JOB, attempt=1, registry_url="https://registry.example", runtime_s=600
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifest_is_what_the_cluster_takes(made, version):
    kubernetes_validate.validate(made, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_would_have_said_no(made, version):
    made["spec"]["template"]["spec"]["restartPolicies"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, version, strict=True)


def containers(made):
    inside = made["spec"]["template"]["spec"]
    return [*inside["initContainers"], *inside["containers"]]


def test_every_container_has_no_right_and_a_limit(made):
    inside = made["spec"]["template"]["spec"]
    assert inside["automountServiceAccountToken"] is False
    assert inside["enableServiceLinks"] is False
    assert not any(inside[name] for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert inside["securityContext"]["runAsNonRoot"] is True
    assert inside["securityContext"]["runAsUser"] > 0
    assert inside["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in containers(made):
        context = one["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["privileged"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory", "ephemeral-storage"} <= set(one["resources"]["limits"])
        assert one["resources"]["limits"] == one["resources"]["requests"]


def test_nothing_secret_is_in_the_manifest_and_no_photograph_reaches_a_disk(made):
    assert all(
        set(row) == {"name", "value"} and row["name"] in ("TMPDIR", "HOME")
        for one in containers(made)
        for row in one.get("env", [])
    )
    assert not any("envFrom" in one for one in containers(made))
    volumes = {row["name"]: row for row in made["spec"]["template"]["spec"]["volumes"]}
    written = {
        mount["name"]
        for one in containers(made)
        for mount in one["volumeMounts"]
        if not mount.get("readOnly")
    }
    # The two that may be written are memory; a ConfigMap is read-only by itself.
    assert all(volumes[name]["emptyDir"]["medium"] == "Memory" for name in written)
    assert volumes["secret"]["secret"]["defaultMode"] == 0o400
    assert not any("hostPath" in row for row in volumes.values())


def test_kubernetes_never_starts_a_run_again_by_itself(made):
    spec = made["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 600 + pods.START_S
    assert spec["ttlSecondsAfterFinished"] <= 60


def test_one_name_for_an_attempt_and_another_for_the_next():
    assert pods.job_name(JOB, 1) == pods.job_name(JOB, 1) != pods.job_name(JOB, 2)
    assert len(pods.job_name(JOB, 999)) <= 63


@pytest.mark.parametrize("job_id", ["", "job_1", "../x", JOB + "0", JOB.upper(), "job_" + "g" * 20])
def test_a_name_is_made_of_our_ids_only(job_id):
    with pytest.raises(ValueError, match="attempt"):
        pods.job_name(job_id, 1)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("image", "images.example/trainer:latest"),
        ("image", "images.example/trainer@sha256:12"),
        ("namespace", "Upper"),
        ("namespace", "a\nb"),
        ("keys_secret", "../keys"),
        ("trust_config_map", ""),
        ("bases_claim", "a b"),
        ("memory", "0"),
        ("memory", "32 Gi"),
        ("cpu", 4),
        ("gpu", "gpu"),
        ("at_most", 0),
        ("at_most", True),
        ("node_labels", {"zone": 1}),
        ("node_labels", {"a b": "c"}),
    ],
)
def test_an_operators_mistake_is_named(pod, member, value):
    with pytest.raises(ValueError, match=f"^{member}"):
        replace(pod, **{member: value})


@pytest.mark.parametrize("change", ["\nprivileged = true\n", "\nhost_path = '/'\n"])
def test_a_word_that_we_do_not_know_is_refused(change):
    text = EXAMPLE.read_text().replace("at_most = 8", f"at_most = 8{change}")
    with pytest.raises(ValueError, match="unknown"):
        pods.read_pod(text)


def test_a_missing_member_is_refused():
    text = EXAMPLE.read_text().replace("bases_claim", "at_most_again")
    with pytest.raises(ValueError, match="bases_claim"):
        pods.read_pod(text)


def test_labels_choose_the_machine(pod):
    chosen = replace(pod, node_labels={"nvidia.com/gpu.product": "NVIDIA-L4"})
    made = pods.manifest(chosen, job_id=JOB, attempt=1, registry_url="https://r", runtime_s=1)
    kubernetes_validate.validate(made, VERSIONS[0], strict=True)
    inside = made["spec"]["template"]["spec"]
    assert inside["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}


def test_the_worker_takes_its_keys_as_the_first_container_leaves_them(tmp_path):
    """As kubelet mounts a Secret: links into a folder, read by the group; then our own command."""
    keys.create(tmp_path / "made")
    mounted = tmp_path / "secret"
    (mounted / "..data").mkdir(parents=True)
    for name in pods.KEY_FILES:
        (mounted / "..data" / name).write_bytes((tmp_path / "made" / name).read_bytes())
        (mounted / "..data" / name).chmod(0o440)
        (mounted / name).symlink_to(Path("..data") / name)
    with pytest.raises(KeyFileError):
        keys.load(mounted)
    own = tmp_path / "keys"
    own.mkdir()
    command = pods.ADOPT.replace("/secret/", shlex.quote(f"{mounted}/"))
    subprocess.run(
        ["sh", "-c", command.replace(" /keys/", f" {shlex.quote(str(own))}/")], check=True
    )
    assert keys.load(own) == keys.load(tmp_path / "made")
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in own.iterdir())
