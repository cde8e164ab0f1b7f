"""Attacks on the pure rules, one test each, named after what the attacker gets nowhere with."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from registry.core import grants, term_rules
from registry.log.core.errors import VerificationError
from tests.core.token_world import (
    GRANT,
    NOW,
    PARTIES,
    TERMS,
    TRUST,
    evidence,
    token_world,
)


@pytest.mark.parametrize(
    "hidden",
    [
        "photobook\nFee: JPY 9,000,000",
        "photobook\u2028Term: one day",
        "photobook \u202egnihtyna",
        "photo\u200bbook",
        "photobook\x00",
        "x" * 501,
    ],
)
@pytest.mark.parametrize("member", ["client", "product", "purpose"])
def test_a_requester_cannot_write_lines_of_their_own_into_the_text_that_people_sign(member, hidden):
    found = term_rules.problems(replace(TERMS, **{member: hidden}), today=NOW.date())
    assert [problem.field for problem in found] == [member]


def test_a_term_to_the_end_of_the_calendar_cannot_be_asked_for():
    found = term_rules.problems(replace(TERMS, end=date(9999, 12, 31)), today=NOW.date())
    assert [problem.field for problem in found] == ["end"]


def test_one_independent_talent_does_not_spare_the_agency_of_another():
    alone = replace(PARTIES[0], party_id="per_erin", subject="tal_erin", authority="self")
    grant = replace(GRANT, parties=(alone, PARTIES[0], PARTIES[2]))
    found = [(refusal.code, refusal.detail) for refusal in grants.check(grant, at=NOW)]
    missing = [pair for pair in found if pair[0].startswith("approval_missing")]
    assert missing == [("approval_missing:agency_officer", "tal_alice")]


def test_the_registry_cannot_pass_a_test_key_off_as_a_passkey_in_live_mode():
    said = tuple(replace(party, assurance="passkey") for party in PARTIES)
    grant = replace(GRANT, mode="live", parties=said)
    trust = replace(TRUST, mode="live")
    honest = token_world().with_grant(grant).changed(mode="live")
    assert honest.verify(trust=trust).mode == "live"
    given = honest.claims.approvals
    # enrolled as what they are
    logged = honest.changed(log=evidence(grant, parties=PARTIES, given=given))
    with pytest.raises(VerificationError, match="wrong_mode"):
        logged.verify(trust=trust)
