"""The tamper suite: whatever a superuser changes past the triggers is found, and the row is named.

The cases are generated: every column of every log table as the database has them, every byte class
of every tile, every line of a checkpoint, and whole rows deleted, put in, swapped and cut off.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from registry.log import export, folder, fsck, models, replay, sequencer
from registry.log.append import append
from registry.log.core import canonical, merkle, tiles, timestamp
from registry.log.core.checkpoint import LogSigners, cosign_ed25519, parse_body, parse_note
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer
from tests.tsa import Tsa

SIZES = (10, 300, 517)
WAITING = 3
TSA = Tsa()
WORD = "per_0123456789abcdef0123"


@pytest.fixture
def exported(settings, tmp_path) -> Path:
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    return Path(settings.LOG_EXPORT_DIR)


@pytest.fixture
def signers(exported) -> LogSigners:
    return sequencer.load_signers()


@pytest.fixture
def log(db: None, signers: LogSigners) -> LogSigners:
    """Three checkpoints, two tile levels, a time stamp, and three events that wait."""
    for old, new in itertools.pairwise((0, *SIZES)):
        fill(new - old)
        sequencer.sequence_once(signers)
    note, at = models.Checkpoint.objects.get(size=300).note, datetime.now(UTC)
    response = TSA.respond(timestamp.request(note).as_bytes(), at=at)
    models.Timestamp.objects.create(size=300, authority="tsa.example", response=response, at=at)
    fill(WAITING)
    return signers


def fill(count: int, mark: str = "") -> None:
    with transaction.atomic():
        for n in range(count):
            data = {"party_id": WORD, "grant_id": f"grt_{n:020}", "n": n}
            append("approval.signed", {**data, "mark": mark} if mark else data)


def superuser(sql: str, *arguments: Any) -> int:
    """Change rows past the triggers; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, arguments)
        changed = cursor.rowcount
        cursor.execute("SET LOCAL session_replication_role = origin")
    return int(changed)


def found(signers: LogSigners, **options: Any) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check(signers, **options)
    return caught.value


def check(signers: LogSigners, **options: Any) -> int:
    return fsck.check(signers.vkeys(), tsa_roots=[TSA.root], **options)


# --- every column ---------------------------------------------------------------------------------

# table.column: (what to set it to, where, the code, what the message must name). The values are as
# near to honest as an attacker can get: other, but of the same form.
COLUMNS = {
    "log_entry.index": ("9999", "index = 17", "fsck_entry", "entry 17 is missing"),
    "log_entry.event_id": (
        "'evt_' || repeat('0', 32)", "index = 17", "fsck_entry", "entry 17: event_id"),
    "log_entry.event_type": ("'approval.refused'", "index = 17", "fsck_entry", "entry 17"),
    "log_entry.leaf_hash": ("sha256(payload)", "index = 17", "fsck_entry", "entry 17"),
    "log_entry.payload": (
        "convert_to(replace(convert_from(payload, 'UTF8'), 'signed', 'forged'), 'UTF8')",
        "index = 17", "fsck_entry", "entry 17"),
    "log_entry.at": ("at + interval '1 millisecond'", "index = 17", "fsck_entry", "entry 17: at"),
    "log_subject.word": ("'per_' || repeat('f', 20)", f"word = '{WORD}' AND index = 17",
        "fsck_subject", "entry 17"),
    "log_subject.index": ("600", f"word = '{WORD}' AND index = 17", "fsck_subject", "entry 17"),
    "log_tile.level": ("5", "level = 0 AND n = 2", "fsck_tile", "tile 0/2 is missing"),
    "log_tile.n": ("7", "level = 0 AND n = 2", "fsck_tile", "tile 0/2 is missing"),
    "log_tile.width": ("width - 1", "level = 0 AND n = 2", "fsck_tile", "tile 0/2"),
    "log_tile.data": ("set_byte(data, 0, get_byte(data, 0) # 1)", "level = 0 AND n = 2",
        "fsck_tile", "tile 0/2: hash 0 is not that of entry 512"),
    "log_checkpoint.size": ("299", "size = 300", "fsck_checkpoint", "checkpoint 299"),
    "log_checkpoint.previous": ("9", "size = 300", "fsck_checkpoint", "checkpoint 300"),
    "log_checkpoint.root": ("sha256(root)", "size = 300", "fsck_checkpoint", "checkpoint 300"),
    "log_checkpoint.note": ("''", "size = 300", "fsck_checkpoint", "checkpoint 300: not signed"),
    "log_checkpoint.at": ("at + interval '1 microsecond'", "size = 300", "fsck_checkpoint",
        "checkpoint 300: signed at another time"),
    "log_outbox.seq": ("seq + 1000", "seq = (SELECT min(seq) FROM log_outbox)", "fsck_outbox",
        "outbox row"),
    "log_outbox.id": ("gen_random_uuid()", "seq = (SELECT max(seq) FROM log_outbox)",
        "fsck_outbox", "id and payload differ"),
    "log_outbox.payload": (
        "convert_to(replace(convert_from(payload, 'UTF8'), 'evt_0', 'evt_f'), 'UTF8')",
        "seq = (SELECT max(seq) FROM log_outbox)", "fsck_outbox", "outbox row"),
    "log_outbox.created": ("created + interval '1 second'",
        "seq = (SELECT max(seq) FROM log_outbox)", "fsck_outbox", "created at another time"),
    "log_timestamp.size": ("10", "size = 300", "fsck_timestamp", "time stamp 10/tsa.example"),
    "log_timestamp.response": ("set_byte(response, 300, get_byte(response, 300) # 1)",
        "size = 300", "fsck_timestamp", "time stamp 300/tsa.example"),
    "log_timestamp.at": ("at + interval '1 day'", "size = 300", "fsck_timestamp",
        "time stamp 300/tsa.example: stamped at"),
}  # fmt: skip
# What holds no part of the record, each with its reason.
NO_RECORD = {
    "log_anchor": "how a witness or an authority fared last, for a page; the notes are the record",
    "log_timestamp.authority": "a label for the address asked; the response names its signer",
}


def log_columns() -> set[str]:
    """Every column of every table of the log, as the database has them."""
    tables = {model._meta.db_table for model in apps.get_app_config("log").get_models()}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name LIKE 'log\\_%%'"
        )
        found = cursor.fetchall()
    assert {table for table, _ in found} == tables
    columns = {f"{table}.{column}" for table, column in found if table not in NO_RECORD}
    return columns - set(NO_RECORD)


@pytest.mark.django_db
def test_every_column_of_every_table_of_the_log_has_a_case():
    assert log_columns() == set(COLUMNS)


@pytest.mark.parametrize("place", COLUMNS)
def test_a_changed_column_is_found_and_its_row_named(log, place):
    table, column = place.split(".")
    value, where, code, names = COLUMNS[place]
    assert check(log) == SIZES[-1]
    assert superuser(f"UPDATE {table} SET {column} = {value} WHERE {where}") == 1  # noqa: S608
    error = found(log)
    assert (error.code, names in error.detail) == (code, True), error


# --- tiles: every level, every byte class ---------------------------------------------------------


def tile_bytes() -> Iterator[tuple[int, int, int]]:
    """(level, n, byte): first, last and middle byte of the first, a middle and the last hash."""
    for level, n, width in tiles.spans(SIZES[-1]):
        for place in sorted({0, width // 2, width - 1}):
            yield from ((level, n, 32 * place + byte) for byte in (0, 15, 31))


@pytest.mark.django_db
def test_a_flipped_byte_anywhere_in_a_tile_is_found(log):
    cases = list(tile_bytes())
    assert {level for level, _, _ in cases} == {0, 1}
    for level, n, byte in cases:
        with transaction.atomic():
            flip = "UPDATE log_tile SET data = set_byte(data, %s, get_byte(data, %s) # 128)"
            assert superuser(f"{flip} WHERE level = %s AND n = %s", byte, byte, level, n) == 1
            error = found(log)
            below = "entry" if level == 0 else f"tile {level - 1}/"
            assert f"tile {level}/{n}: hash {byte // 32} is not that of {below}" in error.detail
            transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        (
            "UPDATE log_tile SET data = data || sha256('x'), width = width + 1 WHERE n = 2",
            "tile 0/2",
        ),
        ("UPDATE log_tile SET data = substr(data, 33) WHERE level = 1", "tile 1/0"),
        ("UPDATE log_tile SET data = '' WHERE level = 1", "tile 1/0"),
        ("DELETE FROM log_tile WHERE level = 0 AND n = 1", "tile 0/1 is missing"),
        ("INSERT INTO log_tile (level, n, width, data) VALUES (1, 1, 1, sha256('x'))", "tile 1/1"),
        ("INSERT INTO log_tile (level, n, width, data) VALUES (2, 0, 1, sha256('x'))", "tile 2/0"),
    ],
)
def test_a_tile_that_is_longer_shorter_gone_or_new_is_found(log, sql, names):
    assert superuser(sql) == 1
    error = found(log)
    assert (error.code, names in error.detail) == ("fsck_tile", True), error


# --- checkpoints: every line, every signature -----------------------------------------------------


def note_edits(signers: LogSigners, note: str, other: str) -> dict[str, str]:
    """One edit for each part of a note. `other` is an honest note of another size."""
    origin, size, root, _, first, second, _ = note.split("\n")
    mallory = LogSigners(
        signers.origin, Ed25519Signer.from_seed(bytes(32)), Mldsa44Signer.from_seed(bytes(32))
    )
    head = parse_body(parse_note(note)[0])
    flipped = first[:-20] + ("A" if first[-20] != "A" else "B") + first[-19:]
    return {
        "origin": note.replace(origin, origin + "x", 1),
        "size": note.replace(f"\n{size}\n", f"\n{int(size) + 1}\n", 1),
        "size spelled otherwise": note.replace(f"\n{size}\n", f"\n0{size}\n", 1),
        "root": note.replace(root, canonical.b64(merkle.leaf_hash(b"x")), 1),
        "a line more": note.replace("\n\n", "\nextension\n\n", 1),
        "Ed25519 signature": note.replace(first, flipped, 1),
        "Ed25519 signature gone": note.replace(first + "\n", "", 1),
        "ML-DSA-44 signature": note.replace(second[-30:], second[-30:].swapcase(), 1),
        "ML-DSA-44 signature gone": note.replace(second + "\n", "", 1),
        "signatures of another note": f"{origin}\n{size}\n{root}\n\n" + other.partition("\n\n")[2],
        "a whole other note": other,
        "signed by other keys": mallory.sign(head.size, head.root, at=1_800_000_000),
        "signed again at another time": signers.sign(head.size, head.root, at=1),
        "no newline at the end": note[:-1],
    }


@pytest.mark.django_db
def test_every_part_of_a_checkpoints_note_is_held(log):
    notes = dict(models.Checkpoint.objects.values_list("size", "note"))
    for name, edited in note_edits(log, notes[300], notes[10]).items():
        assert edited != notes[300], name
        with transaction.atomic():
            superuser("UPDATE log_checkpoint SET note = %s WHERE size = 300", edited)
            error = found(log)
            assert error.code == "fsck_checkpoint", name
            assert "checkpoint 300" in error.detail, name
            transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_cosignature_of_an_unknown_witness_changes_nothing(log):
    note = models.Checkpoint.objects.get(size=10).note
    stranger = Ed25519Signer.from_seed(b"w" * 32)
    line = cosign_ed25519(parse_body(parse_note(note)[0]), "witness.example", stranger, at=5)
    superuser("UPDATE log_checkpoint SET note = %s WHERE size = 10", note + line)
    assert check(log) == SIZES[-1]


# --- whole rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "code", "names"),
    [
        ("DELETE FROM log_entry WHERE index = 0", "fsck_entry", "entry 0 is missing"),
        ("DELETE FROM log_entry WHERE index = 299", "fsck_entry", "entry 299 is missing"),
        ("DELETE FROM log_entry WHERE index = 516", "fsck_tile", "tile 0/2"),
        ("DELETE FROM log_entry", "fsck_tile", "tile 0/0: no entries below"),
        ("INSERT INTO log_entry SELECT 517, 'evt_' || repeat('0', 32), event_type, leaf_hash,"
         " payload, at FROM log_entry WHERE index = 5", "fsck_entry", "entry 517"),
        ("UPDATE log_entry SET index = 600 WHERE index = 20", "fsck_entry", "entry 20 is missing"),
        ("DELETE FROM log_checkpoint WHERE size = 10", "fsck_checkpoint", "checkpoint 300"),
        ("DELETE FROM log_checkpoint WHERE size = 300", "fsck_checkpoint", "checkpoint 517"),
        ("DELETE FROM log_checkpoint WHERE size = 517", "fsck_checkpoint", "entry 516"),
        ("DELETE FROM log_checkpoint", "fsck_checkpoint", "entry 516"),
        ("INSERT INTO log_checkpoint (size, previous, root, note, at)"
         " SELECT 301, 300, root, note, at FROM log_checkpoint WHERE size = 300",
         "fsck_checkpoint", "checkpoint 301"),
        ("INSERT INTO log_checkpoint (size, previous, root, note, at)"
         " SELECT 600, 517, root, note, at FROM log_checkpoint WHERE size = 517",
         "fsck_checkpoint", "checkpoint 600"),
        ("DELETE FROM log_subject WHERE index = 17", "fsck_subject", "entry 17"),
        ("INSERT INTO log_subject (word, index) VALUES ('per_ffffffffffffffffffff', 17)",
         "fsck_subject", "per_ffffffffffffffffffff in 17"),
        ("INSERT INTO log_outbox (id, payload, created) SELECT gen_random_uuid(), 'x', now()",
         "fsck_outbox", "outbox row"),
        ("INSERT INTO log_outbox (id, payload, created) SELECT replace(event_id, 'evt_', '')::uuid,"
         " payload, at FROM log_entry WHERE index = 5", "fsck_outbox", "has an index already"),
    ],
)  # fmt: skip
def test_rows_deleted_put_in_or_moved_are_found(log, sql, code, names):
    assert superuser(sql)
    error = found(log)
    assert (error.code, names in error.detail) == (code, True), error


@pytest.mark.django_db
def test_two_entries_swapped_whole_are_found(log):
    """Every other column goes along, and so do the lookups: each row is consistent in itself."""
    for old, new in ((20, 999), (21, 20), (999, 21)):
        superuser("UPDATE log_entry SET index = %s WHERE index = %s", new, old)
        superuser("UPDATE log_subject SET index = %s WHERE index = %s", new, old)
    error = found(log)
    assert (error.code, "hash 20 is not that of entry 20" in error.detail) == ("fsck_tile", True)


@pytest.mark.django_db
def test_an_entry_rewritten_with_its_hash_and_every_tile_is_found_by_the_next_checkpoint(log):
    """All that can be recomputed is recomputed; the signature over the root cannot be."""
    rewrite(17)
    error = found(log)
    assert error.code == "fsck_checkpoint"
    assert "checkpoint 300: entries 10 to 299 give another root" in error.detail


def rewrite(index: int) -> None:
    """Change an entry and make everything that no key protects agree with it."""
    entry = models.Entry.objects.get(index=index)
    event = canonical.loads(bytes(entry.payload))
    event["data"]["n"] = 10_000
    payload = canonical.dumps(event)
    superuser(
        "UPDATE log_entry SET payload = %s, leaf_hash = %s WHERE index = %s",
        payload, merkle.leaf_hash(payload), index,
    )  # fmt: skip
    leaves = [
        bytes(leaf)
        for leaf in models.Entry.objects.order_by("index").values_list("leaf_hash", flat=True)
    ]
    for tile in tiles.extend(0, leaves, lambda level, n: b""):
        superuser(
            "UPDATE log_tile SET data = %s WHERE level = %s AND n = %s",
            tile.data, tile.level, tile.n,
        )  # fmt: skip


def recomputed() -> list[tiles.Tile]:
    """Every tile of the entries as they stand."""
    leaves = models.Entry.objects.order_by("index").values_list("leaf_hash", flat=True)
    return tiles.extend(0, [bytes(leaf) for leaf in leaves], lambda level, n: b"")


# --- what only somebody else's copy shows ---------------------------------------------------------


def roll_back(size: int) -> None:
    """What an older backup brings back: everything of that size, and nothing after it."""
    superuser("DELETE FROM log_checkpoint WHERE size > %s", size)
    superuser("DELETE FROM log_entry WHERE index >= %s", size)
    superuser("DELETE FROM log_subject WHERE index >= %s", size)
    superuser("DELETE FROM log_outbox")
    superuser("DELETE FROM log_timestamp WHERE size > %s", size)
    leaves = [
        bytes(leaf)
        for leaf in models.Entry.objects.order_by("index").values_list("leaf_hash", flat=True)
    ]
    superuser("DELETE FROM log_tile")
    for tile in tiles.extend(0, leaves, lambda level, n: b""):
        models.Tile.objects.create(level=tile.level, n=tile.n, width=tile.width, data=tile.data)


@pytest.mark.django_db
def test_a_restored_older_backup_is_found_by_a_checkpoint_that_somebody_kept(log, exported):
    kept = export.exported_note(exported)
    roll_back(300)
    assert check(log) == 300
    error = found(log, against={"kept": kept})
    assert (error.code, "kept: it has 517 entries, this log 300" in error.detail) == (
        "fsck_against",
        True,
    )
    with pytest.raises(VerificationError, match=r"checkpoint: 517 entries.*rolled back"):
        folder.check(exported, log.vkeys())


@pytest.mark.django_db
def test_a_second_history_under_the_same_keys_is_found_by_a_checkpoint_that_somebody_kept(
    log, exported, settings, tmp_path
):
    """Restored, then gone on with other events and signed with the real keys."""
    kept, mirror = export.exported_note(exported), tmp_path / "mirror"
    shutil.copytree(exported, mirror)
    roll_back(300)
    settings.LOG_EXPORT_DIR = tmp_path / "fresh"
    fill(250, mark="another")
    sequencer.sequence_once(log)
    assert check(log) == 550
    error = found(log, against={"kept": kept})
    assert (error.code, "kept: at 517 entries it has another root" in error.detail) == (
        "fsck_against",
        True,
    )
    with pytest.raises(VerificationError, match=r"checkpoint: another root at 517.*forked"):
        folder.check(mirror, log.vkeys())


@pytest.mark.django_db
def test_a_rewritten_log_signed_anew_is_found_by_a_checkpoint_that_somebody_kept(log, exported):
    """Even the holder of the keys cannot take back what another holds."""
    kept = export.exported_note(exported)
    rewrite(17)
    sign_again(log)
    superuser("DELETE FROM log_timestamp")
    assert check(log) == SIZES[-1]
    assert found(log, against={"kept": kept}).code == "fsck_against"


def sign_again(signers: LogSigners) -> None:
    nodes = tiles.TileNodes(lambda level, n: bytes(models.Tile.objects.get(level=level, n=n).data))
    for row in models.Checkpoint.objects.all():
        root = merkle.root_from_nodes(row.size, nodes)
        note = signers.sign(row.size, root, at=int(row.at.timestamp()))
        superuser(
            "UPDATE log_checkpoint SET root = %s, note = %s WHERE size = %s", root, note, row.size
        )


@pytest.mark.django_db
def test_checkpoints_of_this_log_agree_whatever_their_size(log):
    notes = {str(row.size): row.note for row in models.Checkpoint.objects.all()}
    assert check(log, against=notes) == SIZES[-1]
    spoilt = notes["300"].replace("\n300\n", "\n301\n")
    error = found(log, against={"a.txt": spoilt})
    assert (error.code, error.detail.startswith("a.txt: bad_signature")) == ("fsck_against", True)


@pytest.mark.django_db
def test_a_time_stamp_that_leads_to_no_known_root_is_told(log):
    with pytest.raises(VerificationError, match="time stamp 300/tsa") as caught:
        fsck.check(log.vkeys(), tsa_roots=[Tsa().root])
    assert caught.value.code == "fsck_timestamp"
    superuser("DELETE FROM log_checkpoint")
    superuser("DELETE FROM log_entry")
    superuser("DELETE FROM log_tile")
    superuser("DELETE FROM log_subject")
    assert "there is no such checkpoint" in found(log).detail


# --- an exported folder ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_honest_export_is_the_same_as_the_tables(log, exported):
    assert folder.check(exported, log.vkeys()) == SIZES[-1]


@pytest.mark.django_db
def test_every_file_of_an_export_is_held(log, exported):
    names = sorted(p.relative_to(exported).as_posix() for p in exported.rglob("*") if p.is_file())
    # The partial tiles of earlier sizes may go, but not change.
    spans = {tiles.tile_path(*span) for span in tiles.spans(SIZES[-1])}
    needed = {"checkpoint", *spans, *(name.replace("/0/", "/entries/") for name in spans)}
    assert len(names) > len(needed & set(names)) > 5
    for name in names:
        honest = (exported / name).read_bytes()
        flipped = bytes([honest[0] ^ 1]) + honest[1:]
        for spoilt in (flipped, honest[:-1], honest + b"\0"):
            (exported / name).write_bytes(spoilt)
            assert name in wrong_file(exported, log)
        (exported / name).unlink()
        if name in needed:
            assert name in wrong_file(exported, log)
        (exported / name).write_bytes(honest)
    assert folder.check(exported, log.vkeys()) == SIZES[-1]


def wrong_file(exported: Path, signers: LogSigners) -> str:
    with pytest.raises(VerificationError) as caught:
        folder.check(exported, signers.vkeys())
    assert caught.value.code == "fsck_export"
    return caught.value.detail


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["tile/0/003", "tile/0/002.p/6", "tile/2/000.p/1", "tile/0/x"])
def test_a_file_that_the_log_does_not_have_is_found(log, exported, name):
    (exported / name).parent.mkdir(parents=True, exist_ok=True)
    (exported / name).write_bytes(b"\0" * 32)
    with pytest.raises(VerificationError, match=name):
        folder.check(exported, log.vkeys())


@pytest.mark.django_db
def test_a_link_in_an_export_is_not_followed(log, exported):
    path = exported / "tile/0/000"
    path.rename(exported.parent / "elsewhere")
    path.symlink_to(exported.parent / "elsewhere")
    with pytest.raises(VerificationError, match="tile/0/000"):
        folder.check(exported, log.vkeys())


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _tsa_roots(settings: Any, tmp_path: Path) -> None:
    settings.LOG_TSA_ROOTS = tmp_path / "tsa.pem"
    settings.LOG_TSA_ROOTS.write_bytes(TSA.root.public_bytes(Encoding.PEM))


def command(*words: str) -> str:
    out = StringIO()
    call_command("fsck", *words, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_takes_what_an_auditor_brings_along(log, exported, tmp_path):
    (tmp_path / "kept").write_text(models.Checkpoint.objects.get(size=300).note)
    said = command("--log-only", "--against", str(tmp_path / "kept"), "--export", str(exported))
    assert said.splitlines()[-1] == "VERIFIED 517 entries"
    assert f"517 entries in {exported} are the same" in said
    roll_back(10)
    with pytest.raises(CommandError, match="kept: it has 300 entries, this log 10"):
        command("--log-only", "--against", str(tmp_path / "kept"))


@pytest.mark.django_db
def test_a_checkpoint_that_stays_unsigned_is_told(log, monkeypatch):
    monkeypatch.setattr("audit.management.commands.fsck.SIGNED_WITHIN_S", 0.0)
    superuser("UPDATE log_checkpoint SET note = '' WHERE size = 517")
    assert check(log) == 517
    with pytest.raises(CommandError, match="checkpoint 517: not signed"):
        command("--log-only")


@pytest.mark.django_db
@pytest.mark.parametrize("option", ["--against", "--vkeys"])
def test_a_file_that_cannot_be_read_is_a_sentence(log, option, tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        command("--log-only", option, str(tmp_path / "absent"))


@pytest.mark.django_db
def test_an_entry_that_does_not_say_what_its_type_says_is_named(log):
    """This log was filled by hand: its approvals name no key."""
    with pytest.raises(CommandError, match=r"fsck_entry: approval.signed, entry 0"):
        command()


def test_a_check_beside_a_running_sequencer_sees_one_moment(transactional_db, signers):
    """What is written between two queries of the check would otherwise look like a fault."""
    fill(5)
    sequencer.sequence_once(signers)
    with replay.snapshot():
        assert models.Entry.objects.count() == 5
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute("SET session_replication_role = replica")
                cursor.execute("DELETE FROM log_entry WHERE index = 4")
            assert fsck.check(signers.vkeys()) == 5
        finally:
            other.close()
    assert found(signers).code == "fsck_tile"
    superuser_cleanup()


def superuser_cleanup() -> None:
    with connection.cursor() as cursor:
        cursor.execute((Path(__file__).parents[1] / "lift_truncate_guard.sql").read_text())


def test_the_seconds_of_a_checkpoint_are_whole(db, signers):
    fill(1)
    sequencer.sequence_once(signers)
    at = models.Checkpoint.objects.get().at
    assert at.microsecond == 0
    assert at <= datetime.now(UTC)
