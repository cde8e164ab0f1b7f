"""A wrong setting stops the start and names itself."""

import os
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from registry.local import env, secret

NAME = "KYODAKU_X"


@pytest.fixture
def given_value(monkeypatch):
    return lambda value: monkeypatch.setenv(NAME, value)


READERS = [
    (lambda: env.flag(NAME, default=False), "on", True, "perhaps"),
    (lambda: env.integer(NAME, 5, least=2, most=30), "30", 30, "31"),
    (lambda: env.integer(NAME, 5, least=2, most=30), "2", 2, "1"),
    (lambda: env.integer(NAME, 5, least=2, most=30), "7", 7, "seven"),
    (lambda: env.choice(NAME, {"test", "live"}), "live", "live", "Live"),
    (lambda: env.path(NAME, Path("/")), "/srv", Path("/srv"), "srv"),
    (lambda: env.paths(NAME, []), "/a:/b", [Path("/a"), Path("/b")], "/a:b"),
    (lambda: env.web_address(NAME), "https://a.example/", "https://a.example", "a.example"),
    (lambda: env.web_address(NAME), "http://a:80", "http://a:80", "https://a.example/path"),
]


@pytest.mark.parametrize(("read", "good", "meaning", "bad"), READERS)
def test_a_good_value_is_understood_and_a_bad_one_is_named(given_value, read, good, meaning, bad):
    given_value(good)
    assert read() == meaning
    given_value(bad)
    with pytest.raises(ImproperlyConfigured, match=NAME):
        read()


def test_a_value_without_a_default_must_be_set(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}: must be set"):
        env.text(NAME)
    assert env.text(NAME, "default") == "default"


def test_a_database_on_a_socket_is_understood():
    found = env.database("postgresql://kyodaku:p%40ss@/base?host=/run/x&sslmode=disable")
    assert (found["USER"], found["PASSWORD"], found["NAME"]) == ("kyodaku", "p@ss", "base")
    assert (found["HOST"], found["PORT"]) == ("/run/x", "")
    assert found["OPTIONS"] == {"sslmode": "disable"}


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db", "mysql://u@h/x", "postgresql://u@h", "postgresql://u@h:port/x", ""]
)
def test_only_a_complete_postgresql_address_is_a_database(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        env.database(url)


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["db.example", "127.0.0.1"]),
    st.integers(1, 65535),
)
def test_libpq_and_we_read_the_same_address_alike(password, host, port):
    from urllib.parse import quote  # noqa: PLC0415 - only this property needs it

    url = f"postgresql://kyodaku:{quote(password, safe='')}@{host}:{port}/base"
    ours = make_conninfo(**env.conninfo(env.database(url)))
    assert conninfo_to_dict(ours) == conninfo_to_dict(url)


def test_a_dotenv_file_never_overrides_the_environment(tmp_path, given_value, monkeypatch):
    monkeypatch.delenv("KYODAKU_Y", raising=False)
    monkeypatch.delenv("KYODAKU_DOTENV", raising=False)
    given_value("from the environment")
    (tmp_path / ".env").write_text(f"# comment\n{NAME}=from the file\nKYODAKU_Y='quoted'\n")
    env.load_dotenv(tmp_path / ".env")
    assert env.text(NAME) == "from the environment"
    assert env.text("KYODAKU_Y") == "quoted"


def test_the_tests_read_no_dotenv_file(tmp_path, monkeypatch):
    monkeypatch.delenv("KYODAKU_Y", raising=False)
    (tmp_path / ".env").write_text("KYODAKU_Y=1\n")
    env.load_dotenv(tmp_path / ".env")
    assert "KYODAKU_Y" not in os.environ


def test_a_dotenv_line_that_is_no_setting_is_named():
    with pytest.raises(ImproperlyConfigured, match="line 2"):
        env.read_dotenv("A=1\nexport B=2\n")


def test_every_variable_of_the_settings_is_explained_in_the_example():
    root = Path(__file__).resolve().parents[2]
    example = (root / ".env.example").read_text()
    settings = (root / "registry" / "settings.py").read_text()
    names = set(re.findall(r'"(KYODAKU_[A-Z_]+)"', settings))
    assert len(names) > 10
    assert {name for name in names if f"{name}=" not in example} == set()


def test_a_secret_key_is_made_once_and_read_back(tmp_path):
    assert secret.create(tmp_path / "keys")
    first = secret.read(tmp_path / "keys")
    assert not secret.create(tmp_path / "keys")
    assert secret.read(tmp_path / "keys") == first


@pytest.mark.parametrize(("content", "mode"), [(None, 0), ("x" * 80, 0o644), ("short", 0o600)])
def test_a_missing_open_or_short_secret_key_is_refused(tmp_path, content, mode):
    if content is not None:
        (tmp_path / secret.FILE).write_text(content)
        (tmp_path / secret.FILE).chmod(mode)
    with pytest.raises(ImproperlyConfigured, match="KYODAKU_KEYS_DIR"):
        secret.read(tmp_path)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", {"default": 48}),
        ("60", {"default": 60}),
        ("us=72, KR=96", {"default": 48, "US": 72, "KR": 96}),
    ],
)
def test_hours_by_country(monkeypatch, value, found):
    monkeypatch.setenv("KYODAKU_X", value)
    assert env.hours("KYODAKU_X", 48, least=48, most=720) == found


@pytest.mark.parametrize("value", ["47", "US=47", "721", "USA=72", "x", "US=", "-1"])
def test_hours_that_are_too_few_or_no_hours_are_refused(monkeypatch, value):
    monkeypatch.setenv("KYODAKU_X", value)
    with pytest.raises(ImproperlyConfigured, match="KYODAKU_X"):
        env.hours("KYODAKU_X", 48, least=48, most=720)
