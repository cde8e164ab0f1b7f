"""Stages 1 to 3 through the services, on PostgreSQL, with real signatures and the real log."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.utils import timezone

from registry import selectors
from registry.core import approvals as core_approvals
from registry.core import status_list
from registry.core import tokens as core_tokens
from registry.core import vault as core_vault
from registry.core.refusals import Refusal
from registry.core.terms import Problem
from registry.log import selectors as log
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import Approval, Challenge, Credential, Grant, KeyShare, Lane, Token
from registry.services import approvals, catalogue, drift, grants, keyring, parties, tokens, vault
from tests.world import (
    AUDIENCE,
    JKT,
    JOB,
    ORIGIN,
    at,
    at_once,
    free,
    guard,
    human,
    log_types,
    request_state,
    state,
)


def codes(found) -> list[str]:
    assert isinstance(found, list), found
    return [item.code for item in found if isinstance(item, Refusal)]


def checked(token: Token, **changes) -> core_tokens.Claims:
    """What a worker does with a token."""
    values: dict[str, Any] = {
        "trust": keyring.trust_root(),
        "audience": AUDIENCE,
        "job_id": JOB,
        "jkt": JKT,
        "status_token": tokens.status_list_issue(),
        "at": timezone.now(),
    }
    return core_tokens.verify(token.text, **(values | changes))


# --- stage 1 --------------------------------------------------------------------------------------


def test_a_request_is_filed_and_logged(world):
    request = world.submit()
    assert request.state == "submitted"
    assert log_types()[-1] == "request.submitted"


def test_a_base_model_whose_licence_forbids_the_use_is_refused_and_logged(world):
    facts = free(licence_id="NC", commercial="no")
    base = catalogue.model_record(name="non-commercial", sha256="34" * 32, facts=facts)
    assert codes(world.submit(base_model=base)) == ["base_licence"]
    assert log_types()[-1] == "request.refused"


def test_an_unknown_licence_counts_as_no(world):
    drift.model_revise(record=world.base, facts=free(commercial="unknown"))
    assert codes(world.submit(base_model=world.base)) == ["base_licence"]


def test_incomplete_terms_are_answered_field_by_field(world):
    found = world.submit(terms=world.terms(purpose="short", media=()))
    assert {problem.field for problem in found} == {"purpose", "media"}
    assert "request.refused" not in log_types()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_runs": 0}, "max_runs"),
        ({"sign_by": timezone.now() - timedelta(days=1)}, "sign_by"),
        ({"recipe": {"rank": 8, "steps": True, "resolution": 32}}, "recipe"),
        ({"talents": []}, "talents"),
    ],
)
def test_a_form_mistake_names_its_field(world, changes, field):
    (problem,) = world.submit(**changes)
    assert isinstance(problem, Problem)
    assert problem.field == field


def test_mallory_cannot_ask_in_the_name_of_charlies_studio(world):
    with pytest.raises(PermissionDenied):
        world.submit(by=world.mallory.person)


def test_a_minor_in_swimwear_is_refused_whoever_agrees(world):
    world.talent.birth_date = timezone.localdate() - timedelta(days=17 * 365)
    world.talent.save()
    guard(world.talent, human("guardian").person)
    assert codes(world.submit(terms=world.terms(exposure="swimwear"), talents=[world.talent])) == [
        "minor_rule"
    ]


def test_a_minor_without_a_guardian_cannot_be_asked(world):
    world.talent.birth_date = None
    world.talent.save()
    assert codes(world.submit()) == ["approval_missing:guardian"]


def test_the_never_list_of_the_talent_binds_the_agency(world):
    world.talent.never_list = ["body"]
    world.talent.save()
    assert codes(world.submit(terms=world.terms(transformations=("body",)))) == ["never_list"]


# --- the grant ------------------------------------------------------------------------------------


def test_sealing_the_pictures_asks_every_party(world):
    grant = world.asked()
    lanes = {(lane.by, lane.person_id, lane.state) for lane in selectors.lanes_for(grant)}
    assert lanes == {
        ("talent", world.alice.person.id, "asked"),
        ("agency_officer", world.bob.person.id, "asked"),
        ("photo_copyright", world.charlie.person.id, "asked"),
    }
    assert request_state(grant) == "in_clearance"
    assert selectors.core_grant(grant).digest().hex() == grant.digest


def test_a_party_without_a_key_stops_the_asking(world):
    Credential.objects.filter(person=world.alice.person).update(retired_at=timezone.now())
    assert codes(world.seal(world.request())) == ["not_enrolled"]


def test_an_agency_whose_only_officer_is_the_requester_cannot_be_asked(world):
    parties.membership_add(person=world.bob.person, organisation=world.studio, role="photographer")
    request = world.request(by=world.bob.person)
    assert codes(world.seal(request)) == ["approval_missing:agency_officer"]


def test_a_minor_needs_the_guardians_signature_too(world):
    guardian = human("dora")
    guardian.enrol()
    world.talent.birth_date = timezone.localdate() - timedelta(days=15 * 365)
    world.talent.save()
    guard(world.talent, guardian.person)
    grant = world.asked()
    for who, by in world.signers():
        who.approve(grant, by)
    assert state(grant) == "asking"
    guardian.approve(grant, "guardian")
    assert state(grant) == "active"


def test_an_independent_talent_needs_no_agency(world):
    representation = world.talent.representations.get()
    parties.representation_end(
        representation=representation, ended_on=timezone.localdate() - timedelta(days=1)
    )
    grant = world.asked()
    assert {lane.by for lane in selectors.lanes_for(grant)} == {"talent", "photo_copyright"}


def test_other_pictures_void_every_approval(world):
    first = world.asked()
    assert isinstance(world.alice.approve(first, "talent"), Approval)
    second = world.seal(first.request, root="ef" * 32)
    assert state(first) == "superseded"
    assert world.bob.approve(first, "agency_officer").code == "approval_replaced"
    assert not Lane.objects.filter(grant=second).exclude(state="asked").exists()
    assert "grant.superseded" in log_types()


# --- approvals ------------------------------------------------------------------------------------


def test_the_last_approval_makes_the_grant(world):
    grant = world.asked()
    for who, by in world.signers():
        assert state(grant) == "asking"
        assert isinstance(who.approve(grant, by), Approval)
    assert state(grant) == "active"
    assert request_state(grant) == "cleared"
    assert log_types()[-2:] == ["approval.signed", "grant.made"]


def test_every_stored_approval_verifies_without_the_database(world):
    grant = world.made()
    core = selectors.core_grant(grant)
    stored = [
        core_approvals.Approval.from_payload(row.payload) for row in selectors.approvals_of(grant)
    ]
    assert len(core_approvals.verify_all(stored, core, keyring.trust_root())) == 3


def test_the_agencys_key_under_the_talents_name_is_a_bad_signature(world):
    grant = world.asked()
    answer = world.alice.approve(grant, "talent", soft=world.bob.soft)
    assert answer.code == "bad_signature"
    assert not Approval.objects.exists()


def test_the_agency_cannot_open_the_talents_lane(world):
    assert world.bob.approve(world.asked(), "talent").code == "bad_signature"


def test_mallory_can_sign_nothing(world):
    grant = world.asked()
    for by in ("talent", "agency_officer", "photo_copyright"):
        assert world.mallory.approve(grant, by).code == "bad_signature"


def test_the_requester_cannot_sign_as_talent_or_agency(world):
    grant = world.asked()
    assert world.charlie.approve(grant, "talent").code == "self_approval"
    assert world.charlie.approve(grant, "agency_officer").code == "self_approval"


def test_a_challenge_counts_once(world):
    grant = world.asked()
    begun = approvals.approval_begin(person=world.alice.person, grant=grant, by="talent")
    bad = world.bob.soft.approve(begun["options"] | {"allowCredentials": []}, ORIGIN)
    good = world.alice.soft.approve(begun["options"], ORIGIN)
    finish = {"person": world.alice.person, "challenge_id": begun["challenge_id"]}
    assert approvals.approval_finish(**finish, response=bad).code == "bad_signature"
    assert approvals.approval_finish(**finish, response=good).code == "challenge_unknown"


def test_what_a_key_signed_before_it_was_asked_counts_for_nothing(world):
    """Whoever stands beside her device knows the grant's digest, but no nonce before its time."""
    grant = world.asked()
    rp_id = {"rpId": "localhost"}
    early = world.alice.soft.approve(
        rp_id | {"challenge": canonical.b64u(bytes.fromhex(grant.digest))}, ORIGIN
    )
    first, second = (
        approvals.approval_begin(person=world.alice.person, grant=grant, by="talent")
        for _ in range(2)
    )
    for_the_first = world.alice.soft.approve(first["options"], ORIGIN)
    finish = {"person": world.alice.person, "challenge_id": second["challenge_id"]}
    assert approvals.approval_finish(**finish, response=for_the_first).code == "bad_signature"
    finish["challenge_id"] = first["challenge_id"]
    assert approvals.approval_finish(**finish, response=early).code == "bad_signature"


def test_one_signature_does_not_serve_two_capacities(world):
    """A photographer who is his own model answers twice."""
    grant = world.asked()
    begun = approvals.approval_begin(person=world.alice.person, grant=grant, by="talent")
    answer = world.alice.soft.approve(begun["options"], ORIGIN)
    Challenge.objects.filter(id=begun["challenge_id"]).update(by="photo_copyright")
    Lane.objects.filter(grant=grant, by="photo_copyright").update(person=world.alice.person)
    finished = approvals.approval_finish(
        person=world.alice.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert finished.code == "bad_signature"


def test_the_ticks_are_signed_with_the_rest(world):
    grant = world.asked(terms=world.terms(name_use="stage_name"))
    assert world.alice.approve(grant, "talent", ticks=()).code == "tick_missing:name_use"
    begun = approvals.approval_begin(
        person=world.alice.person, grant=grant, by="talent", ticks=("name_use",)
    )
    answer = world.alice.soft.approve(begun["options"], ORIGIN)
    Challenge.objects.filter(id=begun["challenge_id"]).update(ticks=["name_use", "sell_off"])
    finished = approvals.approval_finish(
        person=world.alice.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert finished.code == "bad_signature"


def test_a_late_challenge_is_unknown(world):
    grant = world.asked()
    begun = approvals.approval_begin(person=world.alice.person, grant=grant, by="talent")
    Challenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = world.alice.soft.approve(begun["options"], ORIGIN)
    finished = approvals.approval_finish(
        person=world.alice.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert finished.code == "challenge_unknown"


def test_somebody_elses_challenge_is_unknown(world):
    grant = world.asked()
    begun = approvals.approval_begin(person=world.alice.person, grant=grant, by="talent")
    answer = world.alice.soft.approve(begun["options"], ORIGIN)
    finished = approvals.approval_finish(
        person=world.mallory.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert finished.code == "challenge_unknown"


def test_after_the_time_to_sign_nobody_can_approve(world):
    grant = world.asked()
    late = at(days=8)
    begun = approvals.approval_begin(person=world.alice.person, grant=grant, by="talent", at=late)
    assert begun.code == "expired"


def test_a_malformed_answer_is_refused(world):
    grant = world.asked()
    for broken in ({}, {"rawId": "!", "response": {}}, {"rawId": 7, "response": 7}):
        begun = approvals.approval_begin(person=world.alice.person, grant=grant, by="talent")
        finished = approvals.approval_finish(
            person=world.alice.person, challenge_id=begun["challenge_id"], response=broken
        )
        assert finished.code == "malformed"


def test_a_retired_key_approves_nothing(world):
    grant = world.asked()
    parties.credential_retire(credential=world.alice.person.credentials.get())
    assert world.alice.approve(grant, "talent").code == "not_enrolled"
    assert log_types()[-1] == "credential.retired"


def test_a_refusal_ends_the_asking_and_keeps_its_reason_out_of_the_log(world):
    grant = world.asked()
    answer = approvals.approval_refuse(
        person=world.alice.person, grant=grant, by="talent", reason="not this publisher"
    )
    assert answer is None
    assert state(grant) == request_state(grant) == "refused"
    assert log_types()[-2:] == ["approval.refused", "grant.ended"]
    assert codes(world.mint(grant)) == ["approval_refused:talent"]


def test_nobody_refuses_in_somebody_elses_place(world):
    grant = world.asked()
    answer = approvals.approval_refuse(person=world.mallory.person, grant=grant, by="talent")
    assert answer.code == "wrong_state"
    assert state(grant) == "asking"


# --- enrolment ------------------------------------------------------------------------------------


def test_a_key_is_in_the_log_before_it_can_approve(world):
    credential = world.alice.person.credentials.get()
    assert credential.assurance == "test"
    assert credential.enrolment_event.startswith("evt_")


def test_one_key_cannot_belong_to_two_people(world):
    twin = human("twin")
    twin.soft = world.alice.soft
    assert twin.enrol().code == "wrong_state"


def test_a_software_key_cannot_be_enrolled_in_live_mode(world, settings):
    dora = human("dora")
    settings.KYODAKU_MODE = "live"
    assert dora.enrol().code == "wrong_mode"


def test_an_enrolment_at_another_origin_is_refused(world):
    dora = human("dora")
    begun = parties.credential_enrol_begin(person=dora.person)
    answer = dora.soft.register(begun["options"], "http://localhost:6666")
    enrolled = parties.credential_enrol_finish(
        person=dora.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert enrolled.code == "malformed"


def test_an_enrolment_for_another_challenge_is_refused(world):
    dora = human("dora")
    begun = parties.credential_enrol_begin(person=dora.person)
    other = parties.credential_enrol_begin(person=dora.person)
    answer = dora.soft.register(other["options"], ORIGIN)
    enrolled = parties.credential_enrol_finish(
        person=dora.person, challenge_id=begun["challenge_id"], response=answer
    )
    assert enrolled.code == "malformed"


# --- tokens ---------------------------------------------------------------------------------------


def test_a_minted_token_is_what_a_worker_accepts(world):
    claims = checked(world.mint(world.made()))
    assert claims.job_id == JOB
    assert log_types()[-1] == "token.minted"


def test_without_the_talents_approval_no_token_is_minted(world):
    grant = world.asked()
    world.bob.approve(grant, "agency_officer")
    world.charlie.approve(grant, "photo_copyright")
    assert codes(world.mint(grant)) == ["approval_missing:talent"]
    assert log_types()[-1] == "token.refused"


def test_a_recipe_above_the_limits_gets_no_token(world):
    run = core_tokens.RunRequest("lora", 64, 160, 32, 3600)
    assert codes(world.mint(world.made(), run=run)) == ["recipe_exceeds"]


def test_an_agency_that_left_cannot_carry_a_token(world):
    grant = world.made()
    row = world.talent.representations.get()
    row.period = (row.period.lower, timezone.localdate())
    row.save()
    assert codes(world.mint(grant)) == ["representation_ended"]


def test_the_end_of_a_representation_pauses_what_rests_on_it(world):
    grant = world.made()
    token = world.mint(grant)
    parties.representation_end(
        representation=world.talent.representations.get(),
        ended_on=timezone.localdate() - timedelta(days=1),
    )
    assert state(grant) == "paused"
    assert "grant.paused" in log_types()
    with pytest.raises(VerificationError, match="paused"):
        checked(token)


def test_a_token_presented_twice_is_replayed(world):
    token = world.mint(world.made(max_runs=3))
    assert isinstance(tokens.token_redeem(jti=token.jti, jkt=JKT), Token)
    assert tokens.token_redeem(jti=token.jti, jkt=JKT).code == "replayed"
    assert log_types().count("token.redeemed") == 1


def test_another_workers_key_redeems_nothing(world):
    token = world.mint(world.made())
    assert tokens.token_redeem(jti=token.jti, jkt="m" * 43).code == "wrong_worker"
    assert isinstance(tokens.token_redeem(jti=token.jti, jkt=JKT), Token)


def test_a_token_lives_for_minutes(world):
    token = world.mint(world.made())
    late = timezone.now() + timedelta(seconds=core_tokens.LIFETIME_S)
    assert tokens.token_redeem(jti=token.jti, jkt=JKT, at=late).code == "expired"


def test_an_unknown_token_is_no_token(world):
    assert tokens.token_redeem(jti="tok_" + "0" * 20, jkt=JKT).code == "no_token"


def test_the_runs_of_a_grant_are_counted(world):
    grant = world.made(max_runs=1)
    first, second = world.mint(grant), world.mint(grant)
    assert isinstance(tokens.token_redeem(jti=first.jti, jkt=JKT), Token)
    assert tokens.token_redeem(jti=second.jti, jkt=JKT).code == "slots_used"
    assert Token.objects.get(jti=second.jti).redeemed_at is None
    assert codes(world.mint(grant)) == ["slots_used"]


def test_a_revoked_token_reads_revoked_and_is_logged(world):
    token = world.mint(world.made())
    assert tokens.token_revoke(token=token)
    assert not tokens.token_revoke(token=token)
    assert tokens.token_redeem(jti=token.jti, jkt=JKT).code == "revoked"
    with pytest.raises(VerificationError, match="revoked"):
        checked(token)
    assert log_types()[-1] == "token.revoked"


def test_a_superseded_grant_carries_no_token(world):
    grant = world.made()
    token = world.mint(grant)
    world.seal(grant.request, root="ef" * 32)
    assert codes(world.mint(grant)) == ["approval_replaced"]
    assert tokens.token_redeem(jti=token.jti, jkt=JKT).code == "revoked"


def test_a_log_that_does_not_answer_means_no_token(world, monkeypatch):
    grant = world.made()
    monkeypatch.setattr(tokens, "LOG_WAIT_S", 0.0)
    monkeypatch.setattr("tests.world.sequence", lambda: None)
    assert codes(world.mint(grant)) == ["registry_unreachable"]


def test_a_grant_past_its_term_expires(world):
    grant = world.made()
    token = world.mint(grant)
    assert grants.grants_expire() == []
    assert grants.grants_expire(at=at(days=91)) == [grant.id]
    assert state(grant) == "expired"
    assert tokens.token_redeem(jti=token.jti, jkt=JKT).code == "revoked"
    assert log_types()[-1] == "grant.ended"


def test_silence_expires_and_is_never_an_approval(world):
    grant = world.asked()
    assert grants.grants_expire(at=at(days=8)) == [grant.id]
    assert codes(world.mint(grant)) == ["expired"]


def test_a_grant_revoked_for_cause_ends(world):
    grant = world.made()
    token = world.mint(grant)
    assert grants.grant_revoke(grant=grant)
    assert codes(world.mint(grant)) == ["revoked"]
    assert tokens.token_redeem(jti=token.jti, jkt=JKT).code == "revoked"


# --- the registry alone can make nothing up -------------------------------------------------------


def forged(world, grant: Grant, **changes) -> core_tokens.Claims:
    """A token's claims as the registry's own server could write them."""
    claims = checked(world.mint(grant))
    return core_tokens.Claims(**(vars(claims) | changes))


def accept(claims: core_tokens.Claims) -> core_tokens.Claims:
    text = core_tokens.mint(claims, keyring.token_signer())
    return checked(Token(text=text))


def test_the_registry_cannot_leave_out_the_talents_approval(world):
    claims = forged(world, world.made())
    kept = tuple(a for a in claims.approvals if a.by != "talent")
    with pytest.raises(VerificationError, match="approval_missing:talent"):
        accept(core_tokens.Claims(**(vars(claims) | {"approvals": kept})))


def test_the_registry_cannot_carry_approvals_over_to_other_pictures(world):
    claims = forged(world, world.made())
    grant = replace(claims.grant, dataset_root="ee" * 32)
    with pytest.raises(VerificationError, match="approval_replaced"):
        accept(core_tokens.Claims(**(vars(claims) | {"grant": grant})))


def test_the_registry_cannot_make_up_a_key_that_the_talent_never_enrolled(world):
    """Grant, keys and approvals all made by the server; the log has no such enrolment by alice."""
    fake = human("alice").soft
    fake._seed = b"made up by the server"
    claims = forged(world, world.made())
    cose = fake.cose_key("localhost")
    key = core_approvals.thumbprint(cose)
    changed = tuple(
        type(p)(**(vars(p) | {"keys": (key,)})) if p.by == "talent" else p
        for p in claims.grant.parties
    )
    grant = replace(claims.grant, parties=changed)
    humans = {
        "talent": fake,
        "agency_officer": world.bob.soft,
        "photo_copyright": world.charlie.soft,
    }
    approved = tuple(resign(a, grant, humans[a.by]) for a in claims.approvals)
    with pytest.raises(VerificationError) as caught:
        accept(core_tokens.Claims(**(vars(claims) | {"grant": grant, "approvals": approved})))
    assert caught.value.code == "bad_signature"
    assert "log" in caught.value.detail


def resign(approval, grant, soft):
    moved = replace(approval, grant_digest=grant.digest().hex())
    options = {"challenge": canonical.b64u(moved.challenge()), "rpId": "localhost"}
    answer = soft.approve(options, ORIGIN)
    return replace(
        moved,
        credential_id=answer["rawId"],
        cose_key=canonical.b64u(soft.cose_key("localhost")),
        authenticator_data=answer["response"]["authenticatorData"],
        client_data_json=answer["response"]["clientDataJSON"],
        signature=answer["response"]["signature"],
    )


# --- withdrawal -----------------------------------------------------------------------------------


@pytest.fixture
def running(world):
    """A grant with pictures' keys and a token in use."""
    grant = world.made()
    key = vault.dataset_key_create(request=grant.request, dataset_id="dst_1")
    assert isinstance(key, bytes)
    token = world.mint(grant)
    assert isinstance(tokens.token_redeem(jti=token.jti, jkt=JKT), Token)
    return world, grant, token, key


def test_a_withdrawal_flips_the_status_of_a_token_in_use(running):
    world, grant, token, _ = running
    assert approvals.approval_withdraw(person=world.alice.person, grant=grant) is None
    listed = status_list.verify(
        tokens.status_list_issue(), keyring.trust_root(), uri=tokens.status_uri(), at=timezone.now()
    )
    assert listed.code(token.status_index) == "withdrawn"
    assert state(grant) == request_state(grant) == "withdrawn"


def test_a_withdrawal_shreds_the_pictures_key_for_ever(running):
    world, grant, _, key = running
    assert vault.dataset_key(request=grant.request, dataset_id="dst_1") == key
    approvals.approval_withdraw(person=world.alice.person, grant=grant)
    assert KeyShare.objects.get().wrapped is None
    for answer in (
        vault.dataset_key(request=grant.request, dataset_id="dst_1"),
        vault.dataset_key_create(request=grant.request, dataset_id="dst_1"),
    ):
        assert isinstance(answer, Refusal)
        assert answer.code == "key_unavailable"


def test_a_withdrawal_closes_the_gate(running):
    world, grant, _, _ = running
    approvals.approval_withdraw(person=world.alice.person, grant=grant)
    assert codes(world.mint(grant)) == ["withdrawn"]
    assert codes(world.seal(grant.request)) == ["wrong_state"]


def test_a_withdrawal_is_logged_and_deletes_no_evidence(running):
    world, grant, _, _ = running
    approvals.approval_withdraw(person=world.alice.person, grant=grant, reason="private")
    assert log_types()[-3:] == ["keyshare.shredded", "approval.withdrawn", "grant.ended"]
    assert Approval.objects.count() == 3


def test_withdrawing_twice_changes_nothing_more(running):
    world, grant, _, _ = running
    for _ in range(2):
        assert approvals.approval_withdraw(person=world.alice.person, grant=grant) is None
    assert log_types().count("approval.withdrawn") == 1


def test_the_agency_cannot_withdraw_for_the_talent(running):
    world, grant, _, _ = running
    for who in (world.bob, world.charlie, world.mallory):
        answer = approvals.approval_withdraw(person=who.person, grant=grant)
        assert answer.code == "wrong_state"
    assert state(grant) == "active"


def test_a_withdrawal_works_before_anything_was_signed(world):
    grant = world.asked()
    assert approvals.approval_withdraw(person=world.alice.person, grant=grant) is None
    assert world.bob.approve(grant, "agency_officer").code == "withdrawn"


# --- key shares -----------------------------------------------------------------------------------


def test_a_data_sets_key_is_its_own(world):
    request = world.request()
    first = vault.dataset_key_create(request=request, dataset_id="dst_1")
    assert vault.dataset_key_create(request=request, dataset_id="dst_1") == first
    assert vault.dataset_key(request=request, dataset_id="dst_2") != first


def test_key_shares_lie_wrapped(world):
    request = world.request()
    vault.dataset_key_create(request=request, dataset_id="dst_1")
    with pytest.raises(VerificationError, match="key_unavailable"):
        core_vault.unwrap(bytes(KeyShare.objects.get().wrapped or b""), bytes(32))


# --- at the same time -----------------------------------------------------------------------------


def test_of_fifty_presentations_at_once_exactly_one_succeeds(live):
    token = live.mint(live.made(max_runs=20))
    results = at_once(lambda: tokens.token_redeem(jti=token.jti, jkt=JKT), times=50)
    won = [result for result in results if isinstance(result, Token)]
    assert len(won) == 1
    assert {r.code for r in results if isinstance(r, Refusal)} == {"replayed"}
    assert Grant.objects.get().runs_used == 1


def test_a_withdrawal_beside_redemptions_leaves_no_token_alive(live):
    grant = live.made(max_runs=8)
    minted = [live.mint(grant) for _ in range(4)]
    turns = iter([*minted, None])
    guard = threading.Lock()

    def work():
        with guard:
            token = next(turns)
        if token is None:
            return approvals.approval_withdraw(person=live.alice.person, grant=grant)
        return tokens.token_redeem(jti=token.jti, jkt=JKT)

    results = at_once(work, times=5)
    connections.close_all()
    redeemed = sum(isinstance(result, Token) for result in results)
    assert Grant.objects.get().runs_used == redeemed
    assert set(Token.objects.values_list("status", flat=True)) == {status_list.WITHDRAWN}
    refused = {r.code for r in results if isinstance(r, Refusal)}
    assert refused <= {"withdrawn"}


def test_the_log_proves_the_grant_that_was_made(live):
    grant = live.made()
    entry = log.wait_for(grant.made_event, 10)
    assert entry.event_type == "grant.made"
    assert isinstance(live.mint(grant), Token)
