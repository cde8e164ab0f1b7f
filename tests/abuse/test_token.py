"""Abuse cases about keys and tokens, through the real services (field study 6.3)."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta

import cbor2
import pytest
from django.utils import timezone

from registry.core import approvals as rules
from registry.core import dpop, keyset, tokens
from registry.core.refusals import Refusal
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer
from registry.models import Approval, Credential, Token
from registry.services import keyring, parties
from registry.services import keyset as keysets
from registry.services import tokens as token_services
from tests.services.forgery import claims_of, fork, minted, signed_by, worker
from tests.world import JKT, ORIGIN, RUN, at_once, guard, human, log_types


def test_a01_an_agency_employee_approves_as_the_talent(world):
    """A01: agency employee approves as the talent; minting with an agency-made signature fails."""
    grant = world.asked()
    assert world.alice.approve(grant, "talent", soft=world.bob.soft).code == "bad_signature"
    assert world.bob.approve(grant, "talent").code == "bad_signature"
    # Nor can the agency's device be enrolled as hers: one key, one person.
    begun = parties.credential_enrol_begin(person=world.alice.person)
    options = begun["options"] | {"excludeCredentials": []}
    taken = parties.credential_enrol_finish(
        person=world.alice.person,
        challenge_id=begun["challenge_id"],
        response=world.bob.soft.register(options, ORIGIN),
    )
    assert isinstance(taken, Refusal)
    # And a token over such a signature is refused wherever it comes from.
    claims = claims_of(world.mint(world.made()))
    given = tuple(
        signed_by(world.bob.soft, a, claims.grant) if a.by == "talent" else a
        for a in claims.approvals
    )
    forged = replace(claims, approvals=given, log=fork(claims.grant, given))
    with pytest.raises(VerificationError) as caught:
        worker(minted(forged), trust=keyring.trust_root())
    assert caught.value.code == "bad_signature"


def test_a05_fifty_presentations_of_one_token_and_one_wins(live):
    """A05: token replay, second worker; concurrent presentations, one wins."""
    token = live.mint(live.made(max_runs=20))
    found = at_once(lambda: token_services.token_redeem(jti=token.jti, jkt=JKT), 50)
    won = [one for one in found if isinstance(one, Token)]
    assert len(won) == 1
    assert {one.code for one in found if isinstance(one, Refusal)} == {"replayed"}
    token.grant.refresh_from_db()
    assert token.grant.runs_used == 1
    assert log_types().count("token.redeemed") == 1


def test_a06_a_stolen_token_shown_with_another_key(world):
    """A06: stolen token is bound to the worker's key; another key fails."""
    token = world.mint(world.made())
    thief = Ed25519Signer.from_seed(b"thief" * 6 + b"xx")
    with pytest.raises(VerificationError) as caught:
        worker(token.text, trust=keyring.trust_root(), jkt=thief.kid)
    assert caught.value.code == "wrong_worker"
    assert token_services.token_redeem(jti=token.jti, jkt=thief.kid).code == "wrong_worker"
    # A proof by the thief names the thief's key, whatever the token says.
    body = token.text.encode()
    at = timezone.now()
    proof = dpop.prove(thief, method="POST", url=ORIGIN, body=body, at=at)
    assert dpop.verify(proof, method="POST", url=ORIGIN, body=body, at=at).jkt != token.jkt
    assert isinstance(token_services.token_redeem(jti=token.jti, jkt=JKT), Token)


@pytest.mark.parametrize(
    ("moved", "code"),
    [
        (timedelta(hours=-1), "not_yet_valid"),
        (timedelta(seconds=-10), "not_yet_valid"),
        (timedelta(hours=1), "expired"),
        (timedelta(seconds=tokens.LIFETIME_S), "expired"),
    ],
)
def test_a07_the_workers_clock_is_moved(world, moved, code):
    """A07: clock moved on worker: server time in the status list, skew bound; refused."""
    token = world.mint(world.made())
    listed = token_services.status_list_issue()
    with pytest.raises(VerificationError) as caught:
        worker(
            token.text,
            trust=keyring.trust_root(),
            at=timezone.now() + moved,
            status_token=listed,
        )
    assert caught.value.code == code


def test_a07_a_clock_set_back_into_an_old_tokens_life(world):
    """A07: an expired token looks alive; the fresh status list comes from its future."""
    then = timezone.now()
    old = world.mint(world.made(), at=then)
    now = then + timedelta(minutes=30)
    with pytest.raises(VerificationError) as caught:
        worker(
            old.text,
            trust=keyring.trust_root(),
            at=then,
            status_token=token_services.status_list_issue(at=now),
        )
    assert caught.value.code == "status_stale"


def test_a14_a_consent_is_used_again_for_a_new_lora(world):
    """A14: consent re-used for a new LoRA; the second job is refused."""
    grant = world.made(max_runs=1)
    first = world.mint(grant)
    assert isinstance(token_services.token_redeem(jti=first.jti, jkt=JKT), Token)
    again = world.mint(grant, job_id="job_" + "9" * 20)
    assert [refusal.code for refusal in again] == ["slots_used"]
    # The first job's token is for the first job.
    with pytest.raises(VerificationError) as caught:
        worker(first.text, trust=keyring.trust_root(), job_id="job_" + "9" * 20)
    assert caught.value.code == "wrong_job"


@pytest.fixture
def rooted(world, settings, tmp_path):
    """The registry's own key files, in a folder of the test's, under three root keys."""
    home = tmp_path / "keys"
    shutil.copytree(settings.KEYS_DIR, home)
    settings.KEYS_DIR = home
    roots = keysets.roots_make(tmp_path / "roots")
    assert isinstance(keysets.keyset_begin(roots=roots), keyset.KeySet)
    return world, roots


def test_a33_a_signing_key_is_stolen(rooted):
    """A33: signing key stolen; rotation, status of keys; old tokens re-verify by the approvers."""
    world, roots = rooted
    grant = world.made(max_runs=3)
    before = world.mint(grant)
    issued = timezone.now()
    pinned = keyring.trust_root()
    stolen = keyring.token_signer()

    assert isinstance(keysets.key_publish_next(purpose="token", roots=roots), keyset.KeySet)
    theft = timezone.now() + timedelta(seconds=1)
    done = keysets.key_revoke(kid=stolen.kid, since=theft, roots=roots, at=theft)
    assert isinstance(done, keyset.KeySet), done
    data = keysets.document()
    found = keyset.verify(data, pinned, known_version=pinned.keyset_version, at=theft)
    trust = keyset.applied(pinned, found)

    # The thief mints: after the revocation it counts for nothing.
    claims = worker(before.text, trust=pinned, at=issued)
    then = int(theft.timestamp()) + 2
    late = replace(claims, issued_at=then, not_before=then, expires_at=then + 600)
    with pytest.raises(VerificationError) as caught:
        worker(tokens.mint(late, stolen), trust=trust, at=theft + timedelta(seconds=3))
    assert caught.value.code == "key_revoked"
    # What was signed before still verifies as of then, and so do the people's own signatures.
    assert worker(before.text, trust=trust, at=issued) == claims
    assert rules.verify_all(claims.approvals, claims.grant, trust)
    # The registry goes on with the next key, at once.
    after = world.mint(grant, at=theft + timedelta(seconds=3))
    assert isinstance(after, Token)
    assert keyring.token_signer().kid != stolen.kid
    assert worker(after.text, trust=trust, at=theft + timedelta(seconds=3)).jti == after.jti
    # Nobody can go back to the key set from before the theft, and the log tells of each.
    with pytest.raises(VerificationError, match=r"key_revoked|unknown_key"):
        worker(after.text, trust=pinned, at=theft + timedelta(seconds=3))
    told = [kind for kind in log_types() if kind.startswith("key.")]
    assert told == ["key.listed", "key.published", "key.revoked"]


# --- a run must be over before what allows it is --------------------------------------------------


def reasons(found):
    """The refusals of a mint, with what each of them names."""
    assert isinstance(found, list), found
    return [(item.code, item.detail.split(" ")[0]) for item in found]


LONG = replace(RUN, max_runtime_s=3 * 24 * 3600)


def test_a17_a_run_that_would_outlive_the_representation_is_not_begun(world):
    """A17: talent changes agency; authority is looked up as of the day on which the run ends."""
    grant = world.made()
    row = world.talent.representations.get()
    tomorrow = timezone.localdate() + timedelta(days=1)
    assert isinstance(world.mint(grant, run=LONG), Token)
    parties.representation_end(representation=row, ended_on=tomorrow)
    found = world.mint(grant, run=LONG)
    assert reasons(found) == [("ends_before_finish", "representation_ended")]
    assert isinstance(world.mint(grant), Token)


def test_a17_a_run_that_would_go_on_past_her_18th_birthday_is_not_begun(world):
    """A17: what a guardian signed pauses on the day; a run that reaches into it is not begun."""
    guardian = human("dora")
    guardian.enrol()
    tomorrow = timezone.localdate() + timedelta(days=1)
    world.talent.birth_date = tomorrow.replace(year=tomorrow.year - 18)
    world.talent.save()
    guard(world.talent, guardian.person)
    grant = world.asked()
    for who, by in [*world.signers(), (guardian, "guardian")]:
        assert isinstance(who.approve(grant, by), Approval)
    grant.refresh_from_db()
    assert reasons(world.mint(grant, run=LONG)) == [("ends_before_finish", "paused")]
    assert isinstance(world.mint(grant), Token)


def test_a_run_that_would_outlive_the_term_is_not_begun(world):
    """The earliest of all ends counts; the term's own is what the worker holds the run to."""
    grant = world.made(terms=world.terms(end=timezone.localdate() + timedelta(days=1)))
    end = grant.payload["terms"]["end"]
    assert reasons(world.mint(grant, run=LONG)) == [("ends_before_finish", end)]
    assert isinstance(world.mint(grant), Token)


# --- keys that nobody needs to hold ---------------------------------------------------------------


def registration_with(soft, options, cose):
    """A registration by a real device, with another public key and no attestation over it."""
    made = soft.register(options, ORIGIN)
    told = cbor2.loads(canonical.unb64u(made["response"]["attestationObject"]))
    own = soft.cose_key("localhost")
    assert told["authData"].endswith(own)
    data = told["authData"][: -len(own)] + cose
    swapped = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
    made["response"]["attestationObject"] = canonical.b64u(swapped)
    return made


@pytest.mark.parametrize(
    "raw",
    [
        b"\x01" + bytes(31),
        bytes(32),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xee" + b"\xff" * 30 + b"\x7f",
    ],
    ids=["identity", "order 4", "order 2", "not canonical"],
)
def test_a_passkey_for_which_anybody_can_sign_is_not_enrolled(world, raw):
    """Under a small-order point one constant signature verifies for every message."""
    who, soft = world.mallory.person, human("erin").soft

    def enrol(cose):
        begun = parties.credential_enrol_begin(person=who)
        return parties.credential_enrol_finish(
            person=who,
            challenge_id=begun["challenge_id"],
            response=registration_with(soft, begun["options"], cose),
        )

    found = enrol(cbor2.dumps({1: 1, 3: -8, -1: 6, -2: raw}))
    assert isinstance(found, Refusal)
    assert found.code == "malformed"
    assert "order" in found.detail or "canonical" in found.detail
    good = Ed25519Signer.from_seed(b"g" * 32).public_raw
    assert isinstance(enrol(cbor2.dumps({1: 1, 3: -8, -1: 6, -2: good})), Credential)
