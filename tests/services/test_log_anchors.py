"""Witnesses and time stamps on PostgreSQL: asked, verified, kept, and seen when they are silent."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.db import transaction

from registry.log import anchors, export, models, selectors, sequencer, timestamps, witnesses
from registry.log.append import append
from registry.log.core import merkle, timestamp, tlog_proof, witness
from registry.log.core.checkpoint import LogSigners, verify_checkpoint
from registry.log.core.errors import VerificationError
from registry.log.witness.server import Server
from registry.log.witness.state import Witness, create
from tests.tsa import Tsa

NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)


@pytest.fixture
def signers(settings, tmp_path) -> LogSigners:
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    return sequencer.load_signers()


@pytest.fixture(autouse=True)
def _patient(monkeypatch) -> None:
    """No pause after a silent witness, and none left by an earlier test."""
    monkeypatch.setattr(witnesses, "LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(witnesses, "_pauses", {})


class Running:
    """A real witness on a real port; `stop` and `start` as an operator would."""

    def __init__(self, folder: Path, name: str, signers: LogSigners) -> None:
        create(folder, name, signers.vkeys())
        self.folder, self.port = folder, 0
        self.start()
        self.vkeys = self.server.witness.vkeys()

    def start(self) -> None:
        self.server = Server(("127.0.0.1", self.port), Witness(self.folder))
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.server.witness.close()

    @property
    def line(self) -> str:
        return f"witness http://127.0.0.1:{self.port} {' '.join(self.vkeys)}\n"


@pytest.fixture
def two(signers, settings, tmp_path) -> Iterator[list[Running]]:
    """Two witnesses, of whom one must cosign."""
    made = [Running(tmp_path / name, f"{name}.example", signers) for name in ("w1", "w2")]
    policy(settings, tmp_path, 1, made)
    yield made
    for one in made:
        if one.thread.is_alive():
            one.stop()


def policy(settings, tmp_path, quorum: int, made: list[Running]) -> None:
    path = tmp_path / f"witnesses.{quorum}"
    path.write_text(f"# who vouches\nquorum {quorum}\n" + "".join(one.line for one in made))
    settings.LOG_WITNESSES = path


def sequence(signers: LogSigners, count: int) -> None:
    with transaction.atomic():
        for n in range(count):
            append("approval.signed", {"n": n})
    assert sequencer.sequence_once(signers) == count


def pins(signers: LogSigners, made: list[Running]) -> tuple[str, ...]:
    return (*signers.vkeys(), *(key for one in made for key in one.vkeys))


def newest() -> models.Checkpoint:
    found = selectors.latest_checkpoint()
    assert found is not None
    return found


@pytest.mark.django_db
def test_every_checkpoint_is_cosigned_before_it_is_published(signers, two, settings):
    for count in (3, 1, 300):
        sequence(signers, count)
        note = export.exported_note(settings.LOG_EXPORT_DIR)
        head = verify_checkpoint(note, pins(signers, two), witnesses=2)
        assert head.size == newest().size
    proof = selectors.tlog_proof(2)
    leaf = bytes(models.Entry.objects.get(index=2).payload)
    assert tlog_proof.verify(proof, leaf, pins(signers, two), witnesses=2)[0] == 2
    assert [(row.name, row.size, row.failure) for row in anchors.states()] == [
        ("w1.example", 304, ""),
        ("w2.example", 304, ""),
    ]


@pytest.mark.django_db
def test_a_silent_witness_is_seen_and_the_other_is_enough(signers, two):
    sequence(signers, 3)
    two[0].stop()
    sequence(signers, 3)
    assert verify_checkpoint(newest().note, pins(signers, two), witnesses=1).size == 6
    with pytest.raises(VerificationError, match="1 of 2"):
        verify_checkpoint(newest().note, pins(signers, two), witnesses=2)
    silent = models.Anchor.objects.get(name="w1.example")
    assert silent.size == 3
    assert "ConnectError" in silent.failure
    assert silent.failed_at is not None
    two[0].start()
    sequence(signers, 3)
    assert models.Anchor.objects.get(name="w1.example").failure == ""
    assert verify_checkpoint(newest().note, pins(signers, two), witnesses=2).size == 9


@pytest.mark.django_db
def test_without_a_quorum_nothing_newer_is_published_until_it_is_back(
    signers, two, settings, tmp_path, caplog
):
    policy(settings, tmp_path, 2, two)
    sequence(signers, 3)
    two[1].stop()
    sequence(signers, 3)
    sequence(signers, 3)
    assert newest().size == 3
    assert (
        verify_checkpoint(
            export.exported_note(settings.LOG_EXPORT_DIR), pins(signers, two), witnesses=2
        ).size
        == 3
    )
    assert "1 of 2 cosignatures" in caplog.text
    two[1].start()
    assert sequencer.sequence_once(signers) == 0
    assert verify_checkpoint(newest().note, pins(signers, two), witnesses=2).size == 9
    assert not models.Checkpoint.objects.filter(note="").exists()


@pytest.mark.django_db
def test_a_silent_witness_is_asked_again_later_not_at_every_pass(signers, two, monkeypatch):
    monkeypatch.setattr(witnesses, "LONGEST_PAUSE_SECONDS", 60.0)
    sequence(signers, 1)
    two[0].stop()
    sequence(signers, 1)
    failed = models.Anchor.objects.get(name="w1.example").failed_at
    two[0].start()
    sequence(signers, 1)
    assert models.Anchor.objects.get(name="w1.example").failed_at == failed
    assert models.Anchor.objects.get(name="w1.example").size == 1


@pytest.mark.django_db
def test_a_witness_that_was_cosigned_before_we_crashed_cosigns_again(signers, two, monkeypatch):
    class Crash(BaseException):
        pass

    def crash(*_arguments):
        raise Crash

    sequence(signers, 3)
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "_keep", crash)
        with pytest.raises(Crash):
            sequence(signers, 3)
    assert newest().size == 3
    sequencer.sequence_once(signers)
    assert verify_checkpoint(newest().note, pins(signers, two), witnesses=2).size == 6


@pytest.mark.django_db
def test_what_we_forgot_about_a_witness_it_tells_us(signers, two):
    sequence(signers, 3)
    models.Anchor.objects.all().delete()
    sequence(signers, 3)
    assert verify_checkpoint(newest().note, pins(signers, two), witnesses=2).size == 6


def restored(signers: LogSigners, lost: int, again: int) -> None:
    """Three entries, a backup, `lost` more under witnesses, the backup, `again` other ones."""
    sequence(signers, 3)
    backup = transaction.savepoint()
    sequence(signers, lost)
    transaction.savepoint_rollback(backup)
    with transaction.atomic():
        for n in range(again):
            append("approval.refused", {"n": n})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("lost", "again", "code"),
    [(5, 2, "log_rolled_back"), (5, 5, "log_forked"), (5, 9, "log_forked")],
)
def test_a_restored_backup_is_found_by_a_witness_alone(signers, two, settings, lost, again, code):
    """No exported checkpoint is left to tell."""
    settings.LOG_EXPORT_DIR = None
    restored(signers, lost, again)
    with pytest.raises(VerificationError, match="log_new_origin") as caught:
        sequencer.sequence_once(signers)
    assert caught.value.code == code
    assert newest().size == 3


@pytest.mark.django_db
def test_a_restored_backup_does_not_even_start(signers, two, settings):
    settings.LOG_EXPORT_DIR = None
    restored(signers, 5, 1)
    with pytest.raises(VerificationError, match=r"w1.example cosigned 8 entries"):
        sequencer.run(signers, threading.Event())
    assert models.Outbox.objects.count() == 1


@pytest.mark.django_db
def test_a_start_beside_witnesses_that_know_no_more_goes_on(signers, two):
    sequence(signers, 3)
    stop = threading.Event()
    stop.set()
    sequencer.run(signers, stop)
    two[0].stop()
    sequencer.run(signers, stop)


class Lying(BaseHTTPRequestHandler):
    """A witness that answers whatever the test says."""

    answer: tuple[int, str, str] = (200, "text/plain", "")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, kind, text = self.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments) -> None:
        """Say nothing."""


@pytest.fixture
def lying(signers, settings, tmp_path) -> Iterator[type[Lying]]:
    """One witness address, which answers lies; the pinned keys are those of an honest one."""
    honest = Running(tmp_path / "w", "w.example", signers)
    honest.stop()
    handler = type("Handler", (Lying,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    honest.port = server.server_address[1]
    policy(settings, tmp_path, 1, [honest])
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/plain", ""),
        (200, "text/plain", "yes\n"),
        (200, "text/plain", "— w.example AAAAAAAAAAAAAAAA\n"),
        (500, "text/plain", "broken"),
        (404, "text/plain", "who are you"),
        (409, "text/x.tlog.size", "many\n"),
        (409, "text/plain", "3\n"),
        (302, "text/plain", ""),
    ],
)
def test_an_answer_that_does_not_verify_counts_for_nothing_and_is_seen(signers, lying, answer):
    lying.answer = answer
    sequence(signers, 3)
    assert selectors.latest_checkpoint() is None
    (state,) = anchors.states()
    assert state.failure
    assert state.size == 0


@pytest.mark.django_db
def test_a_cosignature_of_another_checkpoint_counts_for_nothing(signers, lying, tmp_path):
    keeper = Witness(tmp_path / "w")
    empty = witness.format_submission(0, [], signers.sign(0, merkle.EMPTY_ROOT, at=1))
    lying.answer = (200, "text/plain", str(keeper.add_checkpoint(empty, at=1)))
    keeper.close()
    sequence(signers, 3)
    assert selectors.latest_checkpoint() is None
    assert "does not verify" in anchors.states()[0].failure


@pytest.mark.parametrize(
    "text",
    ["", "quorum 1\n", "quorum x\n", "quorum 0\nquorum 0\n", "witness http://w\nquorum 0\n",
     "quorum 0\nwitness ftp://w KEY\n", "quorum 0\nwitness http://w KEY\nwitness http://v KEY\n",
     "quorum 2\nwitness http://w KEY\n", "quorum 0\nwitness http://w LOG\n",
     "quorum 0\nwitness http://w KEY OTHER\n"],
)  # fmt: skip
def test_a_policy_that_cannot_be_meant_is_refused(signers, tmp_path, text):
    create(tmp_path / "w", "w.example", signers.vkeys())
    create(tmp_path / "v", "v.example", signers.vkeys())
    key, other = (Witness(tmp_path / name) for name in ("w", "v"))
    for name, value in (("KEY", key.vkeys()[0]), ("OTHER", other.vkeys()[0])):
        text = text.replace(name, value)
    key.close()
    other.close()
    with pytest.raises(witnesses.PolicyError):
        witnesses.parse_policy(text.replace("LOG", signers.vkeys()[0]))


# --- time stamps --------------------------------------------------------------------------------


@pytest.fixture
def tsa(settings, tmp_path) -> Iterator[Tsa]:
    """An authority on a real port; its `answer` can be replaced."""
    made = Tsa()
    made.answer = lambda query: made.respond(query, at=NOW)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == timestamp.QUERY_TYPE
            data = made.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", timestamp.REPLY_TYPE)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "roots.pem").write_bytes(made.root_pem())
    settings.LOG_TSA_URL = f"http://127.0.0.1:{server.server_address[1]}/tsa"
    settings.LOG_TSA_ROOTS = tmp_path / "roots.pem"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.django_db
def test_the_newest_checkpoint_is_stamped_once_a_day_and_checked_offline(signers, tsa, settings):
    assert timestamps.stamp(at=NOW) is None  # nothing is signed yet
    sequence(signers, 3)
    row = timestamps.stamp(at=NOW)
    assert row is not None
    assert (row.size, row.authority) == (3, "127.0.0.1")
    sequence(signers, 3)
    assert timestamps.stamp(at=NOW + timedelta(hours=23)) is None
    later = timestamps.stamp(at=NOW + timedelta(hours=25))
    assert later is not None
    assert later.size == 6
    assert timestamps.stamp(at=NOW + timedelta(days=9)) is None  # nothing new was signed
    settings.LOG_TSA_URL = ""
    assert timestamps.check(row) == timestamps.check(later) == NOW


@pytest.mark.django_db
def test_a_stamp_of_another_note_or_authority_does_not_verify(signers, tsa):
    sequence(signers, 3)
    row = timestamps.stamp(at=NOW)
    assert row is not None
    response, note = bytes(row.response), newest().note
    assert timestamp.verify(response, note, [tsa.root]) == NOW
    for changed, roots in ((note + "x", [tsa.root]), (note, [Tsa().root]), (note, [])):
        with pytest.raises(VerificationError) as caught:
            timestamp.verify(response, changed, roots)
        assert caught.value.code == "bad_timestamp"


@pytest.mark.django_db
@pytest.mark.parametrize("lie", ["refused", "replayed", "garbage", "other note", "too long"])
def test_a_stamp_that_does_not_verify_is_not_kept_and_is_seen(signers, tsa, lie):
    sequence(signers, 3)
    replayed = tsa.respond(timestamp.request(newest().note).as_bytes(), at=NOW)
    lies = {
        "refused": lambda query: tsa.respond(query, at=NOW, granted=False),
        "replayed": lambda _query: replayed,
        "garbage": lambda _query: b"garbage",
        "other note": lambda _query: tsa.respond(timestamp.request("x").as_bytes(), at=NOW),
        "too long": lambda _query: bytes(1 << 18),
    }
    tsa.answer = lies[lie]
    assert timestamps.stamp(at=NOW) is None
    assert not models.Timestamp.objects.exists()
    (state,) = anchors.states()
    assert (state.kind, state.name) == ("tsa", "127.0.0.1")
    assert "bad_timestamp" in state.failure
    tsa.answer = lambda query: tsa.respond(query, at=NOW)
    assert timestamps.stamp(at=NOW) is not None
    assert anchors.states()[0].failure == ""


@pytest.mark.django_db
def test_an_unreachable_authority_is_seen(signers, tsa, settings):
    sequence(signers, 3)
    settings.LOG_TSA_URL = "http://127.0.0.1:1/tsa"
    assert timestamps.stamp(at=NOW) is None
    assert "ConnectError" in anchors.states()[0].failure


@pytest.mark.django_db
def test_an_authority_without_roots_is_a_wrong_setting(signers, tsa, settings):
    sequence(signers, 3)
    settings.LOG_TSA_ROOTS = None
    with pytest.raises(timestamps.TsaError, match="KYODAKU_LOG_TSA_ROOTS"):
        timestamps.stamp(at=NOW)


def test_a_trust_root_carries_the_witness_policy():
    from registry.core.trust import TrustRoot  # noqa: PLC0415
    from tests.core.token_world import TRUST  # noqa: PLC0415

    pinned = replace(TRUST, witness_vkeys=("w.example+x",), witness_quorum=1)
    assert TrustRoot.from_bytes(pinned.to_bytes()) == pinned
    assert pinned.checkpoint_vkeys == (*TRUST.log_vkeys, "w.example+x")
