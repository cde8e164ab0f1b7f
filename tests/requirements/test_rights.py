"""R05, R07, R08, R16, R17: every right around a picture is cleared, in the same case."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from registry import selectors
from registry.core.refusals import Refusal
from registry.models import Approval, Grant, Lane, Work
from registry.services import parties
from registry.services import rights as records
from tests.services.cases import codes, committee, filled, newcomer, sealed, solo, staff
from tests.services.sitters import sitting
from tests.services.studio import Studio
from tests.web.pages import as_, text
from tests.world import World, human
from training.models import Dataset
from training.services import jobs, rights


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """Charlie's studio with storage of its own."""
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


def lanes(grant: Grant) -> list[tuple[str, str]]:
    return sorted((lane.by, lane.person_id) for lane in Lane.objects.filter(grant=grant))


# --- R05 ------------------------------------------------------------------------------------------


def dressed(studio: Studio) -> tuple[Dataset, Work]:
    """One picture shows a character that nobody has on record yet."""
    dataset = filled(studio, studio.request, solo())
    proposed = records.work_propose(
        by=studio.world.charlie.person, kind="depicts_character", title="星の王子(舞台版)"
    )
    assert isinstance(proposed, Work)
    use = {"work": proposed.pk, "kind": "depicts_character", "title": proposed.title}
    first = dataset.pictures.all()[0]
    studio.declare(dataset, first, works=[use])
    return dataset, proposed


def test_r05_a_character_without_a_clearance_keeps_the_data_set_from_being_asked_for(studio):
    """Image tagged `depicts_character=X` and no clearance for X: data set not approvable."""
    dataset, _ = dressed(studio)
    refused = sealed(studio, dataset)
    assert [(r.code, r.detail) for r in refused] == [("uncleared_work", "p001")]


def test_r05_whoever_wants_to_use_a_work_does_not_say_who_holds_it(studio):
    _, work = dressed(studio)
    with pytest.raises(PermissionDenied):
        records.work_confirm(
            work=work,
            holders=[records.holder_of(person=studio.world.charlie.person)],
            by=studio.world.charlie.person,
        )
    operator = staff()
    work.proposed_by = operator.person
    held = records.holder_of(person=studio.world.mallory.person)
    told = records.work_confirm(work=work, holders=[held], by=operator.person)
    assert told == Refusal("self_approval", "proposed by the same person")
    assert records.work_confirm(work=work, holders=[], by=operator.person).code == "uncleared_work"


def test_r05_the_committee_signs_by_its_delegate_and_everybody_else_is_asked_too(studio):
    dataset, work = dressed(studio)
    dora = human("dora")
    dora.enrol()
    records.work_confirm(work=work, holders=[committee(dora)], by=staff().person)
    grant = sealed(studio, dataset)
    assert isinstance(grant, Grant), grant
    assert ("work_rights", dora.person.pk) in lanes(grant)
    for who, by in studio.world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    # All but the work's holder: not enough for a run.
    assert "approval_missing:work_rights" in codes(jobs.job_create(request=studio.request))
    assert isinstance(dora.approve(grant, "work_rights"), Approval)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_r05_a_committee_without_a_delegate_cannot_be_asked(studio):
    dataset, work = dressed(studio)
    records.work_confirm(work=work, holders=[committee(None)], by=staff().person)
    assert codes(sealed(studio, dataset)) == {"approval_missing:work_rights"}


def test_r05_a_mandate_that_ended_signs_nothing_more(studio):
    dataset, work = dressed(studio)
    dora = human("dora")
    dora.enrol()
    holder = committee(dora)
    records.work_confirm(work=work, holders=[holder], by=staff().person)
    grant = sealed(studio, dataset)
    yesterday = timezone.localdate() - timedelta(days=1)
    records.mandate_end(mandate=holder.mandates.get(), ended_on=yesterday)
    assert dora.approve(grant, "work_rights").code == "representation_ended"


def test_r05_two_open_mandates_of_one_holder_are_refused(studio):
    dora, eve = human("dora"), human("eve")
    holder = committee(dora)
    again = records.mandate_give(
        holder=holder, person=eve.person, proof_sha256="cd" * 32, begun_on=date(2026, 2, 1)
    )
    assert again == Refusal("wrong_state", "another mandate of this holder is open")


# --- R07 ------------------------------------------------------------------------------------------


def test_r07_an_image_with_no_rights_record_cannot_be_sealed(studio):
    """An image with no rights record can't enter an approved dataset."""
    dataset = filled(studio, studio.request, solo())
    dataset.pictures.all()[2].rights.delete()
    refused = sealed(studio, dataset)
    assert [(r.code, r.detail) for r in refused] == [("image_unrecorded", "p003")]
    studio.declare(dataset, dataset.pictures.all()[2])
    assert isinstance(sealed(studio, dataset), Grant)


@pytest.mark.parametrize("lacking", ["shoot", "holder", "basis"])
def test_r07_a_record_says_shoot_holder_and_basis(studio, lacking):
    dataset = filled(studio, studio.request, solo())
    picture = dataset.pictures.all()[0]
    picture.rights.delete()
    found = studio.declare(dataset, picture, **{lacking: None})
    assert [problem.field for problem in found] == [lacking]
    assert not rights.PictureRights.objects.filter(picture=picture).exists()


@pytest.mark.parametrize("change", [{"client": " "}, {"purpose": ""}, {"client": "x" * 201}])
def test_r07_a_shoot_says_for_whom_and_for_what(studio, change):
    values = {"client": "Kadoma", "purpose": "a spread", "shot_on": date(2026, 1, 1)} | change
    assert rights.shoot_record(organisation=studio.world.studio, **values).field == "shoot"


def test_r07_many_pictures_are_declared_at_once_and_nothing_by_halves(studio):
    dataset = filled(studio, studio.request, solo())
    found = studio.declare(dataset, credit_line="Photo: Charlie", operations=["unheard of"])
    assert [problem.field for problem in found] == ["operations"]
    assert {row.rights.credit_line for row in dataset.pictures.all()} == {""}
    found = studio.declare(dataset, credit_line="Photo: Charlie")
    assert len(found) == 5
    assert {row.rights.credit_line for row in dataset.pictures.all()} == {"Photo: Charlie"}


def test_r07_a_sealed_set_is_declared_no_more(studio):
    dataset = filled(studio, studio.request, solo())
    assert isinstance(sealed(studio, dataset), Grant)
    assert codes(studio.declare(dataset, credit_line="x")) == {"wrong_state"}


# --- R08 ------------------------------------------------------------------------------------------


def test_r08_article_30_4_is_no_basis(studio):
    """Missing either: precise refusal code naming which."""
    dataset = filled(studio, studio.request, solo())
    assert codes(studio.declare(dataset, basis="30-4")) == {"uncleared_copyright"}
    assert rights.PictureRights.objects.filter(basis="owner").count() == 5


def test_r08_the_likeness_does_not_stand_in_for_the_copyright_nor_the_other_way(studio):
    dataset = filled(studio, studio.request, solo())
    grant = sealed(studio, dataset)
    world = studio.world
    assert isinstance(world.alice.approve(grant, "talent"), Approval)
    assert isinstance(world.bob.approve(grant, "agency_officer"), Approval)
    assert codes(world.mint(grant)) >= {"approval_missing:photo_copyright"}
    assert "approval_missing:talent" not in codes(world.mint(grant))


def test_r08_the_copyright_does_not_stand_in_for_the_likeness(studio):
    dataset = filled(studio, studio.request, solo())
    grant = sealed(studio, dataset)
    assert isinstance(studio.world.charlie.approve(grant, "photo_copyright"), Approval)
    found = codes(studio.world.mint(grant))
    assert "approval_missing:talent" in found
    assert "approval_missing:photo_copyright" not in found


def test_r08_each_holder_of_a_photograph_has_a_say_of_its_own(studio):
    dataset = filled(studio, studio.request, solo())
    other = studio.world.mallory
    rows = list(dataset.pictures.all())
    studio.declare(
        dataset, *rows[:2], holder=records.holder_of(person=other.person), basis="licence"
    )
    grant = sealed(studio, dataset)
    core = selectors.core_grant(grant)
    found = {(row.holder, row.basis, row.count) for row in core.clearances.copyright}
    charlie = studio.world.charlie.person.pk
    assert found == {(other.person.pk, "licence", 2), (charlie, "owner", 3)}
    for who, by in studio.world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    grant.refresh_from_db()
    assert grant.state == "asking"
    assert isinstance(other.approve(grant, "photo_copyright"), Approval)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_r08_an_organisation_signs_by_an_officer_of_today(studio):
    dataset = filled(studio, studio.request, solo())
    holder = records.holder_of(organisation=studio.world.client)
    studio.declare(dataset, holder=holder, basis="assignment")
    assert codes(sealed(studio, dataset)) == {"approval_missing:photo_copyright"}
    kei = human("kei")
    kei.enrol()
    seat = parties.membership_add(
        person=kei.person, organisation=studio.world.client, role="officer"
    )
    grant = sealed(studio, dataset)
    assert ("photo_copyright", kei.person.pk) in lanes(grant)
    seat.active = False
    seat.save()
    assert kei.approve(grant, "photo_copyright").code == "representation_ended"


def test_r08_moral_rights_are_asked_for_too(studio):
    dataset = filled(studio, studio.request, solo())
    studio.declare(dataset, moral_rights=False)
    assert codes(sealed(studio, dataset)) == {"moral_rights_missing"}


def test_r08_an_edit_without_its_original_is_not_verified(studio):
    dataset = filled(studio, studio.request, solo())
    picture = dataset.pictures.all()[0]
    studio.declare(dataset, picture, operations=["wrinkles"], retoucher=studio.world.mallory.person)
    assert codes(sealed(studio, dataset)) == {"unverified_edit"}
    assert studio.declare(dataset, picture, original_sha256="XY")[0].field == "original_sha256"
    studio.declare(dataset, picture, original_sha256="ab" * 32)
    grant = sealed(studio, dataset)
    retouchers = selectors.core_grant(grant).clearances.retouchers
    assert retouchers == (studio.world.mallory.person.pk,)


# --- R16 ------------------------------------------------------------------------------------------


def test_r16_two_people_and_the_consent_of_one(studio):
    """Dataset with persons {A,B}, consent only for A: token not issuable."""
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 1)])
    assert codes(sealed(studio, dataset)) == {"unknown_face"}
    assert not Grant.objects.filter(request=studio.request).exists()
    assert isinstance(jobs.job_create(request=studio.request), list | Refusal)


def test_r16_one_group_picture_is_enough(studio):
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, None, 1)])
    assert codes(sealed(studio, dataset)) == {"unknown_face"}


# --- R17 ------------------------------------------------------------------------------------------


def blend(studio: Studio) -> tuple[Any, Any, Dataset]:
    """Three pictures of alice, one of zoe, one of both."""
    zoe = newcomer("zoe", 1)
    request = studio.world.request(
        talents=[studio.world.talent, zoe.talent],
        base_model=studio.base,
        recipe=studio.request.recipe,
        max_runs=3,
    )
    pictures = [*solo(3), sitting(50, 1), sitting(60, 0, None, 1)]
    people = {studio.world.talent: 0, zoe.talent: 1}
    return zoe, request, filled(studio, request, pictures, people)


def test_r17_a_blend_needs_every_talent_and_every_agency(studio):
    """Blend approval needs N x (agency+talent)."""
    zoe, _, dataset = blend(studio)
    grant = sealed(studio, dataset)
    assert isinstance(grant, Grant), grant
    world = studio.world
    asked = [
        (world.alice, "talent"),
        (world.bob, "agency_officer"),
        (zoe.who, "talent"),
        (zoe.officer, "agency_officer"),
        (world.charlie, "photo_copyright"),
    ]
    assert lanes(grant) == sorted((by, who.person.pk) for who, by in asked)
    for who, by in asked:
        grant.refresh_from_db()
        assert grant.state == "asking"
        assert isinstance(who.approve(grant, by), Approval)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_r17_the_shares_are_counted_from_the_pictures(studio):
    """Shares sum to 1 from image counts, computed not typed."""
    zoe, _, dataset = blend(studio)
    shares = selectors.core_grant(sealed(studio, dataset)).clearances.shares
    found = {share.talent: (share.count, share.permille) for share in shares}
    assert found == {studio.world.talent.pk: (4, 667), zoe.talent.pk: (2, 333)}
    assert sum(share.permille for share in shares) == 1000


def test_r17_each_sees_that_it_is_a_blend_and_not_with_whom(studio):
    zoe, request, dataset = blend(studio)
    grant = sealed(studio, dataset)
    for who, own, other in ((studio.world.alice, "66.7", "zoe"), (zoe.who, "33.3", "alice")):
        page = as_(who).get(f"/my/requests/{request.pk}")
        assert page.status_code == 200
        words = text(page)
        assert "blend of 2 people" in words
        assert f"Your own share is {own}%" in words
        assert other not in words
    assert "zoe" not in selectors.core_grant(grant).text("ja")
