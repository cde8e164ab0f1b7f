"""The gate under attack: field study 6.3, the cases of pictures, tokens, workers and messages.

Through the real services, the real worker agent and a trainer process of its own; the cases that
other floors hold as well (A05 to A07, A10) have their own tests in `test_token.py`.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone
from PIL import Image

from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log import sequencer
from registry.log.models import Entry
from registry.models import Grant, KeyShare, Person, Token
from registry.selectors import core_grant
from registry.services import answers, approvals, erasure, keyring, parties, tokens, vault
from tests.services.studio import Site, StandIn, Studio, photograph
from tests.web.pages import as_
from tests.world import World, human, log_types, sequence, state
from training import tasks
from training.models import Dataset, Delivery, Lora, Picture, TrainingJob
from training.services import answers as taking
from training.services import curation, datasets, gate, jobs, runs
from training.services.objects import object_read, object_store
from training.worker.client import Released, Unreachable

State = TrainingJob.State
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - looked at, never written to


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    settings.LEASE_SECONDS = 2
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


def stored(job: TrainingJob) -> TrainingJob:
    return TrainingJob.objects.get(pk=job.pk)


def withdraw(studio: Studio, grant: Grant) -> None:
    assert approvals.approval_withdraw(person=studio.world.alice.person, grant=grant) is None


def long_job(studio: Studio) -> TrainingJob:
    """A job that goes on until something stops it."""
    studio.request.delete()
    studio.steps = 4000
    studio.request = studio.new_request()
    return studio.queued()


def key_of(studio: Studio, dataset: Dataset) -> bytes:
    key = vault.dataset_key(request=studio.request, dataset_id=dataset.pk)
    assert isinstance(key, bytes), key
    return key


def files_of(studio: Studio) -> list[Path]:
    """Everything that the worker's machine still holds of any job."""
    work = studio.folder / "worker" / "jobs"
    return [path for path in work.rglob("*") if path.name != ".lock"]


# --- A03, A04: the pictures ---------------------------------------------------------------------


def test_a03_a_picture_swapped_after_approval_is_refused(studio: Studio) -> None:
    """A03: content-addressed store, Merkle root in the token, the worker recomputes: 1 byte."""
    job = studio.queued()
    row = job.dataset.pictures.order_by("pk")[0]
    key = key_of(studio, job.dataset)
    whole = datasets.opened(row.object_digest, key, context=job.dataset_id)
    assert isinstance(whole, bytes)
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    row.object_digest = object_store(vault_core.seal(changed, key, context=job.dataset_id).data)
    row.save()
    outcome = studio.run()
    assert (outcome.state, outcome.code) == ("refused", "dataset_mismatch")
    assert files_of(studio) == []


def test_a03_a_byte_changed_in_storage_is_refused(studio: Studio, settings: Any) -> None:
    """A03: the object under the approved name is another one."""
    job = studio.queued()
    row = job.dataset.pictures.order_by("pk")[0]
    path = next(Path(settings.STORAGE_DIR).rglob(f"{row.object_digest}*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    outcome = studio.run()
    assert (outcome.state, outcome.code) == ("refused", "dataset_mismatch")
    assert stored(job).state == State.REFUSED


def stored_anew(data: bytes, *, cut: int = 0, mirrored: bool = False, quality: int = 60) -> bytes:
    """The picture as somebody would disguise it."""
    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
    width, height = rgb.size
    rgb = rgb.crop((cut, cut, width - cut, height - cut)).resize((width, height))
    if mirrored:
        rgb = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def left_out(studio: Studio) -> tuple[Dataset, Picture]:
    """alice offers everything but one picture, charlie takes the offer."""
    grant = studio.sealed()
    picture = Picture.objects.get(pk=grant.pictures[2])
    offered = answers.answer_counter(
        person=studio.world.alice.person,
        grant=grant,
        by="talent",
        terms=core_grant(grant).terms,
        left_out=[picture.pk],
    )
    assert offered is None, offered
    lane = grant.lanes.get(by="talent")
    taking.counter_accept(lane=lane, by=studio.world.charlie.person, engine=StandIn())
    dataset = picture.dataset
    dataset.refresh_from_db()
    return dataset, picture


DISGUISES: dict[str, dict[str, Any]] = {
    "stored anew": {},
    "cut": {"cut": 8},
    "mirrored": {"mirrored": True},
    "cut and mirrored": {"cut": 8, "mirrored": True, "quality": 40},
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a04_a_refused_picture_does_not_come_back_in_disguise(
    studio: Studio, disguise: str
) -> None:
    """A04: a near-duplicate of a refused image goes to review, and not by whoever asks."""
    dataset, picture = left_out(studio)
    Dataset.objects.filter(pk=dataset.pk).update(state=Dataset.State.CURATED, sealed_at=None)
    again = datasets.picture_add(
        dataset=dataset, data=stored_anew(photograph(2), **DISGUISES[disguise])
    )
    assert isinstance(again, Picture), again
    assert again.pk != picture.pk
    studio.declare(dataset, again)
    report = curation.dataset_survey(dataset=dataset, engine=StandIn())
    assert not isinstance(report, Refusal)
    found = [item for item in report.findings if item.code == "refused_before"]
    place = list(dataset.pictures.filter(accepted=True)).index(again) + 1
    assert [item.pictures for item in found] == [(f"p{place:03d}",)]
    mine = curation.advice_accept(
        dataset=dataset,
        code="refused_before",
        reason="it is another one",
        by=studio.world.charlie.person,
        picture=f"p{place:03d}",
    )
    assert mine == Refusal("self_approval", "refused_before")
    for finding in report.findings:
        if finding.kind == "soft":
            studio.accept(dataset, finding.code)
    refused = curation.dataset_seal(dataset=dataset)
    assert isinstance(refused, list)
    assert [item.code for item in refused] == ["curation_blocked:refused_before"]
    told = curation.advice_accept(
        dataset=dataset,
        code="refused_before",
        reason="taken a second later, her eyes are open",
        by=studio.world.bob.person,
        picture=f"p{place:03d}",
    )
    assert not isinstance(told, Refusal), told
    assert isinstance(curation.dataset_seal(dataset=dataset), Grant)


def test_a04_the_refused_picture_itself_taken_back_in_is_found_too(studio: Studio) -> None:
    """A04: the same file again is the same row; taking it back in hides nothing."""
    dataset, picture = left_out(studio)
    Dataset.objects.filter(pk=dataset.pk).update(state=Dataset.State.CURATED, sealed_at=None)
    datasets.picture_leave_out(dataset=dataset, picture=picture, accepted=True)
    report = curation.dataset_survey(dataset=dataset, engine=StandIn())
    assert not isinstance(report, Refusal)
    assert [i.pictures for i in report.findings if i.code == "refused_before"] == [("p003",)]


def test_a04_a_set_from_which_nobody_left_anything_out_is_not_asked(studio: Studio) -> None:
    """A04: unlike pictures are not taken for refused ones."""
    dataset = studio.curated()
    report = dataset.curation or {}
    assert "refused_before" not in {item["code"] for item in report["findings"]}


# --- A08: the registry is out of reach ----------------------------------------------------------


class Cut(httpx.BaseTransport):
    """A network that is there, until somebody cuts it."""

    def __init__(self) -> None:
        self.site, self.cut = Site(), False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut:
            raise httpx.ConnectError("no route to host", request=request)
        return self.site.handle_request(request)


def test_a08_nothing_starts_without_the_registry(studio: Studio) -> None:
    """A08: at the start, refuse."""
    job = studio.queued()
    wire = Cut()
    wire.cut = True
    with pytest.raises(Unreachable):
        studio.run(client=studio.client(transport=wire))
    assert (stored(job).state, stored(job).attempt) == (State.QUEUED, 0)
    assert files_of(studio) == []


def test_a08_a_run_that_is_cut_off_stops_and_keeps_nothing(studio: Studio) -> None:
    """A08: a grace of at most the heartbeat's bound, then stop; nothing can be delivered."""
    impatient = replace(keyring.trust_root(), status_max_age_s=4)
    (studio.folder / "worker" / "trust.json").write_bytes(impatient.to_bytes())
    job = long_job(studio)
    wire = Cut()
    seen: list[Any] = []

    def watch(event: Any) -> None:
        seen.append(event)
        wire.cut = wire.cut or (event["event"] == "progress" and event["step"] == 3)

    outcome = studio.run(watch, client=studio.client(transport=wire))
    assert (outcome.state, outcome.code, outcome.left) == ("stopped", "status_stale", 0)
    assert files_of(studio) == []
    assert not Lora.objects.exists()
    # The registry knows nothing yet: the job waits for another machine, a late result is lost.
    assert stored(job).state == State.TRAINING
    assert jobs.sweep_leases(at=timezone.now() + timedelta(minutes=5))["requeued"] == 1
    late = runs.run_finished(
        worker=studio.worker, job=job, fence=stored(job).fence, master=b"", statement={}
    )
    assert isinstance(late, Refusal)
    assert late.code == "lease_lost"


# --- A09: without the gate ----------------------------------------------------------------------

YES = """
import sys
from pathlib import Path
from registry.core import approvals, status_list, tokens, vault
from registry.core.tokens import Claims
from registry.log.core import canonical

def yes(token, **_):
    return Claims.from_payload(canonical.loads(canonical.unb64u(token.split(".")[1])))

tokens.verify = yes
status_list.verify = lambda *_, **__: {}
vault.receive = lambda *_, **__: bytes(32)
sys.path.insert(0, sys.argv[1])
from tests.services import fake_trainer
sys.exit(fake_trainer.main(Path(sys.argv[-1])))
"""


def test_a09_a_worker_whose_gate_says_yes_to_everything_opens_nothing(
    studio: Studio, tmp_path: Path, monkeypatch: Any
) -> None:
    """A09: every check of its Python is replaced by a yes; the key is what is missing."""
    job = studio.queued()
    script = tmp_path / "yes.py"
    script.write_text(YES)
    monkeypatch.setattr(
        "training.worker.client.Client.redeem",
        lambda self, *_: Released(b"\0" * 80, tokens.status_list_issue(), studio.worker.pk),
    )
    opened: list[Any] = []
    outcome = studio.run(opened.append, trainer=script)
    assert outcome.state in ("refused", "failed"), outcome
    assert not [event for event in opened if event["event"] in ("verified", "progress")]
    assert not Lora.objects.exists()
    assert stored(job).grant.runs_used == 0
    assert files_of(studio) == []


def test_a09_what_was_trained_without_a_redeemed_token_is_never_handed_in(studio: Studio) -> None:
    """A09: no admission, no manifest, no delivery; whatever weights a worker brings."""
    job, _token = studio.claimed()
    handed = runs.run_finished(
        worker=studio.worker, job=job, fence=job.fence, master=b"weights", statement={}
    )
    assert isinstance(handed, Refusal)
    assert handed.code == "lease_lost"
    assert not Lora.objects.exists()


# --- A11: withdrawn in the middle ---------------------------------------------------------------


def test_a11_a_withdrawal_stops_the_run_and_leaves_nothing_anywhere(
    studio: Studio, monkeypatch: Any, tmp_path: Path
) -> None:
    """A11: file system empty after the stop, scratch folders included; the log has the proof."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    shared = set(os.listdir(SHARED_MEMORY))
    job = long_job(studio)

    def watch(event: Any) -> None:
        if event["event"] == "progress" and event["step"] == 4:
            withdraw(studio, job.grant)

    outcome = studio.run(watch)
    assert (outcome.state, outcome.code, outcome.left) == ("stopped", "withdrawn", 0)
    assert files_of(studio) == []
    assert list(scratch.iterdir()) == []
    assert set(os.listdir(SHARED_MEMORY)) <= shared
    report = stored(job).stop_report or {}
    assert report["wiped"]["left"] == 0
    assert report["wiped"]["files"] > 0
    assert log_types().count("run.stopped") == 1
    assert not Lora.objects.exists()


# --- A40: a backup ------------------------------------------------------------------------------


@pytest.fixture
def exported(settings: Any, tmp_path: Path) -> Path:
    settings.LOG_EXPORT_DIR = tmp_path / "export"
    return Path(settings.LOG_EXPORT_DIR)


def restore(size: int, rows: list[tuple[str, Any, dict[str, Any]]]) -> None:
    """What restoring a dump of then does: rows as they were, and a shorter log."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, pk, columns in rows:
            sets = ", ".join(f'"{name}" = %s' for name in columns)
            key = {"registry_token": "jti"}.get(table, "id")
            cursor.execute(
                f'UPDATE "{table}" SET {sets} WHERE "{key}" = %s',  # noqa: S608
                [*columns.values(), pk],
            )
        cursor.execute("DELETE FROM log_entry WHERE index >= %s", [size])
        cursor.execute("DELETE FROM log_outbox")
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_a40_a_backup_does_not_bring_withdrawn_pictures_back(
    studio: Studio, exported: Path, capsys: Any
) -> None:
    """A40: restore drill. The published log ends again what had ended after the backup."""
    grant, world = studio.approved(), studio.world
    erin = human("erin")
    erin.enrol()
    lost = world.charlie.person.credentials.get()
    sequence()
    then = Entry.objects.count()
    share = KeyShare.objects.get(request=studio.request)
    backup: list[tuple[str, Any, dict[str, Any]]] = [
        (
            "registry_keyshare",
            share.pk,
            {"wrapped": bytes(share.wrapped or b""), "shredded_at": None},
        ),
        ("registry_grant", grant.pk, {"state": "active", "ended_at": None}),
        ("registry_trainingrequest", studio.request.pk, {"state": "cleared"}),
        ("registry_credential", lost.pk, {"retired_at": None}),
        (
            "registry_person",
            erin.person.pk,
            {"data_key": bytes(erin.person.data_key or b""), "erased_at": None},
        ),
    ]
    dataset = Dataset.objects.get(request=studio.request)
    key = vault.dataset_key(request=studio.request, dataset_id=dataset.pk)
    withdraw(studio, grant)
    parties.credential_retire(credential=lost)
    erasure.person_erase(person=erin.person)
    while sequencer.sequence_once(sequencer.load_signers()):
        pass
    size = Entry.objects.count()
    restore(then, backup)
    # The danger: what was destroyed is there again.
    assert vault.dataset_key(request=studio.request, dataset_id=dataset.pk) == key
    assert state(grant) == "active"
    call_command("ends_redo", str(exported))
    printed = capsys.readouterr().out
    assert f"does not know: {size - then}" in printed
    for kind in ("keyshare.shredded", "grant.ended", "credential.retired", "person.erased"):
        assert f"done again: {kind}" in printed, printed
    assert "left to people: approval.withdrawn 1" in printed
    closed = vault.dataset_key(request=studio.request, dataset_id=dataset.pk)
    assert closed == Refusal("key_unavailable", studio.request.pk)
    assert state(grant) == "withdrawn"
    lost.refresh_from_db()
    assert lost.retired_at is not None
    assert Person.objects.get(pk=erin.person.pk).data_key is None
    call_command("ends_redo", str(exported))
    assert "done again" not in capsys.readouterr().out


def test_a40_an_export_that_does_not_hold_ends_nothing(studio: Studio, exported: Path) -> None:
    """A40: whoever could forge the export could end anything; its checkpoint and root decide."""
    grant = studio.approved()
    while sequencer.sequence_once(sequencer.load_signers()):
        pass
    bundle = next(path for path in (exported / "tile" / "entries").rglob("*") if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[-5] ^= 1
    bundle.chmod(0o600)
    bundle.write_bytes(bytes(data))
    newest = max(
        (p for p in (exported / "tile" / "entries").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_mtime,
    )
    newest.write_bytes(bytes(data))
    with pytest.raises(CommandError):
        call_command("ends_redo", str(exported))
    assert state(grant) == "active"


# --- A41, A42: what is sent in ------------------------------------------------------------------


def polyglot() -> bytes:
    """A whole JPEG with a ZIP archive's end behind it."""
    return stored_anew(photograph(7)) + b"PK\x05\x06" + bytes(18)


def test_a41_an_upload_is_decoded_and_written_anew(studio: Studio) -> None:
    """A41: a polyglot is refused; of what a camera hides behind a picture only pixels are kept."""
    dataset = datasets.dataset_open(request=studio.request)
    found = datasets.picture_add(dataset=dataset, data=polyglot())
    assert isinstance(found, Refusal)
    assert found.code == "image_polyglot"
    film = stored_anew(photograph(7)) + b"\0\0\0\x18ftypmp42 a short film"
    row = datasets.picture_add(dataset=dataset, data=film)
    assert isinstance(row, Picture), row
    key = key_of(studio, dataset)
    kept = datasets.opened(row.object_digest, key, context=dataset.pk)
    assert isinstance(kept, bytes)
    assert b"film" not in kept


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PK\x03\x04" + bytes(200), "image_format"),
        (b"\x80\x04\x95" + bytes(50) + b".", "image_unreadable"),
        (b"GIF89a" + bytes(100), "image_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_format"),
        (photograph(3)[:200], "image_unreadable"),
        (b"", "image_unreadable"),
    ],
)
def test_a41_what_is_no_photograph_is_refused(studio: Studio, data: bytes, code: str) -> None:
    """A41: archives, pickles and cut files."""
    dataset = datasets.dataset_open(request=studio.request)
    refused = datasets.picture_add(dataset=dataset, data=data)
    assert isinstance(refused, Refusal)
    assert refused.code == code


def test_a41_a_bomb_is_refused_before_it_is_unpacked(studio: Studio) -> None:
    """A41: size caps are read from the header."""
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    dataset = datasets.dataset_open(request=studio.request)
    refused = datasets.picture_add(dataset=dataset, data=buffer.getvalue())
    assert isinstance(refused, Refusal)
    assert refused.code == "image_too_large"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "..", ""])
def test_a42_only_digests_name_objects(studio: Studio, name: str) -> None:
    """A42: the worker accepts only digests, and so does the store."""
    refused = object_read(name)
    assert isinstance(refused, Refusal)
    assert refused.code == "image_unavailable"


def test_a42_a_path_in_a_request_is_no_member_of_it(studio: Studio) -> None:
    """A42: path in the API: 422."""
    client = as_(studio.world.charlie)
    body = {"path": "/etc/passwd", "accepted": False}
    dataset = studio.filled()
    picture = dataset.pictures.order_by("pk")[0]
    address = f"/api/v1/requests/{studio.request.pk}/pictures/{picture.pk}"
    answer = client.patch(address, body, content_type="application/json")
    assert answer.status_code == 422
    picture.refresh_from_db()
    assert picture.accepted
    job = studio.queued()
    answer = client.post(
        f"/api/v1/requests/{studio.request.pk}/seal",
        {"dataset": "../../x"},
        content_type="application/json",
    )
    assert answer.status_code in (409, 422)
    assert stored(job).state == State.QUEUED


# --- A43: messages ------------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["job_" + "0" * 20, "../x", "", "'; DROP TABLE", "7"])
def test_a43_a_forged_message_starts_nothing(studio: Studio, job_id: str) -> None:
    """A43: a message carries an id; the row decides."""
    assert tasks.seal_lora(job_id) == "unknown"
    assert not Lora.objects.exists()


def test_a43_a_message_that_comes_again_or_too_early_changes_nothing(
    studio: Studio, monkeypatch: Any
) -> None:
    """A43: idempotent states: waking twice runs once, sealing twice gives one LoRA."""
    job = studio.queued()
    early = tasks.seal_lora(job.pk)
    assert early == "wrong_state"
    assert studio.run().state == "finished"
    assert studio.run() is None
    one, two = tasks.seal_lora(job.pk), tasks.seal_lora(job.pk)
    assert one == two == Lora.objects.get().pk
    assert log_types().count("lora.sealed") == 1
    assert Token.objects.filter(redeemed_at__isnull=False).count() == 1


# --- A44: checkpoints: tests/trainer holds the real loop ----------------------------------------


def test_a44_a_job_of_another_case_never_gets_this_cases_key(studio: Studio) -> None:
    """A44: a checkpoint is sealed under the case's own data key, which only its token releases."""
    job, token = studio.claimed()
    other = jobs.job_create(request=studio.request)
    assert isinstance(other, TrainingJob)
    sequence()
    claim = jobs.job_claim(worker=studio.worker)
    assert isinstance(claim, tuple)
    crossed = gate.redeem(worker=studio.worker, job=claim[0], fence=claim[0].fence, token=token)
    assert isinstance(crossed, Refusal)
    assert crossed.code == "wrong_job"
    assert stored(job).state == State.CLAIMED
    assert not Delivery.objects.exists()


# --- A25, R26: small steps ----------------------------------------------------------------------


def test_a25_a_picture_that_shows_more_than_the_terms_allow_is_not_sealed(studio: Studio) -> None:
    """A25: the level of every picture, and a hard ceiling in the scope."""
    dataset = studio.curated()
    third = list(dataset.pictures.order_by("position"))[2]
    wrong = studio.declare(dataset, third, exposure="a little")
    assert [problem.field for problem in wrong] == ["exposure"]
    studio.declare(dataset, third, exposure="swimwear")
    refused = curation.dataset_seal(dataset=dataset)
    assert isinstance(refused, list)
    assert [(item.code, item.detail) for item in refused] == [("exposure_exceeds", "p003")]
    page = as_(studio.world.charlie).get(f"/requests/{studio.request.pk}/rights").content.decode()
    assert "A picture shows more than the terms allow." in page
    studio.declare(dataset, third, exposure="full_clothed")
    assert isinstance(curation.dataset_seal(dataset=dataset), Grant)
