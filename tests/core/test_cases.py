"""The one state machine: what follows what, and that no path leads past anybody's signature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from registry.core import cases
from registry.core.grants import CAPACITIES
from registry.core.refusals import Refusal

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
TABLES = [cases.REQUEST_STATES, cases.GRANT_STATES, cases.LANE_STATES]
LANES = sorted(cases.LANE_STATES)


@pytest.mark.parametrize("states", TABLES)
def test_states_lead_to_known_states_and_withdrawn_is_an_end(states):
    assert {new for onward in states.values() for new in onward} <= set(states)
    assert not any(cases.may_move(states, "withdrawn", new) for new in states)
    assert not cases.may_move(states, "no such state", "active")


def test_what_was_refused_is_never_asked_again():
    for states in (cases.REQUEST_STATES, cases.GRANT_STATES):
        assert not states["refused"]
    assert cases.LANE_STATES["refused"] == {"withdrawn"}


@pytest.mark.parametrize("state", cases.LIVE_GRANT)
def test_every_live_grant_can_be_withdrawn(state):
    assert cases.may_move(cases.GRANT_STATES, state, "withdrawn")


@pytest.mark.parametrize("state", [s for s in LANES if s != "withdrawn"])
def test_every_lane_can_be_withdrawn_whatever_was_said(state):
    assert cases.may_move(cases.LANE_STATES, state, "withdrawn")


@pytest.mark.parametrize("state", sorted(cases.PENDING | {"returned", "countered"}))
def test_a_no_is_possible_until_one_has_signed(state):
    assert cases.may_move(cases.LANE_STATES, state, "refused")


def test_a_lane_is_signed_only_from_waiting():
    assert set(cases.sources(cases.LANE_STATES, "signed")) == cases.PENDING


def test_a_returned_grant_can_never_be_signed():
    """The complaint of REMS #1603: a handler could approve what had been returned already."""
    assert "active" not in cases.GRANT_STATES["returned"]


@given(st.lists(st.sampled_from(LANES), max_size=6))
def test_a_grant_is_active_if_and_only_if_every_lane_is_signed(lanes):
    signed = bool(lanes) and set(lanes) == {"signed"}
    assert (cases.outcome(lanes) == "active") == signed


@given(st.lists(st.sampled_from(LANES), min_size=1, max_size=6))
def test_every_outcome_is_a_state_that_an_asked_grant_may_reach(lanes):
    found = cases.outcome(lanes)
    assert found == "asking" or cases.may_move(cases.GRANT_STATES, "asking", found)


class Case(RuleBasedStateMachine):
    """Parties answer, content changes, time passes: whatever happens, in whatever order.

    The model keeps which content each signature is about; `outcome` sees the states alone.
    """

    @initialize(parties=st.integers(1, 4))
    def begin(self, parties):
        self.content = 0
        self.ask(parties)

    def ask(self, parties):
        self.content += 1
        self.grant = "asking"
        self.lanes = ["asked"] * parties
        self.signed_over = [0] * parties

    def move(self, which, state):
        place = which % len(self.lanes)
        if self.grant not in ("asking", "returned"):
            return
        if self.grant == "returned" and state == "signed":
            return  # `approvals.closed` answers `returned`
        if cases.may_move(cases.LANE_STATES, self.lanes[place], state):
            self.lanes[place] = state
            self.signed_over[place] = self.content if state == "signed" else 0
            found = cases.outcome(self.lanes)
            if cases.may_move(cases.GRANT_STATES, self.grant, found):
                self.grant = found

    @rule(which=st.integers(0, 3), state=st.sampled_from(LANES))
    def answer(self, which, state):
        self.move(which, state)

    @precondition(lambda self: self.grant in ("asking", "returned", "active"))
    @rule(parties=st.integers(1, 4))
    def change(self, parties):
        assert cases.may_move(cases.GRANT_STATES, self.grant, "superseded")
        self.ask(parties)

    @rule(end=st.sampled_from(["expired", "paused", "active", "revoked"]))
    def end(self, end):
        by_time = end != "active" or self.grant == "paused"
        if by_time and cases.may_move(cases.GRANT_STATES, self.grant, end):
            self.grant = end

    @invariant()
    def nothing_holds_without_everybody_over_the_same_content(self):
        if self.grant in ("active", "paused"):
            assert self.signed_over == [self.content] * len(self.lanes)


Case.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCase = Case.TestCase


# --- conflicts of role --------------------------------------------------------------------------


@pytest.mark.parametrize("by", CAPACITIES)
def test_who_asks_answers_for_nobody_but_their_own_pictures(by):
    found = cases.conflict(by, filed=True, their_side=True)
    assert (found is None) == (by == "photo_copyright")
    assert found is None or found.code == "self_approval"
    assert cases.conflict(by, filed=False, their_side=False) is None


def test_a_colleague_of_who_asks_is_no_officer_but_may_hold_rights():
    for by in ("talent", "guardian", "agency_officer", "estate"):
        assert cases.conflict(by, filed=False, their_side=True) == Refusal("self_approval", by)
    assert cases.conflict("work_rights", filed=False, their_side=True) is None


# --- time to think ------------------------------------------------------------------------------

HOURS = {"default": 48, "US": 72, "KR": 96}


@pytest.mark.parametrize(
    ("by", "territory", "hours"),
    [
        ("talent", ["JP"], 48),
        ("guardian", ["JP"], 48),
        ("estate", ["JP"], 48),
        ("talent", ["JP", "US"], 72),
        ("talent", ["worldwide"], 96),
        ("agency_officer", ["worldwide"], 0),
        ("photo_copyright", ["US"], 0),
    ],
)
def test_the_longest_time_of_the_countries_named_holds(by, territory, hours):
    until = cases.cooling_until(by, asked_at=NOW, territory=territory, hours=HOURS)
    assert until == NOW + timedelta(hours=hours)


def test_a_yes_counts_from_the_very_moment_and_not_before():
    until = NOW + timedelta(hours=48)
    early = cases.cooling(until, at=until - timedelta(seconds=1))
    assert early == Refusal("cooling", "2026-11-22T03:00+00:00")
    assert cases.cooling(until, at=until) is None


# --- remarks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_",
    [
        [],
        [{"field": "media", "text": "  "}],
        [{"field": "no such field", "text": "x"}],
        [{"field": "media", "text": 7}],
        [{"field": "media", "text": "x"}] * (cases.MAX_REMARKS + 1),
    ],
)
def test_a_return_says_what_to_change(given_):
    found = cases.remarks_of(given_)
    assert isinstance(found, Refusal)
    assert found.code == "remark_missing"


def test_remarks_are_kept_as_written():
    found = cases.remarks_of([{"field": "term", "text": " 半年にしてください "}])
    assert found == (cases.Remark("term", "半年にしてください"),)
