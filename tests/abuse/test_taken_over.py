"""A17, A37: whoever takes over from a guardian or from the dead reads and ends what was signed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

import registry.replay
from registry import selectors
from registry.log import replay
from registry.models import Grant, KeyShare, PrivateNote
from registry.services import approvals, authority, parties, people, vault
from tests.web.pages import as_, text
from tests.world import Human, World, guard, human, log_types, proof, sequence, state

PAPER = "ab" * 32


def heir_of(world: World, chain: str = "will") -> Human:
    """Alice has died; somebody proves the estate."""
    today = timezone.localdate()
    people.talent_died(talent=world.talent, died_on=today, proof_sha256=PAPER)
    heir = human("heir")
    authority.estate_open(
        talent=world.talent, person=heir.person, begun_on=today, proof=proof(chain)
    )
    return heir


def minor(world: World, years: int = 15) -> None:
    """Alice is that old today."""
    today = timezone.localdate()
    world.talent.birth_date = date(today.year - years, today.month, 1)
    world.talent.save()


def pages(who: Human, grant: Grant) -> list[int]:
    """Whether a person reads the case, is asked to withdraw, and sees why it is paused."""
    client = as_(who)
    names = (f"/my/requests/{grant.request_id}", f"/my/grants/{grant.pk}/withdraw")
    return [client.get(name).status_code for name in (*names, f"/grants/{grant.pk}/go-on")]


def test_a37_an_heir_who_signed_nothing_withdraws_what_the_dead_allowed(world: World) -> None:
    """A37: the estate can stop a grant that the talent signed herself."""
    grant = world.made()
    vault.dataset_key_create(request=grant.request, dataset_id="dst_" + "0" * 20)
    heir = heir_of(world)
    assert pages(heir, grant) == [200, 200, 200]
    assert "photobook" in text(as_(heir).get("/my/"))
    answer = as_(heir).post(f"/my/grants/{grant.pk}/withdraw", {"reason": "her wish"})
    assert answer.status_code == 302
    assert state(grant) == "withdrawn"
    assert not KeyShare.objects.filter(request=grant.request, wrapped__isnull=False).exists()
    assert PrivateNote.objects.get(person=heir.person).reason == "her wish"
    # Once is enough, and the log agrees with the rows.
    assert approvals.approval_withdraw(person=heir.person, grant=grant) is None
    assert log_types().count("approval.withdrawn") == 1
    sequence()
    assert replay.check(registry.replay.rules())


def test_a17_a_new_guardian_withdraws_what_the_old_one_signed(world: World) -> None:
    """A17: authority as of today."""
    minor(world)
    old, new = human("old"), human("new")
    old.enrol()
    row = guard(world.talent, old.person)
    grant = world.asked()
    for who, by in [*world.signers(), (old, "guardian")]:
        assert not hasattr(who.approve(grant, by), "code")
    assert state(grant) == "active"
    today = timezone.localdate()
    authority.guardian_end(guardianship=row, ended_on=today - timedelta(days=1))
    assert pages(new, grant) == [404, 404, 404]
    guard(world.talent, new.person)
    assert pages(new, grant) == [200, 200, 200]
    assert selectors.may_see_pictures(new.person, grant.request)
    assert approvals.approval_withdraw(person=new.person, grant=grant) is None
    assert state(grant) == "withdrawn"


@pytest.mark.parametrize("case", ["adult", "ended", "other", "alive"])
def test_a17_nobody_else_is_taken_for_who_speaks_for_her(world: World, case: str) -> None:
    """A17, A37: of age, over, another child's, an heir of the living."""
    grant, who = world.made(), human("somebody")
    today = timezone.localdate()
    if case == "adult":
        guard(world.talent, who.person)
    elif case == "ended":
        row = guard(world.talent, who.person)
        minor(world)
        authority.guardian_end(guardianship=row, ended_on=today - timedelta(days=1))
    elif case == "other":
        other = another_child()
        guard(other, who.person)
    else:
        authority.estate_open(
            talent=world.talent, person=who.person, begun_on=today, proof=proof("will")
        )
    assert pages(who, grant) == [404, 404, 404]
    assert not selectors.may_see_pictures(who.person, grant.request)
    found = approvals.approval_withdraw(person=who.person, grant=grant)
    assert found is not None
    assert found.code == "wrong_state"
    assert state(grant) in ("active", "paused")


def another_child() -> Any:
    """Another child."""
    erin = human("erin")
    today = timezone.localdate()
    return parties.talent_create(person=erin.person, birth_date=date(today.year - 9, 1, 1))
