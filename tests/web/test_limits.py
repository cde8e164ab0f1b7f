"""What bounds guessing and costly questions, and what no address can mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from audit.models import TraceFound
from audit.services import tracing
from registry.core import http_problems, refusals
from registry.core.refusals import Refusal
from registry.models import Throttle
from registry.services import keyring, throttle
from registry.services.throttle import LOGIN_ACCOUNT, LOGIN_ADDRESS, VERIFY_ADDRESS, Limit
from tests.services.studio import Studio
from tests.web import pages
from tests.web.pages import text
from tests.world import at_once, log_types, make_world
from training.services import delivery

THREE = Limit("test", 3, timedelta(minutes=10))


@pytest.fixture
def anybody() -> Client:
    return Client(headers={"accept-language": "en"})


# --- the counter ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_limit_lets_so_many_through_and_says_when_to_come_back():
    now = timezone.now()
    assert [throttle.take(THREE, "alice", at=now) for _ in range(3)] == [None] * 3
    assert throttle.take(THREE, "alice", at=now + timedelta(minutes=4)) == Refusal(
        "too_many", "361"
    )
    assert throttle.look(THREE, "alice", at=now) is not None
    assert throttle.take(THREE, "bob", at=now) is None
    assert throttle.take(THREE, "alice", at=now + timedelta(minutes=10)) is None
    assert throttle.look(THREE, "alice", at=now + timedelta(minutes=10)) is None


@pytest.mark.django_db
def test_a_success_begins_anew_and_old_counters_go():
    now = timezone.now()
    for _ in range(3):
        throttle.take(THREE, "alice", at=now)
    throttle.forget(THREE, "alice")
    assert throttle.look(THREE, "alice", at=now) is None
    throttle.take(THREE, "bob", at=now)
    assert throttle.sweep(at=now + timedelta(minutes=10)) == 1
    assert not Throttle.objects.exists()


@pytest.mark.django_db
def test_the_table_names_nobody():
    throttle.take(THREE, "alice@example.com", at=timezone.now())
    row = Throttle.objects.get()
    assert "alice" not in row.key
    assert len(row.key) == 64


@pytest.fixture
def committing(transactional_db: None) -> Iterator[None]:
    """Real commits; the tables are emptied afterwards, past the log's TRUNCATE guard."""
    yield
    with connection.cursor() as cursor:
        cursor.execute((Path(__file__).parents[1] / "lift_truncate_guard.sql").read_text())


@pytest.mark.usefixtures("committing")
def test_of_many_at_once_no_more_than_the_limit_pass():
    now = timezone.now()
    answers = at_once(lambda: throttle.take(THREE, "mallory", at=now), 12)
    assert sum(answer is None for answer in answers) == 3


# --- signing in -----------------------------------------------------------------------------------


def sign_in(client: Client, password: str, name: str = "bob", **extra):
    return client.post("/login/", {"username": name, "password": password}, **extra)


@pytest.fixture
def bob(db) -> User:
    return User.objects.create_user("bob", password="a long pass phrase")


def test_after_some_wrong_passwords_even_the_right_one_waits(bob, anybody):
    for _ in range(LOGIN_ACCOUNT.times):
        assert sign_in(anybody, "wrong").status_code == 200
    refused = sign_in(anybody, "a long pass phrase")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60 + 1
    page = text(refused)
    assert "Too many attempts" in page
    assert "15 minutes" in page
    assert "_auth_user_id" not in anybody.session
    # By whatever spelling of the name, and from whatever address.
    assert sign_in(anybody, "x", name="BOB", REMOTE_ADDR="192.0.2.9").status_code == 429
    # Somebody else is not locked out with him.
    assert sign_in(anybody, "wrong", name="alice").status_code == 200


def test_the_window_ends(bob, anybody):
    for _ in range(LOGIN_ACCOUNT.times):
        sign_in(anybody, "wrong")
    Throttle.objects.update(resets_at=timezone.now())
    assert sign_in(anybody, "a long pass phrase").status_code == 302


def test_a_success_clears_the_accounts_count(bob, anybody):
    for _ in range(LOGIN_ACCOUNT.times - 1):
        sign_in(anybody, "wrong")
    assert sign_in(anybody, "a long pass phrase").status_code == 302
    other = Client()
    assert sign_in(other, "wrong").status_code == 200
    assert sign_in(other, "a long pass phrase").status_code == 302


def test_one_address_cannot_try_one_password_on_everybody(db, anybody):
    for n in range(LOGIN_ADDRESS.times):
        assert sign_in(anybody, "Passw0rd!", name=f"user{n}").status_code == 200
    assert sign_in(anybody, "Passw0rd!", name="another").status_code == 429
    elsewhere = sign_in(anybody, "Passw0rd!", name="another", REMOTE_ADDR="192.0.2.9")
    assert elsewhere.status_code == 200


def test_a_forwarded_address_counts_only_behind_a_proxy(db, anybody, settings):
    spoofed = {"HTTP_X_FORWARDED_FOR": "203.0.113.7"}
    for n in range(LOGIN_ADDRESS.times):
        sign_in(anybody, "x", name=f"user{n}", **spoofed)
    assert sign_in(anybody, "x", name="another", HTTP_X_FORWARDED_FOR="x").status_code == 429
    settings.BEHIND_PROXY = True
    assert sign_in(anybody, "x", name="another", **spoofed).status_code == 200


# --- asking about a file --------------------------------------------------------------------------


def check(client: Client, data: bytes, **extra):
    return client.post("/verify", {"file": SimpleUploadedFile("f.safetensors", data)}, **extra)


@pytest.mark.django_db
def test_a_stranger_asks_so_often_and_is_told_when_to_ask_again(anybody):
    for _ in range(VERIFY_ADDRESS.times):
        assert check(anybody, b"no weights").status_code == 200
    refused = check(anybody, b"no weights")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "Too many attempts" in text(refused)
    assert check(anybody, b"no weights", REMOTE_ADDR="192.0.2.9").status_code == 200
    assert anybody.get("/verify").status_code == 200


@pytest.mark.django_db
def test_a_strangers_file_has_a_size(anybody, monkeypatch):
    monkeypatch.setattr("audit.views.MAX_STRANGERS_BYTES", 10)
    refused = check(anybody, b"0123456789+")
    assert refused.status_code == 413
    assert "more than 0 MiB" in text(refused)
    assert check(anybody, b"0123456789").status_code == 200


@pytest.mark.django_db
def test_the_file_of_somebody_signed_in_has_a_size_too(monkeypatch):
    keyring.create()
    world = make_world()
    monkeypatch.setattr("audit.views.MAX_STRANGERS_BYTES", 10)
    monkeypatch.setattr("audit.views.MAX_BYTES", 20)
    client = pages.as_(world.mallory)
    assert check(client, b"0123456789+").status_code == 200
    assert check(client, b"0123456789 123456789+").status_code == 413


# --- what no address can mean ---------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/requests/req_%00",
        "/requests/req_%00",
        "/ledger?q=%00",
        "/ledger?q=a%00b&type=grant.made",
        "/grants/%00/receipt",
        "/problems/%00",
    ],
)
def test_a_nul_in_an_address_is_nothing(path, anybody):
    assert anybody.get(path).status_code == 404


@pytest.mark.django_db
def test_a_nul_in_a_form_is_no_defect(anybody):
    answer = anybody.post("/login/", {"username": "a\0b", "password": "x"})
    assert answer.status_code in (200, 404)


# --- what a code means ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted({*refusals.CODES, *http_problems.TEXTS}))
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_code_has_a_page_where_the_api_says(code, language, db):
    page = Client(headers={"accept-language": language}).get(f"/problems/{code}")
    assert page.status_code == 200
    table = http_problems if code in http_problems.TEXTS else refusals
    texts = table.explain(code, language)
    assert texts.what in text(page)
    assert texts.next in text(page)


@pytest.mark.django_db
def test_the_list_has_every_code_and_an_unknown_one_is_404(anybody):
    page = text(anybody.get("/problems/"))
    assert all(code in page for code in refusals.CODES)
    assert anybody.get("/problems/nonsense").status_code == 404


def test_the_same_file_is_recorded_once_a_day(db, settings, tmp_path):
    """Anybody may ask, as often as the limits allow; the log grows by one entry."""
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LOG_EXPORT_DIR = None
    keyring.create()
    studio = Studio(make_world(), tmp_path)
    made = pages.delivered(studio)
    data = studio.received(delivery.delivery_fetch(link=made.link))
    now = timezone.now()
    for minutes in (0, 5, 60):
        tracing.trace(data=data, at=now + timedelta(minutes=minutes))
    assert (TraceFound.objects.count(), log_types().count("trace.found")) == (1, 1)
    tracing.trace(data=data, at=now + timedelta(days=1, minutes=1))
    assert (TraceFound.objects.count(), log_types().count("trace.found")) == (2, 2)


@pytest.mark.django_db
def test_asking_about_nothing_writes_nothing(anybody):
    check(anybody, b"no weights")
    assert "trace.found" not in log_types()
    assert not TraceFound.objects.exists()
