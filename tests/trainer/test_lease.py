"""The lease: silence, age and a withdrawal each end a run; no clock and no old list revives it."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from registry.core import status_list
from registry.log.core.keys import Ed25519Signer
from tests.trainer.people import INDEX, STATUS_URI, TRUST, status
from training.trainer.lease import Lease, follow

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class Clocks:
    def __init__(self):
        self.mono, self.wall = 1000.0, NOW

    def pass_(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += timedelta(seconds=seconds)


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def lease(clocks):
    made = Lease(
        TRUST,
        uri=STATUS_URI,
        index=INDEX,
        ends_at=NOW + timedelta(hours=1),
        monotonic=lambda: clocks.mono,
        now=lambda: clocks.wall,
    )
    assert made.renew(status(NOW))
    return made


def test_a_fresh_list_lets_the_run_go_on(lease):
    assert lease.code() is None


def test_without_any_list_nothing_runs(clocks):
    empty = Lease(
        TRUST,
        uri=STATUS_URI,
        index=INDEX,
        ends_at=NOW + timedelta(hours=1),
        monotonic=lambda: clocks.mono,
        now=lambda: clocks.wall,
    )
    assert empty.code() == "status_stale"


def test_an_old_list_ends_the_run(lease, clocks):
    clocks.pass_(TRUST.status_max_age_s + 1)
    assert lease.code() == "status_stale"


def test_turning_the_wall_clock_back_does_not_make_a_list_young(lease, clocks):
    clocks.pass_(TRUST.status_max_age_s + 1)
    clocks.wall = NOW
    assert lease.code() == "status_stale"
    assert not lease.renew(status(NOW))  # the same list again is no renewal
    assert lease.code() == "status_stale"


def test_a_newer_list_renews(lease, clocks):
    clocks.pass_(50)
    assert lease.renew(status(clocks.wall))
    clocks.pass_(50)
    assert lease.code() is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (status_list.REVOKED, "revoked"),
        (status_list.PAUSED, "paused"),
        (status_list.WITHDRAWN, "withdrawn"),
    ],
)
def test_a_list_that_says_no_is_final(lease, clocks, value, code):
    clocks.pass_(5)
    lease.renew(status(clocks.wall, value=value))
    assert lease.code() == code
    clocks.pass_(5)
    lease.renew(status(clocks.wall))
    assert lease.code() == code


def test_a_list_signed_by_mallory_neither_renews_nor_stops(lease, clocks):
    clocks.pass_(5)
    mallory = Ed25519Signer.from_seed(b"m" * 32)
    forged = status_list.sign(
        {INDEX: status_list.REVOKED}, uri=STATUS_URI, signer=mallory, at=clocks.wall, ttl_s=60
    )
    assert not lease.renew(forged)
    assert lease.code() is None
    clocks.pass_(TRUST.status_max_age_s)
    assert lease.code() == "status_stale"


def test_the_end_of_the_term_ends_the_run(lease, clocks):
    for _ in range(80):
        clocks.pass_(50)
        lease.renew(status(clocks.wall))
    assert lease.code() == "expired"


def test_the_first_reason_to_stop_stays(lease):
    lease.stop("withdrawn")
    lease.stop("paused")
    assert lease.code() == "withdrawn"


def test_a_word_that_is_no_code_still_stops(lease):
    lease.stop("whatever")
    assert lease.code() == "worker_stopped"


@pytest.mark.parametrize(
    ("fed", "code"),
    [
        (b"", "worker_stopped"),
        (json.dumps({"stop": "withdrawn"}).encode() + b"\n", "withdrawn"),
        (b"not json\n", "malformed"),
        (b"[1]\n", "malformed"),
        (b"\xff\xfe\n", "malformed"),
    ],
)
def test_the_end_of_the_feed_a_stop_or_nonsense_ends_the_run(lease, fed, code):
    follow(io.BytesIO(fed), lease)
    assert lease.closed.is_set()
    assert lease.code() == code
