"""A31: the licence under a base model changes later, or was never what somebody recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.models import GrantHold
from registry.services import catalogue, drift
from registry.services import grants as grants_service
from tests.services.studio import Studio
from tests.web.pages import delivered, finished, running
from tests.world import free, log_types, sequence, state
from training.models import Lora, TrainingJob
from training.services import delivery, gate, jobs
from training.services import drift as training_drift


@pytest.fixture
def studio(world, tmp_path: Path) -> Studio:
    """Charlie's studio, with a base that allows everything today."""
    return Studio(world, tmp_path)


def revise(record, **changes):
    inside = changes.pop("inside", None)
    return drift.model_revise(record=record, facts=free(**changes), inside=inside)[0]


def sweep(lora):
    training_drift.lora_licence_sweep()
    lora.refresh_from_db()
    return lora.state


def test_a31_a_licence_that_narrows_lists_and_freezes_what_was_made_on_it(studio):
    """“Base-model licence changes or was mis-stated”: snapshot, parents, drift."""
    made = delivered(studio)
    lora, grant = made.lora, made.lora.job.grant
    revision = revise(studio.base, commercial="no", note="changed on 22 February")
    (item,) = training_drift.drift_of(revision)
    assert not item.holds
    assert [job.pk for job in item.jobs] == [lora.job_id]
    assert [row.pk for row in item.loras] == [lora.pk]
    assert [row.pk for row in item.deliveries] == [made.pk]
    assert state(grant) == "paused"
    assert GrantHold.objects.get(grant=grant).ref == revision.id
    assert delivery.delivery_fetch(link=made.link).code == "paused"
    assert sweep(lora) == Lora.State.FROZEN
    again = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert again.code == "paused"
    assert log_types()[-2:] == ["grant.paused", "lora.frozen"]


def test_a31_what_is_set_free_again_thaws(studio):
    """Un-freezing is a person's decision, resting on a newer revision."""
    lora = finished(studio)
    revise(studio.base, commercial="no")
    assert sweep(lora) == Lora.State.FROZEN
    revise(studio.base, note="the maker gave us a licence of our own")
    assert sweep(lora) == Lora.State.FROZEN
    assert drift.hold_lift(grant=lora.job.grant, by=studio.world.bob.person) == []
    assert sweep(lora) == Lora.State.SEALED
    assert log_types()[-1] == "lora.thawed"


def test_a31_what_was_frozen_for_another_reason_does_not_thaw(studio):
    """A licence that is mended gives nobody's consent back."""
    lora = finished(studio)
    Lora.objects.filter(pk=lora.pk).update(state="frozen", frozen_code="withdrawn")
    assert sweep(lora) == Lora.State.FROZEN


def test_a31_a_run_under_way_stops_at_its_next_lease(studio):
    """Enforcement reaches the machine that is training right now."""
    job = running(studio)
    revise(studio.base, commercial="unknown")
    lease = gate.lease_renew(worker=studio.worker, job=job, fence=job.fence, step=6)
    assert lease.stop_code == "paused"


def test_a31_a_job_that_waits_never_starts(studio):
    """No token is minted for what is held."""
    job = studio.queued()
    revise(studio.base, commercial="no")
    sequence()
    claim = jobs.job_claim(worker=studio.worker)
    assert not isinstance(claim, tuple)
    job.refresh_from_db()
    assert job.state == TrainingJob.State.REFUSED
    assert job.refusal_code == "paused"


def test_a31_a_parent_of_the_merge_that_turns_out_non_commercial_counts(studio):
    """“one popular photoreal base … because a merge parent was non-commercial”."""
    grant = studio.approved()
    parent = catalogue.model_record(
        name="parent", kind="merge_parent", facts=free(licence_id="NC", commercial="no")
    )
    revision = revise(studio.base, inside=[(parent, "merge_parent")])
    assert [item.holds for item in drift.drift_of(revision)] == [False]
    assert state(grant) == "paused"


def test_a31_a_licence_mended_lifts_no_other_cause(studio):
    """Two causes of a pause are settled one by one."""
    grant = studio.approved()
    revise(studio.base, commercial="no")
    now = grant.created_at
    assert grants_service.grant_pause(grant_id=grant.id, reason="representation", at=now)
    revise(studio.base)
    assert drift.hold_lift(grant=grant, by=studio.world.bob.person) == []
    assert state(grant) == "paused"
