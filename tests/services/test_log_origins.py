"""Lost history: refused under the old name, continued under a new one. And who may do what."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from psycopg import sql

from registry.local.postgres import Server
from registry.log import anchors, export, fsck, models, origins, roles, selectors, sequencer
from registry.log.append import append
from registry.log.core import canonical, tlog_proof
from registry.log.core.checkpoint import LogSigners, verify_checkpoint
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer

ROOT = Path(__file__).resolve().parents[2]


def signers_of(seed: int, origin: str) -> LogSigners:
    raw = bytes([seed]) * 32
    return LogSigners(origin, Ed25519Signer.from_seed(raw), Mldsa44Signer.from_seed(raw))


OLD, NEW = signers_of(1, "kyodaku.example/log"), signers_of(2, "kyodaku.example/log2")


def sequence(signers: LogSigners, count: int) -> None:
    with transaction.atomic():
        for n in range(count):
            append("approval.signed", {"n": n})
    assert sequencer.sequence_once(signers) == count


@pytest.fixture
def lost(db, settings, tmp_path) -> tuple[str, str]:
    """Three entries are left of eight; the last note, and a receipt made before the loss."""
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    sequence(OLD, 3)
    receipt = selectors.tlog_proof(1)
    backup = transaction.savepoint()
    sequence(OLD, 5)
    note = export.exported_note(settings.LOG_EXPORT_DIR)
    transaction.savepoint_rollback(backup)
    return note, receipt


def test_the_old_name_is_finished_and_the_error_says_what_to_do(lost):
    with transaction.atomic():
        append("approval.signed", {})
    with pytest.raises(VerificationError, match="log_new_origin") as caught:
        sequencer.sequence_once(OLD)
    assert caught.value.code == "log_rolled_back"


def test_a_new_origin_goes_on_and_says_what_was_lost(lost, settings, tmp_path):
    note, receipt = lost
    with transaction.atomic():
        append("approval.signed", {"waits": True})
    event_id = origins.open_new(NEW, note, OLD.vkeys())
    origins.require_opened(NEW)
    assert sequencer.sequence_once(NEW) == 2
    opened = models.Entry.objects.get(index=3)
    assert opened.event_id == event_id
    data = canonical.loads(bytes(opened.payload))["data"]
    assert (data["kept"], data["previous_size"], data["previous_checkpoint"]) == (3, 8, note)
    assert fsck.check(NEW.vkeys()) == 5
    head = verify_checkpoint(export.exported_note(settings.LOG_EXPORT_DIR), NEW.vkeys())
    assert (head.origin, head.size) == (NEW.origin, 5)
    # what was proved under the old name stays proved, and its last word stays as evidence
    leaf = bytes(models.Entry.objects.get(index=1).payload)
    assert tlog_proof.verify(receipt, leaf, OLD.vkeys())[0] == 1
    assert (tmp_path / "export.until-8" / "checkpoint").read_text() == note
    sequence(NEW, 4)
    origins.require_opened(NEW)
    with pytest.raises(VerificationError):
        fsck.check(OLD.vkeys())


def test_a_new_origin_needs_another_name_and_other_keys(lost):
    note, _receipt = lost
    same_name = LogSigners(OLD.origin, NEW.ed25519, NEW.mldsa44)
    for bad in (OLD, same_name, LogSigners(NEW.origin, OLD.ed25519, NEW.mldsa44)):
        with pytest.raises(origins.OriginError, match="are finished"):
            origins.open_new(bad, note, OLD.vkeys())
    with pytest.raises(VerificationError):
        origins.open_new(NEW, note, NEW.vkeys())
    assert not models.Outbox.objects.exists()


@pytest.mark.django_db
def test_where_nothing_was_lost_no_new_origin_is_opened(settings, tmp_path):
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    sequence(OLD, 3)
    note = export.exported_note(settings.LOG_EXPORT_DIR)
    sequence(OLD, 3)
    with pytest.raises(origins.OriginError, match="nothing is lost"):
        origins.open_new(NEW, note, OLD.vkeys())


@pytest.mark.django_db
def test_a_log_is_not_signed_under_a_name_that_was_only_set(settings):
    settings.LOG_EXPORT_DIR = None
    origins.require_opened(NEW)  # an empty log has no name yet
    sequence(OLD, 3)
    origins.require_opened(OLD)
    with pytest.raises(VerificationError, match="KYODAKU_LOG_ORIGIN") as caught:
        sequencer._check_start(NEW)
    assert caught.value.code == "wrong_origin"


def test_the_commands_say_what_comes_next(lost, tmp_path, monkeypatch):
    note, _receipt = lost
    (tmp_path / "note").write_text(note)
    (tmp_path / "pins").write_text("\n".join(OLD.vkeys()))
    words = ["--known", str(tmp_path / "note"), "--known-vkeys", str(tmp_path / "pins")]
    monkeypatch.setattr(sequencer, "load_signers", lambda: OLD)
    with pytest.raises(CommandError, match="create_keys"):
        call_command("log_new_origin", *words)
    monkeypatch.setattr(sequencer, "load_signers", lambda: NEW)
    out = StringIO()
    call_command("log_new_origin", *words, stdout=out)
    assert f"opens {NEW.origin}" in out.getvalue()
    anchors.failed("w.example", "witness", "no answer")
    out = StringIO()
    call_command("log_status", stdout=out)
    assert "waiting in the outbox: 1" in out.getvalue()
    assert "witness w.example" in out.getvalue()
    assert "no answer" in out.getvalue()


# --- a real backup ------------------------------------------------------------------------------

STEP = """
import django; django.setup()
from django.db import transaction
from registry.log import sequencer
from registry.log.append import append
with transaction.atomic():
    for n in range(5): append("a.b", {"n": n})
print(sequencer.sequence_once(sequencer.load_signers()))
"""


def test_after_a_real_backup_is_restored_the_sequencer_does_not_start(tmp_path):
    """The whole data folder is copied, history goes on, and the copy is put back."""
    home = tmp_path / "home"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "registry.settings",
        "KYODAKU_HOME": str(home),
        "KYODAKU_DOTENV": "none",
        "KYODAKU_MODE": "test",
        "PYTHONPATH": str(ROOT),
    }
    keys = home / "keys"
    keys.mkdir(mode=0o700, parents=True)
    for name in ("checkpoint.ed25519", "checkpoint.mldsa44", "django-secret"):
        (keys / name).write_bytes(b"7a" * (32 if "django" in name else 16))
        (keys / name).chmod(0o600)

    def run(server: Server, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            env={**environment, "DATABASE_URL": server.url},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    place = tmp_path / "pg"
    with Server(place, durable=False) as server:
        assert run(server, "manage.py", "migrate", "log", "--verbosity=0").returncode == 0
        assert run(server, "-c", STEP).stdout.strip() == "5"
        data = server.data
    backup = data.with_name("backup")
    subprocess.run(["cp", "-a", data, backup], check=True)
    with Server(place, durable=False) as server:
        assert run(server, "-c", STEP).stdout.strip() == "5"
    shutil.rmtree(data)
    backup.rename(data)
    with Server(place, durable=False) as server:
        refused = run(server, "manage.py", "sequencer")
    assert refused.returncode == 1
    assert "has 10 entries, this database 5" in refused.stderr
    assert "log_new_origin" in refused.stderr


# --- roles --------------------------------------------------------------------------------------


@pytest.fixture
def bound(db, settings) -> Iterator[None]:
    """Two ordinary roles with their rights, beside three entries and one that waits."""
    settings.LOG_EXPORT_DIR = None
    sequence(OLD, 3)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE test_app LOGIN")
        cursor.execute("CREATE ROLE test_sequencer LOGIN")
    call_command(
        "log_roles", "--application=test_app", "--sequencer=test_sequencer", stdout=StringIO()
    )
    with transaction.atomic():
        append("approval.signed", {})
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


def as_role(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))


def refused(statement: str) -> bool:
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(statement)
        except Exception as error:
            cause = error.__cause__
            if isinstance(cause, psycopg.errors.InsufficientPrivilege):
                return True
            raise
    return False


TABLES = sorted(roles.RIGHTS)


@pytest.mark.parametrize("role", ["test_app", "test_sequencer"])
@pytest.mark.parametrize("table", TABLES)
def test_no_role_that_logs_in_can_rewrite_the_log(bound, role, table):
    as_role(role)
    column = {"log_tile": "level", "log_checkpoint": "root", "log_anchor": "name"}.get(table)
    if column is None:
        column = {"log_subject": "word", "log_timestamp": "response"}.get(table, "payload")
    assert refused(f"TRUNCATE {table}")
    assert refused(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    assert refused(f"DROP TABLE {table}")
    if table != "log_anchor":  # a state, not a record
        assert refused(f"UPDATE {table} SET {column} = {column}")  # noqa: S608
    if (role, table) != ("test_sequencer", "log_outbox"):
        assert refused(f"DELETE FROM {table}")  # noqa: S608
    assert refused("SET session_replication_role = replica")


def test_the_application_can_append_and_nothing_else(bound):
    as_role("test_app")
    with transaction.atomic():
        append("approval.signed", {"n": 9})
    assert models.Outbox.objects.count() == 2
    assert selectors.entries_about("grt_" + "0" * 20).count() == 0
    assert refused(
        "INSERT INTO log_entry (index, event_id, event_type, leaf_hash, payload, at)"
        " VALUES (9, 'e', 't', '', '', now())"
    )
    assert refused("INSERT INTO log_checkpoint (size, root, note, at) VALUES (9, '', '', now())")


def test_the_sequencer_can_do_all_of_its_work_and_sees_no_person(bound):
    as_role("test_sequencer")
    assert sequencer.sequence_once(OLD) == 1
    assert fsck.check(OLD.vkeys()) == 4
    assert refused("SELECT * FROM registry_person")
    assert refused(
        "INSERT INTO log_outbox (id, payload, created) VALUES (gen_random_uuid(), '', now())"
    )


def test_the_owner_of_the_tables_cannot_log_in(bound):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, r.rolname, r.rolcanlogin FROM pg_class c JOIN pg_roles r"
            " ON r.oid = c.relowner WHERE c.relname LIKE 'log\\_%%' AND c.relkind = 'r'"
        )
        found = cursor.fetchall()
    assert {row[0] for row in found} == set(TABLES)
    assert {row[1:] for row in found} == {(roles.OWNER, False)}


@pytest.mark.django_db
def test_roles_that_bind_nobody_are_refused():
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE test_app LOGIN")
        cursor.execute("SELECT current_user")
        superuser = cursor.fetchone()[0]
    for names, why in (
        (("test_app", "test_app"), "two roles"),
        (("test_app", "nobody_at_all"), "no role"),
        (("test_app", superuser), "superuser"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("log_roles", f"--application={names[0]}", f"--sequencer={names[1]}")
