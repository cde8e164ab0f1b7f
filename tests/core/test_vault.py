"""Key shares, sealed objects and the release of a data key to one worker for one token."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from registry.core import vault
from registry.log.core.errors import VerificationError

KEY = bytes(range(32))
SHARES = {"tal_alice": b"a" * 32, "tal_bea": b"b" * 32}


def code(call, *arguments, **more) -> str:
    with pytest.raises(VerificationError) as caught:
        call(*arguments, **more)
    return caught.value.code


def test_the_key_needs_the_share_of_every_talent():
    whole = vault.dataset_key(SHARES, "dst_1")
    assert whole == vault.dataset_key(dict(reversed(SHARES.items())), "dst_1")
    assert whole != vault.dataset_key({"tal_alice": SHARES["tal_alice"]}, "dst_1")
    assert whole != vault.dataset_key(SHARES | {"tal_bea": b"x" * 32}, "dst_1")
    assert whole != vault.dataset_key(SHARES, "dst_2")


def test_shares_that_change_places_give_another_key():
    swapped = {"tal_alice": SHARES["tal_bea"], "tal_bea": SHARES["tal_alice"]}
    assert vault.dataset_key(SHARES, "d") != vault.dataset_key(swapped, "d")


@pytest.mark.parametrize("shares", [{}, {"tal_alice": b"short"}])
def test_a_data_set_that_nobody_could_withdraw_has_no_key(shares):
    with pytest.raises(ValueError, match="32-byte share"):
        vault.dataset_key(shares, "dst_1")


@given(st.binary(max_size=2000))
def test_what_is_sealed_is_unsealed(plain):
    sealed = vault.seal(plain, KEY, context="picture")
    assert vault.unseal(sealed.data, KEY, context="picture") == plain


def test_two_seals_of_the_same_bytes_differ():
    assert vault.seal(b"x", KEY, context="c").digest != vault.seal(b"x", KEY, context="c").digest


def test_without_the_key_there_are_no_pixels():
    sealed = vault.seal(b"pixels", KEY, context="picture")
    assert code(vault.unseal, sealed.data, bytes(32), context="picture") == "key_unavailable"


def test_an_object_opens_in_its_own_context_only():
    sealed = vault.seal(b"pixels", KEY, context="picture")
    assert code(vault.unseal, sealed.data, KEY, context="lora") == "dataset_mismatch"


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_no_changed_byte_of_an_object_passes(place, flip):
    data = bytearray(vault.seal(b"pixels" * 9, KEY, context="picture").data)
    data[place % len(data)] ^= flip
    assert code(vault.unseal, bytes(data), KEY, context="picture") in (
        "malformed",
        "key_unavailable",
        "dataset_mismatch",
    )


@given(st.binary(max_size=200))
def test_junk_is_no_sealed_object(junk):
    assert code(vault.unseal, junk, KEY, context="picture") == "malformed"


def test_a_wrapped_key_opens_under_its_own_key_only():
    wrapped = vault.wrap(KEY, b"r" * 32)
    assert vault.unwrap(wrapped, b"r" * 32) == KEY
    assert code(vault.unwrap, wrapped, b"x" * 32) == "key_unavailable"
    assert code(vault.unwrap, b"", b"r" * 32) == "key_unavailable"


@pytest.fixture
def worker():
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def test_a_released_key_opens_for_its_worker_and_token(worker):
    private, public = worker
    sealed = vault.release(KEY, public, jti="tok_1", grant_digest="ab")
    assert vault.receive(sealed, private, jti="tok_1", grant_digest="ab") == KEY


@pytest.mark.parametrize("changes", [{"jti": "tok_2"}, {"grant_digest": "cd"}])
def test_an_answer_for_one_token_opens_nothing_for_another(worker, changes):
    private, public = worker
    bound = {"jti": "tok_1", "grant_digest": "ab"}
    sealed = vault.release(KEY, public, **bound)
    assert code(vault.receive, sealed, private, **(bound | changes)) == "no_token"


def test_another_worker_opens_nothing(worker):
    _, public = worker
    sealed = vault.release(KEY, public, jti="tok_1", grant_digest="ab")
    other = X25519PrivateKey.generate().private_bytes_raw()
    assert code(vault.receive, sealed, other, jti="tok_1", grant_digest="ab") == "no_token"
    assert code(vault.receive, b"junk", other, jti="tok_1", grant_digest="ab") == "no_token"
