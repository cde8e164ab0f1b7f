"""`tokens.verify`, step by step: each test changes one thing, and fails if its step is removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import grants, status_list, tokens
from registry.core.tokens import Claims, Leaf
from registry.log.core.checkpoint import LogSigners
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer
from tests.core.token_world import (
    BASE,
    BOB,
    GRANT,
    INDEX,
    LOG,
    MALLORY,
    NOW,
    PARTIES,
    RUN,
    STATUS,
    TERMS,
    TOKEN,
    TRUST,
    approve,
    approve_all,
    evidence,
    key_of,
    party,
    status,
    token_world,
)

WORLD = token_world()


def refused(world=WORLD, **changes) -> str:
    with pytest.raises(VerificationError) as caught:
        world.verify(**changes)
    return caught.value.code


def test_an_honest_token_verifies():
    assert WORLD.verify() == WORLD.claims


# --- (1) ------------------------------------------------------------------------------------------


def test_a_key_that_is_not_pinned_signs_no_token():
    assert refused(token=WORLD.text(Ed25519Signer.from_seed(b"x" * 32))) == "unknown_key"


def test_the_status_lists_key_signs_no_token():
    assert refused(token=WORLD.text(STATUS)) == "unknown_key"


def test_a_changed_token_is_a_bad_signature():
    head, body, signature = WORLD.text().split(".")
    other = WORLD.changed(job_id="job_other").text().split(".")[1]
    assert body != other
    assert refused(token=f"{head}.{other}.{signature}") == "bad_signature"


def test_an_empty_token_is_malformed():
    assert refused(token="") == "malformed"


# --- (2) ------------------------------------------------------------------------------------------


def test_an_unknown_member_is_malformed():
    payload = WORLD.claims.to_payload()
    with pytest.raises(ValueError, match="consent token"):
        Claims.from_payload(payload | {"extra": 1})


@pytest.mark.parametrize("name", list(WORLD.claims.to_payload()))
def test_a_missing_member_is_malformed(name):
    payload = {k: v for k, v in WORLD.claims.to_payload().items() if k != name}
    with pytest.raises(ValueError, match=r"consent token|not a grant"):
        Claims.from_payload(payload)


def test_a_number_that_is_a_boolean_is_malformed():
    payload = WORLD.claims.to_payload()
    payload["authorization_details"][0]["run"] = {**vars(RUN), "steps": True}
    with pytest.raises(ValueError, match="consent token"):
        Claims.from_payload(payload)


def test_a_detail_that_contradicts_the_grant_is_malformed():
    payload = WORLD.claims.to_payload()
    payload["authorization_details"][0]["dataset_root"] = "00" * 32
    with pytest.raises(ValueError, match="consent token"):
        Claims.from_payload(payload)


def test_a_live_worker_refuses_a_test_token():
    assert refused(trust=replace(TRUST, mode="live")) == "wrong_mode"


LIVE_PARTIES = tuple(replace(p, assurance="passkey") for p in PARTIES)
LIVE = WORLD.with_grant(replace(GRANT, mode="live", parties=LIVE_PARTIES))


def test_a_live_token_is_for_live_workers():
    world = LIVE.changed(mode="live")
    assert world.verify(trust=replace(TRUST, mode="live")) == world.claims
    assert refused(world) == "wrong_mode"


def test_a_test_token_over_a_live_grant_is_refused():
    assert refused(LIVE, trust=replace(TRUST, mode="live")) == "wrong_mode"


def test_a_live_token_over_a_test_grant_is_refused_before_its_approvals_are_read():
    live = WORLD.changed(mode="live", approvals=())
    assert refused(live, trust=replace(TRUST, mode="live")) == "wrong_mode"


# --- (3) ------------------------------------------------------------------------------------------


def test_another_registry_is_refused():
    assert refused(WORLD.changed(issuer="https://other.example")) == "unknown_key"


def test_another_pool_is_refused():
    assert refused(audience="pool:other") == "wrong_audience"


def test_another_job_is_refused():
    assert refused(job_id="job_other") == "wrong_job"


# --- (4) ------------------------------------------------------------------------------------------


def test_a_token_is_dead_at_its_end():
    late = NOW + timedelta(seconds=tokens.LIFETIME_S)
    assert refused(at=late, status_token=status(at=late)) == "expired"


def test_a_token_from_the_future_is_not_yet_valid():
    early = NOW - timedelta(seconds=tokens.SKEW_S + 1)
    assert refused(at=early, status_token=status(at=early)) == "not_yet_valid"


def test_a_start_in_the_future_is_not_yet_valid():
    later = WORLD.claims.not_before + tokens.SKEW_S + 1
    assert refused(WORLD.changed(not_before=later)) == "not_yet_valid"


def test_a_token_issued_in_the_future_is_not_yet_valid():
    later = WORLD.claims.issued_at + tokens.SKEW_S + 1
    assert refused(WORLD.changed(issued_at=later)) == "not_yet_valid"


def test_a_token_that_lives_too_long_is_malformed():
    ends = WORLD.claims.issued_at + tokens.LIFETIME_S + 1
    assert refused(WORLD.changed(expires_at=ends)) == "malformed"


# --- (5) ------------------------------------------------------------------------------------------


def test_a_stolen_token_is_worth_nothing_to_another_worker():
    assert refused(jkt=STATUS.kid) == "wrong_worker"
    assert WORLD.verify(jkt=WORLD.claims.jkt) == WORLD.claims


# --- (6) ------------------------------------------------------------------------------------------


def test_a_grant_whose_text_was_not_the_one_read_is_refused():
    grant = replace(GRANT, text_sha256=dict(GRANT.text_sha256) | {"ja": "00" * 32})
    assert refused(WORLD.with_grant(grant)) == "approval_text_mismatch"


def test_a_grant_past_its_term_is_expired():
    grant = replace(GRANT, terms=replace(TERMS, end=date(2026, 11, 2)))
    grant = replace(grant, text_sha256=texts(grant))
    assert refused(WORLD.with_grant(grant)) == "expired"


def test_a_base_model_whose_licence_forbids_the_use_is_refused():
    grant = replace(GRANT, base_models=(replace(BASE, commercial=False),))
    assert refused(WORLD.with_grant(grant)) == "base_licence"


def test_a_grant_without_a_talent_is_refused():
    assert refused(WORLD.with_grant(replace(GRANT, parties=PARTIES[1:]))) == (
        "approval_missing:talent"
    )


def texts(grant):
    return grants.text_digests(
        grant.terms,
        pictures=grant.dataset_count,
        max_runs=grant.max_runs,
        clearances=grant.clearances,
    )


# --- (7) ------------------------------------------------------------------------------------------


def test_without_the_talents_approval_it_is_missing():
    world = WORLD.changed(approvals=WORLD.claims.approvals[1:])
    assert refused(world) == "approval_missing:talent"


def test_the_agencys_key_as_the_talent_is_a_bad_signature():
    forged = approve(GRANT, PARTIES[0], soft=BOB)
    assert refused(WORLD.changed(approvals=(forged, *WORLD.claims.approvals[1:]))) == (
        "bad_signature"
    )


def test_approvals_of_other_pictures_are_replaced():
    grant = replace(GRANT, dataset_root="00" * 32)
    world = WORLD.changed(grant=grant, log=evidence(grant))
    assert refused(world) == "approval_replaced"


# --- (8) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "code"),
    [
        (status_list.REVOKED, "revoked"),
        (status_list.PAUSED, "paused"),
        (status_list.WITHDRAWN, "withdrawn"),
    ],
)
def test_a_token_that_does_not_hold_any_more_is_refused(bits, code):
    assert refused(status_token=status({INDEX: bits})) == code


def test_a_stale_status_list_is_refused():
    old = status(at=NOW - timedelta(seconds=61), ttl_s=3600)
    assert refused(status_token=old) == "status_stale"


def test_a_status_list_of_another_registry_is_refused():
    assert refused(status_token=status(uri="https://other/status/1")) == "status_stale"


def test_the_token_key_signs_no_status_list():
    assert refused(status_token=status(signer=TOKEN)) == "unknown_key"


def test_an_index_outside_the_list_is_stale():
    assert refused(WORLD.changed(status_index=status_list.CAPACITY)) == "status_stale"


# --- (9) ------------------------------------------------------------------------------------------


def test_a_checkpoint_by_other_keys_is_a_bad_signature():
    others = LogSigners(LOG.origin, Ed25519Signer.from_seed(b"x" * 32), LOG.mldsa44)
    assert refused(WORLD.changed(log=evidence(GRANT, signers=others))) == "bad_signature"


def test_a_checkpoint_without_the_post_quantum_signature_is_refused():
    others = LogSigners(LOG.origin, LOG.ed25519, Mldsa44Signer.from_seed(b"x" * 32))
    assert refused(WORLD.changed(log=evidence(GRANT, signers=others))) == "bad_signature"


def test_a_checkpoint_of_a_log_that_is_not_pinned_by_name_is_refused():
    assert refused(trust=replace(TRUST, log_origin="other.example/log")) == "bad_signature"


def test_a_grant_that_is_not_in_the_log_is_refused():
    log = evidence(GRANT, made={"grant_digest": "00" * 32})
    assert refused(WORLD.changed(log=log)) == "bad_signature"


def test_an_entry_of_another_type_proves_no_grant():
    log = evidence(GRANT, kinds=("credential.enrolled", "grant.asked"))
    assert refused(WORLD.changed(log=log)) == "bad_signature"


def test_an_entry_that_the_tree_does_not_hold_is_refused():
    log = WORLD.claims.log
    forged = Leaf(log.grant.index, log.grant.entry + " ", log.grant.proof)
    assert refused(WORLD.changed(log=replace(log, grant=forged))) == "bad_signature"


@pytest.mark.parametrize("entry", ["", "{", "[]", '{"type":"grant.made","data":7}'])
def test_an_entry_that_is_no_event_is_refused(entry):
    log = WORLD.claims.log
    forged = Leaf(log.grant.index, entry, log.grant.proof)
    assert refused(WORLD.changed(log=replace(log, grant=forged))) in ("malformed", "bad_signature")


# --- (10) -----------------------------------------------------------------------------------------


def test_a_key_whose_enrolment_is_not_shown_is_refused():
    log = WORLD.claims.log
    kept = {k: v for k, v in log.enrolments.items() if k != PARTIES[0].keys[0]}
    assert refused(WORLD.changed(log=replace(log, enrolments=kept))) == "bad_signature"


def test_a_key_that_the_log_enrolled_for_somebody_else_is_refused():
    """The registry made up a key for alice; the log knows it as mallory's."""
    fake = replace(PARTIES[0], keys=(key_of(MALLORY),))
    grant = replace(GRANT, parties=(fake, *PARTIES[1:]))
    given = (approve(grant, fake, soft=MALLORY), *(approve(grant, p) for p in PARTIES[1:]))
    listed = [party(MALLORY, "per_mallory", "talent", "x"), *PARTIES[1:]]
    log = evidence(grant, parties=listed)
    assert refused(WORLD.changed(grant=grant, approvals=given, log=log)) == "bad_signature"


def test_her_own_enrolment_does_not_vouch_for_a_key_made_up_for_her():
    """The registry made up a key for alice, and shows the entry of the key that she did enrol."""
    fake = replace(PARTIES[0], keys=(key_of(MALLORY),))
    grant = replace(GRANT, parties=(fake, *PARTIES[1:]))
    given = (approve(grant, fake, soft=MALLORY), *(approve(grant, p) for p in PARTIES[1:]))
    log = evidence(grant, parties=PARTIES)
    shown = dict(log.enrolments) | {fake.keys[0]: log.enrolments[PARTIES[0].keys[0]]}
    world = WORLD.changed(grant=grant, approvals=given, log=replace(log, enrolments=shown))
    assert refused(world) == "bad_signature"


def test_another_entry_proves_no_enrolment():
    log = evidence(GRANT, kinds=("credential.retired", "grant.made"))
    assert refused(WORLD.changed(log=log)) == "bad_signature"


# --- (11) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, rank=9),
        replace(RUN, steps=161),
        replace(RUN, resolution=64),
        replace(RUN, method="dora"),
    ],
)
def test_a_run_above_the_limits_is_refused(run):
    assert refused(WORLD.changed(run=run)) == "recipe_exceeds"


def test_a_run_that_would_outlive_the_term_is_refused():
    run = replace(RUN, max_runtime_s=200 * 24 * 3600)
    assert refused(WORLD.changed(run=run)) == "ends_before_finish"


def test_a_term_that_has_not_begun_is_not_yet_valid():
    grant = replace(GRANT, terms=replace(TERMS, start=date(2026, 12, 1)))
    grant = replace(grant, text_sha256=texts(grant))
    assert refused(WORLD.with_grant(grant)) == "not_yet_valid"


# --- may_mint -------------------------------------------------------------------------------------


def may_mint(grant=GRANT, without=(), **changes):
    given = {(a.party_id, a.by): a for a in approve_all(grant) if a.by not in without}
    values: dict[str, Any] = {"runs_used": 0, "at": NOW} | changes
    return [r.code for r in tokens.may_mint(grant, given, RUN, **values)]


def test_an_honest_grant_may_be_minted():
    assert may_mint() == []


def test_every_missing_approval_is_named_at_once():
    assert may_mint(without=("talent", "photo_copyright")) == [
        "approval_missing:talent",
        "approval_missing:photo_copyright",
    ]


def test_used_up_runs_mint_nothing():
    assert may_mint(runs_used=1) == ["slots_used"]


# --- strangers' bytes -----------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_no_changed_byte_passes(place, flip):
    text = bytearray(WORLD.text().encode())
    text[place % len(text)] ^= flip
    changed = text.decode("utf-8", "replace")
    with pytest.raises(VerificationError):
        WORLD.verify(token=changed)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from([*WORLD.claims.to_payload(), "run", "entry"]), x)
        ),
        max_leaves=20,
    )
)
def test_claims_are_parsed_or_refused_and_nothing_else(payload):
    with pytest.raises((ValueError, TypeError)):
        Claims.from_payload(payload)
