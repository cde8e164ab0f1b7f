"""Key epochs of the watermark: when one begins, what reads afterwards, what a lost key costs."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from audit.services import registered, tracing
from registry.local import env
from registry.log.keyfiles import KeyFileError
from tests import loras
from tests.services.studio import Studio
from tests.services.test_audit_services import delivered, logged
from tests.world import World
from training import checks
from training.core import watermark_reading, weights
from training.models import Delivery, WatermarkEpoch
from training.services import delivery, epochs


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    keys = tmp_path / "keys"
    shutil.copytree(settings.KEYS_DIR, keys)
    settings.KEYS_DIR = keys
    return Studio(live, tmp_path)


def again(studio: Studio, made: Delivery) -> tuple[Delivery, bytes]:
    """Another copy of the same LoRA."""
    found = delivery.delivery_make(lora=made.lora, recipient=studio.world.client)
    assert isinstance(found, Delivery), found
    return found, studio.received(delivery.delivery_fetch(link=found.link))


def disguised(data: bytes) -> bytes:
    return weights.write(weights.half(loras.renamed(weights.read(data))).tensors, {})


def test_a_full_epoch_ends_and_its_files_are_read_for_ever(studio, settings):
    settings.WATERMARK_EPOCH_FILES = 2
    made, first = delivered(studio)
    second, _ = again(studio, made)
    third, data = again(studio, made)
    assert [row.epoch for row in (made, second, third)] == [1, 1, 2]
    assert WatermarkEpoch.objects.get().number == 2
    assert [row["type"] for row in logged()].count("watermark.rotated") == 1
    for row, file in ((made, first), (third, data)):
        found = tracing.trace(data=disguised(file))
        assert isinstance(found, tracing.Trace)
        assert (found.how, found.delivery) == ("watermark", row)


def test_the_key_of_another_epoch_reads_nothing(studio):
    made, data = delivered(studio)
    assert epochs.rotate(after=1) == 2
    own, other = epochs.key(1), epochs.key(2)
    assert own.secret != other.secret
    artefact = registered.artefact(made.artefact_id)
    read = weights.read(data)
    assert watermark_reading.claim(watermark_reading.read(read, own), own, artefact).t > 20
    assert watermark_reading.claim(watermark_reading.read(read, other), other, artefact).t < 6


def test_marks_of_two_epochs_in_one_file_are_both_named(studio):
    made, first = delivered(studio)
    epochs.rotate(after=1)
    later, data = again(studio, made)
    both = loras.merged(weights.read(first), [weights.read(data)])
    found = tracing.trace(data=weights.write(weights.half(both).tensors, {}))
    assert isinstance(found, tracing.Trace)
    assert {found.delivery, *found.others} == {made, later}


def test_the_bound_is_shared_among_the_epochs(studio, monkeypatch):
    _, data = delivered(studio)
    asked = []
    search = watermark_reading.search

    def noted(*args, fpr, **options):
        asked.append(fpr)
        return search(*args, fpr=fpr, **options)

    monkeypatch.setattr(watermark_reading, "search", noted)
    epochs.rotate(after=1)
    epochs.rotate(after=2)
    tracing.trace(data=disguised(data))
    assert len(asked) == 3
    assert sum(asked) <= tracing.FPR


def test_beside_the_master_each_epoch_is_asked_with_its_own_key(studio):
    made, data = delivered(studio)
    epochs.rotate(after=1)
    others = [weights.to_kohya(loras.lora(loras.tiny(), 8, 100 + i)) for i in range(8)]
    buried = loras.truncated(loras.merged(weights.read(data), others), 8)
    found = tracing.trace(data=weights.write(weights.half(buried).tensors, {}))
    assert isinstance(found, tracing.Trace)
    assert (found.how, found.delivery) == ("watermark", made)
    assert [item.how for item in found.findings] == ["escrow"]


def test_whoever_rotates_after_the_same_epoch_makes_no_second_one(studio):
    assert epochs.rotate(after=1) == epochs.rotate(after=1) == 2
    secret = epochs.key(2).secret
    assert epochs.rotate(after=1) == 2
    assert epochs.key(2).secret == secret
    assert WatermarkEpoch.objects.count() == 1
    assert [row["type"] for row in logged()].count("watermark.rotated") == 1


def test_a_lost_key_is_an_error_that_names_its_file(studio, settings):
    _, data = delivered(studio)
    epochs.rotate(after=1)
    assert checks.watermark_keys(None, [connection.alias]) == []
    (settings.KEYS_DIR / "watermark-2.key").unlink()
    with pytest.raises(KeyFileError, match=r"watermark-2\.key"):
        tracing.trace(data=disguised(data))
    (error,) = checks.watermark_keys(None, [connection.alias])
    assert (error.id, "watermark-2.key" in error.msg) == ("kyodaku.E008", True)
    assert checks.watermark_keys(None, None) == []


def test_an_operator_begins_one_by_hand(studio, capsys):
    call_command("rotate_watermark")
    call_command("rotate_watermark")
    assert capsys.readouterr().out.split() == ["watermark", "epoch", "2", "watermark", "epoch", "3"]
    assert epochs.marking() == 3


def test_no_setting_makes_an_epoch_too_long(monkeypatch):
    monkeypatch.setenv("KYODAKU_WATERMARK_EPOCH_FILES", "100001")
    with pytest.raises(ImproperlyConfigured):
        env.integer("KYODAKU_WATERMARK_EPOCH_FILES", 50_000, least=1, most=90_000)
