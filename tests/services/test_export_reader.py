"""The exported folder, read by a second reader that shares no code with the log."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from registry.log import models, sequencer
from registry.log.append import _ordered_uuid, entry_bytes
from registry.log.core.checkpoint import LogSigners
from tests.conformance import reader
from tests.conformance.reader import Reader, root_of_path, roots_of_consistency

# Odd sizes around the edges of tiles, then one with two full levels (65,536) and a bit.
SMALL = (1, 2, 3, 255, 256, 257, 511, 513, 1000)
LARGE = 65_536 + 1_001


@pytest.fixture
def exported(settings, tmp_path) -> Path:
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    return Path(settings.LOG_EXPORT_DIR)


@pytest.fixture
def signers(exported: Path) -> LogSigners:
    return sequencer.load_signers()


@pytest.fixture
def outside(exported: Path, signers: LogSigners) -> Reader:
    return Reader(exported, signers.origin, signers.ed25519.public_raw)


def fill(count: int) -> None:
    """Append in bulk what `append` writes one by one; payloads of many lengths."""
    now = timezone.now()
    copied = "COPY log_outbox (id, payload, created) FROM STDIN"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(copied) as copy:
        for n in range(count):
            key = _ordered_uuid(now)
            data = {"n": n, "pad": "x" * (n * 7 % 300)}
            copy.write_row((key, entry_bytes(f"evt_{key.hex}", "a.b", data, now), now))


def test_the_reader_shares_no_code_with_the_log():
    imported = {
        (n.module or "") if isinstance(n, ast.ImportFrom) else n.names[0].name
        for n in ast.walk(ast.parse(Path(reader.__file__).read_text()))
        if isinstance(n, ast.Import | ast.ImportFrom)
    }
    assert not {name for name in imported if name.startswith(("registry", "tests", "audit"))}


@pytest.mark.django_db
def test_every_published_size_is_whole_and_its_proofs_verify(signers, outside):
    size = 0
    for target in SMALL:
        fill(target - size)
        sequencer.sequence_once(signers)
        size, root = outside.checkpoint()
        assert size == target
        outside.check_size(size, root)
    heads = [outside.opened(row.note) for row in models.Checkpoint.objects.order_by("size")]
    for size, root in heads:
        # The tiles of each size for which a checkpoint was published are still there.
        outside.check_size(size, root)
        for index in {0, size // 2, size - 1}:
            leaf = outside.range(index, index + 1, size)
            path = outside.inclusion(index, size)
            assert root_of_path(leaf, index, size, path) == root
    for old, old_root in heads:
        for new, new_root in heads:
            if old <= new:
                proof = outside.consistency(old, new)
                assert roots_of_consistency(old, new, proof, old_root) == (old_root, new_root)


@pytest.mark.django_db
def test_a_log_of_two_full_tile_levels_is_read_by_the_text_alone(signers, outside, exported):
    fill(LARGE)
    while sequencer.sequence_once(signers):
        continue
    size, root = outside.checkpoint()
    assert size == LARGE
    outside.check_size(size, root)
    assert (exported / "tile/1/000").is_file()
    assert (exported / "tile/2/000.p/1").is_file()
    assert (exported / f"tile/0/{LARGE // 256:03d}.p/{LARGE % 256}").is_file()
    for index in (0, 1, 255, 256, 65_535, 65_536, LARGE - 1):
        entry = outside.bundle(index // 256, min(256, size - index // 256 * 256))[index % 256]
        leaf = hashlib.sha256(b"\0" + entry).digest()
        assert root_of_path(leaf, index, size, outside.inclusion(index, size)) == root
    for row in models.Checkpoint.objects.order_by("size"):
        old, old_root = outside.opened(row.note)
        proof = outside.consistency(old, size)
        assert roots_of_consistency(old, size, proof, old_root) == (old_root, root)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/000", "tile/1/000.p/1", "checkpoint"])
def test_the_reader_notices_a_changed_byte(signers, outside, exported, name):
    fill(300)
    sequencer.sequence_once(signers)
    size, root = outside.checkpoint()
    outside.check_size(size, root)
    data = bytearray((exported / name).read_bytes())
    data[20] ^= 1
    (exported / name).write_bytes(bytes(data))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it notices first
        outside.check_size(*outside.checkpoint())
