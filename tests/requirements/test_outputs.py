"""R15: sample outputs can be required to be approved before delivery."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from registry.core.approvals import Approval, verify_assertion
from registry.core.authenticator import SoftAuthenticator
from registry.core.refusals import Refusal
from registry.log.models import Outbox
from registry.models import Credential, Representation
from registry.services import authority, keyring, parties
from tests.services.studio import Studio, lora_sealed
from tests.web.pages import as_
from tests.world import ORIGIN, Human, World, human, log_types, organisation
from training.models import Delivery, Lora, OutputDecision
from training.services import delivery, outputs


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """A request under the duty of output approval."""
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LEASE_SECONDS = 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    studio = Studio(world, tmp_path)
    studio.request.terms["duties"] = [*studio.request.terms["duties"], "output_approval"]
    studio.request.save()
    return studio


@pytest.fixture
def lora(studio: Studio) -> Lora:
    """A sealed LoRA with samples."""
    job = studio.queued()
    outcome = studio.run()
    assert outcome.state == "finished", outcome
    made = lora_sealed(job=job)
    assert isinstance(made, Lora), made
    return made


def deliver(studio: Studio, lora: Lora) -> Any:
    return delivery.delivery_make(lora=lora, recipient=studio.world.client)


def approved(lora: Lora, who: Human, by: str, *, soft: SoftAuthenticator | None = None) -> Any:
    """A yes by this person's key, or by somebody else's device in their session."""
    begun = outputs.approve_begin(lora=lora, person=who.person, by=by)
    if isinstance(begun, Refusal):
        return begun
    options = begun["options"] | ({"allowCredentials": []} if soft else {})
    answer = (soft or who.soft).approve(options, ORIGIN)
    return outputs.approve_finish(
        lora=lora, person=who.person, challenge_id=begun["challenge_id"], response=answer
    )


def decide(studio: Studio, lora: Lora, name: str, by: str, *, approve: bool = True) -> Any:
    who = getattr(studio.world, name)
    if approve:
        return approved(lora, who, by)
    return outputs.output_return(lora=lora, person=who.person, by=by)


def test_r15_nothing_is_delivered_before_talent_and_agency_approved_the_outputs(
    studio: Studio, lora: Lora
) -> None:
    """A grant with `output_approval` blocks delivery until the decisions exist."""
    assert deliver(studio, lora) == Refusal("output_unapproved:talent", lora.pk)
    assert isinstance(decide(studio, lora, "alice", "talent"), OutputDecision)
    assert deliver(studio, lora) == Refusal("output_unapproved:agency_officer", lora.pk)
    assert isinstance(decide(studio, lora, "bob", "agency_officer"), OutputDecision)
    assert isinstance(deliver(studio, lora), Delivery)
    assert log_types().count("output.approved") == 2


def test_r15_the_newest_word_counts_and_a_return_blocks_again(studio: Studio, lora: Lora) -> None:
    """Approve, then return: not deliverable."""
    decide(studio, lora, "alice", "talent")
    decide(studio, lora, "bob", "agency_officer")
    decide(studio, lora, "alice", "talent", approve=False)
    assert deliver(studio, lora) == Refusal("output_unapproved:talent", lora.pk)
    assert "output.returned" in log_types()


def test_r15_only_those_who_signed_for_the_person_decide(studio: Studio, lora: Lora) -> None:
    """Neither the photographer, nor a stranger, nor the agency in the talent's place."""
    for name, by in (
        ("charlie", "photo_copyright"),
        ("mallory", "talent"),
        ("bob", "talent"),
        ("alice", "agency_officer"),
    ):
        found = decide(studio, lora, name, by)
        assert isinstance(found, Refusal), name
        assert found.code == "wrong_state", name
    assert not OutputDecision.objects.exists()


def test_r15_outputs_cannot_be_returned_once_they_are_out(studio: Studio, lora: Lora) -> None:
    """After the first copy there is withdrawal, which recalls; a return would promise too much."""
    decide(studio, lora, "alice", "talent")
    decide(studio, lora, "bob", "agency_officer")
    assert isinstance(deliver(studio, lora), Delivery)
    found = decide(studio, lora, "alice", "talent", approve=False)
    assert found == Refusal("wrong_state", "delivered already: withdraw instead")


def test_r15_without_the_duty_nobody_is_asked(studio: Studio) -> None:
    """The duty is part of what was agreed; without it delivery goes on."""
    studio.request.terms["duties"].remove("output_approval")
    studio.request.save()
    job = studio.queued()
    assert studio.run().state == "finished"
    lora = lora_sealed(job=job)
    assert isinstance(lora, Lora)
    assert outputs.missing(lora) == []
    assert isinstance(deliver(studio, lora), Delivery)


def test_r15_the_page_shows_the_samples_to_those_who_decide(studio: Studio, lora: Lora) -> None:
    """Samples, both answers, and nothing for a stranger."""
    address = f"/jobs/{lora.job_id}"
    for who in (studio.world.alice, studio.world.bob):
        page = as_(who).get(address).content.decode()
        assert "Approve the outputs" in page
        assert "Return the outputs" in page
        image = as_(who).get(f"{address}/samples")
        assert image.status_code == 200
        assert image["Cache-Control"] == "no-store"
    assert as_(studio.world.mallory).get(f"{address}/samples").status_code == 404
    said = as_(studio.world.alice).post(f"{address}/outputs", {"by": "talent", "note": "暗い"})
    assert said.status_code == 302
    row = OutputDecision.objects.get()
    assert (row.decision, row.note, row.payload) == ("returned", "暗い", None)


def post(client: Any, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, body, content_type="application/json")


def test_r15_outputs_are_approved_over_http_with_a_key(studio: Studio, lora: Lora) -> None:
    """What the page's button does, and an API client."""
    path, alice = f"/api/v1/jobs/{lora.job_id}/outputs", studio.world.alice
    client = as_(alice)
    begun = post(client, f"{path}/challenge", {"by": "talent"})
    assert begun.status_code == 200, begun.content
    answer = alice.soft.approve(begun.json()["options"], ORIGIN)
    signed = {"challenge_id": begun.json()["challenge_id"], "response": answer}
    done = post(client, path, signed)
    assert (done.status_code, done.json()) == (201, {"by": "talent", "decision": "approved"})
    assert post(client, path, signed).json()["code"] == "challenge_unknown"
    assert outputs.missing(lora) == [Refusal("output_unapproved:agency_officer", lora.pk)]
    refused = post(as_(studio.world.bob), f"{path}/challenge", {"by": "talent"})
    assert refused.json()["code"] == "wrong_state"
    stranger = as_(studio.world.mallory)
    assert post(stranger, path, signed).status_code == 404
    assert post(stranger, f"{path}/challenge", {"by": "talent"}).status_code == 404


def test_r15_only_their_own_key_says_yes_to_these_outputs(studio: Studio, lora: Lora) -> None:
    """Neither a session with another's device, nor an answer to another challenge."""
    world = studio.world
    assert approved(lora, world.alice, "talent", soft=world.bob.soft).code == "bad_signature"
    first, second = (
        outputs.approve_begin(lora=lora, person=world.alice.person, by="talent") for _ in range(2)
    )
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    answer = world.alice.soft.approve(first["options"], ORIGIN)

    def finished(made_for: Lora, begun: dict[str, Any]) -> Any:
        return outputs.approve_finish(
            lora=made_for,
            person=world.alice.person,
            challenge_id=begun["challenge_id"],
            response=answer,
        )

    assert finished(lora, second).code == "bad_signature"
    other = Lora(job=lora.job, tensor_sha256="0" * 64, samples_object=lora.samples_object)
    assert finished(other, first) == Refusal("challenge_unknown", first["challenge_id"])
    assert not OutputDecision.objects.exists()
    Credential.objects.filter(person=world.alice.person).update(retired_at=timezone.now())
    assert approved(lora, world.alice, "talent") == Refusal("not_enrolled", "talent")


def test_r15_a_yes_is_kept_whole_and_told_by_its_digest(studio: Studio, lora: Lora) -> None:
    """Who doubts it later verifies the assertion again."""
    row = decide(studio, lora, "alice", "talent")
    kept = Approval.from_payload(row.payload)
    verify_assertion(kept, bytes.fromhex(kept.grant_digest), keyring.trust_root())
    assert {"assertion_sha256": kept.digest().hex()}.items() <= told("output.approved").items()


def told(kind: str) -> dict[str, Any]:
    """What the newest entry of a type says."""
    rows = [json.loads(bytes(row.payload)) for row in Outbox.objects.order_by("seq")]
    return dict([event["data"] for event in rows if event["type"] == kind][-1])


def test_r15_whoever_speaks_for_her_today_decides(studio: Studio, lora: Lora) -> None:
    """Not the officer of an agency that she left; the new agency is asked."""
    world = studio.world
    decide(studio, lora, "bob", "agency_officer")
    decide(studio, lora, "alice", "talent")
    assert outputs.missing(lora) == []
    old = world.talent.representations.get()
    Representation.objects.filter(pk=old.pk).delete()
    assert outputs.missing(lora) == []  # she speaks for herself alone
    assert decide(studio, lora, "bob", "agency_officer").code == "wrong_state"
    other = organisation("agency", "Another Agency")
    parties.representation_begin(
        talent=world.talent, agency=other, begun_on=timezone.localdate() - timedelta(days=1)
    )
    assert outputs.missing(lora) == [Refusal("output_unapproved:agency_officer", lora.pk)]
    erin = human("erin")
    erin.enrol()
    parties.membership_add(person=erin.person, organisation=other, role="officer")
    assert isinstance(approved(lora, erin, "agency_officer"), OutputDecision)
    assert outputs.missing(lora) == []


def test_r15_any_officer_of_the_agency_says_its_word_and_the_newest_counts(
    studio: Studio, lora: Lora
) -> None:
    """A second officer may return what the first approved; a viewer says nothing."""
    world = studio.world
    agency = world.talent.representations.get().agency
    erin, frank = human("erin"), human("frank")
    for who, role in ((erin, "officer"), (frank, "viewer")):
        who.enrol()
        parties.membership_add(person=who.person, organisation=agency, role=role)
    decide(studio, lora, "alice", "talent")
    assert approved(lora, frank, "agency_officer").code == "wrong_state"
    assert isinstance(approved(lora, erin, "agency_officer"), OutputDecision)
    assert outputs.missing(lora) == []
    decide(studio, lora, "bob", "agency_officer", approve=False)
    assert outputs.missing(lora) == [Refusal("output_unapproved:agency_officer", lora.pk)]


def test_r15_nobody_decides_for_a_talent_who_is_barred_or_for_their_own_side(
    studio: Studio, lora: Lora
) -> None:
    """A doubt about her age stops every yes; an officer who works for the requester says none."""
    world = studio.world
    parties.membership_add(
        person=world.bob.person, organisation=lora.job.request.requester, role="viewer"
    )
    assert decide(studio, lora, "bob", "agency_officer").code == "self_approval"
    other, grace = organisation("agency", "Claims Ltd"), human("grace").person
    parties.membership_add(person=grace, organisation=other, role="officer")
    authority.claim_file(
        talent=world.talent,
        agency=other,
        by=grace,
        begun_on=timezone.localdate(),
        proof_sha256="cd" * 32,
    )
    barred = Refusal("representation_disputed", world.talent.pk)
    assert outputs.missing(lora) == [barred]
    assert decide(studio, lora, "alice", "talent") == barred
