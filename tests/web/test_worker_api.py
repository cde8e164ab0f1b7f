"""The worker API and the photographer's API of training, over HTTP."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.test import Client as HttpClient

from registry.core import dpop
from registry.core.refusals import Refusal
from registry.models import SeenProof
from registry.services import keyring, parties
from tests.services.studio import StandIn, Studio, photograph
from tests.world import make_world, sequence
from training import tasks
from training.core.manifest import Manifest
from training.models import Dataset, TrainingJob
from training.services import engine
from training.worker.client import Unreachable

API = "/api/worker/v1"


@pytest.fixture(scope="module", autouse=True)
def _keys():
    keyring.create()


@pytest.fixture
def studio(db, tmp_path, settings, monkeypatch) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LOG_EXPORT_DIR = None
    monkeypatch.setattr(tasks, "wake_sealer", lambda job_id: None)
    monkeypatch.setattr(tasks, "wake_worker", lambda: None)
    return Studio(make_world(), tmp_path)


def send(studio, method, path, body=None, *, name="worker", at=None, proof=None, sign_body=None):
    """One signed request; `sign_body` and `proof` are for forgeries."""
    raw = b"" if body is None else json.dumps(body).encode()
    signer = studio.own_keys(name).signer
    url = f"{django_settings.PUBLIC_URL}{API}{path}"
    proof = proof or dpop.prove(
        signer,
        method=method,
        url=url,
        body=raw if sign_body is None else sign_body,
        at=at or datetime.now(UTC),
    )
    answer = HttpClient().generic(
        method, API + path, raw, "application/json", headers={"DPoP": proof}
    )
    return answer


def code(answer):
    return json.loads(answer.content)["code"]


# --- who is asking ---------------------------------------------------------------------------


def test_a_signed_request_of_an_approved_worker_is_answered(studio):
    assert send(studio, "POST", "/claims", {}).status_code == 204
    assert studio.client().claim() is None


def test_an_unsigned_request_is_refused(studio):
    answer = HttpClient().post(f"{API}/claims", b"{}", "application/json")
    assert (answer.status_code, code(answer)) == (401, "malformed")


def test_a_worker_that_nobody_approved_is_unknown(studio):
    studio.new_worker("bob", approve=False)
    answer = send(studio, "POST", "/claims", {}, name="bob")
    assert (answer.status_code, code(answer)) == (403, "worker_unknown")
    assert studio.client("bob").claim() == Refusal(
        "worker_unknown", studio.own_keys("bob").signer.kid
    )


@pytest.mark.parametrize("seconds", [-120, 120])
def test_a_wrong_clock_is_refused(studio, seconds):
    wrong = datetime.now(UTC) + timedelta(seconds=seconds)
    answer = send(studio, "POST", "/claims", {}, at=wrong)
    assert (answer.status_code, code(answer)) == (401, "expired")


def test_a_proof_works_once(studio):
    signer = studio.own_keys().signer
    proof = dpop.prove(
        signer,
        method="POST",
        url=f"{django_settings.PUBLIC_URL}{API}/claims",
        body=b"{}",
        at=datetime.now(UTC),
    )
    assert send(studio, "POST", "/claims", {}, proof=proof).status_code == 204
    again = send(studio, "POST", "/claims", {}, proof=proof)
    assert (again.status_code, code(again)) == (401, "replayed")


def test_a_proof_for_another_body_or_address_is_refused(studio):
    answer = send(studio, "POST", "/claims", {}, sign_body=b"other")
    assert (answer.status_code, code(answer)) == (401, "bad_signature")
    moved = dpop.prove(
        studio.own_keys().signer,
        method="POST",
        url="https://mallory.test/claims",
        body=b"{}",
        at=datetime.now(UTC),
    )
    assert code(send(studio, "POST", "/claims", {}, proof=moved)) == "bad_signature"


def test_the_sweep_forgets_old_proofs(studio, monkeypatch):
    send(studio, "POST", "/claims", {})
    SeenProof.objects.update(seen_at=datetime.now(UTC) - timedelta(hours=1))
    tasks.sweep()
    assert not SeenProof.objects.exists()


# --- what is handed out ----------------------------------------------------------------------


def claimed(studio):
    job = studio.queued()
    answer = studio.client().claim()
    assert answer.job_id == job.pk
    return answer


def test_a_claimed_job_comes_with_its_manifest_and_objects(studio):
    job, client = claimed(studio), studio.client()
    manifest = client.manifest(job.job_id)
    assert isinstance(manifest, Manifest)
    assert manifest.root() == Dataset.objects.get().root
    data = client.object(job.job_id, manifest.items[0].object)
    assert isinstance(data, bytes)
    assert b"JFIF" not in data


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fkeys%2Froot.key", "a" * 64, "%00", "A" * 64, "trust.json"]
)
def test_nothing_but_a_digest_of_the_jobs_own_set_names_an_object(studio, name):
    job = claimed(studio)
    url = f"/jobs/{job.job_id}/objects/{name}"
    answer = send(studio, "GET", url)
    assert answer.status_code in (401, 404)


def test_a_reference_picture_is_never_handed_out(studio):
    job = claimed(studio)
    digest = Dataset.objects.get().references.first().object_digest
    answer = send(studio, "GET", f"/jobs/{job.job_id}/objects/{digest}")
    assert (answer.status_code, code(answer)) == (404, "image_unavailable")


def test_another_workers_job_answers_like_one_that_does_not_exist(studio):
    job = claimed(studio)
    studio.new_worker("bob")
    for path in ("manifest", f"objects/{'a' * 64}"):
        theirs = send(studio, "GET", f"/jobs/{job.job_id}/{path}", name="bob")
        nobodys = send(studio, "GET", f"/jobs/job_{'f' * 20}/{path}", name="bob")
        assert theirs.status_code == nobodys.status_code == 409
        assert code(theirs) == code(nobodys) == "lease_lost"
    body = {"fence": job.fence, "token": job.token}
    assert (
        code(send(studio, "POST", f"/jobs/{job.job_id}/redeem", body, name="bob")) == "lease_lost"
    )


def test_the_token_is_redeemed_once_over_http(studio):
    job, client = claimed(studio), studio.client()
    released = client.redeem(job.job_id, job.fence, job.token)
    assert len(released.sealed_key) == 80
    assert client.redeem(job.job_id, job.fence, job.token).code == "replayed"
    renewed = client.lease(job.job_id, job.fence, 1, [(1, 0.5)])
    assert renewed.stop_code is None


def test_a_job_without_its_token_gets_no_key(studio):
    job = claimed(studio)
    answer = send(studio, "POST", f"/jobs/{job.job_id}/redeem", {"fence": job.fence})
    assert (answer.status_code, code(answer)) == (400, "no_token")


@pytest.mark.parametrize("body", [b"", b"\x00\x00\xff\xff{}", b"\x00\x00\x00\x02[]", b"x" * 40])
def test_a_result_of_another_form_is_malformed(studio, body):
    job = claimed(studio)
    path = f"/jobs/{job.job_id}/result"
    proof = dpop.prove(
        studio.own_keys().signer,
        method="POST",
        url=f"{django_settings.PUBLIC_URL}{API}{path}",
        body=body,
        at=datetime.now(UTC),
    )
    answer = HttpClient().generic(
        "POST", API + path, body, "application/octet-stream", headers={"DPoP": proof}
    )
    assert (answer.status_code, code(answer)) == (400, "malformed")


def test_an_answer_that_is_no_problem_of_ours_counts_as_unreachable(studio):
    with pytest.raises(Unreachable):
        studio.client()._send("GET", "/nowhere")


# --- messages --------------------------------------------------------------------------------


def test_a_forged_message_does_no_harm(studio):
    assert tasks.seal_lora("job_ffffffffffffffffffff") == "unknown"
    assert tasks.seal_lora("../../etc/passwd") == "unknown"
    job = studio.queued()
    assert tasks.seal_lora(job.pk) == "wrong_state"
    assert TrainingJob.objects.get(pk=job.pk).state == TrainingJob.State.QUEUED


# --- the photographer ------------------------------------------------------------------------


@pytest.fixture
def keys_of(studio):
    """API keys of charlie, who asked, and of mallory, who may nothing."""

    def key(who, organisation):
        return parties.api_key_create(person=who.person, organisation=organisation)[1]

    mallorys = studio.world.mallory.person.memberships.get().organisation
    return {
        "charlie": key(studio.world.charlie, studio.world.studio),
        "mallory": key(studio.world.mallory, mallorys),
    }


def call(keys_of, who, method, path, body=b"", kind="application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {keys_of[who]}"}
    return HttpClient().generic(method, f"/api/v1/{path}", raw, kind, headers=headers)


def test_charlie_goes_from_pictures_to_a_job_over_http(studio, keys_of, monkeypatch):
    monkeypatch.setattr(engine, "engine_open", StandIn)
    base = f"requests/{studio.request.pk}"
    for seed in range(5):
        answer = call(keys_of, "charlie", "POST", f"{base}/pictures", photograph(seed), "image/png")
        assert answer.status_code == 201, answer.content
        assert "sha256" not in answer.content.decode()
    for seed in range(90, 93):
        answer = call(
            keys_of, "charlie", "POST", f"{base}/references", photograph(seed), "image/png"
        )
        assert answer.status_code == 201, answer.content
    surveyed = call(keys_of, "charlie", "POST", f"{base}/curation")
    assert surveyed.status_code == 200, surveyed.content
    blocked = call(keys_of, "charlie", "POST", f"{base}/seal")
    findings = surveyed.json()["findings"]
    soft = {f["code"] for f in findings if f["kind"] in ("soft", "review")}
    if soft:
        assert blocked.status_code == 409
    for name in soft:
        given = {"code": name, "reason": "one studio day"}
        assert call(keys_of, "charlie", "POST", f"{base}/curation/accept", given).status_code == 200
    unrecorded = call(keys_of, "charlie", "POST", f"{base}/seal")
    assert (unrecorded.status_code, code(unrecorded)) == (409, "image_unrecorded")
    recorded = call(
        keys_of,
        "charlie",
        "POST",
        f"{base}/rights",
        {
            "shoot": {"shot_on": "2026-04-01", "client": "Kadoma Press", "purpose": "a spread"},
            "holder": studio.world.charlie.person.pk,
            "basis": "owner",
            "moral_rights": True,
        },
    )
    assert recorded.status_code == 200, recorded.content
    sealed = call(keys_of, "charlie", "POST", f"{base}/seal")
    assert sealed.status_code == 201, sealed.content
    early = call(keys_of, "charlie", "POST", f"{base}/jobs")
    assert (early.status_code, code(early)) == (409, "approval_missing:agency_officer")
    assert "talent" in early.json()["missing"]
    approve(studio, sealed.json()["grant"])
    job = call(keys_of, "charlie", "POST", f"{base}/jobs")
    assert job.status_code == 201, job.content
    shown = call(keys_of, "charlie", "GET", f"jobs/{job.json()['id']}")
    assert shown.json()["state"] == "queued"


def approve(studio, grant_id):
    grant = studio.request.grants.get(pk=grant_id)
    for who, by in studio.world.signers():
        assert not isinstance(who.approve(grant, by), Refusal)
    sequence()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "pictures"),
        ("POST", "references"),
        ("GET", "curation"),
        ("POST", "curation"),
        ("POST", "curation/accept"),
        ("POST", "seal"),
        ("GET", "jobs"),
        ("POST", "jobs"),
    ],
)
def test_mallory_finds_nothing_there(studio, keys_of, method, path):
    answer = call(keys_of, "mallory", method, f"requests/{studio.request.pk}/{path}")
    assert (answer.status_code, code(answer)) == (404, "not_found")


def test_mallory_sees_no_job_and_no_link_opens_without_its_token(studio, keys_of):
    job = studio.queued()
    assert call(keys_of, "mallory", "GET", f"jobs/{job.pk}").status_code == 404
    assert call(keys_of, "charlie", "GET", f"jobs/{job.pk}").status_code == 200
    answer = HttpClient().post("/d/mallory")
    assert (answer.status_code, code(answer)) == (410, "link_expired")


def test_an_upload_that_is_no_picture_is_refused_with_texts(studio, keys_of):
    path = f"requests/{studio.request.pk}/pictures"
    answer = call(keys_of, "charlie", "POST", path, b"mallory", "image/jpeg")
    assert (answer.status_code, code(answer)) == (422, "image_unreadable")
    assert answer.json()["next"]


def test_curation_without_an_engine_is_refused(studio, keys_of, settings, tmp_path):
    settings.ENGINE_DIR = tmp_path / "nothing"
    answer = call(keys_of, "charlie", "POST", f"requests/{studio.request.pk}/curation")
    assert (answer.status_code, code(answer)) == (503, "engine_missing")
