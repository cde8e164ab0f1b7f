"""`keyset.verify`, step by step, and what a verified key set makes of a trust root."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import keyset, tokens
from registry.core.keyset import ACTIVE, NEXT, REVOKED, VERIFY_ONLY, KeyRecord, KeySet
from registry.core.trust import TrustRoot
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer
from tests.core.token_corpus import SMALL_ORDER
from tests.core.token_world import ISSUER, NOW, STATUS, TOKEN, TRUST, token_world

ROOTS = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2, 3)]
MALLORY = Ed25519Signer.from_seed(b"r" * 32)
FRESH = Ed25519Signer.from_seed(b"n" * 32)
PROVENANCE = Ed25519Signer.from_seed(b"p" * 32)
PINNED = replace(TRUST, root_keys={r.kid: r.public_raw for r in ROOTS}, root_threshold=2)
THEN = int(NOW.timestamp())
SET = KeySet(
    issuer=ISSUER,
    mode="test",
    version=3,
    issued_at=THEN - 100,
    expires_at=THEN + 1000,
    keys=(
        KeyRecord("token", TOKEN.public_raw, VERIFY_ONLY, 0, THEN - 50),
        KeyRecord("token", FRESH.public_raw, ACTIVE, THEN - 100),
        KeyRecord("status", STATUS.public_raw, ACTIVE, 0),
        KeyRecord("provenance", PROVENANCE.public_raw, ACTIVE, 0),
    ),
)
GOOD = keyset.sign(SET, ROOTS[:2])


def refused(data: bytes, trust: TrustRoot = PINNED, known: int = 0, at=NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        keyset.verify(data, trust, known_version=known, at=at)
    return caught.value.code


@pytest.mark.parametrize("roots", [ROOTS[:2], ROOTS[1:], ROOTS, [*ROOTS[:2], MALLORY]])
def test_enough_roots_make_a_key_set(roots):
    data = keyset.sign(SET, roots)
    assert keyset.verify(data, PINNED, known_version=3, at=NOW) == SET


# --- (1) ------------------------------------------------------------------------------------------


def changed(change) -> bytes:
    """The document with another content, as it would look signed by every root."""
    document = json.loads(GOOD)
    change(document["signed"])
    digest = canonical.digest(keyset.FORMAT, document["signed"])
    document["signatures"] = {r.kid: canonical.b64u(r.sign(digest)) for r in ROOTS}
    return canonical.dumps(document)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="kyodaku/keyset/v2"),
        lambda d: d.update(extra=1),
        lambda d: d.pop("version"),
        lambda d: d.update(version=0),
        lambda d: d.update(version=True),
        lambda d: d.update(expires_at="never"),
        lambda d: d["keys"].pop(1),
        lambda d: d["keys"].append(dict(d["keys"][1])),
        lambda d: d["keys"][1].update(purpose="checkpoint"),
        lambda d: d["keys"][1].update(status="trusted"),
        lambda d: d["keys"][1].update(kid=TOKEN.kid),
        lambda d: d["keys"][1].update(valid_until=THEN),
        lambda d: d["keys"][0].update(valid_until=0),
        lambda d: d["keys"][2].update(purpose="token"),
        lambda d: d["keys"][1].update(valid_from=-1),
        *(
            lambda d, raw=raw: d["keys"][1].update(public=canonical.b64u(raw))
            for raw in SMALL_ORDER.values()
        ),
    ],
)
def test_a_key_set_that_says_what_none_may_say_is_malformed_whoever_signed_it(change):
    assert refused(changed(change)) == "malformed"


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", GOOD + b"\n", GOOD.replace(b":", b": ", 1), b'{"signed":{},"signed":{}}'],
)
def test_other_bytes_are_malformed(data):
    assert refused(data) == "malformed"


def test_we_sign_no_set_that_nobody_would_take():
    with pytest.raises(ValueError, match="not one active"):
        keyset.sign(replace(SET, keys=SET.keys[1:3]), ROOTS)


# --- (2) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "roots", [[], ROOTS[:1], [MALLORY, TOKEN, STATUS], [ROOTS[0], MALLORY], [ROOTS[0]] * 2]
)
def test_too_few_roots_are_nobody(roots):
    assert refused(keyset.sign(SET, roots)) == "bad_signature"


def test_a_roots_signature_under_two_names_counts_once():
    document = json.loads(keyset.sign(SET, ROOTS[:1]))
    document["signatures"][ROOTS[1].kid] = document["signatures"][ROOTS[0].kid]
    assert refused(canonical.dumps(document)) == "bad_signature"


@pytest.mark.parametrize("threshold", [0, 4, -1])
def test_without_pinned_roots_nothing_fetched_counts(threshold):
    assert refused(GOOD, replace(PINNED, root_threshold=threshold)) == "unknown_key"
    assert refused(GOOD, TRUST) == "unknown_key"


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_no_changed_byte_passes(place, flip):
    data = bytearray(GOOD)
    data[place % len(data)] ^= flip
    with pytest.raises(VerificationError):
        keyset.verify(bytes(data), PINNED, known_version=0, at=NOW)


# --- (3) (4) (5) ----------------------------------------------------------------------------------


def test_another_registrys_or_modes_set_is_refused():
    assert refused(GOOD, replace(PINNED, issuer="https://other.example")) == "unknown_key"
    assert refused(GOOD, replace(PINNED, mode="live")) == "wrong_mode"


def test_an_older_set_is_a_replay():
    assert refused(GOOD, known=4) == "replayed"


def test_a_set_has_its_time():
    assert refused(GOOD, at=NOW + timedelta(seconds=1000)) == "expired"
    assert refused(GOOD, at=NOW - timedelta(seconds=161)) == "not_yet_valid"


# --- what it makes of a trust root ----------------------------------------------------------------


def test_a_replaced_key_verifies_what_it_signed_and_nothing_later():
    trust = keyset.applied(PINNED, SET)
    assert not trust.could_sign(TOKEN.kid, THEN)
    assert trust.could_sign(TOKEN.kid, THEN - 51)
    assert trust.could_sign(FRESH.kid, THEN)
    assert not trust.could_sign(FRESH.kid, THEN - 101)
    world = token_world()
    with pytest.raises(VerificationError, match="key_revoked"):
        world.verify(trust=trust)
    assert world.verify(trust=trust, token=world.text(FRESH)) == world.claims


def test_a_key_that_is_only_announced_signs_nothing():
    announced = KeyRecord("token", MALLORY.public_raw, NEXT, 0)
    trust = keyset.applied(PINNED, replace(SET, keys=(*SET.keys, announced)))
    with pytest.raises(VerificationError, match="unknown_key"):
        token_world().verify(trust=trust, token=token_world().text(MALLORY))


def test_each_key_has_one_purpose():
    trust = keyset.applied(PINNED, SET)
    assert set(trust.token_keys) == {TOKEN.kid, FRESH.kid}
    assert set(trust.status_keys) == {STATUS.kid}
    assert set(trust.provenance_keys) == {PROVENANCE.kid}


def test_a_stolen_key_counts_until_the_theft():
    stolen = replace(SET.keys[0], status=REVOKED, valid_until=THEN + 1)
    trust = keyset.applied(PINNED, replace(SET, keys=(stolen, *SET.keys[1:])))
    world = token_world()
    assert world.verify(trust=trust) == world.claims
    later = world.changed(issued_at=THEN + 1, not_before=THEN, expires_at=THEN + 600)
    with pytest.raises(VerificationError, match="key_revoked"):
        later.verify(trust=trust)
    # Dated back before the theft, it must end within a token's life: it is over when it is shown.
    back = world.changed(issued_at=THEN, not_before=THEN, expires_at=THEN + tokens.LIFETIME_S)
    with pytest.raises(VerificationError, match=r"expired|status_stale"):
        back.verify(trust=trust, at=NOW + timedelta(seconds=tokens.LIFETIME_S))


def test_a_trust_root_survives_its_file():
    trust = keyset.applied(PINNED, SET)
    assert TrustRoot.from_bytes(trust.to_bytes()) == trust
