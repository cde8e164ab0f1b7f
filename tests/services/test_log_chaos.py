"""What the hammer and the kill test judge with finds what is wrong."""

from pathlib import Path

import pytest
from django.db import connection, transaction

from registry.log import sequencer
from registry.log.append import append
from registry.log.core.errors import VerificationError
from registry.log.core.tiles import entries_path, tile_path
from tests.chaos import rig


@pytest.fixture
def log(db, settings, tmp_path) -> rig.Reader:
    """Three hundred entries, exported, and somebody outside who saw the first hundred."""
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    reader = rig.Reader(rig.exported(), rig.pins())
    assert reader.look() is None
    ids = more(100)
    assert reader.look() is not None
    ids += more(200)
    (tmp_path / "acknowledged").write_text("".join(f"{one}\n" for one in ids))
    return reader


def more(count: int) -> list[str]:
    with transaction.atomic():
        ids = [append("bench.made", {"n": n}) for n in range(count)]
    assert sequencer.sequence_once(sequencer.load_signers()) == count
    return ids


def tamper(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


def flip(path: Path, at: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_an_honest_log_passes(log, tmp_path):
    head = log.look()
    log.check_entries(head, [0, 1])
    assert (log.inclusions, log.consistencies, rig.finish(rig.pins())) == (300, 1, 300)
    assert rig.lost_and_doubled([tmp_path / "acknowledged"]) == (300, 0, 0)
    assert rig.checkpoints_differ(rig.pins()) == (2, 0)
    assert rig.export_differs(log.folder, 300) == 0


@pytest.mark.parametrize("path", [entries_path(0, 256), tile_path(0, 1, 44), tile_path(0, 0, 256)])
def test_a_reader_finds_a_changed_file(log, path):
    flip(log.folder / path)
    assert rig.export_differs(log.folder, 300) == 1
    head = log.look() if "entries" in path else None
    with pytest.raises(VerificationError):
        log.check_entries(head or log.look(), [0, 1])


def test_a_reader_finds_a_history_that_does_not_continue_what_it_saw(log):
    log.seen[0] = type(log.seen[0])(log.seen[0].origin, 100, bytes(32))
    with pytest.raises(VerificationError, match="bad_consistency_proof"):
        log.look()


def test_a_lost_and_a_doubled_event_and_a_gap_are_counted(log, tmp_path):
    path = tmp_path / "acknowledged"
    path.write_text(path.read_text() + "evt_never_stored\n")
    tamper("DELETE FROM log_entry WHERE index = 7")
    told, lost, doubled = rig.lost_and_doubled([path])
    assert (told, lost) == (301, 2)
    assert doubled > 0


def test_a_checkpoint_of_another_tree_is_counted(log):
    tamper("UPDATE log_checkpoint SET root = sha256('x') WHERE size = 100")
    assert rig.checkpoints_differ(rig.pins())[1] > 0
    tamper("UPDATE log_checkpoint SET size = 301 WHERE size = 300")
    assert rig.checkpoints_differ(rig.pins())[1] > 1
