"""The log on PostgreSQL: from the outbox to a checkpoint, through crashes, restores and forgery."""

import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils import timezone as timezone_of_django

from registry.log import export, fsck, keyfiles, models, rows, selectors, sequencer
from registry.log.append import append, timestamp
from registry.log.core import canonical, merkle, tiles, tlog_proof
from registry.log.core.checkpoint import LogSigners, parse_body, parse_note, verify_checkpoint
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer

AT = datetime(2026, 4, 1, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
LIFT = (Path(__file__).parents[1] / "lift_truncate_guard.sql").read_text()


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    """Where this test's log is exported: what other tests exported must not look like a fork."""
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    return Path(tmp_path / "export")


@pytest.fixture
def signers(folder) -> LogSigners:
    return sequencer.load_signers()


@pytest.fixture
def committing(transactional_db) -> Iterator[None]:
    """Real commits; the tables are emptied afterwards, past the TRUNCATE guard."""
    yield
    with connection.cursor() as cursor:
        cursor.execute(LIFT)


def log_events(count: int, event_type: str = "approval.signed") -> list[str]:
    """Each names one id by which it can be looked up."""
    with transaction.atomic():
        data = [{"by": "alice", "n": n, "grant": f"grt_{n:020x}"} for n in range(count)]
        return [append(event_type, item) for item in data]


def sequence(signers: LogSigners, count: int) -> list[str]:
    ids = log_events(count)
    assert sequencer.sequence_once(signers) == count
    return ids


def code(call, *arguments) -> str:
    with pytest.raises(VerificationError) as caught:
        call(*arguments)
    return caught.value.code


def tamper(sql: str) -> None:
    """Change rows as a superuser can, past the triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


# --- append -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_appended_event_waits_in_the_outbox_as_canonical_json():
    event_id = append("approval.signed", {"b": 1, "a": "許諾"}, at=AT)
    row = models.Outbox.objects.get()
    assert event_id == f"evt_{row.id.hex}" == str(row)
    assert bytes(row.payload) == canonical.dumps(
        {
            "v": 1,
            "id": event_id,
            "type": "approval.signed",
            "at": "2026-04-01T00:30:00.123Z",
            "data": {"a": "許諾", "b": 1},
        }
    )


@pytest.mark.usefixtures("committing")
def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(RuntimeError, match="in the transaction"):
        append("approval.signed", {})
    assert not models.Outbox.objects.exists()


@pytest.mark.django_db
def test_an_event_is_undone_with_the_change_it_tells_of():
    def change_that_fails() -> None:
        with transaction.atomic():
            append("approval.signed", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_that_fails()
    assert not models.Outbox.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("event_type", ["", "signed", "Approval.signed", "a.", "a.b c", "a." * 40])
def test_a_word_that_is_no_event_type_is_refused(event_type):
    with pytest.raises(ValueError, match="event type"):
        append(event_type, {})


@pytest.mark.django_db
def test_an_event_has_at_most_65535_bytes():
    spare = 65_535 - len(canonical.dumps(json.loads(_payload_of(append("a.b", {"x": ""})))))
    assert len(_payload_of(append("a.b", {"x": "y" * spare}))) == 65_535
    with pytest.raises(ValueError, match="65535"):
        append("a.b", {"x": "y" * (spare + 1)})


def _payload_of(event_id: str) -> bytes:
    return bytes(models.Outbox.objects.get(id=uuid.UUID(event_id[4:])).payload)


@pytest.mark.django_db
def test_an_event_without_time_zone_or_canonical_form_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        append("a.b", {}, at=datetime(2026, 4, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="nan"):
        append("a.b", {"x": float("nan")})


# --- the sequencer ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_event_gets_an_index_and_a_receipt_that_verifies_offline(signers):
    ids = sequence(signers, 3) + sequence(signers, 300)
    entries = list(models.Entry.objects.order_by("index"))
    assert [(e.index, e.event_id) for e in entries] == list(enumerate(ids))
    for entry in (entries[0], entries[2], entries[3], entries[255], entries[302]):
        text = selectors.tlog_proof(entry.index)
        index, head = tlog_proof.verify(text, bytes(entry.payload), signers.vkeys())
        assert (index, head.size) == (entry.index, 303)


@pytest.mark.django_db
def test_a_receipt_for_another_entry_does_not_verify(signers):
    sequence(signers, 5)
    other = bytes(models.Entry.objects.get(index=2).payload)
    text = selectors.tlog_proof(3)
    assert code(tlog_proof.verify, text, other, signers.vkeys()) == "bad_inclusion_proof"


@pytest.mark.django_db
def test_an_entry_says_what_its_event_said(signers):
    event_id = append("approval.signed", {"by": "alice"}, at=AT)
    sequencer.sequence_once(signers)
    entry = selectors.entry_by_event(event_id)
    assert entry is not None
    assert entry.event_type == "approval.signed"
    assert entry.at == AT.replace(microsecond=123_000)
    assert json.loads(bytes(entry.payload))["data"] == {"by": "alice"}
    assert bytes(entry.leaf_hash) == merkle.leaf_hash(bytes(entry.payload))
    assert selectors.entry_by_event("evt_" + "0" * 32) is None


@pytest.mark.django_db
def test_every_two_checkpoints_are_consistent(signers):
    for count in (1, 2, 5, 250, 40):
        sequence(signers, count)
    heads = [
        verify_checkpoint(row.note, signers.vkeys())
        for row in models.Checkpoint.objects.order_by("size")
    ]
    assert [head.size for head in heads] == [1, 3, 8, 258, 298]
    for old in heads:
        for new in heads:
            if old.size <= new.size:
                proof = selectors.consistency(old.size, new.size)
                merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)


@pytest.mark.django_db
def test_entries_keep_the_order_of_writing_whatever_the_clock_says(signers, monkeypatch):
    """Same microsecond, or a clock set back between two events."""
    ids = log_events(20)
    monkeypatch.setattr(timezone_of_django, "now", lambda: datetime(2020, 1, 1, tzinfo=UTC))
    ids += log_events(20)
    sequencer.sequence_once(signers)
    found = models.Entry.objects.order_by("index").values_list("event_id", flat=True)
    assert list(found) == ids


@pytest.mark.django_db
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"id": "evt_1", "type": "a.b", "at": "2026-01-01T00:00:00Z"}',
        b'{"id": "evt_1", "type": "a.b", "at": "today", "data": {}}',
        b'{"id": "evt_1", "type": "a.b", "at": "2026-01-01T00:00:00", "data": {}}',
    ],
)
def test_what_append_did_not_write_stops_the_sequencer_with_its_row(signers, payload):
    sequence(signers, 1)
    row = models.Outbox.objects.create(id=uuid.uuid4(), payload=payload, created=AT)
    with pytest.raises(VerificationError, match=f"outbox row {row.seq} ") as caught:
        sequencer.sequence_once(signers)
    assert caught.value.code == "outbox_malformed"
    assert models.Entry.objects.count() == 1


# --- looking up by what an entry names ----------------------------------------------------------


@pytest.mark.django_db
def test_an_entry_is_found_by_every_id_and_digest_that_it_names(signers):
    grant, alice, digest = "grt_" + "1" * 20, "per_" + "a" * 20, "ab" * 32
    append("approval.signed", {"grant_id": grant, "party_id": alice, "by": "talent"})
    append("dataset.sealed", {"of": [{"digest": digest}, {"grant": grant}]})
    sequencer.sequence_once(signers)

    def found(*words):
        return sorted(selectors.entries_about(*words).values_list("index", flat=True))

    assert (found(grant), found(alice), found(digest)) == ([0, 1], [0], [1])
    assert (found(grant, alice), found(alice, digest)) == ([0], [])
    assert found("talent") == found("grt_" + "2" * 20) == found(grant[:-1]) == []


@pytest.mark.django_db
def test_an_event_is_found_while_it_waits(signers):
    grant = "grt_" + "1" * 20
    append("grant.made", {"grant_id": grant})
    append("grant.made", {"grant_id": "grt_" + "2" * 20})
    (waiting,) = selectors.waiting_about(grant)
    assert waiting["data"] == {"grant_id": grant}
    sequencer.sequence_once(signers)
    assert selectors.waiting_about(grant) == []


@pytest.mark.django_db
def test_a_pass_with_nothing_to_do_signs_nothing_new(signers):
    assert sequencer.sequence_once(signers) == 0
    assert selectors.latest_checkpoint() is None
    sequence(signers, 2)
    assert sequencer.sequence_once(signers) == 0
    assert models.Checkpoint.objects.count() == 1


@pytest.mark.django_db
def test_a_backlog_is_worked_off_in_batches(signers, monkeypatch):
    monkeypatch.setattr(sequencer, "BATCH", 4)
    ids = log_events(10)
    assert [sequencer.sequence_once(signers) for _ in range(4)] == [4, 4, 2, 0]
    found = models.Entry.objects.order_by("index").values_list("event_id", flat=True)
    assert list(found) == ids


@pytest.mark.usefixtures("committing")
def test_an_event_that_commits_late_is_not_lost(signers):
    """Its outbox id and time are older than those already sequenced."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        payload = {"v": 1, "id": "evt_" + "0" * 32, "type": "a.b", "data": {}}
        payload["at"] = "2026-01-01T00:00:00.000Z"
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO log_outbox (id, payload, created) VALUES (%s, %s, '2026-01-01Z')",
                [uuid.UUID(int=0), canonical.dumps(payload)],
            )
        sequence(signers, 3)
        other.commit()
    finally:
        other.close()
    assert sequencer.sequence_once(signers) == 1
    late = selectors.entry_by_event("evt_" + "0" * 32)
    assert late is not None
    assert late.index == 3
    assert fsck.check(signers.vkeys()) == 4


@pytest.mark.usefixtures("committing")
def test_there_is_one_sequencer_at_a_time(signers):
    log_events(2)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [sequencer.LOCK_KEY])
            assert sequencer.sequence_once(signers) == 0
            assert models.Outbox.objects.count() == 2
            cursor.execute("SELECT pg_advisory_unlock(%s)", [sequencer.LOCK_KEY])
    finally:
        other.close()
    assert sequencer.sequence_once(signers) == 2


@pytest.mark.usefixtures("committing")
def test_a_pass_inside_another_transaction_is_refused(signers):
    """Its root would be signed before it is durable."""
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        sequencer.sequence_once(signers)


# --- crashes: each is followed by an ordinary pass ----------------------------------------------


class Crash(BaseException):
    """The process dies here."""


def crashing(*_arguments, **_options):
    raise Crash


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["_insert_entries", "_write_tiles", "_recheck"])
def test_a_crash_while_integrating_leaves_the_batch_in_the_outbox(signers, monkeypatch, where):
    sequence(signers, 3)
    log_events(2)
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, where, crashing)
        with pytest.raises(Crash):
            sequencer.sequence_once(signers)
    assert (models.Outbox.objects.count(), models.Entry.objects.count()) == (2, 3)
    assert sequencer.sequence_once(signers) == 2
    assert fsck.check(signers.vkeys()) == 5


@pytest.mark.django_db
def test_a_crash_before_signing_leaves_the_root_for_the_next_pass(signers, monkeypatch):
    log_events(3)
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "_sign", crashing)
        with pytest.raises(Crash):
            sequencer.sequence_once(signers)
    recorded = models.Checkpoint.objects.get()
    assert (recorded.size, recorded.note) == (3, "")
    assert selectors.latest_checkpoint() is None
    assert sequencer.sequence_once(signers) == 0
    signed = selectors.latest_checkpoint()
    assert signed is not None
    assert (signed.size, bytes(signed.root)) == (3, bytes(recorded.root))


@pytest.mark.django_db
def test_a_crash_before_the_export_leaves_it_to_the_next_pass(signers, folder, monkeypatch):
    log_events(3)
    with monkeypatch.context() as patch:
        patch.setattr(export, "_write", crashing)
        with pytest.raises(Crash):
            sequencer.sequence_once(signers)
    assert export.exported_note(folder) == ""
    sequencer.sequence_once(signers)
    assert verify_checkpoint(export.exported_note(folder), signers.vkeys()).size == 3


# --- what must never be signed ------------------------------------------------------------------


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.django_db
def test_a_bit_flipped_in_a_tile_while_writing_stops_the_pass(signers, monkeypatch):
    write = sequencer._write_tiles
    log_events(3)
    monkeypatch.setattr(
        sequencer,
        "_write_tiles",
        lambda changed: write([tiles.Tile(t.level, t.n, flipped(t.data)) for t in changed]),
    )
    assert code(sequencer.sequence_once, signers) == "root_mismatch"
    assert not models.Checkpoint.objects.exists()


@pytest.mark.django_db
def test_a_bit_flipped_in_an_entry_while_writing_stops_the_pass(signers, monkeypatch):
    insert = sequencer._insert_entries
    log_events(1)

    def corrupt(size, leaves):
        leaf = leaves[0]
        payload = flipped(leaf.payload)
        insert(size, [rows.Leaf(leaf.event_id, "a.b", leaf.at, payload, leaf.hash)])

    monkeypatch.setattr(sequencer, "_insert_entries", corrupt)
    assert code(sequencer.sequence_once, signers) == "root_mismatch"
    assert not models.Checkpoint.objects.exists()


@pytest.mark.django_db
def test_a_bit_flipped_while_hashing_the_root_stops_the_pass(signers, monkeypatch):
    root = merkle.CompactRange.root
    log_events(3)
    computed = iter([flipped])

    def faulty(self):
        return next(computed, bytes)(root(self))

    monkeypatch.setattr(merkle.CompactRange, "root", faulty)
    assert code(sequencer.sequence_once, signers) == "root_mismatch"


@pytest.mark.django_db
def test_a_restored_backup_is_not_signed_on(signers):
    """The exported checkpoint knows five entries, the database three."""
    sequence(signers, 3)
    backup = transaction.savepoint()
    sequence(signers, 2)
    transaction.savepoint_rollback(backup)
    log_events(4)
    assert code(sequencer.sequence_once, signers) == "log_rolled_back"
    assert code(sequencer.run, signers, threading.Event()) == "log_rolled_back"
    assert models.Checkpoint.objects.count() == 1


@pytest.mark.django_db
def test_another_history_of_the_same_length_is_not_signed_on(signers, folder):
    sequence(signers, 3)
    (folder / "checkpoint").write_text(signers.sign(2, bytes(32), at=1))
    log_events(1)
    assert code(sequencer.sequence_once, signers) == "log_forked"


@pytest.mark.django_db
def test_an_exported_checkpoint_by_mallory_stops_the_sequencer(signers, folder):
    sequence(signers, 3)
    mallory = LogSigners(
        signers.origin, Ed25519Signer.from_seed(bytes(32)), Mldsa44Signer.from_seed(bytes(32))
    )
    (folder / "checkpoint").write_text(mallory.sign(2, bytes(32), at=1))
    log_events(1)
    assert code(sequencer.sequence_once, signers) == "no_known_signature"


@pytest.mark.django_db
def test_a_recorded_checkpoint_beyond_the_entries_stops_the_sequencer(signers):
    sequence(signers, 3)
    tamper("DELETE FROM log_entry WHERE index = 2")
    log_events(1)
    assert code(sequencer.sequence_once, signers) == "log_rolled_back"


@pytest.mark.django_db
def test_a_changed_tile_stops_the_sequencer(signers):
    sequence(signers, 3)
    tamper("UPDATE log_tile SET data = set_byte(data, 0, get_byte(data, 0) # 1)")
    log_events(1)
    assert code(sequencer.sequence_once, signers) == "log_forked"


@pytest.mark.django_db
def test_a_root_changed_before_it_was_signed_is_not_signed(signers, monkeypatch):
    log_events(3)
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "_sign", crashing)
        with pytest.raises(Crash):
            sequencer.sequence_once(signers)
    tamper("UPDATE log_checkpoint SET root = set_byte(root, 0, get_byte(root, 0) # 1)")
    assert code(sequencer.sequence_once, signers) == "log_forked"
    assert selectors.latest_checkpoint() is None


@pytest.mark.django_db
def test_an_older_root_changed_before_it_was_signed_is_not_signed(signers, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "_sign_pending", lambda _signers: None)
        sequence(signers, 2)
        sequence(signers, 2)
    tamper(
        "UPDATE log_checkpoint SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE size = 2"
    )
    assert code(sequencer.sequence_once, signers) == "log_forked"


@pytest.mark.django_db
def test_a_signature_that_does_not_read_back_is_not_published(signers, monkeypatch):
    log_events(1)
    monkeypatch.setattr(Ed25519Signer, "sign", lambda _self, _message: bytes(64))
    assert code(sequencer.sequence_once, signers) == "bad_signature"
    assert selectors.latest_checkpoint() is None


# --- the guard rails in the database ------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE log_entry SET payload = '' WHERE index = 1",
        "DELETE FROM log_entry WHERE index = 1",
        "DELETE FROM log_checkpoint",
        "UPDATE log_checkpoint SET note = 'another'",
        "UPDATE log_checkpoint SET note = ''",
        "UPDATE log_checkpoint SET root = ''",
        "UPDATE log_tile SET data = sha256('x')",
        "UPDATE log_tile SET data = data || sha256('x')",
        "UPDATE log_tile SET width = 4",
        "UPDATE log_tile SET width = 4, data = sha256('x') || data",
        "UPDATE log_tile SET width = 2, data = substr(data, 1, 64)",
        "UPDATE log_tile SET n = 1, width = 4, data = data || sha256('x')",
        "DELETE FROM log_tile",
        "UPDATE log_subject SET index = 0",
        "DELETE FROM log_subject",
        "UPDATE log_outbox SET payload = ''",
    ],
)
def test_what_the_log_holds_is_never_changed(signers, sql):
    append("a.b", {"grant": "grt_" + "1" * 20})
    log_events(2)
    sequencer.sequence_once(signers)
    log_events(1)
    with (
        connection.cursor() as cursor,
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
    ):
        cursor.execute(sql)


@pytest.mark.django_db
def test_an_unsigned_checkpoint_takes_its_note_and_nothing_else(signers, monkeypatch):
    monkeypatch.setattr(sequencer, "_sign_pending", lambda _signers: None)
    sequence(signers, 1)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        models.Checkpoint.objects.update(note="note", root=bytes(32))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        models.Checkpoint.objects.update(root=bytes(32))
    assert models.Checkpoint.objects.update(note="note") == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "table", ["log_entry", "log_checkpoint", "log_tile", "log_subject", "log_outbox"]
)
def test_the_log_cannot_be_truncated(signers, table):
    sequence(signers, 1)
    with connection.cursor() as cursor:
        # an earlier transactional test may have lifted it in this test database
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_no_truncate")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(f"TRUNCATE {table}")


# --- reading and waiting ------------------------------------------------------------------------


@pytest.mark.django_db
def test_nothing_is_provable_before_the_first_checkpoint():
    with pytest.raises(LookupError, match="no signed checkpoint"):
        selectors.inclusion(0)
    with pytest.raises(LookupError, match="no tile"):
        selectors.read_tile(0, 0)


@pytest.mark.django_db
def test_an_old_checkpoint_still_proves_its_entries(signers):
    sequence(signers, 5)
    sequence(signers, 295)
    old, entry = models.Checkpoint.objects.get(size=5), models.Entry.objects.get(index=4)
    proof = selectors.inclusion(4, 5)
    merkle.verify_inclusion(4, 5, bytes(entry.leaf_hash), proof, bytes(old.root))


@pytest.mark.django_db
def test_waiting_ends_when_the_event_is_signed_for_and_not_before(signers, monkeypatch):
    (event_id,) = log_events(1)
    with pytest.raises(TimeoutError, match=event_id):
        selectors.wait_for(event_id, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "_sign_pending", lambda _signers: None)
        sequencer.sequence_once(signers)
    with pytest.raises(TimeoutError):
        selectors.wait_for(event_id, 0.0)
    sequencer.sequence_once(signers)
    assert selectors.wait_for(event_id, 0.0).event_id == event_id


@pytest.mark.usefixtures("committing")
def test_a_running_sequencer_serves_whoever_waits_and_stops_when_told(signers):
    stop = threading.Event()

    def background() -> None:
        try:
            sequencer.run(signers, stop, interval=0.01)
        finally:
            connection.close()

    thread = threading.Thread(target=background)
    thread.start()
    try:
        found = [selectors.wait_for(event_id, 20.0).event_id for event_id in log_events(3)]
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert len(found) == 3


@pytest.mark.django_db
def test_a_lost_database_connection_is_tried_again(signers, monkeypatch, caplog):
    stop, passes = threading.Event(), []

    def once(_signers):
        passes.append(1)
        if len(passes) == 1:
            raise OperationalError("server closed the connection")
        stop.set()
        return 0

    monkeypatch.setattr(sequencer, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(sequencer, "sequence_once", once)
    sequencer.run(signers, stop, interval=0.0)
    assert len(passes) == 2
    assert "will try again" in caplog.text


# --- the static export --------------------------------------------------------------------------


def read_export(folder: Path, vkeys) -> list[bytes]:
    """Check an export as an outsider does, from its files alone, and return the entries."""
    head = verify_checkpoint((folder / "checkpoint").read_text(), vkeys)
    widths = {(level, n): width for level, n, width in tiles.spans(head.size)}

    def read(level, n):
        return (folder / tiles.tile_path(level, n, widths[level, n])).read_bytes()

    entries = []
    for (level, n), width in widths.items():
        if level == 0:
            bundle = (folder / tiles.entries_path(n, width)).read_bytes()
            entries += tiles.parse_bundle(bundle)
    assert merkle.root_from_nodes(head.size, tiles.TileNodes(read)) == head.root
    assert merkle.root_hash([merkle.leaf_hash(entry) for entry in entries]) == head.root
    return entries


@pytest.mark.django_db
def test_the_export_alone_proves_every_entry(signers, folder):
    for count in (3, 300, 257):
        sequence(signers, count)
        stored = models.Entry.objects.order_by("index").values_list("payload", flat=True)
        assert read_export(folder, signers.vkeys()) == [bytes(payload) for payload in stored]


@pytest.mark.django_db
def test_the_partial_tiles_of_every_published_size_are_there(signers, folder):
    for count in (3, 300, 1):
        sequence(signers, count)
    for row in models.Checkpoint.objects.all():
        for level, n, width in tiles.spans(row.size):
            assert (folder / tiles.tile_path(level, n, width)).is_file()


@pytest.mark.django_db
def test_the_checkpoint_is_exported_after_its_tiles_and_no_half_file_stays(
    signers, folder, monkeypatch
):
    write, order = export._write, []

    def noted(path, data):
        order.append(path.name)
        return write(path, data)

    monkeypatch.setattr(export, "_write", noted)
    sequence(signers, 3)
    assert order == ["3", "3", "checkpoint"]
    assert not list(folder.rglob(".*"))


@pytest.mark.django_db
def test_a_full_export_brings_back_a_lost_file(signers, folder):
    sequence(signers, 300)
    (folder / "tile/0/000").unlink()
    export.export(folder)
    assert not (folder / "tile/0/000").exists()
    assert export.export(folder, full=True) == 300
    assert len(read_export(folder, signers.vkeys())) == 300


@pytest.mark.django_db
@pytest.mark.parametrize("full", [False, True])
def test_a_restored_backup_does_not_replace_what_was_exported(signers, folder, full):
    """Nothing waits and nothing is unsigned, so no check before the export would have run."""
    sequence(signers, 3)
    backup = transaction.savepoint()
    sequence(signers, 5)
    note = export.exported_note(folder)
    transaction.savepoint_rollback(backup)
    assert code(sequencer.sequence_once, signers) == "log_rolled_back"
    with pytest.raises(VerificationError, match="log_new_origin"):
        export.export(folder, full=full)
    assert export.exported_note(folder) == note


@pytest.mark.django_db
def test_a_pass_with_nothing_new_writes_nothing(signers, folder, monkeypatch):
    sequence(signers, 3)
    monkeypatch.setattr(export, "_write", crashing)
    assert sequencer.sequence_once(signers) == 0


@pytest.mark.django_db
def test_nothing_is_exported_before_the_first_checkpoint(folder):
    assert export.export(folder) == 0
    assert not folder.exists()


@pytest.mark.django_db
def test_without_an_export_folder_the_log_works(signers, settings):
    settings.LOG_EXPORT_DIR = None
    sequence(signers, 2)
    newest = selectors.latest_checkpoint()
    assert newest is not None
    assert parse_body(parse_note(newest.note)[0]).size == 2


# --- fsck ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_fsck_accepts_an_honest_log_of_any_size(signers, monkeypatch):
    monkeypatch.setattr(fsck, "CHUNK", 100)
    assert fsck.check(signers.vkeys()) == 0
    for size, count in ((1, 1), (256, 255), (257, 1), (600, 343)):
        sequence(signers, count)
        assert fsck.check(signers.vkeys()) == size


_FLIP = "UPDATE log_tile SET data = set_byte(data, 0, get_byte(data, 0) # 1)"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sql", "found", "row"),
    [
        (
            "UPDATE log_entry SET payload = convert_to(replace(convert_from(payload, 'UTF8'),"
            " 'alice', 'mallory'), 'UTF8') WHERE index = 4",
            "fsck_entry",
            "entry 4",
        ),
        ("UPDATE log_entry SET leaf_hash = sha256('x') WHERE index = 5", "fsck_entry", "entry 5"),
        ("UPDATE log_entry SET event_type = 'a.b' WHERE index = 6", "fsck_entry", "entry 6"),
        ("UPDATE log_entry SET event_id = 'evt_x' WHERE index = 6", "fsck_entry", "entry 6"),
        ("UPDATE log_entry SET payload = 'x' WHERE index = 7", "fsck_entry", "entry 7"),
        ("DELETE FROM log_entry WHERE index = 7", "fsck_entry", "entry 7"),
        ("DELETE FROM log_entry WHERE index = 299", "fsck_tile", "tile 0/1"),
        (f"{_FLIP} WHERE level = 0 AND n = 0", "fsck_tile",
         "tile 0/0"),
        (f"{_FLIP} WHERE level = 1", "fsck_tile",
         "tile 1/0"),
        ("UPDATE log_tile SET width = 3 WHERE level = 1", "fsck_tile", "tile 1/0"),
        ("DELETE FROM log_tile WHERE level = 1", "fsck_tile", "tile 1/0"),
        ("INSERT INTO log_tile (level, n, width, data) VALUES (0, 9, 1, sha256('x'))",
         "fsck_tile", "tile 0/9"),
        ("UPDATE log_checkpoint SET root = sha256('x') WHERE size = 10", "fsck_checkpoint",
         "checkpoint 10"),
        ("UPDATE log_checkpoint SET note = replace(note, '10', '11') WHERE size = 10",
         "fsck_checkpoint", "checkpoint 10"),
        ("UPDATE log_checkpoint SET note = (SELECT note FROM log_checkpoint WHERE size = 300)"
         " WHERE size = 10", "fsck_checkpoint", "checkpoint 10"),
        ("UPDATE log_checkpoint SET size = 301 WHERE size = 300", "fsck_checkpoint",
         "checkpoint 301"),
        ("DELETE FROM log_checkpoint WHERE size = 300", "fsck_checkpoint", "entry 299"),
        ("DELETE FROM log_subject WHERE index = 8", "fsck_subject", "entry 8"),
        ("UPDATE log_subject SET index = 9 WHERE index = 8", "fsck_subject", "entry 8"),
        ("UPDATE log_subject SET word = 'grt_' || word WHERE index = 8", "fsck_subject", "entry 8"),
        ("INSERT INTO log_subject (word, index) VALUES ('grt_of_somebody_else', 8)",
         "fsck_subject", "grt_of_somebody_else in 8"),
        ("INSERT INTO log_subject (word, index) VALUES ('grt_of_somebody_else', 300)",
         "fsck_subject", "grt_of_somebody_else in 300"),
    ],
)  # fmt: skip
def test_fsck_names_the_first_row_that_was_changed(signers, sql, found, row):
    sequence(signers, 10)
    sequence(signers, 290)
    tamper(sql)
    with pytest.raises(VerificationError, match=row) as caught:
        fsck.check(signers.vkeys())
    assert caught.value.code == found


@pytest.mark.django_db
def test_fsck_with_other_pinned_keys_refuses_the_checkpoints(signers):
    sequence(signers, 1)
    mallory = LogSigners(
        signers.origin, Ed25519Signer.from_seed(bytes(32)), Mldsa44Signer.from_seed(bytes(32))
    )
    assert code(fsck.check, mallory.vkeys()) == "fsck_checkpoint"


# --- commands and key files ---------------------------------------------------------------------


def command(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db
def test_the_commands_sequence_check_and_show_the_keys_to_pin(signers, tmp_path):
    log_events(2)
    assert command("sequencer", "--once") == "2 entries"
    pins = tmp_path / "log.vkeys"
    pins.write_text(command("sequencer", "--vkeys"))
    assert tuple(pins.read_text().split()) == signers.vkeys()
    assert command("fsck", "--log-only") == "VERIFIED 2 entries"
    assert command("fsck", "--log-only", "--vkeys", str(pins)) == "VERIFIED 2 entries"


@pytest.mark.django_db
def test_fsck_of_a_changed_log_fails_with_the_row(signers):
    sequence(signers, 2)
    tamper("UPDATE log_entry SET payload = 'x' WHERE index = 1")
    with pytest.raises(CommandError, match="entry 1"):
        command("fsck", "--log-only")


@pytest.mark.django_db
def test_sigterm_ends_the_sequencer_after_its_pass(signers):
    log_events(2)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    stop.start()
    try:
        command("sequencer", "--interval", "0.01")
    finally:
        stop.join()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert fsck.check(signers.vkeys()) == 2


@pytest.mark.django_db
def test_the_sequencer_does_not_start_with_a_key_that_others_can_read(settings, tmp_path):
    settings.KEYS_DIR = tmp_path
    with pytest.raises(CommandError, match="cannot open"):
        command("sequencer", "--once")
    for name in ("checkpoint.ed25519", "checkpoint.mldsa44"):
        (tmp_path / name).write_bytes(bytes(32))
        (tmp_path / name).chmod(0o640)
    with pytest.raises(CommandError, match="wider than 0600"):
        command("sequencer", "--once")


def key_file(tmp_path: Path, data: bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "key"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("data", [bytes(range(32)), bytes(range(32)).hex().encode() + b"\n"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_is_read_raw_or_in_hex(tmp_path, data, mode):
    assert keyfiles.read_secret(key_file(tmp_path, data, mode), 32) == bytes(range(32))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700, 0o666])
def test_a_secret_that_others_may_touch_is_refused(tmp_path, mode):
    with pytest.raises(keyfiles.KeyFileError, match="wider"):
        keyfiles.read_secret(key_file(tmp_path, bytes(32), mode), 32)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), b"g" * 64, b"0" * 63, b"0" * 66])
def test_a_secret_of_another_size_is_refused(tmp_path, data):
    with pytest.raises(keyfiles.KeyFileError, match="32 bytes"):
        keyfiles.read_secret(key_file(tmp_path, data), 32)


def test_a_secret_is_a_regular_file_and_no_link(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(key_file(tmp_path, bytes(32)))
    with pytest.raises(keyfiles.KeyFileError, match="cannot open"):
        keyfiles.read_secret(link, 32)
    (tmp_path / "folder").mkdir(mode=0o600)
    with pytest.raises(keyfiles.KeyFileError, match="regular file"):
        keyfiles.read_secret(tmp_path / "folder", 32)


def test_a_secret_of_somebody_else_is_refused(tmp_path, monkeypatch):
    path = key_file(tmp_path, bytes(32))
    if os.geteuid() == 0:
        os.chown(path, 65_534, 65_534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(keyfiles.KeyFileError, match="somebody else"):
        keyfiles.read_secret(path, 32)


def test_the_log_entry_of_an_utc_moment_ends_in_z():
    assert timestamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"
