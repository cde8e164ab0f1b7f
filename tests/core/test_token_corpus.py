"""The mutation corpus at the gate: every case refused with its code; and nobody may be missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import tokens
from registry.core.refusals import CODES
from registry.log.core.errors import VerificationError
from tests.core import token_corpus
from tests.core.token_world import (
    GRANT,
    NOW,
    PARTIES,
    RUN,
    SMALL,
    approve,
    evidence,
    gate,
    proof_for,
    status,
    token_world,
)

CASES = token_corpus.corpus()


def outcome(case: token_corpus.Case) -> str:
    """The code at the gate, or what it said instead of refusing."""
    try:
        case.show()
    except VerificationError as error:
        return error.code
    return "accepted"


def test_the_corpus_is_large_and_every_case_has_a_name_of_its_own():
    assert len(CASES) >= 1500
    assert Counter((c.family, c.name) for c in CASES).most_common(1)[0][1] == 1
    assert {c.family for c in CASES} == set(token_corpus.VERDICTS)


def test_every_verdict_is_a_code_that_people_can_read():
    assert {code.partition(":")[0] for code in token_corpus.VERDICTS.values()} <= set(CODES)


@pytest.mark.parametrize("family", token_corpus.VERDICTS)
def test_every_case_is_refused_with_exactly_its_code(family):
    wrong = {
        case.name: found
        for case in CASES
        if case.family == family and (found := outcome(case)) != case.code
    }
    assert not wrong


@pytest.mark.parametrize("grant", [GRANT, SMALL], ids=["three parties", "two"])
def test_the_honest_token_passes_the_same_gate(grant):
    text = token_world().with_grant(grant).text()
    assert gate(text, proof_for(text), status()).grant == grant


# --- no subset of the approvals mints -------------------------------------------------------------

APPROVALS = {who: approve(GRANT, who) for who in PARTIES}
FOREIGN = tuple(
    approve(replace(GRANT, grant_id="grt_other"), who) for who in PARTIES
)  # good signatures, of another grant


@settings(max_examples=200, deadline=None)
@given(
    kept=st.sets(st.sampled_from(PARTIES)),
    repeated=st.lists(st.sampled_from(PARTIES), max_size=4),
    foreign=st.lists(st.sampled_from(FOREIGN), max_size=2),
    shuffled=st.randoms(use_true_random=False),
)
def test_no_subset_short_of_all_lanes_mints_or_verifies(kept, repeated, foreign, shuffled):
    """Whatever is repeated or borrowed from another grant: everybody, or nobody may train."""
    given_here = {(w.party_id, w.by): APPROVALS[w] for w in kept}
    reasons = tokens.may_mint(GRANT, given_here, RUN, runs_used=0, at=NOW)
    absent = [w for w in PARTIES if w not in kept]
    assert [r.code for r in reasons] == [f"approval_missing:{w.by}" for w in absent]

    shown = [APPROVALS[w] for w in (*kept, *(r for r in repeated if r in kept))] + foreign
    shuffled.shuffle(shown)
    bundle = tuple(shown)
    world = token_world().changed(approvals=bundle, log=evidence(GRANT, given=bundle))
    if absent or foreign:
        with pytest.raises(VerificationError) as caught:
            world.verify()
        assert caught.value.code in {"approval_replaced", *(r.code for r in reasons)}
    else:
        assert world.verify().grant == GRANT
