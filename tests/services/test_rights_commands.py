"""What an operator records about works, holders and mandates from the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from registry.models import Mandate, RightsHolder, Work
from registry.services import rights
from tests.services.cases import staff
from tests.world import World, state


def run(*words: str) -> Any:
    out = io.StringIO()
    call_command("rights", *words, stdout=out)
    return json.loads(out.getvalue())


def operating() -> str:
    """The login of somebody who operates the registry."""
    user = staff().person.user
    assert user is not None
    return user.username


@pytest.fixture
def proposed(world: World) -> Work:
    """A costume that charlie named."""
    work = rights.work_propose(by=world.charlie.person, kind="costume", title="変形学生服")
    assert isinstance(work, Work)
    return work


def test_a_committee_gets_a_delegate_and_a_work(world, proposed, tmp_path):
    (paper := tmp_path / "mandate.pdf").write_bytes(b"signed")
    operator = operating()
    assert run("works")["works"][0]["id"] == proposed.pk
    held = run("committee", world.client.pk, world.agency.pk, world.studio.pk)["holder"]
    assert held == world.client.pk
    given = ("--proof", str(paper), "--from", "2026-01-01")
    mandate = run("mandate", held, world.mallory.person.pk, *given)["mandate"]
    assert Mandate.objects.get(pk=mandate).person == world.mallory.person
    assert run("confirm", proposed.pk, held, "--by", operator) == {"work": proposed.pk}
    assert run("works") == {"works": []}
    assert RightsHolder.objects.get(organisation=world.client).members.count() == 2
    with pytest.raises(CommandError, match="wrong_state"):
        run("mandate", held, world.bob.person.pk, *given)


def test_who_does_not_operate_and_what_does_not_exist(world, proposed):
    with pytest.raises(CommandError, match="does not operate"):
        run("confirm", proposed.pk, world.client.pk, "--by", "nobody")
    with pytest.raises(CommandError, match="no such organisation"):
        run("committee", "org_nobody", world.client.pk)
    operator = operating()
    with pytest.raises(CommandError, match="no such person"):
        run("confirm", proposed.pk, "per_nobody", "--by", operator)


def test_a_false_declaration_ends_the_grant(world: World, tmp_path: Path):
    grant = world.made()
    operator = operating()
    words = (grant.pk, "--code", "uncleared_work", "--by")
    with pytest.raises(CommandError, match="operates"):
        call_command("rights_breach", *words, "nobody")
    call_command("rights_breach", *words, operator, stdout=io.StringIO())
    assert state(grant) == "revoked"
    with pytest.raises(CommandError, match="wrong_state"):
        call_command("rights_breach", *words, operator)
