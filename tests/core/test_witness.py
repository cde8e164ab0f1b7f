"""The witness protocol: every answer that C2SP tlog-witness demands, and no other."""

import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from registry.log.core import merkle, witness
from registry.log.core.checkpoint import LogSigners, verify_checkpoint
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer
from registry.log.witness.__main__ import main
from registry.log.witness.server import Server
from registry.log.witness.state import Witness, WitnessError, create

NAME = "witness.example/w1"


def signers(seed: int, origin: str = "log.example/a") -> LogSigners:
    raw = bytes([seed]) * 32
    return LogSigners(origin, Ed25519Signer.from_seed(raw), Mldsa44Signer.from_seed(raw))


LOG = signers(1)
TREE = merkle.MerkleTree(merkle.leaf_hash(b"entry %d" % n) for n in range(40))
OTHER = merkle.MerkleTree(merkle.leaf_hash(b"other %d" % n) for n in range(40))


def body(old: int, size: int, tree=TREE, log=LOG, proof=None) -> str:
    if proof is None:
        proof = tree.consistency_proof(old, size) if 0 < old <= size else []
    return witness.format_submission(old, proof, log.sign(size, tree.root(size), at=1))


@pytest.fixture
def folder(tmp_path) -> Path:
    create(tmp_path / "w", NAME, LOG.vkeys())
    return Path(tmp_path / "w")


@pytest.fixture
def serving(folder):
    found = Witness(folder)
    yield found
    found.close()


def ask(serving, *arguments, **options):
    return serving.add_checkpoint(body(*arguments, **options), at=1_800_000_000)


def status(answer) -> int:
    return answer.status if isinstance(answer, witness.Denial) else 200


def test_what_continues_the_log_is_cosigned_by_both_keys(serving):
    for old, size in ((0, 5), (5, 5), (5, 8), (8, 33), (33, 40)):
        lines = ask(serving, old, size)
        note = LOG.sign(size, TREE.root(size), at=1) + lines
        pins = (*LOG.vkeys(), *serving.vkeys())
        assert verify_checkpoint(note, pins, witnesses=1).size == size
        for key in serving.vkeys():  # each of the two lines by itself
            assert verify_checkpoint(note, (*LOG.vkeys(), key), witnesses=1).size == size


def test_the_first_checkpoint_may_be_that_of_the_empty_log(serving):
    assert status(ask(serving, 0, 0)) == 200
    assert status(ask(serving, 0, 7)) == 200


@pytest.mark.parametrize(
    ("old", "size", "changes", "expected"),
    [
        (0, 9, {}, 409),
        (4, 9, {}, 409),
        (5, 9, {"tree": OTHER}, 422),
        (5, 9, {"proof": []}, 422),
        (5, 9, {"proof": TREE.consistency_proof(4, 9)}, 422),
        (5, 5, {"tree": OTHER, "proof": []}, 409),
        (5, 5, {"proof": [bytes(32)]}, 422),
        (9, 5, {"proof": []}, 400),
        (5, 3, {"proof": []}, 400),
        (3, 3, {}, 409),
        (5, 9, {"log": signers(2)}, 403),
        (5, 9, {"log": signers(1, "log.example/b")}, 404),
    ],
)
def test_everything_else_is_denied_and_changes_nothing(serving, old, size, changes, expected):
    assert status(ask(serving, 0, 5)) == 200
    answer = ask(serving, old, size, **changes)
    assert status(answer) == expected
    if expected == 409:
        assert (answer.content_type, answer.body) == ("text/x.tlog.size", "5\n")
    assert status(ask(serving, 5, 9)) == 200


def test_a_first_submission_with_a_proof_is_denied(serving):
    assert status(ask(serving, 0, 5, proof=[bytes(32)])) == 422


@pytest.mark.parametrize("tree", [TREE, OTHER])
def test_a_rollback_is_denied_whatever_the_old_size_says(serving, tree):
    assert status(ask(serving, 0, 20)) == 200
    for old in (0, 10, 19):
        assert status(ask(serving, old, 19, tree=tree)) == 409


def test_a_log_that_lacks_one_of_its_two_signatures_is_denied(serving):
    text = body(0, 5)
    head, _blank, note = text.partition("\n\n")
    lines = note.splitlines(keepends=True)
    for lacking in (lines[:-1], [*lines[:-2], lines[-1]]):
        answer = serving.add_checkpoint(f"{head}\n\n{''.join(lacking)}", at=1)
        assert status(answer) == 403


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old 0\n",
        "old 00\n\nx",
        "old -1\n\nx",
        "old 9223372036854775808\n\nx",
        "old 0\nAAAA\n\nx",
        "old 0\n" + "A" * 43 + "=\n" * 1 + "\n",
        "new 0\n\n" + LOG.sign(5, TREE.root(5), at=1),
        "old 0\n" + ("A" * 43 + "=\n") * 64 + "\n" + LOG.sign(5, TREE.root(5), at=1),
        "old 0\n\n" + "x" * witness.MAX_CHARACTERS,
    ],
)
def test_a_malformed_request_is_denied(serving, text):
    assert status(serving.add_checkpoint(text, at=1)) == 400


def test_a_submission_reads_back_as_it_was_written():
    read = witness.parse_submission(witness.format_submission(7, [bytes(32)], "note\n"))
    assert (read.old, read.proof, read.note) == (7, (bytes(32),), "note\n")


# --- its memory ---------------------------------------------------------------------------------


def test_what_was_cosigned_survives_a_restart(folder):
    first = Witness(folder)
    assert status(ask(first, 0, 20)) == 200
    first.close()
    second = Witness(folder)
    assert status(ask(second, 0, 10)) == 409
    assert status(ask(second, 20, 40)) == 200
    second.close()


def test_what_was_cosigned_is_on_disk_before_the_answer(folder, serving, monkeypatch):
    from registry.log.witness import state  # noqa: PLC0415

    def dies(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "cosign_ed25519", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(serving, 0, 20)
    serving.close()
    again = Witness(folder)
    assert status(ask(again, 0, 10)) == 409
    again.close()


@pytest.mark.parametrize("content", [None, "", "{}", '{"format": "other", "logs": {}}', "[]"])
def test_a_witness_that_lost_its_memory_never_signs_again(folder, content):
    path = folder / "cosigned.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(WitnessError, match="never sign again"):
        Witness(folder)


def test_one_process_runs_a_witness(folder, serving):
    with pytest.raises(WitnessError, match="another process"):
        Witness(folder)


def test_a_new_witness_takes_no_used_folder_and_needs_a_log(folder, tmp_path):
    with pytest.raises(WitnessError, match="not empty"):
        create(folder, NAME, LOG.vkeys())
    with pytest.raises(WitnessError, match="at least one log"):
        create(tmp_path / "none", NAME, [])
    with pytest.raises(VerificationError):
        create(tmp_path / "bad", NAME, ["log.example+00000000+AAAA"])


def test_two_requests_at_once_cosign_one_history(serving):
    """ "checking the old size ... and persisting the new checkpoint must be ... atomic"."""
    assert status(ask(serving, 0, 5)) == 200
    answers = []
    texts = [body(5, 9), body(5, 9, tree=OTHER, proof=[]), body(5, 30), body(5, 12)] * 4

    def one(text):
        answers.append(serving.add_checkpoint(text, at=1))

    threads = [threading.Thread(target=one, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(status(answer) == 200 for answer in answers) == 1


# --- as a program -------------------------------------------------------------------------------


@pytest.fixture
def url(serving):
    server = Server(("127.0.0.1", 0), serving)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def post(url: str, data: bytes, path: str = "/add-checkpoint"):
    try:
        with urllib.request.urlopen(url + path, data=data, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_protocol_over_http(url, serving):
    code, _type, lines = post(url, body(0, 5).encode())
    assert code == 200
    assert verify_checkpoint(
        LOG.sign(5, TREE.root(5), at=1) + lines, (*LOG.vkeys(), *serving.vkeys()), witnesses=1
    )
    assert post(url, body(0, 9).encode()) == (409, "text/x.tlog.size", "5\n")
    assert post(url, b"\xff")[0] == 400
    assert post(url, body(5, 9).encode(), "/other")[0] == 404


@pytest.mark.parametrize(("header", "code"), [("", 411), ("Content-Length: 9999999\r\n", 413)])
def test_a_request_of_no_length_or_too_long_is_refused(url, header, code):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n{header}\r\n".encode())
        assert f" {code} ".encode() in link.recv(200)


def test_the_program_makes_a_witness_and_says_what_to_pin(tmp_path, capsys):
    pins = tmp_path / "log.vkeys"
    pins.write_text("\n".join(LOG.vkeys()))
    folder = tmp_path / "w"
    assert main(["init", str(folder), "--name", NAME, "--log", str(pins)]) == 0
    printed = capsys.readouterr().out
    assert main(["vkeys", str(folder)]) == 0
    assert capsys.readouterr().out == printed
    assert [key.split("+")[0] for key in printed.split()] == [NAME, NAME]
    (folder / "cosigned.json").unlink()
    assert main(["serve", str(folder)]) == 1
    assert "never sign again" in capsys.readouterr().err


def test_the_witness_loads_no_django():
    code = "import sys, registry.log.witness.__main__; print('django' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
