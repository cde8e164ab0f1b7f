"""`approvals.verify`, step by step, with real WebAuthn assertions made in memory."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import approvals
from registry.core.approvals import Approval
from registry.core.authenticator import SoftAuthenticator
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from tests.core.token_world import (
    ALICE,
    BOB,
    GRANT,
    ISSUER,
    MALLORY,
    PARTIES,
    RP_ID,
    TRUST,
    approve,
    approve_all,
    key_of,
)

TALENT = PARTIES[0]
GOOD = approve(GRANT, TALENT)


def refused(approval: Approval, grant=GRANT, trust=TRUST) -> str:
    with pytest.raises(VerificationError) as caught:
        approvals.verify(approval, grant, trust)
    return caught.value.code


def assertion(client=None, flags=0x05, rp_id=RP_ID, soft=ALICE, **more) -> Approval:
    """alice's assertion, with client data or flags that a broken client could make."""
    said = {
        "type": "webauthn.get",
        "challenge": canonical.b64u(GOOD.challenge()),
        "origin": ISSUER,
        "crossOrigin": False,
    } | (client or {})
    data = json.dumps(said).encode()
    auth = bytearray(soft._auth_data(rp_id))
    auth[32] = flags
    return replace(
        GOOD,
        authenticator_data=canonical.b64u(bytes(auth)),
        client_data_json=canonical.b64u(data),
        signature=canonical.b64u(soft._sign(RP_ID, bytes(auth), data)),
        **more,
    )


def test_an_honest_approval_stands_for_its_party():
    assert approvals.verify(GOOD, GRANT, TRUST) == TALENT
    assert approvals.verify(assertion(), GRANT, TRUST) == TALENT


# --- (1) ------------------------------------------------------------------------------------------


def test_an_approval_of_another_grant_is_replaced():
    other = replace(GRANT, dataset_root="00" * 32)
    assert refused(GOOD, grant=other) == "approval_replaced"


# --- (2) ------------------------------------------------------------------------------------------


def test_a_person_whom_the_grant_does_not_name_stands_for_nobody():
    assert refused(replace(GOOD, party_id="per_mallory")) == "bad_signature"


def test_a_party_signs_in_its_own_capacity_only():
    assert refused(replace(GOOD, by="agency_officer")) == "bad_signature"


# --- (3) ------------------------------------------------------------------------------------------


def test_the_agencys_key_under_the_talents_name_is_a_bad_signature():
    assert refused(approve(GRANT, TALENT, soft=BOB)) == "bad_signature"


def test_a_key_that_the_grant_does_not_list_is_a_bad_signature():
    assert refused(approve(GRANT, TALENT, soft=MALLORY)) == "bad_signature"


# --- (4) ------------------------------------------------------------------------------------------


def test_a_test_key_counts_for_nothing_in_live_mode():
    live = replace(GRANT, mode="live")
    signed = approve(live, TALENT)
    assert refused(signed, grant=live, trust=replace(TRUST, mode="live")) == "wrong_mode"


def test_a_passkey_counts_in_live_mode():
    party = replace(TALENT, assurance=approvals.PASSKEY_ASSURANCE)
    live = replace(GRANT, mode="live", parties=(party, *PARTIES[1:]))
    signed = approve(live, party)
    assert approvals.verify(signed, live, replace(TRUST, mode="live")) == party


def test_a_test_grant_is_nothing_in_live_mode_whatever_the_key():
    party = replace(TALENT, assurance=approvals.PASSKEY_ASSURANCE)
    grant = replace(GRANT, parties=(party, *PARTIES[1:]))
    signed = approve(grant, party)
    assert refused(signed, grant=grant, trust=replace(TRUST, mode="live")) == "wrong_mode"


# --- (5) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "detail"),
    [
        ({"type": "webauthn.create"}, "not an assertion"),
        ({"challenge": canonical.b64u(bytes(32))}, "another challenge"),
        ({"origin": "https://evil.example"}, "another origin"),
        ({"crossOrigin": True}, "cross-origin"),
        ({"crossOrigin": "no"}, "cross-origin"),
        ({"topOrigin": ISSUER}, "cross-origin"),
    ],
)
def test_client_data_of_another_kind_is_a_bad_signature(client, detail):
    """By our own reading: the library's checks of the same members are a second line."""
    with pytest.raises(VerificationError) as caught:
        approvals.verify(assertion(client), GRANT, TRUST)
    assert (caught.value.code, caught.value.detail) == ("bad_signature", detail)


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"type":1,"type":2}', b"\xff"])
def test_client_data_that_is_no_object_is_malformed(text):
    assert refused(replace(GOOD, client_data_json=canonical.b64u(text))) == "malformed"


# --- (6) ------------------------------------------------------------------------------------------


def test_another_relying_party_is_a_bad_signature():
    assert refused(assertion(rp_id="evil.example")) == "bad_signature"


def test_without_user_verification_it_is_a_bad_signature():
    assert refused(assertion(flags=0x01)) == "bad_signature"


def test_without_user_presence_it_is_a_bad_signature():
    assert refused(assertion(flags=0x04)) == "bad_signature"


def test_a_signature_by_another_key_is_a_bad_signature():
    """mallory signs the right bytes; the approval names alice's own key."""
    data = json.dumps(
        {
            "type": "webauthn.get",
            "challenge": canonical.b64u(GOOD.challenge()),
            "origin": ISSUER,
        }
    ).encode()
    auth = MALLORY._auth_data(RP_ID)
    forged = replace(
        GOOD,
        authenticator_data=canonical.b64u(auth),
        client_data_json=canonical.b64u(data),
        signature=canonical.b64u(MALLORY._sign(RP_ID, auth, data)),
    )
    assert refused(forged) == "bad_signature"


@pytest.mark.parametrize(
    "member",
    ["credential_id", "cose_key", "authenticator_data", "client_data_json", "signature"],
)
def test_padded_base64_is_malformed(member):
    padded = replace(GOOD, **{member: getattr(GOOD, member) + "="})
    assert refused(padded) == "malformed"


@given(
    member=st.sampled_from(["cose_key", "authenticator_data", "client_data_json", "signature"]),
    place=st.integers(min_value=0),
    flip=st.integers(1, 255),
)
def test_no_changed_byte_passes(member, place, flip):
    data = bytearray(canonical.unb64u(getattr(GOOD, member)))
    data[place % len(data)] ^= flip
    changed = replace(GOOD, **{member: canonical.b64u(bytes(data))})
    with pytest.raises(VerificationError):
        approvals.verify(changed, GRANT, TRUST)


@given(member=st.sampled_from(["cose_key", "authenticator_data", "signature"]), junk=st.binary())
def test_junk_is_refused_and_never_crashes(member, junk):
    changed = replace(GOOD, **{member: canonical.b64u(junk)})
    grant = GRANT
    if member == "cose_key":
        party = replace(TALENT, keys=(approvals.thumbprint(junk),))
        grant = replace(GRANT, parties=(party, *PARTIES[1:]))
        changed = replace(changed, grant_digest=grant.digest().hex())
    with pytest.raises(VerificationError):
        approvals.verify(changed, grant, TRUST)


# --- everybody ------------------------------------------------------------------------------------


def test_everybody_signs_each_with_their_own_key():
    given = approvals.verify_all(approve_all(GRANT), GRANT, TRUST)
    assert set(given) == {(p.party_id, p.by) for p in PARTIES}


@pytest.mark.parametrize("party", PARTIES)
def test_silence_is_never_approval(party):
    kept = [a for a in approve_all(GRANT) if a.party_id != party.party_id]
    with pytest.raises(VerificationError) as caught:
        approvals.verify_all(kept, GRANT, TRUST)
    assert caught.value.code == f"approval_missing:{party.by}"


def test_one_key_cannot_stand_for_two_people():
    twin = replace(PARTIES[1], keys=(key_of(ALICE),))
    grant = replace(GRANT, parties=(TALENT, twin, PARTIES[2]))
    signed = [
        approve(grant, twin, soft=ALICE) if p == twin else approve(grant, p) for p in grant.parties
    ]
    with pytest.raises(VerificationError, match="one key for two parties"):
        approvals.verify_all(signed, grant, TRUST)


def test_one_person_may_hold_two_capacities():
    own = replace(PARTIES[2], party_id="per_alice", keys=(key_of(ALICE),))
    grant = replace(GRANT, parties=(TALENT, PARTIES[1], own))
    signed = [approve(grant, party) for party in grant.parties]
    assert len(approvals.verify_all(signed, grant, TRUST)) == 3


# --- the format -----------------------------------------------------------------------------------


def test_an_approval_survives_its_payload():
    assert Approval.from_payload(GOOD.to_payload()) == GOOD
    assert len(GOOD.digest()) == 32


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        GOOD.to_payload() | {"format": "kyodaku/approval/v1"},
        GOOD.to_payload() | {"ticks": "name_use"},
        GOOD.to_payload() | {"ticks": [1]},
        GOOD.to_payload() | {"ticks": ["sell_off", "name_use"]},
        GOOD.to_payload() | {"ticks": ["name_use", "name_use"]},
        GOOD.to_payload() | {"nonce": None},
        {k: v for k, v in GOOD.to_payload().items() if k != "ticks"},
        GOOD.to_payload() | {"extra": "x"},
        GOOD.to_payload() | {"by": 1},
        {k: v for k, v in GOOD.to_payload().items() if k != "signature"},
    ],
)
def test_another_format_is_refused(payload):
    with pytest.raises(ValueError, match="not an approval"):
        Approval.from_payload(payload)


# --- the software authenticator -------------------------------------------------------------------

OPTIONS = {"challenge": "AAAA", "rpId": RP_ID}
CREATE = {
    "challenge": "AAAA",
    "rp": {"id": RP_ID, "name": "x"},
    "user": {"id": "AAAA", "name": "alice"},
    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
}


def test_the_authenticator_refuses_a_page_that_may_not_use_the_relying_party():
    with pytest.raises(ValueError, match="may not use"):
        ALICE.approve(OPTIONS, "https://evil.example")
    with pytest.raises(ValueError, match="may not use"):
        ALICE.register(CREATE, "https://evilregistry.example")
    assert ALICE.approve(OPTIONS, f"https://pages.{RP_ID}")


def test_the_authenticator_answers_only_for_its_own_credential():
    with pytest.raises(ValueError, match="none of the allowed"):
        ALICE.approve(OPTIONS | {"allowCredentials": [{"id": "AAAA"}]}, ISSUER)


def test_the_authenticator_registers_once_and_signs_with_es256_only():
    known = canonical.b64u(ALICE.credential_id(RP_ID))
    with pytest.raises(ValueError, match="registered already"):
        ALICE.register(CREATE | {"excludeCredentials": [{"id": known}]}, ISSUER)
    with pytest.raises(ValueError, match="ES256"):
        ALICE.register(CREATE | {"pubKeyCredParams": [{"alg": -8}]}, ISSUER)


def test_a_short_seed_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        SoftAuthenticator(b"short")
