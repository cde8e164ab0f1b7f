"""The case through the services: changes, offers, time to think, conflicts of role, the stop."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from registry import selectors
from registry.core import cases
from registry.core.terms import Problem, Terms
from registry.models import Approval, EmergencyStop, Grant, Lane, PrivateNote, Talent, Token
from registry.services import answers, approvals, grants, lanes, parties, welfare
from tests.services.studio import StandIn, Studio
from tests.world import at, human, log_types, request_state, state
from training.models import Dataset
from training.services import answers as training_answers
from training.services import curation, datasets, jobs

REMARKS = [{"field": "term", "text": "半年にしてください"}]


def lane(grant, by) -> Lane:
    return Lane.objects.get(grant=grant, by=by)


def states(grant) -> dict[str, str]:
    return dict(Lane.objects.filter(grant=grant).values_list("by", "state"))


@pytest.fixture
def studio(world, tmp_path, settings):
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(world, tmp_path)


# --- opening ------------------------------------------------------------------------------------


def test_opening_is_told_once_and_nothing_follows(world):
    grant = world.asked()
    for _ in range(2):
        answers.lane_open(person=world.alice.person, grant=grant)
    assert states(grant)["talent"] == "opened"
    assert lane(grant, "talent").opened_at is not None
    assert log_types().count("approval.opened") == 1
    answers.lane_open(person=world.mallory.person, grant=grant)
    assert state(grant) == "asking"
    assert isinstance(world.alice.approve(grant, "talent"), Approval)


def test_who_cannot_be_reached_may_still_answer_and_nobody_else(world):
    grant = world.asked()
    assert answers.lane_unreachable(lane=lane(grant, "talent"))
    assert log_types()[-1] == "approval.undelivered"
    assert not answers.lane_unreachable(lane=lane(grant, "talent"))
    assert world.bob.approve(grant, "talent").code == "bad_signature"
    assert isinstance(world.alice.approve(grant, "talent"), Approval)


# --- return -------------------------------------------------------------------------------------


def test_a_return_ends_the_signing_for_everybody(world):
    grant = world.asked()
    assert isinstance(world.bob.approve(grant, "agency_officer"), Approval)
    done = answers.answer_return(
        person=world.alice.person, grant=grant, by="talent", remarks=REMARKS
    )
    assert done is None
    assert (state(grant), request_state(grant)) == ("returned", "returned")
    assert lane(grant, "talent").remarks == REMARKS
    assert log_types()[-1] == "approval.returned"
    assert world.charlie.approve(grant, "photo_copyright").code == "returned"
    assert not selectors.lanes_open_to(world.charlie.person).exists()


def test_a_return_without_remarks_or_by_nobody_concerned_changes_nothing(world):
    grant = world.asked()
    empty = answers.answer_return(person=world.alice.person, grant=grant, by="talent", remarks=[])
    assert empty.code == "remark_missing"
    for who, by in ((world.mallory, "talent"), (world.bob, "talent")):
        no = answers.answer_return(person=who.person, grant=grant, by=by, remarks=REMARKS)
        assert no.code == "bad_signature"
    assert state(grant) == "asking"


def test_a_talent_may_refuse_and_withdraw_while_a_change_is_asked_for(world):
    grant = world.asked()
    answers.answer_return(
        person=world.bob.person, grant=grant, by="agency_officer", remarks=REMARKS
    )
    assert approvals.approval_refuse(person=world.alice.person, grant=grant, by="talent") is None
    assert state(grant) == request_state(grant) == "refused"


def test_new_content_dismisses_what_was_said_and_tells_the_difference(world):
    request = world.request()
    first = world.seal(request)
    assert isinstance(world.alice.approve(first, "talent"), Approval)
    assert isinstance(world.bob.approve(first, "agency_officer"), Approval)
    answers.answer_return(
        person=world.charlie.person, grant=first, by="photo_copyright", remarks=REMARKS
    )
    request.refresh_from_db()
    shorter = replace(
        Terms.from_payload(request.terms), end=timezone.localdate() + timedelta(days=60)
    )
    assert not isinstance(
        answers.request_amend(request=request, by=world.charlie.person, terms=shorter), list
    )
    second = world.seal(request)
    assert state(first) == "superseded"
    assert set(states(first).values()) == {"dismissed"}
    assert set(states(second).values()) == {"asked"}
    assert log_types().count("approval.dismissed") == 2
    assert [c["member"] for c in second.changes["terms"]] == ["end"]
    assert second.changes["before"] == first.id
    assert selectors.approvals_of(second) == []
    assert world.alice.approve(first, "talent").code == "approval_replaced"


def test_terms_change_only_between_asking_and_within_the_rules(world):
    request = world.request()
    wrong = replace(Terms.from_payload(request.terms), purpose="x")
    found = answers.request_amend(request=request, by=world.charlie.person, terms=wrong)
    assert isinstance(found[0], Problem)
    with pytest.raises(PermissionDenied):
        answers.request_amend(request=request, by=world.bob.person)
    grant = world.seal(request)
    found = answers.request_amend(request=request, by=world.charlie.person)
    assert [item.code for item in found] == ["wrong_state"]
    with pytest.raises(PermissionDenied):
        answers.request_recall(request=request, by=world.mallory.person)
    assert answers.request_recall(request=request, by=world.charlie.person) is None
    assert (state(grant), log_types()[-1]) == ("returned", "request.recalled")
    no = answers.request_recall(request=request, by=world.charlie.person)
    assert no.code == "wrong_state"
    later = at(9)
    done = answers.request_amend(request=request, by=world.charlie.person, sign_by=later)
    assert done.sign_by == later


def test_a_deadline_that_passes_is_no_yes(world):
    grant = world.asked()
    assert isinstance(world.alice.approve(grant, "talent"), Approval)
    assert grants.grants_expire(at=at(8)) == [grant.id]
    assert states(grant) == {
        "talent": "signed",
        "agency_officer": "expired",
        "photo_copyright": "expired",
    }
    assert request_state(grant) == "closed"


# --- counter-offer ------------------------------------------------------------------------------


def offer(world, grant, **changes):
    left_out = changes.pop("left_out", ())
    terms = replace(selectors.core_grant(grant).terms, **changes)
    return answers.answer_counter(
        person=world.alice.person, grant=grant, by="talent", terms=terms, left_out=left_out
    )


def test_only_less_can_be_offered(world):
    grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar")))
    assert offer(world, grant).code == "counter_empty"
    wider = offer(world, grant, media=("ad_tv",))
    assert (wider.code, wider.detail) == ("counter_wider", "media")
    assert offer(world, grant, left_out=["pic_of_another_set"]).code == "counter_wider"
    assert offer(world, grant, media=()).code == "counter_wider"
    assert state(grant) == "asking"
    assert offer(world, grant, media=("calendar",)) is None
    assert (state(grant), log_types()[-1]) == ("returned", "approval.countered")
    assert [row.by for row in answers.offers(grant.request)] == ["talent"]


def test_a_partial_approval_is_an_offer_of_what_was_ticked(world):
    grant = world.asked(terms=world.terms(media=("photobook_ebook", "calendar")))
    ticks = ["media:calendar", "territory:JP", "likeness:face"]
    done = answers.answer_partly(person=world.alice.person, grant=grant, by="talent", ticks=ticks)
    assert done is None
    assert lane(grant, "talent").offer["terms"]["media"] == ["calendar"]
    assert "grant.made" not in log_types()


def test_an_accepted_offer_is_sealed_anew_and_signed_by_everybody(studio):
    world = studio.world
    studio.filled = lambda: Studio.filled(studio, 6)
    first = studio.sealed()
    assert isinstance(world.bob.approve(first, "agency_officer"), Approval)
    out = first.pictures[1]
    assert len(first.pictures) == 6
    assert offer(world, first, left_out=[out], fee_jpy=50_000) is None
    made = training_answers.counter_accept(
        lane=lane(first, "talent"), by=world.charlie.person, engine=StandIn()
    )
    assert isinstance(made, Grant), made
    assert made.pictures == [p for p in first.pictures if p != out]
    assert made.payload["terms"]["fee_jpy"] == 50_000
    assert made.payload["dataset"]["count"] == 5
    assert (made.changes["left_out"], made.changes["added"]) == ([2], [])
    assert set(states(made).values()) == {"asked"}
    assert states(first)["agency_officer"] == "dismissed"
    for who, by in world.signers():
        assert isinstance(who.approve(made, by), Approval)
    assert state(made) == "active"
    assert not isinstance(jobs.job_create(request=studio.request), list)


def test_an_offer_is_taken_by_the_requester_once(studio):
    world = studio.world
    first = studio.sealed()
    assert offer(world, first, fee_jpy=1) is None
    row = lane(first, "talent")
    with pytest.raises(PermissionDenied):
        training_answers.counter_accept(lane=row, by=world.bob.person)
    assert isinstance(training_answers.counter_accept(lane=row, by=world.charlie.person), Grant)
    again = training_answers.counter_accept(lane=row, by=world.charlie.person)
    assert [item.code for item in again] == ["wrong_state"]


def test_leaving_pictures_out_needs_them_checked_again(studio):
    world = studio.world
    first = studio.sealed()
    assert offer(world, first, left_out=first.pictures[:1]) is None
    no = training_answers.counter_accept(lane=lane(first, "talent"), by=world.charlie.person)
    assert [item.code for item in no] == ["engine_missing"]
    assert Dataset.objects.get(request=studio.request).state != Dataset.State.SEALED


def test_a_sealed_set_opens_only_while_a_change_is_asked_for(studio):
    world = studio.world
    grant = studio.sealed()
    dataset = Dataset.objects.get(request=studio.request)
    assert datasets.dataset_reopen(dataset=dataset).code == "wrong_state"
    answers.request_recall(request=studio.request, by=world.charlie.person)
    opened = datasets.dataset_reopen(dataset=dataset)
    assert opened.state == Dataset.State.CURATED
    assert log_types()[-1] == "dataset.reopened"
    assert [r.code for r in jobs.job_create(request=studio.request)] == ["dataset_open"]
    again = curation.dataset_seal(dataset=opened)
    assert isinstance(again, Grant)
    assert state(grant) == "superseded"
    for who, by in world.signers():
        assert isinstance(who.approve(again, by), Approval)
    opened.refresh_from_db()
    assert datasets.dataset_reopen(dataset=opened).code == "wrong_state"


# --- time to think, ticks -----------------------------------------------------------------------


def test_a_yes_counts_after_the_time_to_think_and_a_no_at_once(world, settings):
    settings.COOLING_HOURS = {"default": 48}
    grant = world.asked()
    early = world.alice.approve(grant, "talent")
    assert early.code == "cooling"
    assert isinstance(world.bob.approve(grant, "agency_officer"), Approval)
    asked_at = lane(grant, "talent").asked_at
    before = world.alice.approve(grant, "talent", at=asked_at + timedelta(hours=47, minutes=59))
    assert before.code == "cooling"
    assert before.detail == (asked_at + timedelta(hours=48)).isoformat(timespec="minutes")
    later = world.alice.approve(grant, "talent", at=asked_at + timedelta(hours=48))
    assert isinstance(later, Approval)
    other = world.asked()
    assert approvals.approval_refuse(person=world.alice.person, grant=other, by="talent") is None


def test_changed_content_starts_the_time_to_think_anew(world, settings):
    settings.COOLING_HOURS = {"default": 48}
    request = world.request()
    world.seal(request)
    Lane.objects.update(asked_at=at(-3))
    second = world.seal(request, root="cd" * 32)
    assert world.alice.approve(second, "talent").code == "cooling"


def test_every_explicit_item_is_ticked_by_itself_and_recorded(world):
    wide = world.terms(media=("photobook_ebook", "portfolio"), name_use="stage_name")
    grant = world.asked(terms=wide)
    missing = world.alice.approve(grant, "talent", ticks=["media:portfolio"])
    assert missing.code == "tick_missing:name_use"
    assert isinstance(world.bob.approve(grant, "agency_officer", ticks=()), Approval)
    done = world.alice.approve(grant, "talent", ticks=["name_use", "media:portfolio"])
    assert isinstance(done, Approval)
    assert lane(grant, "talent").ticks == ["media:portfolio", "name_use"]


# --- conflicts of role --------------------------------------------------------------------------


def test_a_colleague_of_the_requester_is_passed_over_as_officer(world):
    parties.membership_add(person=world.bob.person, organisation=world.studio, role="manager")
    found = world.seal(world.request())
    assert [item.code for item in found] == ["approval_missing:agency_officer"]
    dave = human("dave")
    dave.enrol()
    parties.membership_add(person=dave.person, organisation=world.agency, role="officer")
    grant = world.seal(world.request())
    assert lane(grant, "agency_officer").person == dave.person


def test_who_joins_the_requester_after_being_asked_can_no_longer_answer(world):
    grant = world.asked()
    parties.membership_add(person=world.bob.person, organisation=world.studio, role="viewer")
    assert world.bob.approve(grant, "agency_officer").code == "self_approval"


def test_who_retouched_a_picture_answers_for_nobody(world):
    grant = world.asked()
    grant.request.retouchers.add(world.bob.person)
    assert world.bob.approve(grant, "agency_officer").code == "self_approval"


# --- pressed ------------------------------------------------------------------------------------


def operator() -> User:
    return User.objects.create_user("operator", password="a long pass phrase", is_staff=True)


def test_the_flag_holds_minting_until_an_operator_has_looked(world):
    grant = world.asked()
    assert isinstance(world.alice.approve(grant, "talent", pressed=True), Approval)
    for who, by in world.signers()[1:]:
        assert isinstance(who.approve(grant, by), Approval)
    assert state(grant) == "active"
    assert [r.code for r in world.mint(grant)] == ["under_review"]
    note = welfare.open_notes().get()
    user = operator()
    with pytest.raises(PermissionDenied):
        welfare.note_review(
            note=note, by=User.objects.create_user("bob", password="x" * 12), finding=""
        )
    assert welfare.note_review(note=note, by=user, finding="spoke to her") is None
    assert welfare.note_review(note=note, by=user, finding="").code == "wrong_state"
    assert isinstance(world.mint(grant), Token)


def test_the_flag_alone_holds_minting_too(world):
    grant = world.made()
    welfare.note_leave(person=world.mallory.person, pressed=True)
    assert isinstance(world.mint(grant), Token)
    welfare.note_leave(person=world.alice.person, pressed=True)
    assert [r.code for r in world.mint(grant, job_id="job_" + "9" * 20)] == ["under_review"]


def test_an_operators_own_look_gives_the_same_code(world):
    grant = world.made()
    user = operator()
    review = welfare.review_open(talent=world.talent, by=user, cause="spot check")
    assert [r.code for r in world.mint(grant)] == ["under_review"]
    assert welfare.review_close(review=review, by=user) is None
    assert isinstance(world.mint(grant), Token)


def test_a_private_reason_stands_in_no_lane_unless_it_is_shared(world):
    for share in (False, True):
        grant = world.asked()
        approvals.approval_refuse(
            person=world.alice.person, grant=grant, by="talent", reason="わけ", share_reason=share
        )
        assert lane(grant, "talent").reason == ("わけ" if share else "")
        assert [n.reason for n in PrivateNote.objects.all()].count("わけ") == 1 + share
    grant = world.asked()
    approvals.approval_refuse(
        person=world.bob.person, grant=grant, by="agency_officer", reason="競合"
    )
    assert lane(grant, "agency_officer").reason == "競合"


# --- emergency stop -----------------------------------------------------------------------------


def test_a_stop_holds_everything_of_hers_until_she_lifts_it(world):
    grant, other = world.made(), world.made()
    assert welfare.emergency_stop(person=world.bob.person).code == "wrong_state"
    held = welfare.emergency_stop(person=world.alice.person)
    assert sorted(held) == sorted([grant.id, other.id])
    assert state(grant) == state(other) == "paused"
    assert [r.code for r in world.mint(grant)] == ["paused"]
    assert welfare.emergency_stop(person=world.alice.person) == []
    assert EmergencyStop.objects.count() == 1
    third = world.made()
    assert state(third) == "paused"
    assert welfare.emergency_lift(person=world.bob.person).code == "wrong_state"
    assert len(welfare.emergency_lift(person=world.alice.person)) == 3
    assert state(grant) == state(third) == "active"
    assert isinstance(world.mint(grant), Token)


def test_lifting_the_stop_lifts_no_other_hold(world):
    grant = world.made()
    welfare.emergency_stop(person=world.alice.person)
    grants.grant_pause(grant_id=grant.id, reason="representation", at=timezone.now())
    welfare.emergency_lift(person=world.alice.person)
    assert state(grant) == "paused"


def test_a_stop_of_one_talent_is_not_lifted_by_another(world):
    erin = human("erin")
    erin.enrol()
    second = Talent.objects.create(person=erin.person, birth_date=world.talent.birth_date)
    grant = world.made()
    grant.request.talents.add(second)
    welfare.emergency_stop(person=erin.person)
    welfare.emergency_stop(person=world.alice.person)
    welfare.emergency_lift(person=world.alice.person)
    assert state(grant) == "paused"
    welfare.emergency_lift(person=erin.person)
    assert state(grant) == "active"


# --- lanes --------------------------------------------------------------------------------------


def test_lanes_move_along_the_table_only(world):
    grant = world.asked()
    rows = Lane.objects.filter(grant=grant)
    assert lanes.move(rows.filter(by="talent"), "open") == []
    assert len(lanes.move(rows, "signed")) == 3
    assert lanes.outcome(grant) == "active"
    assert lanes.move(rows, "refused") == []
    assert cases.may_move(cases.LANE_STATES, "signed", "withdrawn")


# --- all lanes, or nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_part_of_the_signatures_makes_a_grant_or_a_token(world, count):
    for signers in itertools.combinations(world.signers(), count):
        grant = world.asked()
        for who, by in signers:
            assert isinstance(who.approve(grant, by), Approval)
        assert (state(grant), request_state(grant)) == ("asking", "in_clearance")
        missing = {r.code for r in world.mint(grant)}
        signed = {by for _, by in signers}
        assert {
            f"approval_missing:{by}" for _, by in world.signers() if by not in signed
        } <= missing
    assert "grant.made" not in log_types()


class Played(RuleBasedStateMachine):
    """The same through the services: whoever answers what, in whatever order, on real rows."""

    world: Any

    @initialize()
    def begin(self):
        self.point = transaction.savepoint()
        self.request = self.world.request()
        self.grant = self.world.seal(self.request)

    def teardown(self):
        if hasattr(self, "point"):
            transaction.savepoint_rollback(self.point)

    @rule(which=st.integers(0, 2))
    def sign(self, which):
        who, by = self.world.signers()[which]
        who.approve(self.grant, by)

    @rule(which=st.integers(0, 2))
    def send_back(self, which):
        who, by = self.world.signers()[which]
        answers.answer_return(person=who.person, grant=self.grant, by=by, remarks=REMARKS)

    @rule()
    def recall(self):
        answers.request_recall(request=self.request, by=self.world.charlie.person)

    @rule()
    def change(self):
        self.request.refresh_from_db()
        made = self.world.seal(self.request)
        if isinstance(made, Grant):
            self.grant = made

    @rule(which=st.integers(0, 2))
    def look(self, which):
        who, _by = self.world.signers()[which]
        answers.lane_open(person=who.person, grant=self.grant)

    @invariant()
    def in_force_means_signed_by_everybody_over_these_bytes(self):
        if not hasattr(self, "grant"):
            return
        for grant in Grant.objects.filter(request=self.request, state="active"):
            given = Approval.objects.filter(lane__grant=grant, lane__state="signed")
            assert given.count() == Lane.objects.filter(grant=grant).count() == 3
            assert {row.payload["grant_digest"] for row in given} == {grant.digest}


def test_no_path_through_the_services_leads_past_a_signature(world):
    Played.world = world
    few = settings(max_examples=5, stateful_step_count=8, deadline=None, database=None)
    run_state_machine_as_test(Played, settings=few)
