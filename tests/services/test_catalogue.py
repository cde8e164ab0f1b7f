"""The catalogue: a model is recorded once, its facts are revised beside the old ones, and what no
longer holds is held until a person sets it free."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import ProgrammingError, transaction
from django.utils import timezone

from registry import selectors
from registry.core.licences import Limit
from registry.models import GrantHold, ModelRecord
from registry.services import catalogue, drift
from tests.world import free, log_types, state

MILLION = Limit("revenue", 1_000_000, "USD")
CAPPED = free(commercial="threshold", limits=(MILLION,))


def codes(found):
    assert isinstance(found, list), found
    return [item.code for item in found]


def revise(record, **changes):
    inside = changes.pop("inside", None)
    return drift.model_revise(record=record, facts=free(**changes), inside=inside)


def test_a_model_is_recorded_once_with_its_facts(world):
    record = catalogue.model_record(name="m", sha256="34" * 32, facts=free())
    assert log_types()[-1] == "model.recorded"
    assert record.current.core() == free()
    assert record.current.number == 1
    with pytest.raises(ValueError, match="already"):
        catalogue.model_record(name="n", sha256="34" * 32, facts=free())


@pytest.mark.parametrize(
    "values",
    [
        {"sha256": "AB" * 32},
        {"name": " "},
        {"kind": "dream"},
        {"facts": free(commercial="maybe")},
        {"licence_text": "another text"},
        {"files": [{"name": "a", "sha256": "zz"}]},
    ],
)
def test_what_does_not_hold_as_such_is_not_recorded(world, values):
    before = ModelRecord.objects.count()
    with pytest.raises(ValueError, match=r"."):
        catalogue.model_record(**({"name": "m", "facts": free()} | values))
    assert ModelRecord.objects.count() == before


def test_a_revision_is_never_edited_or_deleted(world):
    revision = world.base.current
    for change in (lambda: revision.save(), lambda: revision.delete()):
        with pytest.raises(ProgrammingError, match="never edited"), transaction.atomic():
            change()
    revise(world.base, note="read again")
    assert [row.number for row in world.base.revisions.all()] == [1, 2]
    assert log_types()[-1] == "model.revised"


def test_the_whole_is_no_freer_than_a_part_of_a_part(world):
    encoder = catalogue.model_record(name="encoder", kind="text_encoder", facts=free())
    parent = catalogue.model_record(name="parent", facts=free(), inside=[(encoder, "text_encoder")])
    revise(world.base, inside=[(parent, "merge_parent")])
    assert catalogue.effective(world.base).commercial == "yes"
    revise(encoder, commercial="no")
    assert catalogue.effective(world.base).commercial == "no"
    (refusal,) = world.submit()
    assert (refusal.code, refusal.detail) == ("base_licence", "encoder")
    assert {row.name for row in catalogue.bases_with(encoder)} >= {"tiny-portraits", "parent"}


def test_a_part_that_was_taken_out_counts_no_more(world):
    vae = catalogue.model_record(name="vae", kind="vae", facts=free(commercial="no"))
    revise(world.base, inside=[(vae, "vae")])
    assert codes(world.submit()) == ["base_licence"]
    revise(world.base, inside=[])
    assert world.request().state == "submitted"
    assert world.base not in catalogue.bases_with(vae)


def test_nothing_is_inside_itself(world):
    outer = catalogue.model_record(name="outer", facts=free(), inside=[(world.base, "other")])
    with pytest.raises(ValueError, match="itself"):
        revise(world.base, inside=[(outer, "merge_parent")])


def test_a_template_names_no_bytes_and_is_no_base(world):
    template = catalogue.model_record(name="SDXL 1.0", facts=free())
    assert template not in selectors.base_models()
    assert codes(world.submit(base_model=template)) == ["base_licence"]


def test_a_retired_record_and_a_record_of_a_part_are_no_base(world):
    vae = catalogue.model_record(name="vae", kind="vae", sha256="56" * 32, facts=free())
    assert codes(world.submit(base_model=vae)) == ["base_licence"]
    world.base.retired_at = timezone.now()
    world.base.save()
    assert codes(world.submit()) == ["base_licence"]


# --- thresholds and registrations -----------------------------------------------------------------


def test_a_threshold_is_held_against_what_the_licensee_declared(world):
    drift.model_revise(record=world.base, facts=CAPPED)
    assert codes(world.submit()) == ["base_licence_threshold"]
    catalogue.licensee_declare(
        organisation=world.client, measure="revenue", currency="USD", below=1_000_000
    )
    grant = world.made()
    (base,) = selectors.core_grant(grant).base_models
    assert [amount.below for amount in base.declared.amounts] == [1_000_000]
    assert "below USD 1,000,000" in selectors.core_grant(grant).text("en")
    assert "token.minted" not in log_types()
    world.mint(grant)
    assert "token.minted" in log_types()


def test_an_old_declaration_says_nothing(world):
    drift.model_revise(record=world.base, facts=CAPPED)
    long_ago = timezone.localdate() - timedelta(days=catalogue.DECLARATION_DAYS + 1)
    catalogue.licensee_declare(
        organisation=world.client, measure="revenue", currency="USD", below=10, on=long_ago
    )
    assert codes(world.submit()) == ["base_licence_threshold"]


def test_a_licensee_that_grew_is_held(world):
    drift.model_revise(record=world.base, facts=CAPPED)
    small = {"organisation": world.client, "measure": "revenue", "currency": "USD"}
    catalogue.licensee_declare(**small, below=1_000_000)
    grant = world.made()
    catalogue.licensee_declare(**small, below=0)
    assert drift.licensee_sweep(world.client) == [grant.id]
    assert state(grant) == "paused"


def test_a_registration_is_recorded_with_its_number(world):
    facts = free(licence_id="LicenseRef-kolors", registration_required=True)
    drift.model_revise(record=world.base, facts=facts)
    assert codes(world.submit()) == ["base_licence_registration"]
    catalogue.licence_register(
        organisation=world.client, licence_id="LicenseRef-kolors", number="K-1"
    )
    assert world.request().state == "submitted"
    again = catalogue.licence_register(
        organisation=world.client, licence_id="LicenseRef-kolors", number="K-2"
    )
    assert world.client.licence_registrations.get(ended_on=None) == again


@pytest.mark.parametrize(
    "values", [{"measure": "fame"}, {"currency": ""}, {"below": -1}, {"measure": "monthly_users"}]
)
def test_a_declaration_that_means_nothing_is_a_defect(world, values):
    known = {"measure": "revenue", "currency": "USD", "below": 1}
    with pytest.raises(ValueError, match="currency"):
        catalogue.licensee_declare(organisation=world.client, **(known | values))


# --- drift ----------------------------------------------------------------------------------------


def test_what_is_not_affected_goes_on(world):
    grant = world.made()
    _, affected = revise(world.base, derivative_terms=("state_changes",))
    assert [(item.grant.id, item.holds, item.changed) for item in affected] == [
        (grant.id, True, True)
    ]
    assert state(grant) == "active"


def test_a_grant_that_was_made_meanwhile_is_found_by_the_sweep(world):
    grant = world.asked()
    revise(world.base, commercial="no")
    for who, by in world.signers():
        who.approve(grant, by)
    assert state(grant) == "active"
    assert codes(world.mint(grant)) == ["base_licence"]
    assert drift.licence_sweep() == [grant.id]
    assert state(grant) == "paused"
    assert drift.licence_sweep() == []


def test_only_a_person_with_new_facts_sets_it_free(world):
    grant = world.made()
    revision, _ = revise(world.base, commercial="no")
    assert GrantHold.objects.get(grant=grant).ref == revision.id
    assert codes(drift.hold_lift(grant=grant, by=world.bob.person)) == ["base_licence"]
    assert state(grant) == "paused"
    revise(world.base)
    assert drift.licence_sweep() == []
    assert state(grant) == "paused"
    assert drift.hold_lift(grant=grant, by=world.bob.person) == []
    assert state(grant) == "active"
    assert GrantHold.objects.get(grant=grant).lifted_by == world.bob.person
    assert codes(drift.hold_lift(grant=grant, by=world.bob.person)) == ["wrong_state"]


def test_an_older_revision_can_still_be_asked(world):
    grant = world.made()
    narrow, _ = revise(world.base, commercial="no")
    wide, _ = revise(world.base)
    assert [item.holds for item in drift.drift_of(narrow)] == [False]
    assert [(item.grant.id, item.holds) for item in drift.drift_of(wide)] == [(grant.id, True)]
