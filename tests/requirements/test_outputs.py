"""R15: sample outputs can be required to be approved before delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.core.refusals import Refusal
from tests.services.studio import Studio
from tests.web.pages import as_
from tests.world import World, log_types
from training.models import Delivery, Lora, OutputDecision
from training.services import delivery, outputs, sealing


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
    made = sealing.lora_seal(job=job)
    assert isinstance(made, Lora), made
    return made


def deliver(studio: Studio, lora: Lora) -> Any:
    return delivery.delivery_make(lora=lora, recipient=studio.world.client)


def decide(studio: Studio, lora: Lora, name: str, by: str, *, approve: bool = True) -> Any:
    person = getattr(studio.world, name).person
    return outputs.output_decide(lora=lora, person=person, by=by, approve=approve)


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
    lora = sealing.lora_seal(job=job)
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
    asked = as_(studio.world.alice).post(
        f"{address}/outputs", {"by": "talent", "decision": "approve", "note": "良いです"}
    )
    assert asked.status_code == 302
    assert outputs.missing(lora) == [Refusal("output_unapproved:agency_officer", lora.pk)]
