"""A19 to A22 and A29: works, other people's pictures, stripped files, bystanders, hidden blends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from PIL import Image

from registry import selectors
from registry.core.refusals import Refusal
from registry.models import Approval, Grant, Lane
from registry.services import parties
from registry.services import rights as records
from tests.services.cases import codes, filled, newcomer, sealed, solo, staff
from tests.services.sitters import PLACES, Sitters, sitting
from tests.services.studio import Studio
from tests.world import World, human, log_types
from training.core import containers
from training.models import Picture
from training.services import curation, datasets, rights

VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
SMALL, LARGE = list(PLACES[1]), list(PLACES[2])


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    """Charlie's studio with storage of its own."""
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


def signed_by(artist: str) -> bytes:
    """A picture of alice that says who made it."""
    exif = Image.Exif()
    exif[containers.TAG_ARTIST] = artist
    return sitting(70, 0, exif=exif.tobytes())


def saying_no() -> bytes:
    """A picture of alice whose holder reserves AI training."""
    packet = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"><rdf:Description '
        f'plus:DataMining="{VOCABULARY}DMI-PROHIBITED-AIMLTRAINING"/></rdf:RDF>'
    )
    return sitting(71, 0, xmp=packet.encode())


# --- A19 ------------------------------------------------------------------------------------------


def test_a19_a_costume_that_was_kept_quiet_ends_the_grant_for_cause(studio):
    """2.5D costume/character: the declaration is binding, a false declaration is a breach."""
    grant = sealed(studio, filled(studio, studio.request, solo()))
    for who, by in studio.world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    grant.refresh_from_db()
    with pytest.raises(PermissionDenied):
        rights.declaration_breach(grant=grant, by=studio.world.bob.person, code="uncleared_work")
    operator = staff()
    found = rights.declaration_breach(grant=grant, by=operator.person, code="uncleared_work")
    assert found is None
    grant.refresh_from_db()
    assert grant.state == "revoked"
    assert log_types()[-2:] == ["grant.ended", "rights.breached"]
    again = rights.declaration_breach(grant=grant, by=operator.person, code="uncleared_work")
    assert again == Refusal("wrong_state", "revoked")


def test_a19_a_work_that_is_only_named_clears_nothing(studio):
    dataset = filled(studio, studio.request, solo())
    use = {"kind": "costume", "title": "変形学生服"}
    studio.declare(dataset, dataset.pictures.all()[1], works=[use])
    assert codes(sealed(studio, dataset)) == {"uncleared_work"}
    nameless = studio.declare(dataset, works=[{"kind": "costume"}])
    assert [problem.field for problem in nameless] == ["works"]


# --- A20 ------------------------------------------------------------------------------------------


def test_a20_the_maker_named_in_the_file_is_not_the_declared_holder(studio):
    """Photo owned by another photographer: EXIF creator mismatch blocks until it is answered."""
    dataset = filled(studio, studio.request, [*solo(4), signed_by("Mallory")])
    refused = sealed(studio, dataset)
    assert [(r.code, r.detail) for r in refused] == [("creator_mismatch", "p005")]
    studio.declare(dataset, dataset.pictures.all()[4], creator_note="assigned to me in 2024")
    assert isinstance(sealed(studio, dataset), Grant)


def test_a20_naming_the_real_maker_gives_them_a_lane(studio):
    dataset = filled(studio, studio.request, [*solo(4), signed_by("MALLORY")])
    real = records.holder_of(person=studio.world.mallory.person)
    studio.declare(dataset, dataset.pictures.all()[4], holder=real, basis="licence")
    grant = sealed(studio, dataset)
    assert Lane.objects.filter(grant=grant, person=studio.world.mallory.person).count() == 1


def test_a20_charlies_own_name_in_the_file_raises_no_question(studio):
    dataset = filled(studio, studio.request, [*solo(4), signed_by("Photo by Charlie")])
    assert isinstance(sealed(studio, dataset), Grant)


def test_a20_a_machine_readable_no_blocks_until_that_holder_signs_in_this_case(studio):
    dataset = filled(studio, studio.request, [*solo(4), saying_no()])
    other = studio.world.mallory
    picture = dataset.pictures.all()[4]
    held = records.holder_of(person=other.person)
    studio.declare(dataset, picture, holder=held, basis="licence")
    assert rights.rights_view(dataset)[4]["reserved"]
    grant = sealed(studio, dataset)
    for who, by in studio.world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    assert "reserved_by_holder" in codes(studio.world.mint(grant))
    assert "AI学習を拒む印" in selectors.core_grant(grant).text("ja")
    assert isinstance(other.approve(grant, "photo_copyright"), Approval)
    grant.refresh_from_db()
    assert grant.state == "active"
    assert "reserved_by_holder" not in codes(studio.world.mint(grant))


def test_a20_a_yes_in_the_file_lifts_nothing(studio):
    data = saying_no().replace(b"DMI-PROHIBITED-AIMLTRAINING", b"DMI-ALLOWED                ")
    dataset = filled(studio, studio.request, [*solo(4), data])
    dataset.pictures.all()[4].rights.delete()
    assert codes(sealed(studio, dataset)) == {"image_unrecorded"}


# --- A21 ------------------------------------------------------------------------------------------


def test_a21_a_file_from_which_everything_was_taken_is_marked(studio):
    """Removed watermark/credit in source: IPTC stripped flag."""
    dataset = filled(studio, studio.request, [*solo(4), signed_by("Charlie")])
    found = [line["stripped"] for line in rights.rights_view(dataset)]
    assert found == [True, True, True, True, False]


# --- A22 ------------------------------------------------------------------------------------------


def test_a22_a_face_behind_the_talent_blocks_until_it_is_masked(studio):
    """Bystander: unknown face, mask or clear; the masked version is what's hashed."""
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, 3)])
    assert codes(sealed(studio, dataset)) == {"unknown_face"}
    picture = dataset.pictures.all()[4]
    by = studio.world.charlie.person
    made = rights.picture_mask(dataset=dataset, picture=picture, box=SMALL, by=by)
    assert isinstance(made, Picture), made
    grant = sealed(studio, dataset)
    assert isinstance(grant, Grant), grant
    hashes = set(dataset.pictures.filter(accepted=True).values_list("file_sha256", flat=True))
    assert made.file_sha256 in hashes
    assert picture.file_sha256 not in hashes
    assert selectors.core_grant(grant).clearances.masked == 1
    assert made.rights.holder == picture.rights.holder
    assert "picture.masked" in log_types()


def test_a22_the_unmasked_version_does_not_come_back_unseen(studio):
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, 3)])
    picture = dataset.pictures.all()[4]
    by = studio.world.charlie.person
    rights.picture_mask(dataset=dataset, picture=picture, box=SMALL, by=by)
    picture.refresh_from_db()
    datasets.picture_leave_out(dataset=dataset, picture=picture, accepted=True)
    assert "unknown_face" in codes(sealed(studio, dataset))


@pytest.mark.parametrize("box", [[0, 0, 0, 10], [-1, 0, 10, 10], [0, 0, 9999, 10], [1, 2, 3]])
def test_a22_a_box_lies_inside_its_picture(studio, box):
    dataset = filled(studio, studio.request, solo())
    picture = dataset.pictures.all()[0]
    by = studio.world.charlie.person
    found = rights.picture_mask(dataset=dataset, picture=picture, box=box, by=by)
    assert found.code == "terms_invalid"


def test_a22_a_bystander_who_agrees_is_a_party(studio):
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, 3)])
    passer = human("passer")
    passer.enrol()
    seen = [{"person": passer.person.pk, "box": SMALL}]
    studio.declare(dataset, dataset.pictures.all()[4], bystanders=seen)
    grant = sealed(studio, dataset)
    assert isinstance(grant, Grant), grant
    for who, by in studio.world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    assert "approval_missing:bystander" in codes(studio.world.mint(grant))
    assert isinstance(passer.approve(grant, "bystander"), Approval)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_a22_a_colleague_of_the_requester_clears_nobodys_face(studio):
    """The asking side names one of its own as the stranger in the picture."""
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, 3)])
    colleague = human("colleague")
    colleague.enrol()
    studio.declare(
        dataset,
        dataset.pictures.all()[4],
        bystanders=[{"person": colleague.person.pk, "box": SMALL}],
    )
    grant = sealed(studio, dataset)
    assert isinstance(grant, Grant), grant
    parties.membership_add(person=colleague.person, organisation=studio.world.studio, role="viewer")
    assert colleague.approve(grant, "bystander").code == "self_approval"


def test_a22_a_second_sitter_is_no_bystander(studio):
    dataset = filled(studio, studio.request, [*solo(4), sitting(50, 0, None, 3)])
    passer = human("passer")
    passer.enrol()
    seen = [{"person": passer.person.pk, "box": LARGE}]
    studio.declare(dataset, dataset.pictures.all()[4], bystanders=seen)
    assert codes(sealed(studio, dataset)) == {"unknown_face"}


def test_a22_a_bystander_is_somebody_at_a_place(studio):
    dataset = filled(studio, studio.request, solo())
    for seen in ({"person": "per_nobody", "box": SMALL}, {"person": "x", "box": [1]}):
        found = studio.declare(dataset, bystanders=[seen])
        assert [problem.field for problem in found] == ["bystanders"]


# --- A29 ------------------------------------------------------------------------------------------


def test_a29_a_second_source_hides_in_no_blend(studio):
    """Blend to hide source: count of persons must equal count of cleared talents."""
    zoe = newcomer("zoe", 1)
    world = studio.world
    request = world.request(
        talents=[world.talent, zoe.talent], base_model=studio.base, recipe=studio.request.recipe
    )
    people = {world.talent: 0, zoe.talent: 1}
    hidden = [*solo(3), sitting(50, 1), sitting(51, 2)]
    assert codes(sealed(studio, filled(studio, request, hidden, people))) == {"unknown_face"}


def test_a29_a_talent_who_is_asked_and_not_shown_makes_no_blend(studio):
    zoe = newcomer("zoe", 1)
    world = studio.world
    request = world.request(
        talents=[world.talent, zoe.talent], base_model=studio.base, recipe=studio.request.recipe
    )
    people = {world.talent: 0, zoe.talent: 1}
    found = codes(sealed(studio, filled(studio, request, solo(), people)))
    assert found == {"curation_blocked:talent_absent"}


def test_a29_one_face_under_two_names_is_no_blend(studio):
    zoe = newcomer("zoe", 1)
    world = studio.world
    request = world.request(
        talents=[world.talent, zoe.talent], base_model=studio.base, recipe=studio.request.recipe
    )
    people = {world.talent: 0}
    dataset = filled(studio, request, solo(), people)
    for seed in range(3):
        again = sitting(950 + seed, 0)
        datasets.reference_add(dataset=dataset, talent=zoe.talent, data=again)
    found = curation.dataset_survey(dataset=dataset, engine=Sitters())
    assert found == Refusal("no_references", "two talents' references look like one person")
