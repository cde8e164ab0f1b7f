"""People in the database: what is encrypted, who speaks as of a day, who may ask and sign."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from registry import selectors
from registry.core.parties import LegalName
from registry.core.refusals import Refusal
from registry.core.terms import Problem
from registry.log.core.errors import VerificationError
from registry.models import Approval, Grant, Organisation, Person, Talent
from registry.services import authority, identity, parties
from tests.world import at_once, guard, human, proof, state

NAME = LegalName("朝日", "花子", "あさひ", "はなこ", "Hanako Asahi")


def codes(found) -> list[str]:
    assert isinstance(found, list), found
    return [item.code for item in found if isinstance(item, Refusal)]


def asks(world) -> list[str]:
    """Who would be asked today, or the code of why not."""
    found = selectors.speakers_for(world.talent, timezone.localdate())
    return [item.code if isinstance(item, Refusal) else item.by for item in found]


def minor(world, *, years: int = 15) -> None:
    world.talent.birth_date = timezone.localdate() - timedelta(days=years * 365)
    world.talent.save()


# --- what is encrypted ----------------------------------------------------------------------------


def test_legal_name_and_birth_date_come_back_and_stand_nowhere_in_clear(world):
    world.alice.person.legal_name = NAME
    world.alice.person.save()
    talent = Talent.objects.get(id=world.talent.id)
    assert talent.person.legal_name == NAME
    assert talent.birth_date == date(1998, 4, 1)
    with connection.cursor() as cursor:
        for table in ("registry_person", "registry_talent"):
            cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608
            rows = "\n".join(row[0] for row in cursor.fetchall())
            for word in ("花子", "はなこ", "Hanako", "1998-04-01", "花子".encode().hex()):
                assert word not in rows


def test_one_persons_key_opens_nothing_of_another(world):
    world.alice.person.legal_name = NAME
    thief = world.mallory.person
    thief.sealed_name = world.alice.person.sealed_name
    with pytest.raises(VerificationError, match=r"key_unavailable|dataset_mismatch"):
        _ = thief.legal_name


def test_a_bad_name_is_a_problem_and_nothing_is_stored(world):
    before = (Person.objects.count(), Organisation.objects.count(), Talent.objects.count())
    assert isinstance(parties.person_create(display_name="a\nb"), Problem)
    bad = LegalName("朝日", "花\x00子")
    assert isinstance(parties.person_create(display_name="ok", legal_name=bad), Problem)
    assert isinstance(parties.organisation_create(kind="agency", name="\u202eagency"), Problem)
    assert isinstance(parties.organisation_create(kind="cartel", name="fine"), Problem)
    assert isinstance(parties.talent_create(person=world.bob.person, kana="\t\t\x07"), Problem)
    after = (Person.objects.count(), Organisation.objects.count(), Talent.objects.count())
    assert before == after


def test_a_recipe_cannot_hold_a_legal_name_either(world):
    world.alice.person.legal_name = NAME
    world.alice.person.save()
    recipe = {"method": "lora", "rank": 8, "steps": 160, "resolution": 32, "token": "朝日 花子"}
    (problem,) = world.submit(recipe=recipe)
    assert problem.field == "recipe"


# --- who speaks -----------------------------------------------------------------------------------


def test_every_custodian_that_the_proof_names_must_be_there_and_sign(world):
    minor(world)
    mother, father = human("mother"), human("father")
    mother.enrol()
    father.enrol()
    guard(world.talent, mother.person, custodians=2)
    assert asks(world) == [
        "talent",
        "guardian",
        "approval_missing:guardian",
        "agency_officer",
    ]
    guard(world.talent, father.person, custodians=2)
    grant = world.asked()
    for who, by in [*world.signers(), (mother, "guardian")]:
        assert isinstance(who.approve(grant, by), Approval)
    assert state(grant) == "asking"
    assert isinstance(father.approve(grant, "guardian"), Approval)
    assert state(grant) == "active"


def test_a_guardian_counts_from_the_day_on_which_the_proof_was_checked(world):
    minor(world)
    late = authority.Proof("family_register", "aa" * 32, "operator", date(2099, 1, 1))
    guard(world.talent, human("mother").person, proof=late)
    assert codes(world.submit()) == ["approval_missing:guardian"]


def test_an_agency_whose_contract_leaves_replicas_out_cannot_be_asked(world):
    row = world.talent.representations.get()
    row.powers = ["negotiate", "view"]
    row.save()
    assert codes(world.seal(world.request())) == ["representation_powerless"]


def test_the_power_is_looked_up_when_the_officer_signs(world):
    grant = world.asked()
    row = world.talent.representations.get()
    row.powers = ["view"]
    row.save()
    assert world.bob.approve(grant, "agency_officer").code == "representation_ended"


def test_beside_an_exclusive_agency_another_may_represent_her_abroad(world):
    abroad = parties.organisation_create(kind="agency", name="Abroad")
    row = parties.representation_begin(
        talent=world.talent, agency=abroad, begun_on=date(2024, 1, 1), exclusive=False
    )
    assert not isinstance(row, Refusal)
    parties.membership_add(person=world.mallory.person, organisation=abroad, role="officer")
    assert asks(world) == ["talent", "agency_officer", "agency_officer"]


def test_two_exclusive_agencies_at_once_are_refused_by_the_database(live):
    live.talent.representations.all().delete()
    agency = live.agency

    def begin():
        return parties.representation_begin(
            talent=live.talent, agency=agency, begun_on=date(2025, 1, 1)
        )

    results = at_once(begin, 6)
    assert sum(not isinstance(row, Refusal) for row in results) == 1
    assert {row.code for row in results if isinstance(row, Refusal)} == {"wrong_state"}
    assert live.talent.representations.count() == 1


def test_one_day_after_another_agency_may_begin(world):
    old = world.talent.representations.get()
    parties.representation_end(representation=old, ended_on=date(2030, 3, 31))
    new = parties.organisation_create(kind="agency", name="New")
    begin = parties.representation_begin
    assert begin(talent=world.talent, agency=new, begun_on=date(2030, 3, 31)).code == "wrong_state"
    assert begin(talent=world.talent, agency=new, begun_on=date(2030, 4, 1)).agency_id == new.id


# --- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["legal", "accounting", "viewer"])
def test_a_role_without_the_power_to_ask_files_nothing(world, role):
    dora = human("dora")
    parties.membership_add(person=dora.person, organisation=world.studio, role=role)
    with pytest.raises(PermissionDenied):
        world.submit(by=dora.person)


def test_a_role_that_is_none_is_refused(world):
    with pytest.raises(ValueError, match="role"):
        parties.membership_add(
            person=world.mallory.person, organisation=world.studio, role="emperor"
        )


@pytest.mark.parametrize(("role", "sees"), [("manager", True), ("accounting", False)])
def test_pictures_are_for_the_roles_that_need_them(world, role, sees):
    dora = human("dora")
    parties.membership_add(person=dora.person, organisation=world.agency, role=role)
    grant: Grant = world.asked()
    assert selectors.access_request(person=dora.person, request_id=grant.request_id)
    assert selectors.may_see_pictures(dora.person, grant.request) is sees


def test_whoever_is_known_by_no_document_may_not_submit(world):
    unknown = parties.organisation_create(kind="studio", name="Ura-aka")
    parties.membership_add(person=world.charlie.person, organisation=unknown, role="photographer")
    assert codes(world.submit(requester=unknown)) == ["requester_unverified"]
    identity.organisation_check(organisation=unknown, kind="contact", checked_by="op")
    assert codes(world.submit(requester=unknown)) == ["requester_unverified"]
    identity.organisation_check(organisation=unknown, kind="company_register", checked_by="op")
    assert world.request(requester=unknown)


def test_proofs_have_a_kind_and_somebody_who_looked(world):
    with pytest.raises(ValueError, match="guardianship"):
        guard(world.talent, world.mallory.person, proof=proof("will"))
    with pytest.raises(ValueError, match="guardian"):
        guard(world.talent, world.alice.person)
    with pytest.raises(ValueError, match="chain"):
        authority.estate_open(
            talent=world.talent,
            person=world.mallory.person,
            begun_on=date(2026, 1, 1),
            proof=proof("family_register"),
        )
    with pytest.raises(ValueError, match="identity"):
        identity.person_check(person=world.alice.person, kind="tarot", checked_by="op")
    with pytest.raises(ValueError, match="who"):
        identity.person_check(person=world.alice.person, kind="in_person", checked_by="")
