"""Abuse cases about who somebody is and who speaks for them (field study 6.3)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from registry import selectors
from registry.core import status_list
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import JST
from registry.log.models import Entry, Outbox
from registry.models import AgeAlarm, Approval, Confirmation, Grant, GrantHold, Notice, Token
from registry.services import (
    approvals,
    authority,
    contacts,
    grants,
    identity,
    parties,
    people,
    resume,
    sweep,
)
from tests.services.studio import Seer, StandIn, Studio
from tests.world import ORIGIN, World, guard, human, log_types, organisation, proof, sequence, state
from training.engines.survey import YOUNG
from training.services import curation

PAPER = "cc" * 32


def codes(found: Any) -> list[str]:
    assert isinstance(found, list), found
    return [item.code for item in found if isinstance(item, Refusal)]


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), JST)


def reasons(grant: Grant) -> list[str]:
    held = GrantHold.objects.filter(grant=grant, lifted_at=None)
    return sorted(held.values_list("reason", flat=True))


def new_agency(name: str = "Tsuki Agency"):
    """Another agency, with an approver who has a key."""
    agency = organisation("agency", name)
    officer = human(name.partition(" ")[0].lower())
    officer.enrol()
    parties.membership_add(person=officer.person, organisation=agency, role="officer")
    return agency, officer


def leave(world: World, ended_on: date) -> None:
    row = world.talent.representations.get(agency=world.agency)
    parties.representation_end(representation=row, ended_on=ended_on)


def minor(world: World, adult_on: date) -> Any:
    """alice comes of age on that day; dora is her mother."""
    world.talent.birth_date = adult_on.replace(year=adult_on.year - 18)
    world.talent.save()
    dora = human("dora")
    dora.enrol()
    guard(world.talent, dora.person)
    return dora


def made(world: World, *more: tuple[Any, str], **changes: Any) -> Grant:
    grant = world.asked(**changes)
    for who, by in [*world.signers(), *more]:
        given = who.approve(grant, by)
        assert isinstance(given, Approval), given
    assert state(grant) == "active"
    return grant


def open_claim(world: World):
    agency, officer = new_agency()
    claim = authority.claim_file(
        talent=world.talent,
        agency=agency,
        by=officer.person,
        begun_on=timezone.localdate(),
        proof_sha256=PAPER,
    )
    assert not isinstance(claim, Refusal), claim
    return claim, agency, officer


# --- A02 ------------------------------------------------------------------------------------------


def test_a02_a_talent_reached_through_her_agency_is_a_visible_risk(world):
    """A02: agency shares the talent's phone or e-mail; contact equality raises risk."""
    world.agency.domains = ["hoshi.example"]
    world.agency.save()
    person, day = world.alice.person, timezone.localdate()
    contacts.contact_add(person=person, kind="mail", value="alice@home.example")
    assert selectors.contact_risks_of(world.talent, day) == []
    contacts.contact_add(person=person, kind="mail", value="alice@Hoshi.example")
    contacts.contact_add(person=person, kind="phone", value="090-1111-2222")
    contacts.contact_add(person=world.bob.person, kind="phone", value="+81 90 1111 2222")
    assert selectors.contact_risks_of(world.talent, day) == ["agency_domain", "agency_contact"]
    # It is the agency of the day that counts.
    leave(world, day - timedelta(days=1))
    assert selectors.contact_risks_of(world.talent, day) == []


def test_a02_a_new_key_is_told_to_the_place_known_before_it(world):
    """A02, A01: a new key is told to the old contact, also once it was replaced."""
    person = world.alice.person
    old = contacts.contact_add(person=person, kind="mail", value="alice@home.example")
    contacts.contact_verify(contact=old)
    new = contacts.contact_add(person=person, kind="mail", value="alice@hoshi.example")
    told = Notice.objects.filter(kind="contact_added")
    assert [row.contact for row in told] == [old.id]
    contacts.contact_verify(contact=new)
    world.alice.soft = human("second phone").soft
    assert not isinstance(world.alice.enrol(), Refusal)
    told = Notice.objects.filter(person=person, kind="key_enrolled")
    assert sorted(row.contact for row in told) == sorted([old.id, new.id])
    long_after = timezone.now() + contacts.REMEMBERED + timedelta(days=1)
    assert contacts.places_tell(person=person, kind="key_enrolled", subject="k", at=long_after) == 1


def test_a02_a_contact_stands_nowhere_in_clear_and_counts_once_verified(world):
    """A02: an unverified place hears nothing; a value that is none is refused."""
    person = world.alice.person
    row = contacts.contact_add(person=person, kind="mail", value="alice@home.example")
    assert row.value == "alice@home.example"
    assert b"home.example" not in bytes(row.sealed_value)
    assert (
        contacts.places_tell(person=person, kind="key_enrolled", subject="k", at=row.added_at) == 0
    )
    assert contacts.contact_verify(contact=row) is None
    assert contacts.contact_verify(contact=row).code == "wrong_state"
    assert not hasattr(contacts.contact_add(person=person, kind="mail", value="nobody"), "id")


# --- A17 ------------------------------------------------------------------------------------------


def test_a17_leaving_on_a_day_to_come_pauses_on_that_day_and_not_before(world):
    """A17: representation end pauses grants for review; as-of queries around the day."""
    grant = made(world)
    token = world.mint(grant)
    last = timezone.localdate() + timedelta(days=30)
    leave(world, last)
    for days, expected in ((0, "active"), (29, "active"), (30, "active")):
        sweep.authority_sweep(at=noon(timezone.localdate() + timedelta(days=days)))
        assert state(grant) == expected
    day_after = noon(last + timedelta(days=1))
    # The gate itself does not wait for the sweep.
    assert codes(world.mint(grant, at=day_after)) == ["representation_ended"]
    assert sweep.authority_sweep(at=day_after)["paused"] == 1
    assert (state(grant), reasons(grant)) == ("paused", ["representation"])
    token.refresh_from_db()
    assert token.status == status_list.PAUSED
    assert sweep.authority_sweep(at=day_after)["paused"] == 0


def test_a17_a_missed_run_is_caught_up(world):
    """A17: the state of the rows decides, not having run on the day."""
    grant = made(world)
    leave(world, timezone.localdate() + timedelta(days=3))
    assert sweep.authority_sweep(at=noon(timezone.localdate() + timedelta(days=40)))["paused"] == 1
    assert state(grant) == "paused"


def test_a17_the_old_agency_sees_its_own_cases_and_none_that_come_after(world):
    """A17: the old agency loses sight from that date except its own records."""
    own = made(world)
    leave(world, timezone.localdate() - timedelta(days=1))
    later = world.asked()
    seen = set(selectors.requests_for(world.bob.person).values_list("id", flat=True))
    assert own.request_id in seen
    assert later.request_id not in seen
    assert {lane.by for lane in selectors.lanes_for(later)} == {"talent", "photo_copyright"}


def test_a17_after_a_transfer_it_goes_on_only_when_talent_and_todays_agency_confirm(world):
    """A17: not silently inherited; the talent decides."""
    grant = made(world)
    token = world.mint(grant)
    leave(world, timezone.localdate() - timedelta(days=1))
    assert state(grant) == "paused"
    agency, officer = new_agency()
    parties.representation_begin(talent=world.talent, agency=agency, begun_on=timezone.localdate())
    assert state(grant) == "paused"
    assert isinstance(world.alice.confirm(grant), Confirmation)
    assert state(grant) == "paused"
    assert world.bob.confirm(grant).code == "wrong_state"
    assert isinstance(officer.confirm(grant), Confirmation)
    assert (state(grant), reasons(grant)) == ("active", [])
    token.refresh_from_db()
    assert token.status == status_list.VALID
    # The new agency stands in the old one's place: nothing to pause, and the gate opens.
    assert sweep.authority_sweep()["paused"] == 0
    assert isinstance(world.mint(grant), Token)
    assert log_types().count("grant.confirmed") == 2
    # And when the new one ends too, it pauses again.
    row = world.talent.representations.get(agency=agency)
    parties.representation_end(representation=row, ended_on=timezone.localdate())
    assert sweep.authority_sweep(at=noon(timezone.localdate() + timedelta(days=1)))["paused"] == 1


def test_a17_independence_needs_the_talent_alone(world):
    """A17: leaving without a new agency; she decides herself."""
    grant = made(world)
    leave(world, timezone.localdate() - timedelta(days=1))
    assert isinstance(world.alice.confirm(grant), Confirmation)
    assert state(grant) == "active"
    assert isinstance(world.mint(grant), Token)


def test_a17_nobody_confirms_with_anothers_key_or_in_anothers_place(world):
    """A17, A01: resuming is signed by the person's own key over this very pause."""
    grant = made(world)
    leave(world, timezone.localdate() - timedelta(days=1))
    assert world.alice.confirm(grant, soft=world.bob.soft).code == "bad_signature"
    assert world.mallory.confirm(grant).code == "wrong_state"
    assert world.charlie.confirm(grant).code == "wrong_state"
    begun = resume.confirm_begin(person=world.alice.person, grant=grant)
    answer = world.bob.soft.approve(begun["options"] | {"allowCredentials": []}, ORIGIN)
    finish = {"person": world.alice.person, "challenge_id": begun["challenge_id"]}
    assert resume.confirm_finish(**finish, response=answer).code == "bad_signature"
    assert resume.confirm_finish(**finish, response=answer).code == "challenge_unknown"
    begun = resume.confirm_begin(person=world.alice.person, grant=grant)
    finish["challenge_id"] = begun["challenge_id"]
    assert resume.confirm_finish(**finish, response={}).code == "malformed"
    assert state(grant) == "paused"


def test_a17_a_confirmation_is_for_this_pause_and_no_later_one(world):
    """A17: nobody makes her confirm twice with one touch, or before she is asked."""
    grant = made(world)
    leave(world, timezone.localdate() - timedelta(days=1))
    begun, other = (resume.confirm_begin(person=world.alice.person, grant=grant) for _ in range(2))
    answer = world.alice.soft.approve(begun["options"], ORIGIN)
    finished = resume.confirm_finish(
        person=world.alice.person, challenge_id=other["challenge_id"], response=answer
    )
    assert finished.code == "bad_signature"
    assert state(grant) == "paused"


def test_a17_a_confirmation_is_for_the_causes_that_were_read(world):
    """A17: what else came up meanwhile has to be read first."""
    grant = made(world)
    leave(world, timezone.localdate() - timedelta(days=1))
    begun = resume.confirm_begin(person=world.alice.person, grant=grant)
    people.talent_retire(talent=world.talent, from_day=timezone.localdate())
    people.talent_return(talent=world.talent)
    answer = world.alice.soft.approve(begun["options"], ORIGIN)
    finished = resume.confirm_finish(
        person=world.alice.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert finished.code == "challenge_unknown"


def test_a17_another_floors_hold_is_not_lifted_by_the_people(world):
    """A17: who settles one cause sets the grant free of no other."""
    grant = made(world)
    leave(world, timezone.localdate() - timedelta(days=1))
    grants.grant_pause(grant_id=grant.id, reason="base_licence", at=timezone.now())
    world.alice.confirm(grant)
    assert (state(grant), reasons(grant)) == ("paused", ["base_licence"])


def test_a17_a_contract_renewed_with_the_same_agency_without_a_gap_pauses_nothing(world):
    """A17: the authority is the agency's; a new paper is no change of it."""
    grant = made(world)
    last = timezone.localdate() + timedelta(days=3)
    leave(world, last)
    parties.representation_begin(
        talent=world.talent, agency=world.agency, begun_on=last + timedelta(days=1)
    )
    after = noon(last + timedelta(days=2))
    assert sweep.authority_sweep(at=after)["paused"] == 0
    assert isinstance(world.mint(grant, at=after), Token)


def test_a17_retirement_pauses_everything_from_its_day_and_a_return_resumes_nothing(world):
    """A17: retirement; all grants pause."""
    grant = made(world)
    day = timezone.localdate() + timedelta(days=5)
    assert people.talent_retire(talent=world.talent, from_day=day) == []
    sweep.authority_sweep(at=noon(day - timedelta(days=1)))
    assert state(grant) == "active"
    sweep.authority_sweep(at=noon(day))
    assert (state(grant), reasons(grant)) == ("paused", ["retired"])
    assert world.request()  # today she has not retired yet
    people.talent_retire(talent=world.talent, from_day=timezone.localdate())
    assert codes(world.submit()) == ["talent_retired"]
    assert world.alice.confirm(grant).code == "talent_retired"
    assert people.talent_return(talent=world.talent) is None
    assert people.talent_return(talent=world.talent).code == "wrong_state"
    assert state(grant) == "paused"
    world.alice.confirm(grant, at=noon(day))
    world.bob.confirm(grant, at=noon(day))
    assert state(grant) == "active"


# --- A18 ------------------------------------------------------------------------------------------


def test_a18_while_two_agencies_claim_her_nobody_approves_or_mints(world):
    """A18: conflict state, nobody can approve until talent and proof."""
    active, waiting = made(world), world.asked()
    open_claim(world)
    for who, by in world.signers():
        assert who.approve(waiting, by).code == "representation_disputed"
    assert codes(world.mint(active)) == ["representation_disputed"]
    assert codes(world.submit()) == ["representation_disputed"]
    assert codes(world.seal(waiting.request)) == ["representation_disputed"]
    assert Notice.objects.filter(person=world.alice.person, kind="claim_filed").count() == 1


def test_a18_refusing_and_withdrawing_stay_open_in_a_dispute(world):
    """A18: no is never harder than yes."""
    active, waiting = made(world), world.asked()
    open_claim(world)
    assert approvals.approval_withdraw(person=world.alice.person, grant=active) is None
    assert approvals.approval_refuse(person=world.alice.person, grant=waiting, by="talent") is None


@pytest.mark.parametrize("first", ["talent", "operator"])
def test_a18_the_talent_and_a_proof_settle_it_in_any_order(world, first):
    """A18: settled by the talent herself plus proof recorded by an operator."""
    claim, agency, _ = open_claim(world)
    steps = [
        lambda: authority.claim_answer(claim=claim, by=world.alice.person, agrees=True),
        lambda: authority.claim_prove(claim=claim, operator="op", proof_sha256=PAPER),
    ]
    for step in steps if first == "talent" else reversed(steps):
        day = timezone.localdate()
        assert selectors.standing_on(world.talent, day).disputed
        assert step() is None
    assert not selectors.standing_on(world.talent, timezone.localdate()).disputed
    assert selectors.representation_on(world.talent, timezone.localdate()).agency == agency
    old = selectors.representation_on(world.talent, timezone.localdate() - timedelta(days=1))
    assert old.agency == world.agency
    assert authority.claim_answer(claim=claim, by=world.alice.person, agrees=False).code == (
        "wrong_state"
    )


def test_a18_a_claim_that_she_denies_changes_nothing(world):
    """A18: the agency of before stays."""
    grant = made(world)
    claim, _, _ = open_claim(world)
    authority.claim_prove(claim=claim, operator="op", proof_sha256=PAPER)
    authority.claim_answer(claim=claim, by=world.alice.person, agrees=False)
    assert state(grant) == "active"
    assert isinstance(world.mint(grant), Token)
    assert log_types().count("representation.settled") == 1


def test_a18_no_agency_settles_it_and_only_an_approver_of_a_known_agency_claims(world):
    """A18: neither side decides; a claim has a verified agency and an approver behind it."""
    claim, _, officer = open_claim(world)
    for who in (world.bob, officer, world.mallory):
        refused = authority.claim_answer(claim=claim, by=who.person, agrees=True)
        assert refused.code == "representation_disputed"
    values = {"talent": world.talent, "begun_on": timezone.localdate(), "proof_sha256": PAPER}
    with pytest.raises(PermissionDenied):
        authority.claim_file(agency=claim.agency, by=world.mallory.person, **values)
    again = authority.claim_file(agency=claim.agency, by=officer.person, **values)
    assert again.code == "wrong_state"
    own = authority.claim_file(agency=world.agency, by=world.bob.person, **values)
    assert own.code == "wrong_state"
    fresh = parties.organisation_create(kind="agency", name="Fresh")
    parties.membership_add(person=world.mallory.person, organisation=fresh, role="officer")
    unknown = authority.claim_file(agency=fresh, by=world.mallory.person, **values)
    assert unknown.code == "requester_unverified"


# --- A24 ------------------------------------------------------------------------------------------


def test_a24_an_age_alarm_stops_everything_until_a_document_settles_it(world):
    """A24: apparent age as alarm only, never as proof; block until identity is checked."""
    active, waiting = made(world), world.asked()
    token = world.mint(active)
    assert not isinstance(identity.age_doubt(talent=world.talent, source="curation"), Refusal)
    assert (state(active), reasons(active)) == ("paused", ["age_doubt"])
    token.refresh_from_db()
    assert token.status == status_list.PAUSED
    assert codes(world.submit()) == ["age_unproven"]
    assert world.alice.approve(waiting, "talent").code == "age_unproven"
    assert world.alice.confirm(active).code == "age_unproven"
    assert identity.age_doubt(talent=world.talent, source="operator").code == "wrong_state"
    # Her own word is no proof.
    born = world.talent.birth_date
    identity.person_check(
        person=world.alice.person, kind="self_declared", birth_date=born, checked_by="op"
    )
    assert codes(world.submit()) == ["age_unproven"]
    identity.person_check(
        person=world.alice.person, kind="id_document", birth_date=born, checked_by="op"
    )
    assert isinstance(world.alice.approve(waiting, "talent"), Approval)
    assert state(active) == "paused"
    world.alice.confirm(active)
    world.bob.confirm(active)
    assert state(active) == "active"
    assert log_types().count("age.settled") == 1


def test_a24_the_document_shows_a_minor_and_the_rules_of_minors_hold_at_once(world):
    """A24: minor hidden by a wrong birth date."""
    active = made(world)
    identity.age_doubt(talent=world.talent, source="operator")
    really = timezone.localdate() - timedelta(days=16 * 365)
    identity.person_check(
        person=world.alice.person, kind="mynumber_jpki", birth_date=really, checked_by="op"
    )
    world.talent.refresh_from_db()
    assert world.talent.birth_date == really
    assert codes(world.submit()) == ["approval_missing:guardian"]
    assert "approval_missing:guardian" in [
        item.code for item in resume.voices(active, at=timezone.now()) if isinstance(item, Refusal)
    ]


def test_a24_a_birth_date_changed_after_the_check_is_no_longer_proven(world):
    """A24: the proof is of the date on the document, not of whatever stands there later."""
    check = identity.person_check(
        person=world.alice.person,
        kind="id_document",
        birth_date=world.talent.birth_date,
        checked_by="op",
    )
    world.talent.refresh_from_db()
    assert identity.age_doubt(talent=world.talent, source="curation").code == "wrong_state"
    world.talent.birth_date = date(1990, 1, 1)
    world.talent.save()
    assert not identity.age_is_proven(world.talent)
    assert not isinstance(identity.age_doubt(talent=world.talent, source="curation"), Refusal)
    assert check.level == 2


def test_a24_a_face_that_looks_young_asks_for_a_document(world, tmp_path, settings):
    """A24: apparent age with a margin, as an alarm only: nobody signs before a document."""
    settings.STORAGE_DIR = tmp_path / "storage"
    studio = Studio(world, tmp_path)
    dataset = studio.filled()
    report = survey_by(dataset, YOUNG)
    assert "apparent_minor" not in {item.code for item in report.findings}
    dataset.templates.all().delete()
    report = survey_by(dataset, YOUNG - 1)
    assert "apparent_minor" in {item.code for item in report.findings}
    for finding in report.findings:
        if finding.kind in ("soft", "review"):
            studio.accept(dataset, finding.code)
    assert codes(curation.dataset_seal(dataset=dataset)) == ["age_unproven"]
    identity.person_check(
        person=world.alice.person,
        kind="id_document",
        birth_date=world.talent.birth_date,
        checked_by="op",
    )
    # A document counts for more than looks.
    assert isinstance(curation.dataset_seal(dataset=dataset), Grant)


@pytest.mark.parametrize("hers", [True, False])
def test_a24_her_other_cases_stop_only_for_references_that_show_her(
    world, tmp_path, settings, hers
):
    """A24, and its abuse: whoever asks could name a talent and upload a child."""
    settings.STORAGE_DIR = tmp_path / "storage"
    studio = Studio(world, tmp_path)
    active = studio.approved()
    studio.request = studio.new_request()
    report = survey_by(studio.filled(), YOUNG - 1, Seer(0 if hers else 3))
    assert "apparent_minor" in {item.code for item in report.findings}
    assert AgeAlarm.objects.filter(talent=world.talent, source="curation").exists() is hers
    assert state(active) == ("paused" if hers else "active")


def survey_by(dataset, years, engine=None):
    """A survey by an engine that takes everybody to be this old."""
    engine = engine or StandIn()
    engine.age = lambda rgb, face: float(years)
    return curation.dataset_survey(dataset=dataset, engine=engine)


# --- 18th birthday --------------------------------------------------------------------------------


def test_a17_at_eighteen_what_a_guardian_signed_pauses_until_she_confirms_it(world):
    """A17: 18th birthday; notices 60 and 14 days before, then her own re-confirmation."""
    adult = timezone.localdate() + timedelta(days=70)
    dora = minor(world, adult)
    grant = made(world, (dora, "guardian"))
    token = world.mint(grant)
    kinds = {"adult_in_60", "adult_in_14"}

    def told() -> list[tuple[str, str]]:
        rows = Notice.objects.filter(kind__in=kinds)
        return sorted((row.kind, row.person_id) for row in rows)

    both = [world.alice.person.id, dora.person.id]
    sweep.authority_sweep(at=noon(adult - timedelta(days=61)))
    assert told() == []
    sweep.authority_sweep(at=noon(adult - timedelta(days=60)))
    assert told() == sorted(("adult_in_60", who) for who in both)
    sweep.authority_sweep(at=noon(adult - timedelta(days=13)))  # the run of the 14th day was missed
    sweep.authority_sweep(at=noon(adult - timedelta(days=13)))
    assert len(told()) == 4
    sweep.authority_sweep(at=noon(adult - timedelta(days=1)))
    assert state(grant) == "active"
    sweep.authority_sweep(at=noon(adult))
    assert (state(grant), reasons(grant)) == ("paused", ["came_of_age"])
    token.refresh_from_db()
    assert token.status == status_list.PAUSED
    at = {"at": noon(adult)}
    assert dora.confirm(grant, **at).code == "wrong_state"
    world.bob.confirm(grant, **at)
    assert state(grant) == "paused"
    assert isinstance(world.alice.confirm(grant, **at), Confirmation)
    assert state(grant) == "active"
    assert sweep.authority_sweep(**at)["paused"] == 0
    assert isinstance(world.mint(grant, **at), Token)


def test_a17_the_gate_pauses_at_eighteen_even_if_no_sweep_ran(world):
    """A17: fail closed when the periodic task is late."""
    adult = timezone.localdate() + timedelta(days=20)
    dora = minor(world, adult)
    grant = made(world, (dora, "guardian"))
    assert isinstance(world.mint(grant, at=noon(adult - timedelta(days=1))), Token)
    assert codes(world.mint(grant, at=noon(adult))) == ["paused"]


def test_a17_a_guardian_who_is_replaced_is_not_inherited(world):
    """A17: custody changes; today's guardian and the talent confirm."""
    dora = minor(world, timezone.localdate() + timedelta(days=700))
    grant = made(world, (dora, "guardian"))
    row = world.talent.guardianships.get()
    yesterday = timezone.localdate() - timedelta(days=1)
    assert authority.guardian_end(guardianship=row, ended_on=yesterday) is None
    assert authority.guardian_end(guardianship=row, ended_on=yesterday).code == "wrong_state"
    assert (state(grant), reasons(grant)) == ("paused", ["guardian"])
    assert world.alice.confirm(grant).code == "approval_missing:guardian"
    father = human("father")
    father.enrol()
    guard(world.talent, father.person)
    for who in (world.alice, world.bob, father):
        assert isinstance(who.confirm(grant), Confirmation)
    assert state(grant) == "active"
    assert isinstance(world.mint(grant), Token)


# --- A37 ------------------------------------------------------------------------------------------


def test_a37_death_pauses_everything_until_the_estate_is_proven_and_confirms(world):
    """A37: pause all; estate authority chain."""
    grant, waiting = made(world), world.asked()
    today = timezone.localdate()
    paused = people.talent_died(talent=world.talent, died_on=today, proof_sha256=PAPER)
    assert paused == [grant.id]
    assert (state(grant), reasons(grant)) == ("paused", ["deceased"])
    assert codes(world.submit()) == ["estate_missing"]
    assert world.alice.approve(waiting, "talent").code == "estate_missing"
    assert world.bob.confirm(grant).code == "estate_missing"
    heir = human("heir")
    heir.enrol()
    estate = authority.estate_open(
        talent=world.talent, person=heir.person, begun_on=today, proof=proof("will")
    )
    # The dead sign nothing, whoever holds the telephone.
    assert world.alice.approve(waiting, "talent").code == "approval_missing:estate"
    assert world.alice.confirm(grant).code == "wrong_state"
    assert isinstance(heir.confirm(grant), Confirmation)
    assert isinstance(world.bob.confirm(grant), Confirmation)
    assert state(grant) == "active"
    assert isinstance(world.mint(grant), Token)
    assert authority.estate_close(estate=estate, ended_on=today - timedelta(days=1)) is None
    assert authority.estate_close(estate=estate, ended_on=today).code == "wrong_state"
    assert state(grant) == "paused"


def test_a37_the_estate_signs_a_new_grant_in_the_place_of_the_dead_and_may_withdraw(world):
    """A37: who speaks for the dead speaks as the estate, on a proven chain."""
    today = timezone.localdate()
    people.talent_died(talent=world.talent, died_on=today, proof_sha256=PAPER)
    heir = human("heir")
    heir.enrol()
    authority.estate_open(
        talent=world.talent, person=heir.person, begun_on=today, proof=proof("court_order")
    )
    grant = world.asked()
    assert {lane.by for lane in selectors.lanes_for(grant)} == {
        "estate",
        "agency_officer",
        "photo_copyright",
    }
    for who, by in [
        (heir, "estate"),
        (world.bob, "agency_officer"),
        (world.charlie, "photo_copyright"),
    ]:
        assert isinstance(who.approve(grant, by), Approval)
    assert state(grant) == "active"
    assert isinstance(world.mint(grant), Token)
    assert approvals.approval_withdraw(person=heir.person, grant=grant) is None
    assert state(grant) == "withdrawn"


def test_a37_a_death_has_a_day_and_a_proof_and_an_heir_is_another_person(world):
    """A37: nothing is recorded without a document."""
    today = timezone.localdate()
    with pytest.raises(ValueError, match="proof"):
        people.talent_died(talent=world.talent, died_on=today, proof_sha256="")
    with pytest.raises(ValueError, match="day"):
        people.talent_died(
            talent=world.talent, died_on=today + timedelta(days=2), proof_sha256=PAPER
        )
    with pytest.raises(ValueError, match="another person"):
        authority.estate_open(
            talent=world.talent, person=world.alice.person, begun_on=today, proof=proof("will")
        )


# --- A38 ------------------------------------------------------------------------------------------


def test_a38_another_name_keeps_the_identity_and_what_was_signed(world):
    """A38: identity continuity; old names hidden in UI, kept in the rows."""
    grant = made(world)
    before = selectors.core_grant(grant).digest()
    day = timezone.localdate() + timedelta(days=10)
    row = people.stage_name_change(
        talent=world.talent,
        name="アリス・ロウ",
        kana="ありすろう",
        romaji="Alice Rowe",
        begun_on=day,
    )
    assert row.name == "アリス・ロウ"
    person = world.alice.person
    person.refresh_from_db()
    assert person.display_name == "alice"
    sweep.authority_sweep(at=noon(day))
    person.refresh_from_db()
    assert (person.display_name, person.display_name_en) == ("アリス・ロウ", "Alice Rowe")
    assert selectors.stage_name_on(world.talent, day - timedelta(days=1)).name == "alice"
    assert selectors.stage_name_on(world.talent, day).name == "アリス・ロウ"
    assert state(grant) == "active"
    grant.refresh_from_db()
    assert selectors.core_grant(grant).digest() == before
    assert isinstance(world.mint(grant, at=noon(day)), Token)
    assert selectors.lanes_for(grant)[0].person_id == person.id
    # The former name stays out of everything that is signed too.
    assert {"alice", "アリス・ロウ", "Alice Rowe"} <= set(selectors.names_of(world.talent))


def test_a38_nothing_in_the_log_names_her(world):
    """A38: the log holds ids; a new name is an event without a name."""
    made(world)
    people.stage_name_change(
        talent=world.talent, name="アリス・ロウ", romaji="Alice Rowe", begun_on=date(2099, 1, 1)
    )
    sequence()
    rows = [bytes(row.payload) for row in Entry.objects.all()]
    rows += [bytes(row.payload) for row in Outbox.objects.all()]
    told = b"\n".join(rows).decode()
    assert "talent.renamed" in told
    for name in ("alice", "アリス", "Rowe", "Hoshi", "charlie"):
        assert name not in told


def test_a38_names_follow_one_another_and_a_bad_one_changes_nothing(world):
    """A38: a name has one day on which it begins."""
    day = jst_day(timezone.now())
    again = people.stage_name_change(talent=world.talent, name="x", begun_on=day)
    assert again.code == "wrong_state"
    bad = people.stage_name_change(
        talent=world.talent, name="x\u202ey", begun_on=day + timedelta(days=1)
    )
    assert bad.field == "name"
    assert world.talent.stage_names.count() == 1


def test_a17_a_signer_whose_contract_ended_before_the_last_signature_carries_nothing(world):
    """A17: the officer signed on a day on which the agency spoke for her; she signed after it."""
    grant = world.asked()
    assert isinstance(world.bob.approve(grant, "agency_officer"), Approval)
    leave(world, timezone.localdate() - timedelta(days=1))
    assert isinstance(world.charlie.approve(grant, "photo_copyright"), Approval)
    assert isinstance(world.alice.approve(grant, "talent"), Approval)
    assert state(grant) == "paused"
    assert [hold.reason for hold in grant.holds.all()] == ["representation"]
    assert [refusal.code for refusal in world.mint(grant)] == ["paused"]
    assert isinstance(world.alice.confirm(grant), Confirmation)
    assert state(grant) == "active"
