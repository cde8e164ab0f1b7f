"""A paused grant holds again when every cause was lifted, and not before."""

from __future__ import annotations

import pytest
from django.utils import timezone

from registry.core import holds, status_list
from registry.services import grants
from tests.world import log_types, state


def pause(grant, reason, ref="x"):
    return grants.grant_pause(grant_id=grant.id, reason=reason, ref=ref, at=timezone.now())


def resume(grant, reason, by=None, ref=None):
    return grants.grant_resume(grant_id=grant.id, reason=reason, by=by, ref=ref, at=timezone.now())


def test_two_causes_are_lifted_one_by_one(world):
    grant = world.made()
    token = world.mint(grant)
    assert pause(grant, "representation")
    assert pause(grant, "base_licence")
    assert resume(grant, "base_licence")
    assert state(grant) == "paused"
    token.refresh_from_db()
    assert token.status == status_list.PAUSED
    assert resume(grant, "representation", by=world.bob.person)
    assert state(grant) == "active"
    token.refresh_from_db()
    assert token.status == status_list.VALID
    assert log_types().count("grant.paused") == log_types().count("grant.resumed") == 2


def test_the_same_cause_is_held_once(world):
    grant = world.made()
    assert pause(grant, "base_licence")
    assert not pause(grant, "base_licence")
    assert log_types().count("grant.paused") == 1


def test_two_causes_of_one_word_are_lifted_one_by_one(world):
    """Two talents of one grant who both retired: that one of them is back says nothing."""
    grant = world.made()
    assert pause(grant, "retired", ref="tal_1")
    assert pause(grant, "retired", ref="tal_2")
    assert not resume(grant, "retired", ref="tal_3")
    assert resume(grant, "retired", ref="tal_1")
    assert state(grant) == "paused"
    assert resume(grant, "retired", ref="tal_2")
    assert state(grant) == "active"


def test_what_is_not_held_is_not_resumed(world):
    grant = world.made()
    assert not resume(grant, "base_licence")
    pause(grant, "representation")
    assert not resume(grant, "base_licence")
    assert state(grant) == "paused"


def test_what_has_ended_takes_no_pause_and_comes_back_from_none(world):
    grant = world.made()
    pause(grant, "base_licence")
    assert grants.grant_revoke(grant=grant)
    assert not pause(grant, "representation")
    assert not resume(grant, "base_licence")
    assert state(grant) == "revoked"


def test_a_word_that_is_no_reason_is_a_defect(world):
    with pytest.raises(ValueError, match="not a reason"):
        pause(world.made(), "mood")


@pytest.mark.parametrize("reason", holds.REASONS)
def test_every_reason_has_its_sentences(reason):
    assert holds.sentence(reason).endswith("。")
    assert holds.sentence(reason, "en").endswith(".")
