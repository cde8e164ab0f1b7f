"""The server alone: with its token, status and log keys and the database, it makes up no consent.

Each test is one way to try it, on the real database, with tokens signed by the registry's own key;
what refuses is the worker's offline check, by a trust root that it pinned before. Where the server
also writes the public log, one thing is left: to enrol a key of its own in somebody's name. The
last part shows what stands against that.
"""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.core import approvals
from registry.core.authenticator import SoftAuthenticator
from registry.log import sequencer
from registry.log.core import canonical
from registry.log.core.checkpoint import ED25519_COSIGNATURE, VerifierKey
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer
from registry.log.models import Entry
from registry.models import Approval, Credential, Token
from registry.selectors import core_grant
from registry.services import keyring
from registry.services.tokens import _leaf
from tests.services.forgery import (
    claims_of,
    cose,
    fork,
    minted,
    signed_by,
    superuser,
    with_key,
    worker,
)
from tests.world import sequence

SERVERS = SoftAuthenticator(b"a key that only the server has")


@pytest.fixture
def honest(world):
    """The world, an honest token's claims, and a worker's pinned trust root."""
    token = world.mint(world.made())
    assert isinstance(token, Token), token
    return world, claims_of(token), keyring.trust_root()


def everybody(world, claims, grant, **instead):
    """All approvals made anew over another grant, by the parties' own devices or by `instead`."""
    own = {
        "talent": world.alice.soft,
        "agency_officer": world.bob.soft,
        "photo_copyright": world.charlie.soft,
    }
    return tuple(signed_by((own | instead)[a.by], a, grant) for a in claims.approvals)


def refused(claims, trust, code="bad_signature", **how):
    with pytest.raises(VerificationError) as caught:
        worker(minted(claims), trust=trust, **how)
    assert caught.value.code == code, caught.value.detail


def test_the_honest_one_is_accepted(honest):
    _, claims, trust = honest
    assert worker(minted(claims), trust=trust) == claims


# --- with the token key ---------------------------------------------------------------------------


def test_way_1_it_signs_in_the_talents_place_with_a_key_of_its_own(honest):
    """The grant is the real one, which lists alice's own key; the log is the server's own."""
    world, claims, trust = honest
    given = everybody(world, claims, claims.grant, talent=SERVERS)
    refused(replace(claims, approvals=given, log=fork(claims.grant, given)), trust)


def test_way_2_it_lists_its_own_key_as_the_talents_in_a_new_grant(honest):
    """Everybody else signs the new grant, in good faith. The real log knows no such key."""
    world, claims, trust = honest
    grant = with_key(claims.grant, "talent", SERVERS)
    given = everybody(world, claims, grant, talent=SERVERS)
    refused(replace(claims, grant=grant, approvals=given), trust)


def test_way_3_it_shows_the_entry_of_the_key_that_she_did_enrol(honest):
    """As way 2, with the new grant in a forked log, and alice's own enrolment beside it."""
    world, claims, trust = honest
    grant = with_key(claims.grant, "talent", SERVERS)
    given = everybody(world, claims, grant, talent=SERVERS)
    log = fork(grant, given)
    hers = fork(claims.grant, claims.approvals)
    key = approvals.thumbprint(cose(SERVERS))
    own = approvals.thumbprint(cose(world.alice.soft))
    swapped = dict(log.enrolments) | {key: hers.enrolments[own]}
    refused(
        replace(claims, grant=grant, approvals=given, log=replace(log, enrolments=swapped)), trust
    )


def test_way_4_it_carries_old_approvals_over_to_other_pictures(honest):
    _, claims, trust = honest
    grant = replace(claims.grant, dataset_root="ee" * 32)
    log = fork(grant, claims.approvals)
    refused(replace(claims, grant=grant, log=log), trust, "approval_replaced")
    relabelled = tuple(replace(a, grant_digest=grant.digest().hex()) for a in claims.approvals)
    log = fork(grant, relabelled)
    refused(replace(claims, grant=grant, approvals=relabelled, log=log), trust)


def test_way_5_it_leaves_the_talent_out(honest):
    """Out of the approvals; and out of the parties, in a grant that the others sign."""
    world, claims, trust = honest
    kept = tuple(a for a in claims.approvals if a.by != "talent")
    log = fork(claims.grant, kept)
    refused(replace(claims, approvals=kept, log=log), trust, "approval_missing:talent")
    parties = tuple(p for p in claims.grant.parties if p.by != "talent")
    grant = replace(claims.grant, parties=parties)
    given = everybody(world, replace(claims, approvals=kept), grant)
    log = fork(grant, given)
    refused(
        replace(claims, grant=grant, approvals=given, log=log), trust, "approval_missing:talent"
    )


def test_way_6_it_passes_a_software_key_off_as_a_passkey(honest):
    """In a live grant, with the real log, which says that the key is a test's."""
    world, claims, trust = honest
    live = replace(trust, mode="live")
    parties = tuple(replace(p, assurance="passkey") for p in claims.grant.parties)
    grant = replace(claims.grant, mode="live", parties=parties)
    given = everybody(world, claims, grant)
    honest_log = fork(grant, given, party={"assurance": "test"})
    told = replace(claims, mode="live", grant=grant, approvals=given, log=honest_log)
    refused(told, live, "wrong_mode")


def test_way_7_it_lets_one_person_sign_for_two(honest):
    """bob's key is listed as the talent's, too, and the log is the server's own."""
    world, claims, trust = honest
    grant = with_key(claims.grant, "talent", world.bob.soft)
    given = everybody(world, claims, grant, talent=world.bob.soft)
    refused(replace(claims, grant=grant, approvals=given, log=fork(grant, given)), trust)


# --- with the database ----------------------------------------------------------------------------


def test_way_8_a_superuser_writes_another_persons_key_over_hers(honest):
    """Rows of keys and approvals say what the administrator wants; the mint itself finds it out."""
    world, _, _ = honest
    grant = world.made(max_runs=2)
    with superuser() as cursor:
        mine = Credential.objects.get(person=world.mallory.person).pk
        cursor.execute(
            "UPDATE registry_credential SET person_id = %s WHERE id = %s",
            [world.alice.person.pk, mine],
        )
        row = Approval.objects.get(lane__grant=grant, lane__by="talent")
        core = approvals.Approval.from_payload(row.payload)
        forged = signed_by(world.mallory.soft, core, core_grant(grant))
        cursor.execute(
            "UPDATE registry_approval SET payload = %s, credential_id = %s WHERE id = %s",
            [canonical.dumps(forged.to_payload()).decode(), mine, row.pk],
        )
    sequence()
    with pytest.raises(VerificationError) as caught:
        world.mint(grant)
    assert caught.value.code == "bad_signature"


def test_way_9_a_superuser_declares_a_grant_made_that_nobody_signed(honest):
    world, _, _ = honest
    asked = world.asked()
    with superuser() as cursor:
        cursor.execute("UPDATE registry_grant SET state = 'active' WHERE id = %s", [asked.pk])
        cursor.execute("UPDATE registry_lane SET state = 'signed' WHERE grant_id = %s", [asked.pk])
    found = world.mint(asked)
    assert {r.code for r in found} >= {"approval_missing:talent", "approval_missing:agency_officer"}


def test_way_10_a_superuser_rewrites_the_logs_own_rows(honest):
    """The entry of mallory's key now says that it is alice's. Its hash is in signed checkpoints."""
    world, claims, trust = honest
    grant = with_key(claims.grant, "talent", world.mallory.soft)
    given = everybody(world, claims, grant, talent=world.mallory.soft)
    key = approvals.thumbprint(cose(world.mallory.soft))
    entry = next(row for row in Entry.objects.all() if key in bytes(row.payload).decode())
    said = bytes(entry.payload).replace(
        world.mallory.person.pk.encode(), world.alice.person.pk.encode()
    )
    with superuser() as cursor:
        cursor.execute("UPDATE log_entry SET payload = %s WHERE index = %s", [said, entry.index])
    size = int(claims.log.checkpoint.split("\n")[1])
    row = Entry.objects.get(index=entry.index)
    log = replace(claims.log, enrolments=dict(claims.log.enrolments) | {key: _leaf(row, size)})
    refused(replace(claims, grant=grant, approvals=given, log=log), trust)


# --- with the log's keys, too ---------------------------------------------------------------------


def enrolled_by_the_server(world, claims, at=None):
    """The last way: a forked log in which a key of the server's own is alice's passkey."""
    grant = with_key(claims.grant, "talent", SERVERS)
    given = everybody(world, claims, grant, talent=SERVERS)
    return replace(claims, grant=grant, approvals=given, log=fork(grant, given, at=at))


def test_a_fork_by_other_keys_than_the_logs_proves_nothing(honest):
    world, claims, trust = honest
    grant = with_key(claims.grant, "talent", SERVERS)
    given = everybody(world, claims, grant, talent=SERVERS)
    ours = sequencer.load_signers()
    for signers in (
        replace(ours, ed25519=Ed25519Signer.from_seed(b"x" * 32)),
        replace(ours, mldsa44=Mldsa44Signer.from_seed(b"x" * 32)),
    ):
        log = fork(grant, given, signers=signers)
        refused(replace(claims, grant=grant, approvals=given, log=log), trust)


def test_a_key_enrolled_a_moment_ago_waits_whoever_enrolled_it(honest):
    """Meanwhile its supposed owner is told on her old contact, and the entry is public."""
    world, claims, trust = honest
    waiting = replace(trust, key_wait_s=72 * 3600)
    refused(enrolled_by_the_server(world, claims), waiting, "key_too_new")


def test_dating_the_entry_back_takes_a_log_that_no_witness_has_seen(honest):
    """A fork is signed by the log and cosigned by nobody: a worker that pins a witness refuses."""
    world, claims, trust = honest
    witness = Ed25519Signer.from_seed(b"w" * 32)
    vkey = str(VerifierKey("witness.example", ED25519_COSIGNATURE, witness.public_raw))
    watched = replace(trust, key_wait_s=72 * 3600, witness_vkeys=(vkey,), witness_quorum=1)
    back = timezone.now() - timedelta(days=30)
    refused(enrolled_by_the_server(world, claims, back), watched)


def test_without_a_witness_a_fork_dated_back_is_found_and_not_prevented(honest):
    """Said plainly: this is what is left when log key, token key and all else are in one hand."""
    world, claims, trust = honest
    forked = enrolled_by_the_server(world, claims, timezone.now() - timedelta(days=30))
    waiting = replace(trust, key_wait_s=72 * 3600)
    # alice's, bob's and charlie's keys are dated back in the fork as well, so nothing waits.
    assert worker(minted(forked), trust=waiting).grant == forked.grant
    # Two checkpoints of one size with two roots, or sizes that no proof connects: anybody who kept
    # an honest one sees it (`manage.py fsck`, a monitor, a witness).
    assert forked.log.checkpoint.split("\n")[:3] != claims.log.checkpoint.split("\n")[:3]
