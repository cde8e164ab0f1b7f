"""What tracing measured, told to the operator in numbers and words, and to nobody else."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from audit.core import findings, words
from audit.core.findings import Finding
from audit.models import TraceFound
from audit.services import tracing
from tests import checkpoints, loras
from tests.services.studio import Studio
from tests.services.test_audit_services import delivered, master_of
from tests.services.test_epochs import disguised
from tests.world import World
from training.core import watermark_reading, weights
from training.models import Delivery
from training.services import delivery

LANGS = ("ja", "en")


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(live, tmp_path)


def told(path: Path, *options: str) -> str:
    out = StringIO()
    call_command("trace_file", str(path), *options, stdout=out)
    return out.getvalue()


def kept(folder: Path, data: bytes) -> Path:
    path = folder / "found.safetensors"
    path.write_bytes(data)
    return path


# --- the words ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("how", sorted(findings._WORDS))
@pytest.mark.parametrize("row", ["dlv_1", None])
def test_every_way_has_a_sentence_with_what_it_found(lang: Any, how: str, row: Any) -> None:
    said = findings.sentence(Finding(how, "lor_1", row, 46.81, 9.18, -460.3), lang)
    assert "{" not in said
    assert row is None or how not in {"file", "watermark", "escrow"} or row in said
    assert "lor_1" in said or (how == "tensors" and "dlv_1" in said)
    if how in {"watermark", "escrow"}:
        assert "t = 46.8" in said
        assert "9.2" in said
        assert "-460" in said


@pytest.mark.parametrize("lang", LANGS)
def test_a_mark_beneath_another_has_no_bound(lang: Any) -> None:
    said = findings.sentence(Finding("watermark", "lor_1", "dlv_1", 20.0, 9.18, None), lang)
    assert said.endswith(findings._BENEATH[lang])
    assert "Hoeffding" not in said


def test_every_way_of_tracing_is_known() -> None:
    assert {*get_args(tracing.How), "escrow"} == set(findings._WORDS)


@pytest.mark.parametrize(("rate", "power"), [(-9.99, "-9"), (-9.0, "-9"), (-0.2, "0"), (0.0, "0")])
def test_a_bound_is_rounded_towards_the_innocent(rate: float, power: str) -> None:
    said = findings.sentence(Finding("watermark", "lor_1", "dlv_1", 8.0, 7.5, rate), "en")
    assert f"at most 10^{power}," in said


@given(st.floats(1e-30, 1e-3), st.integers(1, 10**12))
def test_the_bound_of_a_threshold_is_its_rate(fpr: float, candidates: int) -> None:
    tau = watermark_reading.threshold(fpr, candidates)
    assert watermark_reading.false_rate_log10(tau, candidates) == pytest.approx(math.log10(fpr))
    assert watermark_reading.false_rate_log10(tau + 1, candidates) < math.log10(fpr)
    assert watermark_reading.false_rate_log10(0.0, candidates) == 0.0


# --- the command ----------------------------------------------------------------------------------


def test_the_operator_is_told_t_threshold_and_bound(studio: Studio, tmp_path: Path) -> None:
    made, data = delivered(studio)
    path = kept(tmp_path, disguised(data))
    (found,) = json.loads(told(path, "--json", "--lang", "en"))["findings"]
    assert (found["how"], found["delivery_id"]) == ("watermark", made.pk)
    assert found["needed"] == pytest.approx(watermark_reading.threshold(tracing.FPR / 2, 1))
    # One id, by itself and beside as many masters as one question may open.
    asked = 1 + 2 * tracing.MAX_MASTERS
    expected = watermark_reading.false_rate_log10(found["score"], asked)
    assert found["rate_log10"] == pytest.approx(expected)
    assert found["score"] > 20
    assert found["sentence"] in told(path, "--lang", "en")
    assert "電子透かしを読み取りました" in told(path)
    assert TraceFound.objects.filter(delivery=made).exists()


def test_of_two_marks_only_the_first_has_a_bound(studio: Studio, tmp_path: Path) -> None:
    """The first shows that a marked copy was used, and the bound is for files that used none."""
    made, data = delivered(studio)
    second = delivery.delivery_make(lora=made.lora, recipient=studio.world.client)
    assert isinstance(second, Delivery)
    other = studio.received(delivery.delivery_fetch(link=second.link))
    pooled = loras.merged(weights.read(data), [weights.read(other)], [0.7, 0.5])
    path = kept(tmp_path, weights.write(pooled.tensors, {}))
    found = json.loads(told(path, "--json"))["findings"]
    assert {item["delivery_id"] for item in found} == {made.pk, second.pk}
    assert [item["rate_log10"] is None for item in found] == [False, True]


def test_the_same_bytes_need_no_number(studio: Studio, tmp_path: Path) -> None:
    made, data = delivered(studio)
    assert f"納品 {made.pk}" in told(kept(tmp_path, data))
    renamed = weights.write(weights.read(data).tensors, {"a": "b"})
    assert "見出しは問いません" in told(kept(tmp_path, renamed))
    master = weights.write(master_of(made).tensors, {})
    assert f"LoRA {made.lora_id} の原本" in told(kept(tmp_path, master))


def test_a_checkpoint_is_traced_beside_its_base(studio: Studio, tmp_path: Path) -> None:
    made, data = delivered(studio)
    changed, base = checkpoints.merged(weights.read(data), "F16", 1)
    paths = []
    for name, tensors in (("changed", changed), ("base", base)):
        paths.append(tmp_path / f"{name}.safetensors")
        paths[-1].write_bytes(weights.write({k: t.array() for k, t in tensors.items()}, {}))
    (found,) = json.loads(told(paths[0], "--base", str(paths[1]), "--json"))["findings"]
    assert found["delivery_id"] == made.pk
    with pytest.raises(CommandError, match="no_difference"):
        told(paths[1], "--base", str(paths[1]))


def test_what_is_not_registered_is_not_accused(studio: Studio, tmp_path: Path) -> None:
    delivered(studio)
    stranger = weights.write(loras.lora(loras.tiny(), 8, seed=99).tensors, {})
    assert told(kept(tmp_path, stranger), "--lang", "en").strip() == words.not_found("en")
    assert not TraceFound.objects.exists()


def test_what_cannot_be_asked_says_why(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="malformed"):
        told(kept(tmp_path, b"\xff" * 100))
    with pytest.raises(CommandError, match="no-such"):
        told(tmp_path / "no-such-file")


def test_nobody_else_is_told_a_number(studio: Studio, tmp_path: Path) -> None:
    """Not the page, even for the one whose case it is: a score teaches how to get under it."""
    _, data = delivered(studio)
    found = tracing.trace(data=disguised(data))
    assert isinstance(found, tracing.Trace)
    (finding,) = found.findings
    with kept(tmp_path, disguised(data)).open("rb") as file:
        page = Client().post("/verify", {"file": file}).content.decode()
    assert found.lora.pk in page
    assert f"{finding.score:.1f}" not in page
    assert "Hoeffding" not in page
