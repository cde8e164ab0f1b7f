"""Stage 9 on PostgreSQL: evidence that verifies offline, copies that are found, uses that count."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from audit.core.uses import Use
from audit.models import TraceFound, UseReport
from audit.services import evidence, tracing, usage
from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log import sequencer
from registry.log.core import canonical, envelope
from registry.log.models import Entry, Outbox
from registry.models import Grant
from registry.services import approvals, keyring, parties, vault
from tests import loras
from tests.services.studio import (
    HER,
    Colour,
    Studio,
    drawn,
    lora_sealed,
)
from tests.world import human
from training.core import provenance, weights
from training.models import Delivery, Lora, TrainingJob
from training.services import delivery, gate, jobs, runs, sealing


@pytest.fixture
def studio(live, tmp_path, settings) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(live, tmp_path)


def finished(
    studio: Studio,
    seed: int = 1,
    samples: Sequence[Colour] = (HER,) * 4,
    alone: Sequence[Colour] = (),
) -> TrainingJob:
    """A run through the gate; the weights are synthetic, everything around them is real."""
    studio.queued()
    claim = jobs.job_claim(worker=studio.worker)
    assert isinstance(claim, tuple), claim
    job, token = claim
    released = gate.redeem(worker=studio.worker, job=job, token=token, fence=job.fence)
    assert not isinstance(released, Refusal), released
    begun = timezone.now()
    master = weights.write(loras.lora(loras.tiny(), 8, seed=seed).tensors, {})
    job.refresh_from_db()
    claims = evidence_claims(job)
    facts = provenance.RunFacts(
        run_id=job.pk,
        master_tensor_sha256=weights.tensor_sha256(master),
        grant_digest=claims.grant.digest().hex(),
        recipe=job.request.recipe,
        seed=7,
        base_sha256=studio.base.sha256,
        dataset_root=claims.grant.dataset_root,
        trainer_version="0.1.0",
        trainer_sha256="ee" * 32,
        worker=studio.worker.pk,
        started=begun,
        finished=timezone.now(),
    )
    payload = canonical.dumps(provenance.run_statement(facts))
    signed = envelope.sign(provenance.PAYLOAD_TYPE, payload, [studio.own_keys().signer])
    key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
    assert isinstance(key, bytes), key
    sealed = vault_core.seal(master, key, context=runs.master_context(job.pk))
    done = runs.run_finished(
        worker=studio.worker,
        job=job,
        fence=job.fence,
        master=sealed.data,
        statement=signed,
        samples=drawn(job, samples) if samples else b"",
        base_samples=drawn(job, alone, "base-samples") if alone else b"",
    )
    assert isinstance(done, TrainingJob), done
    return done


def evidence_claims(job: TrainingJob):
    return evidence._claims(Delivery(lora=Lora(job=job)))


def delivered(studio: Studio) -> tuple[Delivery, bytes]:
    """A delivery, and its file as the licensee holds it."""
    lora = lora_sealed(job=finished(studio))
    assert isinstance(lora, Lora), lora
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert isinstance(made, Delivery), made
    data = studio.received(delivery.delivery_fetch(link=made.link))
    return made, data


def pack_of(made: Delivery, **options: Any) -> Any:
    """The pack of a delivery, as it stands now or as `options` say."""
    return evidence.pack_build(delivery=Delivery.objects.get(pk=made.pk), **options)


def master_of(made: Delivery) -> Any:
    """The unmarked weights."""
    return sealing.lora_master(made.lora)


def logged() -> list[dict[str, Any]]:
    """Every event so far, once the sequencer beside us has nothing left in the outbox.

    Reading entries and outbox in two queries would miss what moves between them.
    """
    for _ in range(1000):
        if not Outbox.objects.exists():
            payloads = Entry.objects.order_by("index").values_list("payload", flat=True)
            return [json.loads(bytes(payload)) for payload in payloads]
        time.sleep(0.02)
    raise TimeoutError("the sequencer does not move")


def traced(data: bytes) -> Any:
    """What the registry says of a file."""
    return tracing.trace(data=data)


def used(made: Delivery, **values: Any) -> Any:
    """What the registry says to a report."""
    return usage.use_report(delivery=made, **values)


def withdraw(studio: Studio) -> None:
    grant = Grant.objects.get(request=studio.request)
    assert approvals.approval_withdraw(person=studio.world.alice.person, grant=grant) is None


# --- evidence -------------------------------------------------------------------------------------


def test_a_pack_of_a_real_case_verifies_offline_and_outlives_a_withdrawal(studio):
    made, data = delivered(studio)
    packed = pack_of(made)
    assert isinstance(packed, bytes), packed
    verdict = verifier.verify(packs.read(packed), keyring.trust_root(), data)
    assert verdict.standing == "in_force"
    assert (verdict.lora_id, verdict.delivery_id) == (made.lora_id, made.pk)
    assert [row["type"] for row in logged()][-1] == "evidence.exported"

    withdraw(studio)
    later = pack_of(made)
    verdict = verifier.verify(packs.read(later), keyring.trust_root(), data)
    assert verdict.standing == "withdrawn"


def minutes_later(monkeypatch, minutes=2):
    """The evidence service's clock, ahead of ours."""
    ahead = timezone.now() + timedelta(minutes=minutes)
    monkeypatch.setattr(evidence, "timezone", SimpleNamespace(now=lambda: ahead))


def test_no_list_that_a_gate_would_take_is_made_from_the_log(studio):
    """The sequencer stands still: the log does not tell of the withdrawal yet, the rows do."""
    made, _ = delivered(studio)
    while sequencer.sequence_once(sequencer.load_signers()):
        continue
    withdraw(studio)
    time.sleep(1.1)
    for ago in (0, 1, 30, 60):
        moment = timezone.now() - timedelta(seconds=ago)
        found = evidence.pack_build(delivery=made, at=moment)
        assert isinstance(found, Refusal), ago
        assert found.code == "wrong_state", ago


def test_a_pack_as_of_an_earlier_moment_says_how_things_stood_then(studio, monkeypatch):
    made, data = delivered(studio)
    time.sleep(1.1)
    before = timezone.now()
    time.sleep(1.1)
    withdraw(studio)
    now = verifier.verify(packs.read(pack_of(made)), keyring.trust_root(), data)
    assert now.standing == "withdrawn"
    minutes_later(monkeypatch)
    then = pack_of(made, at=before)
    verdict = verifier.verify(packs.read(then), keyring.trust_root(), data)
    assert verdict.standing == "in_force"
    assert verdict.as_of == before.replace(microsecond=0)
    for moment in (before - timedelta(hours=1), timezone.now() + timedelta(hours=1)):
        assert pack_of(made, at=moment).code == "wrong_state"


def test_a_pack_of_one_use_holds_its_report(studio):
    made, _ = delivered(studio)
    fields = {"medium": "photobook_ebook", "country": "JP", "first_day": timezone.localdate()}
    report = used(made, by=reporter(studio), use=Use(**fields, quantity=3))
    beyond = used(made, by=reporter(studio), use=Use(**{**fields, "medium": "ad_tv"}))
    for row in (report, beyond):
        assert isinstance(row, UseReport), row
        packed = pack_of(made, use=row)
        verdict = verifier.verify(packs.read(packed), keyring.trust_root())
        assert verdict.use is not None
        assert verdict.use["use_id"] == row.pk
        assert verdict.use["outside"] == row.outside
    earlier = report.reported_at - timedelta(seconds=2)
    assert pack_of(made, use=report, at=earlier).code == "wrong_state"
    exported = [row["data"] for row in logged() if row["type"] == "evidence.exported"]
    assert [data["use_id"] for data in exported] == [report.pk, beyond.pk]


def test_a_use_of_another_delivery_has_no_place_in_a_pack(studio):
    made, _ = delivered(studio)
    day = timezone.localdate()
    report = used(made, by=reporter(studio), use=Use("photobook_ebook", "JP", day))
    report.delivery_id = "dlv_" + "0" * 20
    assert pack_of(made, use=report).code == "wrong_state"


def test_a_pack_names_nobody(studio):
    person = studio.world.alice.person
    person.display_name = "朝日 ありす Asahi Alice"
    person.save()
    made, _ = delivered(studio)
    files = packs.read(pack_of(made))
    everything = b"\n".join(files.values()).decode("utf-8").casefold()
    for name in ("朝日", "ありす", "asahi alice", "hoshi agency", "charlie studio"):
        assert name not in everything


def test_a_delivery_without_an_admission_has_no_pack(studio):
    made, _ = delivered(studio)
    TrainingJob.objects.filter(pk=made.lora.job_id).update(admission=None)
    fresh = Delivery.objects.get(pk=made.pk)
    assert evidence.pack_build(delivery=fresh) == Refusal("no_token", made.lora.job_id)


# --- tracing --------------------------------------------------------------------------------------


def rewritten(data: bytes, **changes) -> bytes:
    """The file under another header and other tensor names, in half precision."""
    read = weights.strip(weights.read(data))
    tensors = {name: changes.get("change", lambda x: x)(t) for name, t in read.tensors.items()}
    return weights.write({n: t.astype(np.float16) for n, t in tensors.items()}, {})


def test_every_kind_of_copy_is_traced_to_its_licence(studio):
    made, data = delivered(studio)
    renamed = weights.write(weights.half(loras.renamed(weights.read(data))).tensors, {})
    stripped = weights.write(weights.strip(weights.read(data)).tensors, {})
    scaled = rewritten(data, change=lambda tensor: tensor * 0.97)
    cases = {"file": data, "tensors": stripped, "watermark": renamed}
    for how, copy in cases.items():
        found = traced(copy)
        assert isinstance(found, tracing.Trace), (how, found)
        assert (found.how, found.delivery, found.lora) == (how, made, made.lora)
        assert found.band == ("certain" if how == "watermark" else "exact")
        assert found.standing(timezone.now()) == "in_force"
    assert traced(scaled).how == "watermark"
    assert TraceFound.objects.count() == 4
    assert [row["type"] for row in logged()].count("trace.found") == 4


def test_an_unmarked_relative_opens_an_inquiry_and_no_more(studio):
    made, _ = delivered(studio)
    master = master_of(made)
    noisy = {
        name: tensor + np.float32(0.05) * np.std(tensor) * np.sign(tensor)
        for name, tensor in master.tensors.items()
    }
    found = traced(weights.write(noisy, {}))
    assert (found.how, found.band, found.delivery) == ("lineage", "possible", None)
    assert found.lora == made.lora


def test_a_leaked_master_is_recognised(studio):
    made, _ = delivered(studio)
    master = weights.write(master_of(made).tensors, {})
    found = traced(master)
    assert (found.how, found.band, found.delivery) == ("tensors", "exact", None)


def test_a_strangers_lora_is_not_found_and_leaves_nothing(studio):
    delivered(studio)
    stranger = weights.write(loras.lora(loras.tiny(), 8, seed=99).tensors, {})
    assert traced(stranger) is None
    assert not TraceFound.objects.exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a pickle in a zip", b"\xff" * 100])
def test_what_is_no_weights_file_is_refused(db, data):
    assert traced(data).code == "malformed"


def test_a_trace_after_a_withdrawal_says_so(studio):
    _, data = delivered(studio)
    withdraw(studio)
    assert traced(data).standing(timezone.now()) == "withdrawn"


# --- uses -----------------------------------------------------------------------------------------


def reporter(studio: Studio):
    """Somebody of the client that holds the licence."""
    person = human("reporter").person
    parties.membership_add(person=person, organisation=studio.world.client, role="viewer")
    return person


def test_uses_are_recorded_and_told_what_they_go_beyond(studio):
    made, _ = delivered(studio)
    person, today = reporter(studio), timezone.localdate()
    fine = Use("photobook_ebook", "JP", today, 10)
    cases = [
        (fine, []),
        (replace(fine, medium="ad_tv"), ["media"]),
        (replace(fine, country="US"), ["territory"]),
        (replace(fine, first_day=today - timedelta(days=1)), ["start"]),
        (replace(fine, first_day=today + timedelta(days=900)), ["end"]),
    ]
    for use, outside in cases:
        row = used(made, by=person, use=use, note="page 3")
        assert isinstance(row, UseReport), row
        assert row.outside == outside
    withdraw(studio)
    assert used(made, by=person, use=fine).outside == ["withdrawn"]
    assert [row["type"] for row in logged()].count("use.reported") == 6


def test_units_add_up_over_all_reports(studio):
    made, _ = delivered(studio)
    terms = {**made.lora.job.grant.payload["terms"], "quantity": 15}
    payload = {**made.lora.job.grant.payload, "terms": terms}
    Grant.objects.filter(pk=made.lora.job.grant_id).update(payload=payload)
    person, use = reporter(studio), Use("photobook_ebook", "JP", timezone.localdate(), 10)
    assert used(made, by=person, use=use).outside == []
    assert used(made, by=person, use=use).outside == ["quantity"]


def test_mallory_reports_nothing_and_words_are_of_the_vocabulary(studio):
    made, _ = delivered(studio)
    use = Use("photobook_ebook", "JP", timezone.localdate())
    refused = used(made, by=studio.world.mallory.person, use=use)
    assert refused.code == "wrong_state"
    odd = used(made, by=reporter(studio), use=replace(use, medium="nft"))
    assert odd.code == "terms_invalid"
    assert not UseReport.objects.exists()


def test_what_auditing_logs_holds_no_free_text(studio):
    made, data = delivered(studio)
    use = Use("photobook_ebook", "JP", timezone.localdate())
    used(made, by=reporter(studio), use=use, note="a private remark")
    traced(data)
    rows = logged()
    assert {"use.reported", "trace.found"} <= {row["type"] for row in rows}
    assert "a private remark" not in json.dumps(rows)
