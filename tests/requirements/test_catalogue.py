"""R13 and R14: models by digest with dated licences, drift, and the same trap in our own tools."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from registry import selectors
from registry.core.refusals import Refusal
from registry.models import Approval, ModelRecord
from registry.services import catalogue, drift, seed
from tests.services.studio import Studio
from tests.web.pages import finished
from tests.world import free, log_types, state
from training.core import weights
from training.engines import pack, scenery
from training.services import delivery, engine, tools

LICENCE = "The text of a licence, as it was read.\n"


@pytest.fixture
def operator(world) -> str:
    """Somebody with a login who answers for records."""
    world.bob.person.user = User.objects.create_user("operator")
    world.bob.person.save()
    return "operator"


@pytest.fixture
def seeded(world) -> None:
    seed.catalogue_seed()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    return file


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    file = tmp_path / "LICENSE"
    file.write_text(LICENCE)
    return file


def command(*words) -> str:
    out = io.StringIO()
    call_command(*map(str, words), stdout=out)
    return out.getvalue()


def codes(found):
    assert isinstance(found, list), found
    return [item.code for item in found]


def recorded(checkpoint, template, *more) -> ModelRecord:
    command("model_record", checkpoint, "--from", template, *more)
    return ModelRecord.objects.get(sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest())


# --- R13 ------------------------------------------------------------------------------------------


def test_r13_a_non_commercial_base_and_a_commercial_scope_are_refused(world):
    """“Base flagged non-commercial + commercial scope → refusal”."""
    base = catalogue.model_record(name="nc", sha256="34" * 32, facts=free(commercial="no"))
    assert codes(world.submit(base_model=base)) == ["base_licence"]
    trial = world.terms(media=("research_prototype",), stage="prototype")
    assert not isinstance(world.submit(base_model=base, terms=trial), list)


def test_r13_the_snapshot_and_its_hash_are_kept(world, seeded, checkpoint, licence, operator):
    """“digest, licence text snapshot and hash, allowed uses, parents of merges”."""
    base = recorded(checkpoint, "SDXL 1.0", "--licence", licence, "--by", operator)
    revision = base.current
    assert revision.licence_text == LICENCE
    facts = revision.core()
    assert facts.licence_sha256 == hashlib.sha256(LICENCE.encode()).hexdigest()
    assert facts.reviewed_by == world.bob.person.id
    grant = world.made(base_model=base)
    (named,) = selectors.core_grant(grant).base_models
    assert (named.sha256, named.revision) == (base.sha256, revision.id)
    assert named.licence_sha256 == facts.licence_sha256
    for locale, words in (("en", "use restrictions"), ("ja", "利用制限")):
        assert words in selectors.core_grant(grant).text(locale)


def test_r13_a_template_without_its_text_is_not_for_commercial_use(world, seeded, checkpoint):
    """Nobody answers for a licence whose text nobody kept."""
    base = recorded(checkpoint, "sdxl-1.0")
    assert codes(world.submit(base_model=base)) == ["base_licence_unreviewed"]


def test_r13_second_hand_facts_need_a_person_who_read_the_text(
    world, seeded, checkpoint, licence, operator
):
    """A text lying beside a second-hand record says nothing yet."""
    base = recorded(checkpoint, "mage-flow", "--licence", licence)
    assert codes(world.submit(base_model=base)) == ["base_licence_unreviewed"]
    facts = base.current.core().to_payload()
    read = checkpoint.with_name("facts.json")
    read.write_text(json.dumps(facts | {"confidence": "T"}))
    command("model_revise", base.pk, "--facts", read, "--licence", licence, "--by", operator)
    assert not isinstance(world.submit(base_model=base), list)


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("FLUX.1 dev", "base_licence"),
        ("lumina-2", "base_licence"),
        ("z-image-turbo", "base_licence"),
        ("illustrious-0.1", "base_licence_share_alike"),
        ("sd-3.5", "base_licence_threshold"),
        ("kolors", "base_licence_registration"),
        ("hidream-i1", "base_licence_threshold"),
        ("merge-of-unknown-parents", "base_licence"),
        ("flux1-kontext-dev", "base_licence_field"),
    ],
)
def test_r13_what_the_licence_or_a_part_of_it_forbids_is_refused_by_name(
    world, seeded, checkpoint, licence, operator, template, code
):
    """The unexpected ones come from a part: a VAE, an adapter, a text encoder."""
    base = recorded(checkpoint, template, "--licence", licence, "--by", operator)
    assert code in codes(world.submit(base_model=base))


def test_r13_free_bases_of_the_catalogue_can_be_used(world, seeded, checkpoint, licence, operator):
    """Apache-2.0 bases ask only that changes are stated."""
    base = recorded(checkpoint, "Z-Image", "--licence", licence, "--by", operator)
    grant = world.asked(base_model=base)
    assert "state that it was changed" in selectors.core_grant(grant).text("en")


def test_r13_the_base_is_held_by_its_digest(world, seeded, checkpoint):
    """The same bytes are recorded once."""
    recorded(checkpoint, "sdxl-1.0")
    with pytest.raises(CommandError, match="already"):
        command("model_record", checkpoint, "--from", "Z-Image")


def test_r13_the_base_s_duties_travel_with_the_file(world, tmp_path):
    """Pass-on duties become duties of whoever has the LoRA: shown in the text, said in the file."""
    studio = Studio(world, tmp_path)
    facts = free(
        licence_id="LicenseRef-rail",
        derivative_terms=("pass_on",),
        attribution="Powered by somebody, https://example.org/licence.txt",
    )
    drift.model_revise(record=studio.base, facts=facts)
    lora = finished(studio)
    header = delivery._header(lora, "ab" * 32, bytes(6), lora.created_at)
    assert header["kyodaku.base_duties"] == "licence:LicenseRef-rail pass_on"
    assert header["kyodaku.base_notices"].startswith("Powered by somebody")
    assert weights.write({}, header)


# --- the shipped catalogue ------------------------------------------------------------------------


def test_r13_seeding_twice_changes_nothing(world):
    """Every row of the study is there, with its source and how sure it is."""
    first = seed.catalogue_seed()
    events = log_types()
    second = seed.catalogue_seed()
    assert second.recorded == second.revised == []
    assert sorted(second.kept) == sorted(first.recorded)
    assert log_types() == events
    assert {"SDXL 1.0", "Kolors", "HunyuanImage", "Krea 2"} <= set(
        ModelRecord.objects.values_list("name", flat=True)
    )
    for record in ModelRecord.objects.exclude(seed_key=""):
        facts = record.current.core()
        assert facts.source
        assert facts.confidence != "S" or facts.note, record.name


def test_r13_a_newer_release_revises_its_own_rows_and_never_a_persons(world, tmp_path):
    """What somebody read and recorded stands."""
    shipped = json.loads(seed.SHIPPED.read_text())
    seed.catalogue_seed()
    read = free(note="read by bob")
    ours = ModelRecord.objects.get(seed_key="kolors")
    drift.model_revise(record=ours, facts=read, by=world.bob.person)
    for row in shipped["models"]:
        row["facts"]["note"] = "a newer release"
    newer = tmp_path / "models.json"
    newer.write_text(json.dumps(shipped))
    done = seed.catalogue_seed(file=newer)
    assert "kolors" in done.kept
    assert "sdxl-1.0" in done.revised
    assert ours.current.core() == read


# --- R14 ------------------------------------------------------------------------------------------


def test_r14_a_changed_record_lists_what_was_made_on_it(world, tmp_path, operator, caplog, capsys):
    """“Changing the licence record yields the list of affected artefacts and an alert”."""
    studio = Studio(world, tmp_path)
    lora = finished(studio)
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps(free(commercial="no").to_payload()))
    said = command("model_revise", studio.base.pk, "--facts", facts, "--by", operator)
    grant = lora.job.grant
    for word in (grant.pk, lora.pk, lora.job_id, "base_licence", "1 no longer covered"):
        assert word in said
    assert grant.pk in caplog.text
    assert state(grant) == "paused"
    with pytest.raises(SystemExit):
        call_command("model_drift", studio.base.pk)
    assert "1 no longer covered" in capsys.readouterr().out
    with pytest.raises(CommandError, match="base_licence"):
        command("grant_release", grant.pk, "--by", operator)
    facts.write_text(json.dumps(free().to_payload()))
    command("model_revise", studio.base.pk, "--facts", facts, "--by", operator)
    assert "active" in command("grant_release", grant.pk, "--by", operator)


def test_r14_a_licensee_s_size_is_declared_from_the_terminal(world):
    """The operator records what the licensee declared, and sees what is held by it."""
    command("licensee", world.client.id, "--revenue-below", "1,000,000", "USD")
    command("licensee", "Kadoma Press", "--registered", "LicenseRef-kolors", "K-1")
    said = catalogue.declared_by(world.client, at=world.base.created_at)
    assert [amount.below for amount in said.amounts] == [1_000_000]
    assert said.registrations == ("LicenseRef-kolors",)
    with pytest.raises(CommandError, match="organisation"):
        command("licensee", "nobody")


def test_r13_what_an_operator_mistypes_is_said(world, checkpoint):
    """No traceback, no half-written record."""
    before = ModelRecord.objects.count()
    for words, said in (
        (("--from", "no such"), "no such model"),
        ((), "either"),
        (("--facts", checkpoint), "model.safetensors"),
        (("--from", "tiny-portraits", "--by", "nobody"), "login"),
        (("--from", "tiny-portraits", "--part", "eye=tiny-portraits"), "role"),
    ):
        with pytest.raises(CommandError, match=said):
            command("model_record", checkpoint, *words)
    assert ModelRecord.objects.count() == before


# --- our own tools --------------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path: Path, settings) -> Path:
    """A folder with a face pack's manifest in it, in a live registry."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / tools.MANIFEST).write_bytes(pack.manifest())
    settings.ENGINE_DIR = folder
    settings.SCENERY_DIR = tmp_path / "nothing"
    settings.KYODAKU_MODE = "live"
    return folder


def check(**options) -> None:
    call_command("check", database=["default"], **options)


def test_r13_a_live_registry_does_not_start_on_a_pack_without_a_licence_record(
    world, packed, settings
):
    """“refuse to start in production without a model-licence record”."""
    settings.SILENCED_SYSTEM_CHECKS = ["kyodaku.E002", "kyodaku.E003", "kyodaku.E004"]
    with pytest.raises(CommandError, match=r"kyodaku\.E007"):
        check()
    assert engine.engine_open().code == "tool_licence"
    seed.catalogue_seed()
    assert tools.engine_refusal(packed) is None


def test_r13_the_scenery_pack_needs_its_record_too(world, packed, settings, tmp_path):
    """Whatever looks at pictures: faces, people, places."""
    seed.catalogue_seed()
    assert tools.tools_refusal() is None
    settings.SCENERY_DIR = tmp_path / "scenery"
    settings.SCENERY_DIR.mkdir()
    manifest = settings.SCENERY_DIR / tools.MANIFEST
    manifest.write_bytes(scenery.manifest())
    assert tools.tools_refusal() is None
    manifest.write_bytes(scenery.manifest() + b" ")
    assert tools.tools_refusal().code == engine.engine_open().code == "tool_licence"


def test_r13_a_pack_that_may_not_be_used_commercially_is_refused(world, packed, settings):
    """InsightFace's own packs are for non-commercial research only."""
    catalogue.model_record(
        name="buffalo_l",
        kind="face_pack",
        sha256=tools.pack_digest(packed),
        facts=free(licence_id="NC", commercial="no"),
    )
    for mode in ("live", "test"):
        settings.KYODAKU_MODE = mode
        refusal = tools.engine_refusal(packed)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "tool_licence"


@pytest.mark.parametrize(
    "changes",
    [
        {"field_of_use": ("biometric_ban",)},
        {"registration_required": True},
        {"confidence": "S"},
        {"derivative_terms": ("share_alike",)},
        {"commercial": "unknown"},
    ],
)
def test_r13_a_tool_s_record_may_leave_nothing_open(world, changes):
    """Everything that is sold passes through the tool."""
    catalogue.model_record(name="t", kind="face_pack", sha256="78" * 32, facts=free(**changes))
    assert catalogue.tool_refusal("78" * 32).code == "tool_licence"
    assert catalogue.tool_refusal("").code == "tool_licence"


def test_r13_the_shipped_pack_is_the_one_that_the_engine_pins(world, seeded):
    """The catalogue names the very bytes that curation loads."""
    assert catalogue.tool_refusal(pack.PACK_SHA256) is None
    record = ModelRecord.objects.get(sha256=pack.PACK_SHA256)
    inside = {row.part.sha256: row.part for row in record.current.parts.all()}
    assert set(inside) == set(pack.CONVERTED_SHA256.values())
    files = {item["name"]: item["sha256"] for part in inside.values() for item in part.files}
    assert files == pack.SOURCE_SHA256


def test_r13_approvals_rest_on_the_licence_as_it_was_shown(world):
    """A narrower licence while people sign: the last signature mints nothing."""
    grant = world.asked()
    drift.model_revise(record=world.base, facts=free(commercial="no"))
    for who, by in world.signers():
        assert isinstance(who.approve(grant, by), Approval)
    assert codes(world.mint(grant)) == ["base_licence"]
