"""An organisation that misused a likeness is barred from everything, until that is lifted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from registry.core.refusals import Refusal
from registry.models import Token, TrainingRequest
from registry.services import blocks
from tests.services.studio import Studio, lora_sealed
from tests.world import World, log_types
from training.models import Delivery, Lora
from training.services import delivery


def block(organisation: Any) -> Any:
    return blocks.organisation_block(
        organisation=organisation, cause="sold it as a body double", by="an operator"
    )


def codes(found: Any) -> list[str]:
    return [item.code for item in found if isinstance(item, Refusal)]


@pytest.mark.parametrize("side", ["client", "studio"])
def test_neither_asks_nor_is_licensed(world: World, side: str) -> None:
    organisation = getattr(world, side)
    block(organisation)
    refused = world.submit()
    assert Refusal("licensee_blocked", organisation.id) in refused
    blocks.organisation_unblock(organisation=organisation)
    assert isinstance(world.submit(), TrainingRequest)


@pytest.mark.parametrize("side", ["client", "studio"])
def test_what_was_granted_before_mints_no_token_any_more(world: World, side: str) -> None:
    grant = world.made(max_runs=2)
    assert isinstance(world.mint(grant), Token)
    block(getattr(world, side))
    assert codes(world.mint(grant, job_id="job_" + "1" * 20)) == ["licensee_blocked"]


def test_nothing_is_delivered_to_it(
    world: World, tmp_path: Path, settings: Any, monkeypatch: Any
) -> None:
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LEASE_SECONDS = 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    studio = Studio(world, tmp_path)
    job = studio.queued()
    assert studio.run().state == "finished"
    lora = lora_sealed(job=job)
    assert isinstance(lora, Lora)
    block(world.client)
    barred = Refusal("licensee_blocked", world.client.id)
    assert delivery.delivery_make(lora=lora, recipient=world.client) == barred
    blocks.organisation_unblock(organisation=world.client)
    assert isinstance(delivery.delivery_make(lora=lora, recipient=world.client), Delivery)


def test_it_is_barred_once_with_a_cause_and_the_log_tells_no_cause(world: World) -> None:
    with pytest.raises(ValueError, match="cause"):
        blocks.organisation_block(organisation=world.client, cause=" ", by="an operator")
    block(world.client)
    assert block(world.client) == Refusal("wrong_state", "blocked already")
    assert blocks.organisation_unblock(organisation=world.client)
    assert not blocks.organisation_unblock(organisation=world.client)
    told = [kind for kind in log_types() if kind.startswith("organisation.")]
    assert told == ["organisation.blocked", "organisation.unblocked"]


def test_an_operator_bars_and_lifts(world: World, capsys: Any) -> None:
    out = io.StringIO()
    options = {"organisation": world.client.id, "value": "misuse", "by": "op"}
    call_command("party", "block", stdout=out, **options)
    assert json.loads(out.getvalue())["id"].startswith("blk_")
    assert blocks.blocked(world.client) == Refusal("licensee_blocked", world.client.id)
    call_command("party", "unblock", organisation=world.client.id, stdout=io.StringIO())
    assert blocks.blocked(world.client) is None
    with pytest.raises(SystemExit):
        call_command("party", "unblock", organisation=world.client.id)
    assert "wrong_state" in capsys.readouterr().out
