"""From photographs to a delivered LoRA, with a trainer that really asks for admission."""

import itertools
import json
import secrets
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from registry.log.models import Entry, Outbox
from registry.models import Grant
from registry.services import approvals, keyring, tokens, vault
from tests.services.studio import Studio, lora_sealed, photograph
from tests.world import log_types
from training.core import provenance, watermark_reading, weights
from training.core.curation import report_digest
from training.models import Delivery, Download, JobPoint, Lora, TrainingJob
from training.services import (
    curation,
    datasets,
    delivery,
    epochs,
    gate,
    jobs,
    runs,
    sealing,
    workers,
)
from training.services.objects import object_read, object_store
from training.worker import agent
from training.worker.client import Released, Unreachable

State = TrainingJob.State


@pytest.fixture
def studio(world, tmp_path, settings, monkeypatch) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LEASE_SECONDS = 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


def withdraw(studio: Studio, grant: Grant) -> None:
    assert approvals.approval_withdraw(person=studio.world.alice.person, grant=grant) is None


def stored(job: TrainingJob) -> TrainingJob:
    return TrainingJob.objects.get(pk=job.pk)


# --- the whole way ---------------------------------------------------------------------------


def test_a_run_leads_to_a_delivery_that_can_be_traced(studio, monkeypatch):
    job = studio.queued()
    outcome = studio.run()
    assert outcome.state == "finished", outcome
    assert studio.job_folders() == []
    job = stored(job)
    assert job.state == State.FINALISING
    assert job.admission["token"].count(".") == 2
    assert set(job.admission) == {"token", "status_list", "at"}
    assert JobPoint.objects.filter(job=job).exists()

    lora = lora_sealed(job=job)
    assert isinstance(lora, Lora), lora
    assert lora_sealed(job=job).pk == lora.pk
    assert stored(job).state == State.DONE

    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert isinstance(made, Delivery), made
    data = studio.received(delivery.delivery_fetch(link=made.link))
    check_delivered(studio, made, data)

    types = log_types()
    for told in ("dataset.sealed", "run.queued", "run.admitted", "run.started", "run.finished"):
        assert types.count(told) == 1, told
    assert types[-5:-2] == ["lora.sealed", "image.made", "output.probed"]
    assert types[-2:] == ["delivery.made", "delivery.fetched"]


def check_delivered(studio: Studio, made: Delivery, data: bytes) -> None:
    read = weights.read(data)
    assert weights.tensor_sha256(data) == made.tensor_sha256
    assert read.metadata["modelspec.hash_sha256"] == "0x" + made.tensor_sha256
    assert provenance.scan_for_leaks(read.metadata, read.tensors, ["alice"]) == []
    artefact = made.artefact_id.to_bytes(6, "big")
    key = epochs.key(1)
    stripped = weights.half(weights.strip(read))
    assert watermark_reading.search(watermark_reading.read(stripped, key), key, [artefact])
    signer = keyring.provenance_signer()
    payload = envelope.verify(
        made.statement,
        {signer.kid: signer.public_raw},
        payload_type=provenance.PAYLOAD_TYPE,
        threshold=1,
    )
    provenance.verify_statement(
        canonical.loads(payload), build_type=provenance.DELIVERY, subject_sha256=made.file_sha256
    )
    run = made.lora.run_statement
    both = {
        studio.worker.jkt: bytes(studio.worker.public_raw),
        signer.kid: signer.public_raw,
    }
    envelope.verify(run, both, payload_type=provenance.PAYLOAD_TYPE, threshold=2)


# --- the pictures ----------------------------------------------------------------------------


def test_a_picture_is_stored_encrypted_and_the_same_one_once(studio):
    dataset = datasets.dataset_open(request=studio.request)
    one = datasets.picture_add(dataset=dataset, data=photograph(1))
    again = datasets.picture_add(dataset=dataset, data=photograph(1))
    assert one.pk == again.pk
    assert b"JFIF" not in object_read(one.object_digest)


def test_an_upload_that_is_no_picture_is_refused(studio):
    dataset = datasets.dataset_open(request=studio.request)
    refused = datasets.picture_add(dataset=dataset, data=b"GIF89a mallory")
    assert refused.code == "image_format"


def test_a_sealed_set_takes_no_more_pictures(studio):
    grant = studio.sealed()
    dataset = grant.request.datasets.get()
    assert datasets.picture_add(dataset=dataset, data=photograph(50)).code == "wrong_state"
    added = datasets.reference_add(dataset=dataset, talent=studio.world.talent, data=photograph(51))
    assert added.code == "wrong_state"


def test_a_new_picture_makes_the_report_void(studio):
    dataset = studio.curated()
    datasets.picture_add(dataset=dataset, data=photograph(50))
    refused = curation.dataset_seal(dataset=dataset)
    assert [r.code for r in refused] == ["wrong_state"]
    assert "dataset.refused" in log_types()


def test_a_point_that_nobody_took_on_keeps_the_set_open(studio):
    dataset = studio.curated()
    dataset.acceptances = []
    dataset.save()
    refused = curation.dataset_seal(dataset=dataset)
    assert {r.kind for r in refused} == {"curation_blocked"}


def test_a_reason_without_words_takes_nothing_on(studio):
    dataset = studio.curated()
    code = dataset.acceptances[0]["code"]
    blank = curation.advice_accept(
        dataset=dataset, code=code, reason="  ", by=studio.world.charlie.person
    )
    assert blank.code == "curation_blocked"
    assert studio.accept(dataset, "unknown_face").code == "curation_blocked"


def test_the_grant_names_the_root_and_the_report(studio):
    grant = studio.sealed()
    dataset = grant.request.datasets.get()
    assert grant.payload["dataset"]["root"] == datasets.dataset_manifest(dataset).root()
    report = curation.report_of(dataset.curation)
    assert grant.payload["curation_digest"] == report_digest(report).hex()


# --- before the run --------------------------------------------------------------------------


def test_a_job_without_the_talents_approval_is_refused(studio):
    grant = studio.sealed()
    for who, by in studio.world.signers()[1:]:
        who.approve(grant, by)
    refused = jobs.job_create(request=studio.request)
    assert [r.code for r in refused] == ["approval_missing:talent"]
    assert log_types()[-1] == "run.refused"


def test_a_job_before_sealing_is_refused(studio):
    studio.curated()
    assert [r.code for r in jobs.job_create(request=studio.request)] == ["dataset_open"]


def test_no_more_jobs_are_queued_than_runs_are_left(studio):
    for _ in range(studio.max_runs):
        studio.queued()
    assert [r.code for r in jobs.job_create(request=studio.request)] == ["slots_used"]


def test_one_job_is_claimed_once(studio):
    job, token = studio.claimed()
    assert token
    assert (job.fence, job.attempt) == (1, 1)
    assert jobs.job_claim(worker=studio.worker) is None


def test_a_worker_that_nobody_approved_is_unknown(studio):
    row = studio.new_worker("bob", approve=False)
    now = timezone.now()
    assert workers.worker_by_key(row.jkt, at=now).code == "worker_unknown"
    assert workers.worker_by_key("x" * 43, at=now).code == "worker_unknown"
    workers.worker_approve(worker=row)
    assert workers.worker_by_key(row.jkt, at=now).pk == row.pk
    workers.worker_revoke(worker=row)
    assert workers.worker_by_key(row.jkt, at=now).code == "worker_unknown"


# --- the gate --------------------------------------------------------------------------------


def redeem(studio, job, token, **changes):
    values = {"worker": studio.worker, "job": job, "token": token, "fence": job.fence}
    return gate.redeem(**{**values, **changes})


def test_a_redeemed_token_releases_the_key_to_that_worker_only(studio):
    job, token = studio.claimed()
    released = redeem(studio, job, token)
    assert isinstance(released, gate.Release), released
    bound = {"jti": released.admission.jti, "grant_digest": released.admission.grant_digest}
    key = vault_core.receive(released.sealed_key, studio.own_keys().hpke_private, **bound)
    assert key == vault.dataset_key(request=studio.request, dataset_id=job.dataset_id)
    with pytest.raises(VerificationError, match="no_token"):
        vault_core.receive(released.sealed_key, b"m" * 32, **bound)


def test_a_token_presented_twice_is_replayed_and_the_run_goes_on(studio):
    job, token = studio.claimed()
    assert isinstance(redeem(studio, job, token), gate.Release)
    assert redeem(studio, job, token).code == "replayed"
    assert stored(job).state == State.TRAINING


def test_nothing_but_the_jobs_own_token_opens_the_gate(studio):
    job, _ = studio.claimed()
    other, other_token = studio.claimed()
    assert redeem(studio, job, other_token).code == "wrong_job"
    assert stored(job).state == State.REFUSED
    forged = other_token[:-8] + ("AAAAAAAA" if other_token[-8:] != "AAAAAAAA" else "BBBBBBBB")
    refused = redeem(studio, other, forged)
    assert refused.code in ("bad_signature", "malformed")
    assert stored(other).refusal_code == refused.code


def test_another_worker_or_an_older_fence_has_lost_the_job(studio):
    job, token = studio.claimed()
    bob = studio.new_worker("bob")
    assert redeem(studio, job, token, worker=bob).code == "lease_lost"
    assert redeem(studio, job, token, fence=job.fence - 1).code == "lease_lost"
    assert stored(job).state == State.CLAIMED


def test_a_picture_swapped_in_the_rows_closes_the_gate(studio):
    job, token = studio.claimed()
    row = job.dataset.pictures.first()
    row.file_sha256 = "ab" * 32
    row.save()
    assert redeem(studio, job, token).code == "dataset_mismatch"
    assert stored(job).state == State.REFUSED


def test_a_picture_that_is_gone_closes_the_gate(studio):
    job, token = studio.claimed()
    job.dataset.pictures.update(object_digest="ab" * 32)
    assert redeem(studio, job, token).code == "image_unavailable"


def test_another_curation_report_closes_the_gate(studio):
    job, token = studio.claimed()
    job.dataset.curation["findings"] = []
    job.dataset.save()
    assert redeem(studio, job, token).code == "curation_mismatch"


def test_another_recipe_closes_the_gate(studio):
    job, token = studio.claimed()
    job.request.recipe["steps"] = studio.steps - 1
    job.request.save()
    assert redeem(studio, job, token).code == "recipe_exceeds"


def test_another_base_closes_the_gate(studio):
    job, token = studio.claimed()
    job.request.base_model.sha256 = "ab" * 32
    job.request.base_model.save()
    assert redeem(studio, job, token).code == "base_model_mismatch"


def test_a_withdrawal_between_claim_and_redemption_closes_the_gate(studio):
    job, token = studio.claimed()
    withdraw(studio, job.grant)
    assert redeem(studio, job, token).code == "withdrawn"
    assert (stored(job).state, stored(job).refusal_code) == (State.REFUSED, "withdrawn")


def test_a_withdrawn_data_set_can_never_be_opened_again(studio):
    job, _ = studio.claimed()
    withdraw(studio, job.grant)
    key = vault.dataset_key(request=studio.request, dataset_id=job.dataset_id)
    assert isinstance(key, Refusal)
    assert key.code == "key_unavailable"


def test_a_token_that_died_unused_is_expired(studio):
    job, token = studio.claimed()
    later = timezone.now() + timedelta(minutes=11)
    assert redeem(studio, job, token, at=later).code == "expired"


# --- the worker's side -----------------------------------------------------------------------


def test_without_the_gate_there_are_no_pixels(studio, monkeypatch):
    """The agent's call of the gate removed: the trainer is started and can open nothing."""
    job = studio.queued()

    def skipped(self, job_id, fence, token):
        listed = tokens.status_list_issue()
        return Released(b"\0" * 80, listed, studio.worker.pk)

    monkeypatch.setattr("training.worker.client.Client.redeem", skipped)
    outcome = studio.run()
    assert (outcome.state, outcome.code) == ("refused", "no_token")
    assert stored(job).state == State.REFUSED
    assert studio.job_folders() == []


def test_a_picture_swapped_in_storage_is_a_mismatch_on_the_worker(studio):
    """Mallory holds the data key and the database, and still not the signatures."""
    job = studio.queued()
    row = job.dataset.pictures.first()
    key = vault.dataset_key(request=studio.request, dataset_id=job.dataset_id)
    sealed = vault_core.seal(b"mallory", key, context=job.dataset_id)
    row.object_digest = object_store(sealed.data)
    row.save()
    outcome = studio.run()
    assert (outcome.state, outcome.code) == ("refused", "dataset_mismatch")
    assert (stored(job).state, stored(job).refusal_code) == (State.REFUSED, "dataset_mismatch")


def test_a_base_that_is_not_the_approved_one_costs_no_run(studio):
    job = studio.queued()
    (studio.base_dir / "extra.txt").write_text("mallory")
    outcome = studio.run()
    assert (outcome.state, outcome.code) == ("refused", "base_model_mismatch")
    assert stored(job).grant.runs_used == 0


def test_a_withdrawal_in_the_middle_stops_and_wipes(studio):
    studio.request.delete()
    studio.steps = 4000
    studio.request = studio.new_request()
    job = studio.queued()
    seen = []

    def watch(event):
        seen.append(event)
        if event["event"] == "progress" and event["step"] == 5:
            withdraw(studio, job.grant)

    outcome = studio.run(watch)
    assert (outcome.state, outcome.code, outcome.left) == ("stopped", "withdrawn", 0)
    assert seen[-1]["event"] == "stopped"
    assert studio.job_folders() == []
    job = stored(job)
    assert (job.state, job.refusal_code) == (State.STOPPED, "withdrawn")
    assert job.stop_report["wiped"]["left"] == 0
    assert job.stop_report["wiped"]["files"] > 0
    assert "run.stopped" in log_types()
    late = runs.run_finished(
        worker=studio.worker, job=job, fence=job.fence, master=b"", statement={}
    )
    assert late.code == "lease_lost"


def test_nothing_can_be_handed_in_after_a_withdrawal(studio, monkeypatch):
    """The worker ignores the stop and hands in: the grant decides, not the worker."""
    job = studio.queued()
    handed = []
    real = studio.client()
    monkeypatch.setattr(
        type(real),
        "result",
        lambda self, *parts, **more: (
            handed.append(parts),
            withdraw(studio, job.grant),
            runs.run_finished(
                worker=studio.worker,
                job=job,
                fence=parts[1],
                master=parts[2],
                statement=parts[3],
            ),
        )[-1],
    )
    outcome = studio.run(client=real)
    assert handed
    assert (outcome.state, outcome.code) == ("stopped", "withdrawn")
    assert (stored(job).state, stored(job).result) == (State.STOPPED, None)


def test_two_agents_on_one_folder_take_one_job(studio):
    studio.queued()
    inner = []

    def watch(event):
        if event["event"] == "verified":
            inner.append(studio.run())

    assert studio.run(watch).state == "finished"
    assert inner == [None]


def test_a_killed_trainer_is_tried_again_and_not_for_ever(studio, tmp_path):
    job = studio.queued()
    script = tmp_path / "dies.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    for attempt in (1, 2):
        assert studio.run(trainer=script).code == "worker_stopped"
        assert (stored(job).state, stored(job).attempt) == (State.QUEUED, attempt)
    assert studio.run(trainer=script).code == "worker_stopped"
    assert (stored(job).state, stored(job).refusal_code) == (State.FAILED, "worker_stopped")


def test_a_statement_about_another_run_is_not_taken(studio, monkeypatch):
    job = studio.queued()
    real = provenance.run_statement

    def other(facts):
        payload = real(facts)
        payload["predicate"]["runDetails"]["metadata"]["invocationId"] = "job_" + "f" * 20
        return payload

    monkeypatch.setattr("training.worker.agent.provenance.run_statement", other)
    outcome = studio.run()
    assert (outcome.state, outcome.code) == ("stopped", "malformed")
    assert stored(job).result is None


# --- leases ----------------------------------------------------------------------------------


def training(studio) -> TrainingJob:
    job, token = studio.claimed()
    assert isinstance(redeem(studio, job, token), gate.Release)
    return stored(job)


def renew(studio, job, **changes):
    values = {"worker": studio.worker, "job": job, "fence": job.fence}
    return gate.lease_renew(**{**values, **changes})


def test_a_lease_is_renewed_with_a_fresh_list_and_the_curve(studio):
    job = training(studio)
    answer = renew(studio, job, step=2, points=[(1, 0.5), (2, 0.4), (99999, 1.0)])
    assert answer.stop_code is None
    assert answer.status_list.count(".") == 2
    renew(studio, job, step=2, points=[(2, 0.4)])
    assert list(JobPoint.objects.values_list("step", flat=True)) == [1, 2]
    assert log_types().count("run.started") == 1


def test_a_withdrawal_is_told_with_the_next_renewal(studio):
    job = training(studio)
    withdraw(studio, job.grant)
    assert renew(studio, job, step=1).stop_code == "withdrawn"


def test_a_job_that_another_worker_holds_now_is_lost(studio):
    job = training(studio)
    assert renew(studio, job, fence=job.fence - 1).code == "lease_lost"
    assert renew(studio, job, worker=studio.new_worker("bob")).code == "lease_lost"


def test_a_silent_worker_loses_the_job_and_its_late_result(studio):
    job = training(studio)
    later = timezone.now() + timedelta(seconds=60)
    assert jobs.sweep_leases(at=later)["requeued"] == 1
    assert jobs.sweep_leases(at=later)["requeued"] == 0
    claim = jobs.job_claim(worker=studio.worker)
    assert isinstance(claim, tuple), claim
    assert claim[0].fence == job.fence + 1
    late = runs.run_finished(
        worker=studio.worker, job=job, fence=job.fence, master=b"", statement={}
    )
    assert late.code == "lease_lost"


def test_a_silent_worker_of_a_withdrawn_job_is_stopped_without_a_report(studio):
    job = training(studio)
    withdraw(studio, job.grant)
    later = timezone.now() + timedelta(seconds=60)
    assert jobs.sweep_leases(at=later)["stopped"] == 1
    assert (stored(job).refusal_code, stored(job).stop_report) == ("withdrawn", None)


def test_a_waiting_job_of_a_withdrawn_grant_is_refused(studio):
    job = studio.queued()
    withdraw(studio, job.grant)
    assert jobs.sweep_leases()["refused"] == 1
    assert (stored(job).state, stored(job).refusal_code) == (State.REFUSED, "withdrawn")


# --- after the run ---------------------------------------------------------------------------


@pytest.fixture
def lora(studio, monkeypatch) -> Lora:
    job = studio.queued()
    assert studio.run().state == "finished"
    sealed = lora_sealed(job=stored(job))
    assert isinstance(sealed, Lora), sealed
    return sealed


def test_a_withdrawal_freezes_the_lora_and_ends_its_links(studio, lora):
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    withdraw(studio, lora.job.grant)
    assert delivery.delivery_fetch(link=made.link).code == "withdrawn"
    assert delivery.delivery_make(lora=lora, recipient=studio.world.client).code == "withdrawn"
    assert sealing.lora_freeze_sweep() == 1
    assert sealing.lora_freeze_sweep() == 0
    lora.refresh_from_db()
    assert (lora.state, lora.frozen_code) == (Lora.State.FROZEN, "withdrawn")
    assert sealing.lora_master(lora).code == "key_unavailable"


def test_a_link_ends_and_only_its_holder_can_use_it(studio, lora):
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert delivery.delivery_fetch(link="mallory").code == "link_expired"
    later = timezone.now() + timedelta(days=8)
    assert delivery.delivery_fetch(link=made.link, at=later).code == "link_expired"
    fresh = delivery.link_renew(delivery=made)
    assert isinstance(delivery.delivery_fetch(link=fresh.link), bytes)
    assert Delivery.objects.get(pk=made.pk).link == ""


def test_of_two_that_use_a_link_at_once_one_gets_the_file(studio, lora, monkeypatch):
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    read, inner = delivery.object_read, []

    def while_reading(digest):
        monkeypatch.setattr(delivery, "object_read", read)
        inner.append(delivery.delivery_fetch(link=made.link))
        return read(digest)

    monkeypatch.setattr(delivery, "object_read", while_reading)
    assert delivery.delivery_fetch(link=made.link).code == "link_used"
    assert isinstance(inner[0], bytes)
    assert Download.objects.count() == 1
    assert log_types().count("delivery.fetched") == 1


def test_only_the_licensee_gets_a_copy(studio, lora):
    assert delivery.delivery_make(lora=lora, recipient=studio.world.studio).code == "terms_invalid"


def test_two_deliveries_are_two_different_files(studio, lora):
    one = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    two = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert one.tensor_sha256 != two.tensor_sha256
    assert one.artefact_id != two.artefact_id


def test_an_id_that_was_delivered_is_never_chosen_again(studio, lora, monkeypatch):
    """An id names one file."""
    one = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    used = one.artefact_id.to_bytes(6, "big")
    fresh = bytes.fromhex("00000000beef")
    drawn, real = itertools.cycle([used, fresh]), secrets.token_bytes

    def rigged(size):
        return next(drawn) if size == len(used) else real(size)

    monkeypatch.setattr(secrets, "token_bytes", rigged)
    assert delivery._fresh_artefacts() == [fresh]
    two = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert two.artefact_id.to_bytes(6, "big") == fresh


def test_no_name_and_no_picture_hash_is_in_the_log(studio, lora):
    delivery.delivery_make(lora=lora, recipient=studio.world.client)
    rows = [bytes(r.payload) for r in (*Entry.objects.all(), *Outbox.objects.all())]
    text = b"\n".join(rows).decode().lower()
    hashes = lora.job.dataset.pictures.values_list("file_sha256", "pixel_sha256", "object_digest")
    for told in ("alice", "charlie", "kadoma", *(h for row in hashes for h in row)):
        assert told not in text
    assert all(json.loads(row)["type"] for row in rows)


def test_whose_face_it_is_is_never_decided_by_whoever_asks(studio):
    dataset = studio.curated()
    dataset.curation["findings"].append(
        {"code": "unlike_face", "kind": "review", "pictures": ["p001"], "count": 1}
    )
    dataset.save()
    answers = [
        curation.advice_accept(
            dataset=dataset,
            code="unlike_face",
            reason="it is her",
            by=who.person,
            picture="p001",
        )
        for who in (studio.world.charlie, studio.world.alice)
    ]
    assert getattr(answers[0], "detail", None) == "unlike_face"
    assert answers[0].code == "self_approval"
    assert answers[1].by == studio.world.alice.person.pk


HANGS = """
import json, sys, time
sys.stdin.readline()
open("pixels.png", "wb").write(b"x" * 1000)
print(json.dumps({"event": "verified"}), flush=True)
print(json.dumps({"event": "progress", "step": 7, "loss": 0.5}), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("cause", ["withdrawn", "silence"])
def test_a_trainer_that_does_not_stop_is_killed_and_wiped_by_its_agent(studio, tmp_path, cause):
    """It loads a model, or hangs: the bound holds all the same."""
    script = tmp_path / "hangs.py"
    script.write_text(HANGS)
    job = studio.queued()
    short = replace(keyring.trust_root(), status_max_age_s=1)
    if cause == "silence":
        (studio.folder / "worker" / "trust.json").write_bytes(short.to_bytes())
    client = studio.client()

    def watch(event):
        if event["event"] == "progress":
            if cause == "withdrawn":
                withdraw(studio, job.grant)
            else:
                client.lease = unreachable

    outcome = studio.run(watch, trainer=script, client=client)
    code = "withdrawn" if cause == "withdrawn" else "status_stale"
    assert (outcome.state, outcome.code, outcome.left) == ("stopped", code, 0)
    assert outcome.report["wiped"]["files"] > 0
    assert studio.job_folders() == []
    if cause == "withdrawn":
        assert (stored(job).state, stored(job).stop_report["step"]) == (State.STOPPED, 7)
    else:  # nobody withdrew anything: another machine may try
        assert stored(job).state == State.QUEUED


def test_a_trainer_that_outlives_its_agent_keeps_the_machine_from_taking_a_job(tmp_path):
    """Or the same job would be trained twice beside itself, for as long as it takes to die."""
    sleep = (sys.executable, "-c", "import time; time.sleep(60)")
    with agent._alone(tmp_path) as lock:
        assert lock is not None
        process = agent._spawn(sleep, tmp_path, lock)
    try:
        with agent._alone(tmp_path) as lock:
            assert lock is None
    finally:
        agent._kill(process)
        agent._end(process)  # closes the pipes
    with agent._alone(tmp_path) as lock:
        assert lock is not None


def unreachable(*_, **__):
    raise Unreachable("no route to host")
