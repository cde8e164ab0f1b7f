"""A live registry refuses to start unsafe."""

import pytest

from registry import checks

LIVE = {
    "KYODAKU_MODE": "live",
    "DEBUG": False,
    "ALLOWED_HOSTS": ["registry.example"],
    "PUBLIC_URL": "https://registry.example",
    "RP_ID": "registry.example",
    "LOG_ORIGIN": "registry.example/log",
    "SECRET_KEY": "k" * 60,
}


def found(settings, **changes):
    for name, value in {**LIVE, **changes}.items():
        setattr(settings, name, value)
    return [item.id for item in (*checks.live_mode(None), *checks.relying_party(None))]


def test_a_safe_live_registry_has_nothing_to_say(settings):
    assert found(settings) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"DEBUG": True}, "kyodaku.E001"),
        ({"ALLOWED_HOSTS": ["registry.example", "*"]}, "kyodaku.E002"),
        ({"ALLOWED_HOSTS": ["localhost"]}, "kyodaku.E002"),
        ({"PUBLIC_URL": "http://registry.example"}, "kyodaku.E003"),
        ({"LOG_ORIGIN": "kyodaku.invalid/test"}, "kyodaku.E004"),
        ({"LOG_ORIGIN": "localhost:8000/log"}, "kyodaku.E004"),
        ({"SECRET_KEY": "django-insecure-" + "k" * 60}, "kyodaku.E005"),
        ({"RP_ID": "example.org"}, "kyodaku.E006"),
        ({"RP_ID": "istry.example"}, "kyodaku.E006"),
    ],
)
def test_an_unsafe_live_registry_is_refused_with_a_hint(settings, change, code):
    assert found(settings, **change) == [code]
    assert all(item.hint for item in (*checks.live_mode(None), *checks.relying_party(None)))


def test_a_parent_domain_may_hold_the_passkeys(settings):
    assert found(settings, PUBLIC_URL="https://a.registry.example") == []


def test_test_mode_says_that_it_binds_nobody(settings):
    assert found(settings, KYODAKU_MODE="test") == ["kyodaku.W001"]
