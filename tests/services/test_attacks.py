"""Attacks through the services and the API, one test each, named after what comes of them."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import json
import stat
import threading
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from audit.services import tracing
from registry import selectors
from registry.core import dpop
from registry.core.parties import Speaker
from registry.core.refusals import Refusal
from registry.log.core import envelope
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer
from registry.models import (
    Approval,
    Guardianship,
    IdempotencyKey,
    KeyShare,
    Membership,
    SeenProof,
    Token,
)
from registry.services import approvals, grants, parties, requests, resume, vault
from tests.services.studio import Studio, lora_sealed
from tests.world import ORIGIN, World, guard, human, log_types, state
from training.core import provenance, weights
from training.models import Lora, TrainingJob
from training.services import runs, sealing
from training.worker import agent
from training.worker.client import Unreachable

State = TrainingJob.State


@pytest.fixture
def studio(world: World, tmp_path: Any, settings: Any, monkeypatch: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


def client_of(who: Any, organisation: Any) -> Client:
    _, text = parties.api_key_create(person=who.person, organisation=organisation)
    return Client(headers={"authorization": f"Bearer {text}"})


def post(client: Client, path: str, data: Any, **headers: str) -> Any:
    return client.post(f"/api/v1/{path}", json.dumps(data), "application/json", headers=headers)


# --- keys and who may sign ------------------------------------------------------------------------


def test_a_stolen_session_cannot_enrol_a_key_and_sign_with_it_at_once(world, settings):
    settings.NEW_KEY_WAIT_HOURS = 72
    begun = parties.credential_enrol_begin(person=world.alice.person)
    thief = human("thief").soft
    answer = thief.register(begun["options"] | {"excludeCredentials": []}, ORIGIN)
    planted = parties.credential_enrol_finish(
        person=world.alice.person, challenge_id=begun["challenge_id"], response=answer
    )
    keys = {key for p in world.asked().payload["parties"] for key in p["keys"]}
    assert planted.thumbprint not in keys
    later = selectors.signing_keys(world.alice.person, timezone.now() + timedelta(hours=73))
    assert planted.thumbprint in {key.thumbprint for key in later}


@pytest.mark.parametrize(("mode", "status"), [("test", 200), ("live", 403)])
def test_a_found_api_key_enrols_no_approval_key_in_live_mode(world, settings, mode, status):
    bob = client_of(world.bob, world.agency)
    settings.KYODAKU_MODE = mode
    assert post(bob, "credentials/options", {}).status_code == status
    begun = parties.credential_enrol_begin(person=world.bob.person)
    answer = world.mallory.soft.register(begun["options"] | {"excludeCredentials": []}, ORIGIN)
    body = {"challenge_id": begun["challenge_id"], "response": answer}
    made = post(bob, "credentials", body)
    assert made.status_code == {"test": 409, "live": 403}[mode]  # 409: it is mallory's already


def test_an_officer_who_was_dismissed_cannot_sign_what_they_were_asked(world):
    grant = world.asked()
    membership = Membership.objects.filter(person=world.bob.person, role="officer")
    membership.update(active=False)
    assert world.bob.approve(grant, "agency_officer").code == "representation_ended"
    membership.update(active=True)
    assert isinstance(world.bob.approve(grant, "agency_officer"), Approval)


def test_an_agency_that_left_cannot_sign_what_it_was_asked(world):
    grant = world.asked()
    yesterday = timezone.localdate() - timedelta(days=1)
    representation = world.talent.representations.get()
    parties.representation_end(representation=representation, ended_on=yesterday)
    assert world.bob.approve(grant, "agency_officer").code == "representation_ended"


@pytest.fixture
def guarded(world):
    """A grant of a minor, signed by everybody."""
    guardian = human("dora")
    guardian.enrol()
    world.talent.birth_date = timezone.localdate() - timedelta(days=15 * 365)
    world.talent.save()
    guard(world.talent, guardian.person)
    return world, world.asked(), guardian


def test_a_former_guardian_cannot_sign(guarded):
    _, grant, guardian = guarded
    Guardianship.objects.update(ended_on=timezone.localdate() - timedelta(days=1))
    assert guardian.approve(grant, "guardian").code == "representation_ended"


def codes(found: Any) -> list[str]:
    assert isinstance(found, list), found
    return [refusal.code for refusal in found]


def test_what_a_guardian_signed_pauses_at_eighteen(guarded):
    world, grant, guardian = guarded
    for who, by in [*world.signers(), (guardian, "guardian")]:
        who.approve(grant, by)
    assert state(grant) == "active"
    assert isinstance(world.mint(grant), Token)
    world.talent.birth_date = timezone.localdate() - timedelta(days=19 * 365)
    world.talent.save()
    assert codes(world.mint(grant, job_id="job_" + "2" * 20)) == ["paused"]


def test_a_talent_who_turns_out_to_be_a_minor_gets_no_token_for_swimwear(world):
    grant = world.made(terms=world.terms(exposure="swimwear"))
    world.talent.birth_date = timezone.localdate() - timedelta(days=16 * 365)
    world.talent.save()
    assert codes(world.mint(grant)) == ["minor_rule", "approval_missing:guardian"]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("knob", ["trigger", "prompt"])
def test_a_recipe_cannot_carry_the_talents_name_into_signed_statements(world, knob):
    world.alice.person.display_name = "門倉 花子"
    world.alice.person.save()
    recipe = {"rank": 8, "steps": 160, "resolution": 32, knob: "a photo of 門倉花子 {}"}
    (problem,) = world.submit(recipe=recipe)
    assert problem.field == "recipe"


def test_a_worker_cannot_write_its_words_into_the_log(studio):
    job, _ = studio.claimed()
    told = runs.run_failed(
        worker=studio.worker, job=job, fence=job.fence, code="expired:Kadokura Hanako"
    )
    assert told.refusal_code == "training_failed"
    assert "run.failed" in log_types()


# --- withdrawals ----------------------------------------------------------------------------------


def test_the_pictures_go_when_consent_is_withdrawn_after_the_term(world):
    grant = world.made()
    vault.dataset_key_create(request=grant.request, dataset_id="dst_1")
    grants.grants_expire(at=timezone.now() + timedelta(days=400))
    for _ in range(2):
        assert approvals.approval_withdraw(person=world.alice.person, grant=grant) is None
    assert state(grant) == "expired"
    assert KeyShare.objects.get().wrapped is None
    assert log_types().count("approval.withdrawn") == 1


def test_new_pictures_do_not_outrun_a_withdrawal(world):
    first = world.made()
    second = world.seal(first.request, root="ef" * 32)
    assert approvals.approval_withdraw(person=world.alice.person, grant=first) is None
    assert (state(first), state(second)) == ("superseded", "withdrawn")
    assert [item.code for item in world.seal(first.request)] == ["wrong_state"]


def test_a_requester_who_seals_again_cannot_deadlock_a_withdrawal(live, monkeypatch):
    grant, halfway, real = live.made(), threading.Event(), requests._supersede

    def slowly(*args: Any) -> None:
        halfway.set()
        deadline = time.monotonic() + 10
        while not _somebody_waits() and time.monotonic() < deadline:
            time.sleep(0.02)
        real(*args)

    monkeypatch.setattr(requests, "_supersede", slowly)
    answers: list[Any] = []

    def withdraw() -> None:
        try:
            halfway.wait(10)
            answers.append(approvals.approval_withdraw(person=live.alice.person, grant=grant))
        finally:
            connections.close_all()

    thread = threading.Thread(target=withdraw)
    thread.start()
    second = live.seal(grant.request, root="ef" * 32)
    thread.join()
    assert answers == [None]
    assert state(second) == "withdrawn"


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_withdrawal_while_the_lora_is_measured_leaves_nothing_sealed(studio, monkeypatch):
    done = studio.run  # the stand-in trainer's run, up to the handed-in master
    studio.queued()
    assert done().state == "finished"
    job = TrainingJob.objects.get()

    def measured(_master: Any) -> None:
        approvals.approval_withdraw(person=studio.world.alice.person, grant=job.grant)

    monkeypatch.setattr(sealing, "_proven", measured)
    assert lora_sealed(job=job).code == "withdrawn"
    assert not Lora.objects.exists()
    assert TrainingJob.objects.get().state == State.STOPPED


# --- workers --------------------------------------------------------------------------------------


def test_strangers_with_keys_of_their_own_fill_no_table(world):
    stranger = Ed25519Signer.from_seed(b"x" * 32)
    path = "/api/worker/v1/claims"
    for _ in range(3):
        proof = dpop.prove(
            stranger,
            method="POST",
            url=django_settings.PUBLIC_URL + path,
            body=b"{}",
            at=timezone.now(),
        )
        answer = Client().post(path, b"{}", "application/json", headers={"DPoP": proof})
        assert answer.status_code == 403
    assert not SeenProof.objects.exists()


def test_a_worker_cannot_hide_bytes_among_the_signatures_of_its_statement(studio):
    studio.claimed()
    row = TrainingJob.objects.select_related("request__base_model", "dataset").get()
    stray = Ed25519Signer.from_seed(b"y" * 32)
    signers = [studio.own_keys().signer, stray]
    signed = envelope.sign(provenance.PAYLOAD_TYPE, b'{"a":1}', signers)
    with pytest.raises(VerificationError, match="signatures beside the worker's"):
        runs._check_statement(row, studio.worker, signed, "00" * 32)


def test_a_job_folder_is_nobody_elses_to_read_whatever_the_umask(studio, monkeypatch):
    seen: list[int] = []

    def look(run: Any) -> Any:
        seen.append(stat.S_IMODE(run.folder.stat().st_mode))
        raise Unreachable("enough")

    monkeypatch.setattr(agent._Run, "_train", look)
    studio.queued()
    studio.run()
    assert seen == [0o700]


# --- strangers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "m", "n"), [(1, 200_000, 64), (4_000, 32, 32)])
def test_a_small_file_cannot_ask_the_public_check_for_gigabytes_or_hours(world, rank, m, n):
    data = weights.write(
        {
            "unet.a.lora_A.weight": np.ones((rank, n), np.float16),
            "unet.a.lora_B.weight": np.ones((m, rank), np.float16),
        },
        {},
    )
    answer = tracing.trace(data=data)
    assert isinstance(answer, Refusal)
    assert answer.code == "malformed"


def test_a_delivery_link_is_not_kept_with_the_remembered_answer(studio, monkeypatch):
    studio.queued()
    assert studio.run().state == "finished"
    job = TrainingJob.objects.get()
    assert isinstance(lora_sealed(job=job), Lora)
    charlie = client_of(studio.world.charlie, studio.world.studio)
    headers = {"Idempotency-Key": "once"}
    first = post(charlie, f"jobs/{job.pk}/deliveries", {}, **headers).json()
    again = post(charlie, f"jobs/{job.pk}/deliveries", {}, **headers).json()
    assert first["link"].startswith("/d/")
    assert again == {name: value for name, value in first.items() if name != "link"}
    assert first["link"] not in json.dumps(IdempotencyKey.objects.get().body)


def test_no_cache_keeps_what_the_api_answers_and_no_number_is_too_long(world):
    charlie = client_of(world.charlie, world.studio)
    assert charlie.get("/api/v1/talents")["Cache-Control"] == "private, no-store"
    assert charlie.get("/api/v1/requests?limit=" + "9" * 5000).status_code == 422


def test_one_heirs_confirmation_is_not_the_other_heirs():
    """Heirs without an agency share capacity and subject; each speaks for themselves alone."""
    given = {("tal_1", "estate", "", "per_heir1")}
    one, two = (
        resume._voice("tal_1", Speaker("estate", "self", person), given)
        for person in ("per_heir1", "per_heir2")
    )
    assert (one.confirmed, two.confirmed) == (True, False)
