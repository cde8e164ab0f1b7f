"""Statements of runs and deliveries, and what a file's header may say."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core import provenance
from training.core.provenance import (
    DELIVERY,
    RUN,
    DeliveryFacts,
    ProvenanceError,
    RunFacts,
    delivery_statement,
    modelspec_metadata,
    run_statement,
    scan_for_leaks,
    verify_statement,
)

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
MASTER, FILE, GRANT, BASE, DATA, CODE = (c * 64 for c in "abcdef")

RUN_FACTS = RunFacts(
    run_id="run_01",
    master_tensor_sha256=MASTER,
    grant_digest=GRANT,
    recipe={"rank": 8, "steps": 200},
    seed=7,
    base_sha256=BASE,
    dataset_root=DATA,
    trainer_version="0.1.0",
    trainer_sha256=CODE,
    worker="wrk_bob",
    started=AT,
    finished=AT + timedelta(minutes=3),
)
DELIVERY_FACTS = DeliveryFacts(
    delivery_id="dlv_01",
    file_sha256=FILE,
    tensor_sha256=CODE,
    master_tensor_sha256=MASTER,
    run_statement_sha256=DATA,
    grant_digest=GRANT,
    watermark_profile="kyodaku-wm-2",
    licensee="lic_charlie",
    artefact_commitment=BASE,
    registry="kyodaku",
    at=AT,
    lora_id="lor_01",
    model_key_sha256=CODE,
)


def header(**changes: Any) -> dict[str, str]:
    facts: dict[str, Any] = {
        "architecture": "stable-diffusion-v1/lora",
        "title": "art_7f3a",
        "grant_digest": GRANT,
        "log_origin": "kyodaku.example/log/2026",
        "tensor_sha256": MASTER,
        "watermark_profile": "kyodaku-wm-2",
        "at": AT,
    }
    return modelspec_metadata(**facts | changes)


def test_a_run_statement_binds_the_master_to_grant_base_and_data() -> None:
    statement = run_statement(RUN_FACTS)
    seen = verify_statement(statement, build_type=RUN, subject_sha256=MASTER)
    assert seen.grant_digest == GRANT
    assert seen.dependencies == {"base-model": BASE, "dataset-root": DATA, "trainer": CODE}
    assert seen.parameters["recipe"] == {"rank": 8, "steps": 200}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert json.loads(json.dumps(statement)) == statement


def test_a_delivery_statement_binds_the_file_to_master_and_licensee() -> None:
    seen = verify_statement(
        delivery_statement(DELIVERY_FACTS), build_type=DELIVERY, subject_sha256=FILE
    )
    assert seen.dependencies == {"master": MASTER, "run-statement": DATA}
    assert seen.parameters["licensee"] == "lic_charlie"
    assert seen.parameters["artefact_commitment"] == BASE


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    tokyo = AT.astimezone(timezone(timedelta(hours=9)))
    assert delivery_statement(replace(DELIVERY_FACTS, at=tokyo)) == delivery_statement(
        DELIVERY_FACTS
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"grant_digest": "C" * 64}, "bad_digest"),
        ({"base_sha256": "d" * 63}, "bad_digest"),
        ({"dataset_root": ""}, "bad_digest"),
        ({"master_tensor_sha256": "a" * 64 + "\n"}, "bad_digest"),
        ({"worker": "/home/bob"}, "bad_name"),
        ({"run_id": "田中"}, "bad_name"),
        ({"finished": AT - timedelta(seconds=1)}, "bad_time"),
        ({"started": AT.replace(tzinfo=None), "finished": AT.replace(tzinfo=None)}, "bad_time"),
    ],
)
def test_facts_of_the_wrong_form_make_no_statement(change: dict[str, Any], code: str) -> None:
    with pytest.raises(ProvenanceError) as caught:
        run_statement(replace(RUN_FACTS, **change))
    assert caught.value.code == code


@pytest.mark.parametrize("field", ["licensee", "delivery_id", "registry", "watermark_profile"])
def test_a_delivery_names_nobody(field: str) -> None:
    change: dict[str, Any] = {field: "Charlie Tanaka"}
    with pytest.raises(ProvenanceError, match="bad_name"):
        delivery_statement(replace(DELIVERY_FACTS, **change))


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("_type",), "https://in-toto.io/Statement/v0.1", "bad_statement"),
        (("predicateType",), "https://slsa.dev/provenance/v0.2", "bad_statement"),
        (("predicate",), None, "bad_statement"),
        (("predicate", "buildDefinition", "buildType"), DELIVERY, "wrong_kind"),
        (("subject", 0, "digest", "sha256"), FILE, "wrong_subject"),
        (("subject",), [], "wrong_subject"),
        (("subject",), "x", "bad_statement"),
        (("subject", 0, "name"), 3, "bad_statement"),
        (("predicate", "buildDefinition", "resolvedDependencies"), [], "bad_statement"),
        (("predicate", "buildDefinition", "resolvedDependencies", 0, "name"), "trainer",
         "bad_statement"),
        (("predicate", "buildDefinition", "resolvedDependencies", 1, "digest"), {}, "bad_digest"),
        (("predicate", "buildDefinition", "externalParameters", "grant_digest"), 1, "bad_digest"),
    ],
)  # fmt: skip
def test_a_changed_statement_does_not_verify(path: tuple[Any, ...], value: Any, code: str) -> None:
    statement = copy.deepcopy(run_statement(RUN_FACTS))
    verify_statement(statement, build_type=RUN, subject_sha256=MASTER)
    place: Any = statement
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ProvenanceError) as caught:
        verify_statement(statement, build_type=RUN, subject_sha256=MASTER)
    assert caught.value.code == code


def test_a_dependency_named_twice_is_refused() -> None:
    statement = run_statement(RUN_FACTS)
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    dependencies.insert(0, {"name": "base-model", "digest": {"sha256": FILE}})
    with pytest.raises(ProvenanceError, match="bad_statement"):
        verify_statement(statement, build_type=RUN, subject_sha256=MASTER)


def test_two_subjects_are_refused() -> None:
    statement = run_statement(RUN_FACTS)
    statement["subject"].append({"name": "other", "digest": {"sha256": MASTER}})
    with pytest.raises(ProvenanceError, match="wrong_subject"):
        verify_statement(statement, build_type=RUN, subject_sha256=MASTER)


# --- the header ----------------------------------------------------------------------------------


def test_the_header_has_modelspecs_must_fields_and_our_own() -> None:
    fields = header(resolution="32x32", trigger="sks person", licence="restricted; see grant")
    for key in ("sai_model_spec", "architecture", "implementation", "title", "resolution"):
        assert fields[f"modelspec.{key}"]
    assert fields["modelspec.hash_sha256"] == "0x" + MASTER
    assert fields["modelspec.date"] == "2026-04-01T09:30:00Z"
    assert fields["kyodaku.grant_digest"] == GRANT
    assert fields["kyodaku.tensor_sha256"] == MASTER
    assert all(isinstance(value, str) for value in fields.values())


def test_an_sdxl_file_says_so_for_readers_that_take_the_rest_for_sd1() -> None:
    assert "ss_base_model_version" not in header()
    fields = header(architecture="stable-diffusion-xl-v1-base/lora")
    assert fields["ss_base_model_version"].startswith("sdxl_")


def test_the_header_leaks_nothing() -> None:
    assert scan_for_leaks(header(), ["unet.mid.to_q.lora_A.weight"], ["Alice", "alice.jpg"]) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"title": "Alice Sato"}, "bad_name"),
        ({"grant_digest": "x"}, "bad_digest"),
        ({"trigger": "/home/charlie/alice"}, "leak"),
        ({"licence": "ask charlie@example.org"}, "leak"),
        ({"implementation": "alice_01.jpg"}, "leak"),
        ({"log_origin": "/var/lib/log"}, "leak"),
        ({"architecture": "/data/base/lora"}, "leak"),
    ],
)
def test_a_header_that_would_leak_is_not_made(change: dict[str, Any], code: str) -> None:
    with pytest.raises(ProvenanceError) as caught:
        header(**change)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "value",
    [
        "/home/charlie/set", "~/set", "./set", "../set", r"C:\Users\charlie", "D:/sets",
        "\\\\server\\share", "file:///x", "work/alice/set", '{"dir": "/data"}', "a=/data",
        "alice@example.org", "@alice_idol", "IMG_0001.JPG", "alice.safetensors", "notes.txt",
    ],
)  # fmt: skip
def test_paths_addresses_and_file_names_are_found(value: str) -> None:
    assert scan_for_leaks({"note": value}, (), ())


@pytest.mark.parametrize(
    "value", ["sks person", "2026-04-01T09:30:00Z", "1.0.1", "epsilon", "32x32", "0x" + MASTER]
)
def test_ordinary_values_are_not(value: str) -> None:
    assert scan_for_leaks({"note": value}, (), ()) == []


@pytest.mark.parametrize(
    "key", ["ss_tag_frequency", "ss_dataset_dirs", "ss_output_name", "base_model_name_or_path"]
)
def test_the_keys_that_give_captions_away_are_found_whatever_they_hold(key: str) -> None:
    assert scan_for_leaks({key: ""}, (), ())


def test_a_path_in_a_tensor_name_is_found() -> None:
    assert scan_for_leaks({}, ["/home/bob/unet.lora_A.weight"], ())
    assert scan_for_leaks({}, ["unet.a_b.lora_A.weight"], ()) == []


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("TANAKA_hanako lora", "Tanaka Hanako"),
        ("ｔａｎａｋａｈａｎａｋｏ", "tanaka hanako"),
        ("田中 花子", "田中花子"),
        ("alice_01_jpg", "alice_01.jpg"),
    ],
)
def test_forbidden_strings_are_found_in_any_case_width_and_spacing(
    text: str, forbidden: str
) -> None:
    assert scan_for_leaks({"note": text}, (), [forbidden])
    assert scan_for_leaks({}, [f"unet.{text}.lora_A.weight"], [forbidden])
    assert scan_for_leaks({"note": "sks person"}, (), [forbidden]) == []


def test_a_single_letter_is_no_forbidden_string() -> None:
    assert scan_for_leaks({"note": "sks person"}, (), ["s", "", "-"]) == []


@given(st.text(min_size=1), st.text(), st.text())
def test_a_forbidden_string_is_found_inside_anything(name: str, before: str, after: str) -> None:
    found = scan_for_leaks({"note": f"{before} {name} {after}"}, (), [name])
    folded = provenance._fold(name)
    assert bool([f for f in found if "forbidden" in f]) or len(folded) < 2
