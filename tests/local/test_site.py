"""The bare site: health, language, and a browser policy without a hole."""

import pytest
from django.db import DatabaseError


@pytest.mark.django_db
def test_the_site_says_that_it_lives_and_works(client):
    assert client.get("/healthz").content == b"ok\n"
    assert client.get("/readyz").status_code == 200


def test_without_a_database_the_site_lives_but_does_not_work(client, monkeypatch):
    def broken():
        raise DatabaseError

    monkeypatch.setattr("registry.health.connection.cursor", broken)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_the_policy_allows_no_inline_script_and_no_other_origin(client):
    policy = client.get("/healthz").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_japanese_comes_first_and_english_is_there(settings):
    assert settings.LANGUAGE_CODE == "ja"
    assert [code for code, _ in settings.LANGUAGES] == ["ja", "en"]
