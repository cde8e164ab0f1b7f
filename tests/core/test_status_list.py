"""The token status list: the draft's own examples, and every reason not to believe one."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import jose, status_list
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from tests.conformance import status_list as conformance
from tests.conformance import vectors
from tests.core.token_world import INDEX, NOW, STATUS, STATUS_URI, TOKEN, TRUST, status

STATUSES = st.dictionaries(st.integers(0, 199), st.integers(0, 3))


def refused(text: str, **changes) -> str:
    values: dict[str, Any] = {"uri": STATUS_URI, "at": NOW} | changes
    with pytest.raises(VerificationError) as caught:
        status_list.verify(text, values.pop("trust", TRUST), **values)
    return caught.value.code


def listed(statuses=None):
    return status_list.verify(status(statuses), TRUST, uri=STATUS_URI, at=NOW)


@given(STATUSES)
def test_what_is_packed_is_unpacked(statuses):
    data = status_list.pack(statuses, size=200)
    assert [status_list.unpack(data, i) for i in range(200)] == [
        statuses.get(i, 0) for i in range(200)
    ]


@pytest.mark.parametrize(
    ("statuses", "why"), [({200: 1}, "index"), ({-1: 1}, "index"), ({0: 4}, "status")]
)
def test_what_does_not_fit_is_not_packed(statuses, why):
    with pytest.raises(ValueError, match="does not fit"):
        status_list.pack(statuses, size=200)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        status_list.pack({}, size=200)[:-1],
        zlib.compress(bytes(2**20 + 1)),
        zlib.compress(b""),
    ],
)
def test_nonsense_is_refused(data):
    with pytest.raises(ValueError, match="status list"):
        status_list.unpack(data, 0)


@given(st.binary(max_size=100), st.integers(-5, 500))
def test_any_bytes_are_read_or_refused(data, index):
    with pytest.raises(ValueError, match="status list"):
        status_list.unpack(data, index)


def test_each_status_has_its_code():
    codes = listed({1: 1, 2: 2, 3: 3})
    assert [codes.code(i) for i in range(4)] == [None, "revoked", "paused", "withdrawn"]


@pytest.mark.parametrize("index", [-1, status_list.CAPACITY])
def test_an_index_outside_fails_closed(index):
    assert listed().code(index) == "status_stale"


def test_a_list_by_another_key_is_unknown():
    assert refused(status(signer=TOKEN)) == "unknown_key"


def test_a_list_of_another_address_is_stale():
    assert refused(status(), uri="https://other/status/1") == "status_stale"


def test_a_list_older_than_the_limit_is_stale():
    assert refused(status(ttl_s=3600), at=NOW + timedelta(seconds=61)) == "status_stale"
    at = NOW + timedelta(seconds=60)
    assert status_list.verify(status(ttl_s=3600), TRUST, uri=STATUS_URI, at=at).code(0) is None


def test_a_list_past_its_own_end_is_stale():
    assert refused(status(ttl_s=10), at=NOW + timedelta(seconds=10)) == "status_stale"


def test_a_list_from_the_future_is_stale():
    assert refused(status(at=NOW + timedelta(seconds=6))) == "status_stale"


def test_a_pinned_limit_is_obeyed():
    strict = replace(TRUST, status_max_age_s=5)
    assert refused(status(), trust=strict, at=NOW + timedelta(seconds=6)) == "status_stale"


def signed(**changes) -> str:
    now = int(NOW.timestamp())
    body = {"bits": 2, "lst": canonical.b64u(status_list.pack({}))}
    claims = {"sub": STATUS_URI, "iat": now, "exp": now + 60, "ttl": 60, "status_list": body}
    return jose.sign(status_list.TYPE, claims | changes, STATUS)


@pytest.mark.parametrize(
    "changes",
    [
        {"status_list": None},
        {"status_list": {"bits": 2}},
        {"status_list": {"bits": 2, "lst": "AA="}},
        {"status_list": {"bits": 2, "lst": 7}},
        {"iat": "soon"},
        {"exp": None},
    ],
)
def test_a_list_of_another_form_is_malformed(changes):
    assert refused(signed(**changes)) == "malformed"


def test_another_number_of_bits_is_not_ours():
    lst = canonical.b64u(status_list.pack({}))
    assert refused(signed(status_list={"bits": 1, "lst": lst})) == "malformed"


def test_the_drafts_examples_are_read():
    absent = vectors.missing(conformance.FOLDER)
    if absent:
        pytest.skip(absent)
    result = conformance.examples()
    assert result.failures == ()
    assert result.total >= 10


def test_a_token_in_the_list_is_found_by_its_own_index():
    assert listed({INDEX: 3}).code(INDEX) == "withdrawn"
    assert listed({INDEX + 1: 3}).code(INDEX) is None
