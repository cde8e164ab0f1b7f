"""R23: the LoRA is itself sensitive."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from registry.core.refusals import Refusal
from tests.services.studio import Studio
from tests.services.test_audit_services import delivered
from tests.world import World
from training.core import weights
from training.models import Delivery
from training.services import delivery
from training.services.objects import object_read


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(live, tmp_path)


def test_r23_a_link_ends_and_every_copy_has_a_mark_of_its_own(studio: Studio) -> None:
    """Download after link expiry fails; each copy yields a distinct recipient mark."""
    first, data = delivered(studio)
    second = delivery.delivery_make(lora=first.lora, recipient=studio.world.client)
    assert isinstance(second, Delivery), second
    sealed = delivery.delivery_fetch(link=second.link)
    assert isinstance(sealed, bytes)
    other = studio.received(sealed)
    assert weights.tensor_sha256(other) != weights.tensor_sha256(data)
    assert first.artefact_id != second.artefact_id

    late = delivery.delivery_fetch(link=first.link, at=first.expires_at)
    assert isinstance(late, Refusal)
    assert late.code == "link_expired"
    # `delivered` has used the first link; a new one hands out the same file, once.
    fresh = delivery.link_renew(delivery=first)
    assert isinstance(fresh, Delivery)
    in_time = fresh.expires_at - timedelta(seconds=1)
    assert studio.received(delivery.delivery_fetch(link=fresh.link, at=in_time)) == data
    again = delivery.delivery_fetch(link=fresh.link, at=in_time)
    assert isinstance(again, Refusal)
    assert again.code == "link_used"
    assert [row.link_number for row in first.downloads.all()] == [1, 2]


def test_r23_what_lies_in_the_store_opens_for_the_recipient_only(studio: Studio) -> None:
    """Encrypted at rest, and to nobody but the recipient."""
    made, data = delivered(studio)
    stored = object_read(made.object_digest)
    assert isinstance(stored, bytes)
    assert data[:64] not in stored
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(stored, [pyrage.x25519.Identity.generate()])
    assert studio.received(stored) == data
