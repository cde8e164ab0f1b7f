"""Requirements about what a LoRA draws: R18, R27, R34, R38, and the templates behind them.

The engine is the stand-in that knows people by colour; everything else is real: sealed samples,
stored templates, the gate before delivery, the log, the operators' pages. `tests/core/test_probes`
has the rules by themselves.
"""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from PIL import Image

from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log.models import Outbox
from registry.models import Approval, Grant, Talent
from registry.services import approvals, parties, vault
from tests.services.studio import HER, NOBODY, OTHER, STRANGER, Colour, Seer, Studio
from tests.services.test_audit_services import finished
from tests.web.pages import as_
from tests.world import Human, World, human, log_types
from training.core.probes import Sample, judge
from training.engines.survey import Template
from training.models import Delivery, FaceTemplate, Lora, OutputProbe
from training.services import curation, delivery, probes, sealing, templates
from training.services.objects import object_store


@pytest.fixture
def studio(world: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    return Studio(world, tmp_path)


def lora_of(studio: Studio, samples: tuple[Colour, ...], alone: tuple[Colour, ...] = ()) -> Lora:
    """A sealed LoRA that draws this, where the base model alone draws that."""
    made = sealing.lora_seal(job=finished(studio, samples=samples, alone=alone))
    assert isinstance(made, Lora), made
    return made


def probed(lora: Lora) -> OutputProbe:
    made = probes.outputs_probe(lora=lora, engine=Seer())
    assert isinstance(made, OutputProbe), made
    return made


def codes(probe: OutputProbe) -> dict[str, str]:
    return {item["code"]: item["kind"] for item in probe.report["findings"]}


def deliver(studio: Studio, lora: Lora) -> Any:
    return delivery.delivery_make(lora=lora, recipient=studio.world.client)


def registered(studio: Studio) -> tuple[Human, Talent, Grant]:
    """Erin, who signed another request: the second person of the stand-in's."""
    world = studio.world
    erin = human("erin")
    erin.enrol()
    talent = parties.talent_create(person=erin.person, birth_date=date(1997, 5, 1))
    assert isinstance(talent, Talent)
    parties.representation_begin(talent=talent, agency=world.agency, begun_on=date(2020, 4, 1))
    other = copy.copy(studio)
    other.world = replace(world, alice=erin, talent=talent)
    other.request = other.world.request(
        base_model=studio.base, recipe=studio.request.recipe, talents=[talent]
    )
    dataset = other.filled()
    report = curation.dataset_survey(dataset=dataset, engine=Seer(1))
    assert not isinstance(report, Refusal), report
    for finding in report.findings:
        if finding.kind in ("soft", "review"):
            other.accept(dataset, finding.code)
    grant = curation.dataset_seal(dataset=dataset)
    assert isinstance(grant, Grant), grant
    for who, by in other.world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    return erin, talent, grant


# --- R18 ------------------------------------------------------------------------------------------


def test_r18_a_sample_like_somebody_registered_and_not_asked_is_held(studio: Studio) -> None:
    """“outputs are compared with enrolled talents not in the grant; a hit goes to human review”."""
    _, talent, _ = registered(studio)
    lora = lora_of(studio, (HER, HER, OTHER, HER))
    assert deliver(studio, lora) == Refusal("probes_missing", lora.pk)
    probe = probed(lora)
    assert (codes(probe)["lookalike_hold"], probe.held) == ("hold", "lookalike_hold")
    assert probe.report["findings"][0]["samples"] == [2]
    assert probe.resembles == [talent.pk]
    assert deliver(studio, lora) == Refusal("lookalike_hold", lora.pk)


def test_r18_who_looks_like_nobody_else_is_delivered(studio: Studio) -> None:
    """The same set-up, with nobody's face but hers and strangers'."""
    registered(studio)
    lora = lora_of(studio, (HER, HER, STRANGER, HER))
    probe = probed(lora)
    assert (probe.held, probe.report["compared"], probe.resembles) == ("", 1, [])
    assert isinstance(deliver(studio, lora), Delivery)


def test_r18_only_an_operator_sets_free_with_a_reason_and_once(studio: Studio) -> None:
    registered(studio)
    lora = lora_of(studio, (HER, OTHER, HER, HER))
    probe = probed(lora)
    staff = User.objects.create(username="operator", is_staff=True)
    with pytest.raises(PermissionDenied):
        probes.probe_settle(
            probe=probe, by=User.objects.create(username="x"), release=True, reason="fine"
        )
    found = probes.probe_settle(probe=probe, by=staff, release=True, reason="  ")
    assert found == Refusal("malformed", "a reason")
    assert probes.probe_settle(probe=probe, by=staff, release=True, reason="another nose") is None
    assert isinstance(deliver(studio, lora), Delivery)
    again = probes.probe_settle(probe=probe, by=staff, release=False, reason="it is her")
    assert isinstance(again, Refusal)
    assert again.code == "wrong_state"
    assert log_types().count("output.released") == 1


def test_r18_what_is_kept_back_stays_back(studio: Studio) -> None:
    registered(studio)
    lora = lora_of(studio, (HER, OTHER, HER, HER))
    probe = probed(lora)
    staff = User.objects.create(username="operator", is_staff=True)
    assert probes.probe_settle(probe=probe, by=staff, release=False, reason="it is her") is None
    assert deliver(studio, lora).code == "lookalike_hold"
    assert "output.upheld" in log_types()
    assert probed(lora).pk == probe.pk  # it is not measured again until somebody likes it


def test_r18_that_she_is_registered_is_told_to_nobody(studio: Studio) -> None:
    """Not to whoever asks, not on a page, not in the report, not in the log."""
    _, talent, _ = registered(studio)
    lora = lora_of(studio, (HER, OTHER, HER, HER))
    probe = probed(lora)
    assert talent.pk not in str(probe.report)
    entries = [bytes(row.payload).decode() for row in Outbox.objects.all()]
    assert not any(talent.pk in row for row in entries if "output.probed" in row)
    for who in (studio.world.charlie, studio.world.alice):
        page = as_(who).get(f"/jobs/{lora.job_id}").content.decode()
        assert "look like somebody" in page
        assert talent.pk not in page
        assert "erin" not in page
    told = as_(studio.world.charlie).get("/operator/lookalikes")
    assert told.status_code == 404


def test_r18_operators_see_the_samples_and_whom_they_resemble(studio: Studio) -> None:
    registered(studio)
    lora = lora_of(studio, (HER, OTHER, HER, HER))
    probe = probed(lora)
    client = Client()
    client.force_login(User.objects.create(username="operator", is_staff=True))
    page = client.get("/operator/lookalikes")
    assert "erin" in page.content.decode()
    image = client.get(f"/operator/lookalikes/{probe.pk}/samples")
    assert (image.status_code, image["Content-Type"]) == (200, "image/jpeg")
    address = f"/operator/lookalikes/{probe.pk}"
    client.post(address, {"decision": "release", "reason": " "})
    assert OutputProbe.objects.get().decision == ""
    assert client.post(address, {"decision": "odd", "reason": "x"}).status_code == 404
    client.post(address, {"decision": "release", "reason": "another nose"})
    assert OutputProbe.objects.get().decision == "released"
    assert client.get(f"/operator/lookalikes/{probe.pk}/samples").status_code == 404


def test_r18_without_samples_nobody_knows_whom_it_draws(studio: Studio) -> None:
    """A recipe that makes none is no way around the screening."""
    lora = lora_of(studio, ())
    probe = probed(lora)
    assert codes(probe) == {"samples_missing": "hold", "identity_unmeasured": "warn"}
    assert deliver(studio, lora) == Refusal("samples_missing", lora.pk)


def test_r18_whoever_withdrew_is_compared_with_nobody_and_her_template_is_gone(
    studio: Studio,
) -> None:
    erin, talent, grant = registered(studio)
    row = FaceTemplate.objects.get(talent=talent)
    assert isinstance(templates.template_open(row, Seer()), Template)
    assert approvals.approval_withdraw(person=erin.person, grant=grant) is None
    row.refresh_from_db()
    found = templates.template_open(row, Seer())
    assert isinstance(found, Refusal)
    assert found.code == "key_unavailable"
    assert templates.template_erase_sweep() == 1
    assert templates.template_erase_sweep() == 0
    row.refresh_from_db()
    assert row.sealed is None
    assert log_types().count("template.erased") == 1
    probe = probed(lora_of(studio, (HER, OTHER, HER, HER)))
    assert (probe.held, probe.report["compared"]) == ("", 0)


def test_a_template_is_bound_to_its_engine_and_made_again_for_another(studio: Studio) -> None:
    _, talent, _ = registered(studio)
    row = FaceTemplate.objects.get(talent=talent)

    class Newer(Seer):
        digest = "ff" * 32

    found = templates.template_open(row, Newer())
    assert isinstance(found, Refusal)
    assert found.code == "engine_altered"
    probe = probes.outputs_probe(lora=lora_of(studio, (HER, OTHER, HER, HER)), engine=Newer(1))
    assert isinstance(probe, OutputProbe), probe
    assert probe.report["compared"] == 1  # her references were opened, not left out
    row.refresh_from_db()
    assert isinstance(templates.template_open(row, Newer()), Template)


def test_a_template_of_one_talent_is_not_anothers(studio: Studio) -> None:
    """Rows that were exchanged in the database do not open."""
    _, talent, _ = registered(studio)
    studio.curated()
    hers = FaceTemplate.objects.get(talent=studio.world.talent)
    other = FaceTemplate.objects.get(talent=talent)
    FaceTemplate.objects.filter(pk=hers.pk).update(sealed=other.sealed)
    hers.refresh_from_db()
    found = templates.template_open(hers, Seer())
    assert isinstance(found, Refusal)
    assert b"centroid" not in bytes(other.sealed or b"")


# --- R34, R38 -------------------------------------------------------------------------------------


def test_r34_a_lora_without_effect_is_told_so(studio: Studio) -> None:
    """“if the LoRA does not move identity, say so”: the base model alone draws the same face."""
    lora = lora_of(studio, (HER,) * 4, (HER,) * 4)
    assert codes(probed(lora)) == {"no_identity_effect": "warn"}
    page = as_(studio.world.charlie).get(f"/jobs/{lora.job_id}").content.decode()
    assert "base model" in page


def test_r34_a_lora_with_an_effect_is_not(studio: Studio) -> None:
    lora = lora_of(studio, (HER,) * 4, (STRANGER,) * 4)
    probe = probed(lora)
    assert codes(probe) == {}
    assert (probe.report["talents"][0]["verdict"], probe.report["before"]) == ("holds", True)


def test_r38_a_good_mean_does_not_hide_samples_of_somebody_else(studio: Studio) -> None:
    """“Bimodal fixture with good mean fails”."""
    probe = probed(lora_of(studio, (HER, HER, HER, STRANGER), (STRANGER,) * 4))
    assert codes(probe) == {"identity_uneven": "warn"}


def test_no_face_is_no_likeness(studio: Studio) -> None:
    probe = probed(lora_of(studio, (HER, HER, NOBODY, NOBODY)))
    assert codes(probe) == {"identity_unmeasured": "warn"}
    assert (probe.report["samples"], probe.report["faces"]) == (4, 2)


# --- R27 ------------------------------------------------------------------------------------------


def test_r27_clothes_of_the_data_set_in_unasked_samples_are_told() -> None:
    """“after training, an outfit-leak probe (prompt plain clothes, measure)”."""
    plain = Sample({"tal_1": 800}, {"tal_1": 0}, seen=("outfit",))
    dressed = replace(plain, repeats=("outfit",))
    for samples, told in (([dressed] * 2 + [plain] * 2, []), ([dressed] * 3 + [plain], [2])):
        report = judge(samples, ["tal_1"], Seer.profile, engine="e", engine_digest="d", compared=0)
        assert [len(item.samples) - 1 for item in report.findings] == told
    assert report.to_payload()["findings"][0]["code"] == "outfit_leak"


def test_the_page_offers_a_copy_only_of_what_was_measured_and_is_not_held(studio: Studio) -> None:
    registered(studio)
    lora = lora_of(studio, (HER, OTHER, HER, HER))
    address, offer = f"/jobs/{lora.job_id}", "Make the licensee"
    client = as_(studio.world.charlie)
    page = client.get(address).content.decode()
    assert "Not measured yet" in page
    assert offer not in page
    assert "every 2s" in page  # the measuring is waited for
    probe = probed(lora)
    page = client.get(address).content.decode()
    assert "Held back" in page
    assert offer not in page
    assert "every 2s" not in page
    staff = User.objects.create(username="operator", is_staff=True)
    probes.probe_settle(probe=probe, by=staff, release=True, reason="another nose")
    assert offer in client.get(address).content.decode()


@pytest.mark.parametrize("spoilt", ["no picture", "a bomb"])
def test_a_sheet_that_a_worker_spoilt_is_refused_and_nothing_goes_out(
    studio: Studio, spoilt: str
) -> None:
    """It stays unmeasured, so it stays here; the sweep goes on to the next."""
    lora = lora_of(studio, (HER,) * 4)
    buffer = io.BytesIO(b"no picture")
    if spoilt == "a bomb":
        Image.new("RGB", (8000, 8000)).save(buffer, "PNG")
    dataset = lora.job.dataset
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    assert isinstance(key, bytes)
    context = f"samples/{lora.job_id}"
    lora.samples_object = object_store(
        vault_core.seal(buffer.getvalue(), key, context=context).data
    )
    lora.save()
    found = probes.outputs_probe(lora=lora, engine=Seer())
    assert isinstance(found, Refusal)
    assert found.code == "image_unreadable"
    assert deliver(studio, lora).code == "probes_missing"
