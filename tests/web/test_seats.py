"""A seat that only looks does nothing: no address of the asking side acts for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.models import Lane, TrainingRequest
from registry.services import keyring, parties
from tests.services.studio import Studio, lora_sealed
from tests.web.pages import as_
from tests.world import Human, human, make_world
from training.models import Delivery, Lora, TrainingJob
from training.services import delivery


@pytest.fixture
def studio(db: None, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """Charlie's case, everything committed to the test's own storage."""
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LEASE_SECONDS = 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(make_world(), tmp_path)


def sealed_lora(studio: Studio) -> Lora:
    """A run that went all the way, with samples."""
    job = studio.queued()
    outcome = studio.run()
    assert outcome.state == "finished", outcome
    made = lora_sealed(job=job)
    assert isinstance(made, Lora), made
    return made


def seat(studio: Studio, role: str) -> Human:
    """Somebody new in charlie's company."""
    who = human(f"dora-{role}")
    parties.membership_add(person=who.person, organisation=studio.world.studio, role=role)
    return who


def acts(studio: Studio, job: str, copy: str) -> list[str]:
    """Every address at which the asking side does something about its case."""
    request = studio.request.pk
    lane = Lane.objects.filter(grant__request=request).values_list("pk", flat=True).first()
    on_request = ("upload", "survey", "accept", "seal", "jobs", "reopen", "recall", "rights")
    pages = [f"/requests/{request}/{name}" for name in on_request]
    pages += [f"/requests/{request}/offers/{lane}", f"/jobs/{job}/deliveries"]
    pages += [f"/jobs/{job}/deliveries/{copy}/link"]
    api = ("pictures", "references", "curation", "curation/accept", "seal", "jobs", "rights")
    return [*pages, *(f"/api/v1/requests/{request}/{name}" for name in api)]


@pytest.mark.parametrize("role", ["viewer", "accounting", "legal"])
def test_a_seat_that_may_not_ask_acts_at_no_address(studio: Studio, role: str) -> None:
    lora = sealed_lora(studio)
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert isinstance(made, Delivery), made
    client = as_(seat(studio, role))
    link = made.link_token_hash
    assert client.get(f"/requests/{studio.request.pk}").status_code == 200
    for address in acts(studio, lora.job_id, made.pk):
        assert client.post(address).status_code == 404, address
    changed = client.patch(
        f"/api/v1/requests/{studio.request.pk}", {}, content_type="application/json"
    )
    assert changed.status_code == 404
    made.refresh_from_db()
    assert (made.link_token_hash, TrainingJob.objects.count()) == (link, 1)
    assert TrainingRequest.objects.get(pk=studio.request.pk).state == "cleared"


def test_a_colleague_who_may_ask_acts(studio: Studio) -> None:
    """The same set-up: the seat decides, not the address."""
    lora = sealed_lora(studio)
    client = as_(seat(studio, "photographer"))
    statuses = {client.post(a).status_code for a in acts(studio, lora.job_id, "dlv_none")[:8]}
    assert 404 not in statuses, statuses


@pytest.mark.parametrize(("role", "status"), [("viewer", 404), ("legal", 200)])
def test_samples_are_pictures(studio: Studio, role: str, status: int) -> None:
    """Who may not look at pictures does not look at what was drawn from them."""
    lora = sealed_lora(studio)
    assert as_(seat(studio, role)).get(f"/jobs/{lora.job_id}/samples").status_code == status
