"""Copies that got away: field study 6.3, the cases that the mark in the weights answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.services import tracing
from registry import selectors
from registry.core.refusals import Refusal
from tests import loras
from tests.services.studio import Studio, lora_sealed
from tests.services.test_audit_services import delivered, finished
from tests.world import World
from training.core import escrow, fingerprint, provenance, watermark_reading, weights
from training.core.weights import Weights
from training.models import Delivery, Lora, TrainingJob
from training.services import delivery, epochs, sealing


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(live, tmp_path)


def traced(held: Weights) -> tracing.Trace | None:
    """What the registry says of a file without any label."""
    found = tracing.trace(data=weights.write(held.tensors, {}))
    assert not isinstance(found, Refusal), found
    return found


def test_a15_a_lora_merged_with_others_and_compressed_is_found(studio: Studio) -> None:
    """Merged, stacked, distilled, "modified version": detected as a descendant."""
    made, data = delivered(studio)
    others = [weights.to_kohya(loras.lora(loras.tiny(), 8, 100 + i)) for i in range(3)]
    held = weights.read(data)
    for merge in (
        loras.merged(held, others),
        loras.truncated(loras.merged(held, others[:1]), 8),
        loras.truncated(loras.merged(held, others), 8),
    ):
        found = traced(merge)
        assert found is not None
        assert (found.how, found.band, found.delivery) == ("watermark", "certain", made)
        assert found.others == ()
    assert traced(loras.merged(others[0], others[1:])) is None


def test_a35_a_leaked_copy_is_traced_to_the_one_who_was_given_it(studio: Studio) -> None:
    """A leaked LoRA: the recipient's mark tells this copy from every other copy."""
    lora = lora_sealed(job=finished(studio))
    assert isinstance(lora, Lora), lora
    first, second = (
        delivery.delivery_make(lora=lora, recipient=studio.world.client) for _ in range(2)
    )
    assert isinstance(first, Delivery)
    assert isinstance(second, Delivery)
    for made in (first, second):
        sealed = delivery.delivery_fetch(link=made.link)
        assert isinstance(sealed, bytes), sealed
        held = weights.read(studio.received(sealed))
        found = traced(loras.renamed(loras.integers(loras.refactored(held), 4)))
        assert found is not None
        assert (found.delivery, found.others) == (made, ())


def test_a35_a_copy_too_faint_by_itself_is_named_beside_the_master(studio: Studio) -> None:
    """A leaked LoRA: under eight others and compressed, it is read with its master taken out."""
    made, data = delivered(studio)
    others = [weights.to_kohya(loras.lora(loras.tiny(), 8, 100 + i)) for i in range(8)]
    buried = loras.truncated(loras.merged(weights.read(data), others), 8)
    key, artefact = epochs.key(1), made.artefact_id.to_bytes(6, "big")
    master = sealing.lora_master(made.lora)
    assert isinstance(master, Weights)
    blind = watermark_reading.claim(watermark_reading.read(buried, key), key, artefact).t
    beside = watermark_reading.claim(escrow.read_beside(buried, master, key), key, artefact).t
    assert beside > blind + 2
    found = traced(buried)
    assert found is not None, (blind, beside)
    assert (found.how, found.delivery) == ("watermark", made)
    assert [item.how for item in found.findings] == ["escrow"], (blind, beside)


def test_a35_a_copy_with_nine_entries_in_ten_dropped_is_named_among_many(studio: Studio) -> None:
    """A leaked LoRA: dropped and rescaled, while the content of others is more like it."""
    made, data = delivered(studio)
    dropped = loras.dare(weights.read(data), 0.9)
    nearest = fingerprint.pack(fingerprint.sketch(dropped, epochs.lineage_key()))
    for _ in range(tracing.MAX_MASTERS):
        job = TrainingJob.objects.create(
            request=studio.request, grant=made.lora.job.grant, dataset=made.lora.job.dataset
        )
        Lora.objects.create(
            job=job,
            master_object="0" * 64,
            tensor_sha256="0" * 64,
            run_statement={},
            sketch=nearest,
            sealed_event="evt",
        )
    found = traced(dropped)
    assert found is not None
    assert (found.how, found.band, found.delivery) == ("watermark", "certain", made)
    assert [item.how for item in found.findings] == ["escrow"]


def test_a45_no_name_stands_anywhere_in_a_delivered_file(studio: Studio) -> None:
    """A caption or file name leaks a real name: the header is scanned, and so are the bytes."""
    _, data = delivered(studio)
    read = weights.read(data)
    talents = list(studio.request.talents.all())
    names = [name for talent in talents for name in selectors.names_of(talent)]
    assert names
    assert provenance.scan_for_leaks(read.metadata, read.tensors, names) == []
    for name in names:
        assert name.encode() not in data
        leaky = read.metadata | {"modelspec.title": f"LoRA of {name}"}
        assert provenance.scan_for_leaks(leaky, read.tensors, names)


def test_a45_a_master_with_a_name_in_a_tensor_is_never_sealed(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that a trainer wrote into its weights ends the run."""
    name = selectors.names_of(studio.request.talents.get())[0]

    def named(modules: loras.Modules, rank: int, seed: int) -> Weights:
        return Weights({f"{name}.{k}": np.ones((8, 8), np.float32) for k in ("a", "b")})

    monkeypatch.setattr(loras, "lora", named)
    refused = lora_sealed(job=finished(studio))
    assert isinstance(refused, Refusal), refused
    assert refused.code == "training_failed"
