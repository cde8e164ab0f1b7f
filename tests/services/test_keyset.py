"""The key set through its command and services: publish, rotate, revoke, follow as a worker."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

import io
import json
import shutil
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from registry.core import keyset as core
from registry.core.keyset import KeySet
from registry.core.trust import TrustRoot
from registry.log.core.errors import VerificationError
from registry.models import Token
from registry.services import keyring, keyset
from tests.services.forgery import worker
from tests.services.studio import Site
from tests.world import log_types
from training.worker import pinned
from training.worker.client import Client as Registry


@pytest.fixture
def home(world, settings, tmp_path):
    """The registry's key files in a folder of the test's own."""
    shutil.copytree(settings.KEYS_DIR, tmp_path / "keys")
    settings.KEYS_DIR = tmp_path / "keys"
    return tmp_path


def keys(*words, **options) -> str:
    said = io.StringIO()
    call_command("keys", *words, stdout=said, **options)
    return said.getvalue()


def test_the_command_takes_a_key_through_its_whole_life(home, world):
    roots = str(home / "roots")
    assert "pinned by hand" in keys("show")
    assert "version 1" in keys("init", "--roots", roots)
    old = keyring.token_signer().kid
    assert "next" in keys("next", "token", "--roots", roots)
    assert keyring.token_signer().kid == old
    said = keys("rotate", "token", "--roots", roots)
    new = keyring.token_signer().kid
    assert new != old
    assert f"{old} verify_only until" in said
    assert f"{new} active" in said
    keys("next", "token", "--roots", roots)
    assert f"{new} revoked until" in keys("revoke", new, "--roots", roots)
    assert keyring.token_signer().kid not in (old, new)
    assert "version 5" in keys("show")
    assert [k for k in log_types() if k.startswith("key.")] == [
        "key.listed",
        "key.published",
        "key.rotated",
        "key.published",
        "key.revoked",
    ]
    assert isinstance(world.mint(world.made()), Token)


def test_a_key_is_rotated_only_to_one_that_was_published(home):
    roots = str(home / "roots")
    keys("init", "--roots", roots)
    for words in (("rotate", "token"), ("revoke", keyring.token_signer().kid), ("revoke", "x")):
        with pytest.raises(CommandError, match=r"wrong_state|unknown_key"):
            keys(*words, "--roots", roots)
    with pytest.raises(CommandError, match="wrong_state"):
        keys("init", "--roots", str(home / "others"))
    keys("next", "token", "--roots", roots)
    with pytest.raises(CommandError, match="wrong_state"):
        keys("next", "token", "--roots", roots)


def test_too_few_roots_change_nothing(home):
    roots = keyset.roots_make(home / "roots")
    keyset.keyset_begin(roots=roots)
    before, seen = keyset.document(), log_types()
    with pytest.raises(VerificationError, match="1 of 2 roots"):
        keyset.key_publish_next(purpose="token", roots=roots[:1])
    assert keyset.document() == before
    assert log_types() == seen


def test_the_key_files_are_the_owners_alone(home):
    keyset.roots_make(home / "roots")
    files = sorted((home / "roots").iterdir())
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_rotated_key_verifies_what_it_signed(home, world):
    roots = keyset.roots_make(home / "roots")
    keyset.keyset_begin(roots=roots)
    token = world.mint(world.made())
    keyset.key_publish_next(purpose="token", roots=roots)
    keyset.key_publish_next(purpose="status", roots=roots)
    keyset.key_rotate(purpose="token", roots=roots)
    keyset.key_rotate(purpose="status", roots=roots)
    assert worker(token.text, trust=keyring.trust_root()).jti == token.jti


def test_the_address_is_stable_and_public(home):
    assert Client().get("/keyset.json").status_code == 404
    keyset.keyset_begin(roots=keyset.roots_make(home / "roots"))
    answer = Client().get("/keyset.json")
    assert answer.content == keyset.document()
    trust = TrustRoot.from_bytes(Client().get("/trust.json").content)
    assert core.verify(answer.content, trust, known_version=1, at=timezone.now())
    assert trust == keyring.trust_root()


# --- the worker follows ---------------------------------------------------------------------------


@pytest.fixture
def following(home, settings):
    """A worker that pinned the roots; the registry's client; the roots."""
    roots = keyset.roots_make(home / "roots")
    keyset.keyset_begin(roots=roots)
    path = home / "trust.json"
    path.write_bytes(keyring.trust_root().to_bytes())
    client = Registry(settings.PUBLIC_URL, keyring.token_signer(), transport=Site())
    return path, client, roots


def test_a_worker_follows_the_roots_and_never_goes_back(following):
    path, client, roots = following
    now = timezone.now()
    first = keyset.document()
    assert pinned.current(path, client, at=now) == keyring.trust_root()
    keyset.key_publish_next(purpose="token", roots=roots)
    keyset.key_rotate(purpose="token", roots=roots)
    trust = pinned.current(path, client, at=now)
    assert keyring.token_signer().kid in trust.token_keys
    assert trust.keyset_version == 3
    assert TrustRoot.from_bytes(path.read_bytes()) == trust
    (path.parent / "keys" / "keyset.json").write_bytes(first)
    with pytest.raises(VerificationError, match="replayed"):
        pinned.current(path, client, at=now)


def test_a_worker_takes_no_key_set_that_its_roots_did_not_sign(following):
    path, client, _ = following
    others = keyset.roots_make(path.parent / "others")
    found = keyset.published()
    assert isinstance(found, KeySet)
    forged = core.sign(found, others)
    (path.parent / "keys" / "keyset.json").write_bytes(forged)
    before = path.read_bytes()
    with pytest.raises(VerificationError, match="bad_signature"):
        pinned.current(path, client, at=timezone.now())
    assert path.read_bytes() == before


def test_a_worker_with_roots_starts_nothing_without_a_key_set(following):
    path, client, _ = following
    with pytest.raises(VerificationError, match="expired"):
        pinned.current(path, client, at=timezone.now() + timedelta(days=400))
    (path.parent / "keys" / "keyset.json").unlink()
    with pytest.raises(VerificationError, match="unknown_key"):
        pinned.current(path, client, at=timezone.now())
    path.write_bytes(b"{")
    with pytest.raises(VerificationError, match="malformed"):
        pinned.current(path, client, at=timezone.now())


def test_without_roots_the_pinned_keys_stay(home, settings):
    path = home / "trust.json"
    path.write_bytes(keyring.trust_root().to_bytes())
    client = Registry(settings.PUBLIC_URL, keyring.token_signer(), transport=Site())
    trust = pinned.current(path, client, at=timezone.now())
    assert trust == keyring.trust_root()
    assert json.loads(path.read_bytes())["root_threshold"] == 0
