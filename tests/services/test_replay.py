"""The rows against the log: after every flow they agree, and each changed column is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.utils import timezone

import audit.replay
import registry.replay
import training.replay
from audit.core.uses import Use
from audit.models import TraceFound, UseReport
from audit.services import tracing, usage
from registry.core import status_list
from registry.core.refusals import Refusal
from registry.log import replay
from registry.log.core.errors import VerificationError
from registry.models import (
    Approval,
    Credential,
    EmergencyStop,
    Estate,
    Grant,
    Guardianship,
    KeyShare,
    Lane,
    Mandate,
    Membership,
    ModelPart,
    ModelRevision,
    Organisation,
    Person,
    Representation,
    RepresentationClaim,
    Talent,
    Token,
    TrainingRequest,
    Work,
)
from registry.services import (
    approvals,
    authority,
    grants,
    parties,
    rights,
    tokens,
    welfare,
)
from registry.services import people as careers
from tests.services.studio import Studio, lora_sealed
from tests.services.test_audit_services import finished
from tests.web import pages
from tests.world import JKT, ORIGIN, World, human, organisation
from training.models import (
    Dataset,
    Delivery,
    Download,
    Lora,
    OutputDecision,
    OutputProbe,
    Picture,
    SampleSheet,
    TrainingJob,
    WatermarkEpoch,
    Worker,
)
from training.services import delivery, epochs, outputs, sealing


def agree() -> int:
    """How many rows are what the log tells; raises for the first that is not."""
    return replay.check([*registry.replay.rules(), *training.replay.rules(), *audit.replay.rules()])


def fault() -> str:
    with pytest.raises(VerificationError) as caught:
        agree()
    assert caught.value.code == "fsck_row"
    return caught.value.detail


@pytest.fixture
def studio(world, tmp_path, settings) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(world, tmp_path)


# --- every way that a case can go -----------------------------------------------------------------


def refused(world: World) -> None:
    grant = world.asked()
    assert (
        approvals.approval_refuse(person=world.bob.person, grant=grant, by="agency_officer") is None
    )


def withdrawn_after_signing(world: World) -> None:
    grant = world.made()
    minted = world.mint(grant)
    assert isinstance(tokens.token_redeem(jti=minted.jti, jkt=JKT), Token)
    assert approvals.approval_withdraw(person=world.alice.person, grant=grant) is None


def withdrawn_while_asked(world: World) -> None:
    assert approvals.approval_withdraw(person=world.alice.person, grant=world.asked()) is None


def superseded(world: World) -> None:
    grant = world.made()
    world.mint(grant)
    world.seal(grant.request, "cd" * 32)


def paused_and_resumed(world: World) -> None:
    at, grant = timezone.now(), world.made(max_runs=2)
    kept = world.mint(grant)
    ended = world.mint(grant, job_id="job_" + "1" * 20)
    assert tokens.token_revoke(token=ended)
    assert grants.grant_pause(grant_id=grant.pk, reason="representation", at=at)
    assert agree()
    assert grants.grant_pause(grant_id=grant.pk, reason="base_licence", at=at)
    assert grants.grant_resume(grant_id=grant.pk, reason="representation", by=None, at=at)
    assert Token.objects.get(pk=kept.pk).status == status_list.PAUSED
    assert agree()
    assert grants.grant_resume(grant_id=grant.pk, reason="base_licence", by=None, at=at)
    assert Token.objects.get(pk=kept.pk).status == status_list.VALID
    assert Token.objects.get(pk=ended.pk).status == status_list.REVOKED


def revoked(world: World) -> None:
    grant = world.made()
    world.mint(grant)
    assert grants.grant_revoke(grant=grant)


def expired(world: World) -> None:
    world.mint(world.made())
    assert grants.grants_expire(at=timezone.now() + timedelta(days=400))


def key_retired(world: World) -> None:
    key = Credential.objects.get(person=world.mallory.person)
    parties.credential_retire(credential=key)


FLOWS: tuple[Callable[[World], None], ...] = (
    refused,
    withdrawn_after_signing,
    withdrawn_while_asked,
    superseded,
    paused_and_resumed,
    revoked,
    expired,
    key_retired,
)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_rows_are_what_the_log_tells_whichever_way_a_case_goes(world, flow):
    before = agree()
    flow(world)
    assert agree() >= before


def test_rows_are_what_the_log_tells_from_upload_to_delivery_use_trace_and_end(studio):
    made = whole_case(studio)
    count = agree()
    assert sealing.lora_freeze_sweep() == 0
    grant = Grant.objects.get(request=studio.request)
    assert approvals.approval_withdraw(person=studio.world.alice.person, grant=grant) is None
    assert sealing.lora_freeze_sweep() == 1
    assert Lora.objects.get(pk=made.lora_id).state == Lora.State.FROZEN
    assert agree() > count  # the destroyed key share has become a row to be told of


def whole_case(studio: Studio) -> Delivery:
    """Outputs approved before anything is delivered; then fetched, traced and used."""
    terms = studio.world.terms()
    studio.request = studio.world.request(
        base_model=studio.base,
        recipe=studio.request.recipe,
        max_runs=3,
        terms=replace(terms, duties=(*terms.duties, outputs.DUTY)),
    )
    lora = lora_sealed(job=finished(studio))
    assert isinstance(lora, Lora), lora
    for who, by in ((studio.world.alice, "talent"), (studio.world.bob, "agency_officer")):
        begun = outputs.approve_begin(lora=lora, person=who.person, by=by)
        assert isinstance(begun, dict), begun
        said = outputs.approve_finish(
            lora=lora,
            person=who.person,
            challenge_id=begun["challenge_id"],
            response=who.soft.approve(begun["options"], ORIGIN),
        )
        assert isinstance(said, OutputDecision), said
    epochs.rotate(after=1)
    made = delivery.delivery_make(lora=lora, recipient=studio.world.client)
    assert isinstance(made, Delivery), made
    data = studio.received(delivery.delivery_fetch(link=made.link))
    assert not isinstance(tracing.trace(data=data), Refusal | None)
    use = Use("photobook_ebook", "JP", date.today(), 10)  # noqa: DTZ011
    report = usage.use_report(delivery=made, by=member(made.recipient), use=use)
    assert isinstance(report, UseReport), report
    return made


def member(organisation: Organisation) -> Person:
    person = human("dave").person
    parties.membership_add(person=person, organisation=organisation, role="viewer")
    return person


# --- every column ---------------------------------------------------------------------------------

OTHER = "0" * 64
D0, D1 = date(2020, 4, 1), date(2021, 3, 31)
# (table, column of the rule): the model, and what a superuser writes into one of its rows.
CASES: dict[tuple[str, str], tuple[type[models.Model], dict[str, Any]]] = {
    ("registry_credential", "person"): (Credential, {"person": "another"}),
    ("registry_credential", "thumbprint"): (Credential, {"thumbprint": OTHER}),
    ("registry_credential", "cose_key"): (Credential, {"cose_key": b"mallory's"}),
    ("registry_credential", "assurance"): (Credential, {"assurance": "passkey"}),
    ("registry_credential", "enrolment_event"): (Credential, {"enrolment_event": "evt_0"}),
    ("registry_credential", "retired"): (Credential, {"retired_at": timezone.now()}),
    ("registry_trainingrequest", "requester"): (TrainingRequest, {"requester": "another"}),
    ("registry_trainingrequest", "licensee"): (TrainingRequest, {"licensee": "another"}),
    ("registry_trainingrequest", "talents"): (TrainingRequest, {"talents": []}),
    ("registry_trainingrequest", "max_runs"): (TrainingRequest, {"max_runs": 9}),
    ("registry_grant", "request"): (Grant, {"request": "another"}),
    ("registry_grant", "digest"): (Grant, {"digest": OTHER}),
    ("registry_grant", "canonical"): (Grant, {"canonical": b"{}"}),
    ("registry_grant", "payload"): (Grant, {"payload": {"dataset": {"root": "same"}}}),
    ("registry_grant", "state"): (Grant, {"state": "withdrawn"}),
    ("registry_grant", "made_event"): (Grant, {"made_event": "evt_0"}),
    ("registry_grant", "runs_used"): (Grant, {"runs_used": 0}),
    ("registry_lane", "state"): (Lane, {"state": "asked"}),
    ("registry_approval", "payload"): (Approval, {"payload": {}}),
    ("registry_approval", "lane"): (Approval, {"lane": "other"}),
    ("registry_approval", "credential"): (Approval, {"credential": "other"}),
    ("registry_token", "grant"): (Token, {"grant": "another"}),
    ("registry_token", "job"): (Token, {"job_id": "job_0"}),
    ("registry_token", "jkt"): (Token, {"jkt": "mallory"}),
    ("registry_token", "text"): (Token, {"text": "no token"}),
    ("registry_token", "redeemed"): (Token, {"redeemed_at": None}),
    ("registry_token", "status"): (Token, {"status": 3}),
    ("registry_keyshare", "shredded"): (KeyShare, {"wrapped": None, "shredded_at": timezone.now()}),
    ("registry_talent", "retired_from"): (Talent, {"retired_from": None}),
    ("registry_talent", "died_on"): (Talent, {"died_on": None}),
    ("registry_membership", "person"): (Membership, {"person": "another"}),
    ("registry_membership", "organisation"): (Membership, {"organisation": "another"}),
    ("registry_membership", "role"): (Membership, {"role": "viewer"}),
    ("registry_representation", "talent"): (Representation, {"talent": "another"}),
    ("registry_representation", "agency"): (Representation, {"agency": "another"}),
    ("registry_representation", "first_day"): (Representation, {"period": (D1, None)}),
    ("registry_representation", "last_day"): (Representation, {"period": (D0, D1)}),
    ("registry_representationclaim", "talent"): (RepresentationClaim, {"talent": "another"}),
    ("registry_representationclaim", "agency"): (RepresentationClaim, {"agency": "another"}),
    ("registry_representationclaim", "against"): (RepresentationClaim, {"against": "another"}),
    ("registry_representationclaim", "state"): (RepresentationClaim, {"state": "upheld"}),
    ("registry_guardianship", "talent"): (Guardianship, {"talent": "another"}),
    ("registry_guardianship", "person"): (Guardianship, {"person": "another"}),
    ("registry_guardianship", "proof_sha256"): (Guardianship, {"proof_sha256": OTHER}),
    ("registry_guardianship", "ended"): (Guardianship, {"ended_on": None}),
    ("registry_estate", "talent"): (Estate, {"talent": "another"}),
    ("registry_estate", "person"): (Estate, {"person": "another"}),
    ("registry_estate", "proof_sha256"): (Estate, {"proof_sha256": OTHER}),
    ("registry_estate", "ended"): (Estate, {"ended_on": D1}),
    ("registry_emergencystop", "talent"): (EmergencyStop, {"talent": "another"}),
    ("registry_emergencystop", "lifted"): (EmergencyStop, {"lifted_at": None}),
    ("registry_mandate", "holder"): (Mandate, {"holder": "other"}),
    ("registry_mandate", "person"): (Mandate, {"person": "another"}),
    ("registry_mandate", "proof_sha256"): (Mandate, {"proof_sha256": OTHER}),
    ("registry_mandate", "ended"): (Mandate, {"ended_on": D1}),
    ("registry_work", "kind"): (Work, {"kind": "another kind"}),
    ("registry_work", "holders"): (Work, {"holders": []}),
    ("registry_modelrevision", "model"): (ModelRevision, {"record": "another"}),
    ("registry_modelrevision", "number"): (ModelRevision, {"number": 9}),
    ("registry_modelrevision", "facts_sha256"): (ModelRevision, {"facts_sha256": OTHER}),
    ("registry_modelrevision", "facts"): (ModelRevision, {"facts": {"commercial": "yes"}}),
    ("registry_modelrevision", "parts"): (ModelRevision, {"parts": ["itself"]}),
    ("registry_modelrevision", "event"): (ModelRevision, {"event": "evt_0"}),
    ("training_worker", "jkt"): (Worker, {"jkt": "mallory"}),
    ("training_worker", "public_raw"): (Worker, {"public_raw": bytes(32)}),
    ("training_worker", "approved"): (Worker, {"approved_at": None}),
    ("training_dataset", "state"): (Dataset, {"state": "uploading"}),
    ("training_dataset", "request"): (Dataset, {"request": "another"}),
    ("training_dataset", "root"): (Dataset, {"root": OTHER}),
    ("training_dataset", "pictures"): (Picture, {"pixel_sha256": OTHER}),
    ("training_dataset", "count"): (Dataset, {"count": 4}),
    ("training_dataset", "curation_digest"): (Dataset, {"curation_digest": OTHER}),
    ("training_dataset", "curation"): (Dataset, {"curation": {}}),
    ("training_dataset", "rights"): (Dataset, {"rights": {"pictures": []}}),
    ("training_dataset", "sealed_event"): (Dataset, {"sealed_event": "evt_0"}),
    ("training_trainingjob", "request"): (TrainingJob, {"request": "another"}),
    ("training_trainingjob", "grant"): (TrainingJob, {"grant": "another"}),
    ("training_trainingjob", "state"): (TrainingJob, {"state": "failed"}),
    ("training_trainingjob", "queued_event"): (TrainingJob, {"queued_event": "evt_0"}),
    ("training_trainingjob", "admitted_event"): (TrainingJob, {"admitted_event": "evt_0"}),
    ("training_trainingjob", "ended_event"): (TrainingJob, {"ended_event": "evt_0"}),
    ("training_lora", "job"): (Lora, {"job": "another"}),
    ("training_lora", "tensor_sha256"): (Lora, {"tensor_sha256": OTHER}),
    ("training_lora", "run_statement"): (Lora, {"run_statement": {"payload": "e30="}}),
    ("training_lora", "watermark_profile"): (Lora, {"watermark_profile": "none"}),
    ("training_lora", "state"): (Lora, {"state": "frozen"}),
    ("training_lora", "sealed_event"): (Lora, {"sealed_event": "evt_0"}),
    ("training_lora", "frozen_event"): (Lora, {"frozen_event": "evt_0"}),
    ("training_outputprobe", "report_digest"): (OutputProbe, {"report_digest": OTHER}),
    ("training_outputprobe", "report"): (OutputProbe, {"report": {}}),
    ("training_outputprobe", "held"): (OutputProbe, {"held": "lookalike_hold"}),
    ("training_outputprobe", "decision"): (OutputProbe, {"decision": "released"}),
    ("training_outputdecision", "lora"): (OutputDecision, {"lora": "another"}),
    ("training_outputdecision", "person"): (OutputDecision, {"person": "another"}),
    ("training_outputdecision", "by"): (OutputDecision, {"by": "guardian"}),
    ("training_outputdecision", "decision"): (OutputDecision, {"decision": "returned"}),
    ("training_outputdecision", "payload"): (OutputDecision, {"payload": None}),
    ("training_delivery", "lora"): (Delivery, {"lora": "another"}),
    ("training_delivery", "recipient"): (Delivery, {"recipient": "another"}),
    ("training_delivery", "file_sha256"): (Delivery, {"file_sha256": OTHER}),
    ("training_delivery", "tensor_sha256"): (Delivery, {"tensor_sha256": OTHER}),
    ("training_delivery", "statement"): (Delivery, {"statement": {}}),
    ("training_delivery", "event"): (Delivery, {"event": "evt_0"}),
    ("training_delivery", "epoch"): (Delivery, {"epoch": 7}),
    ("training_delivery", "fetched"): (Delivery, {"fetched_at": None}),
    ("training_download", "delivery"): (Download, {"delivery": "another"}),
    ("training_download", "link_number"): (Download, {"link_number": 7}),
    ("training_samplesheet", "sheet_sha256"): (SampleSheet, {"sha256": OTHER}),
    ("training_samplesheet", "manifest"): (SampleSheet, {"manifest": b""}),
    ("training_samplesheet", "event"): (SampleSheet, {"event": "evt_0"}),
    ("training_watermarkepoch", "event"): (WatermarkEpoch, {"event": "evt_0"}),
    ("audit_usereport", "delivery"): (UseReport, {"delivery": "another"}),
    ("audit_usereport", "medium"): (UseReport, {"medium": "tv"}),
    ("audit_usereport", "quantity"): (UseReport, {"quantity": 1}),
    ("audit_usereport", "country"): (UseReport, {"country": "FR"}),
    ("audit_usereport", "first_day"): (UseReport, {"first_day": D0}),
    ("audit_usereport", "impressions"): (UseReport, {"impressions": 7}),
    ("audit_usereport", "unit_price_jpy"): (UseReport, {"unit_price_jpy": 7}),
    ("audit_usereport", "context"): (UseReport, {"context": {"stock": True}}),
    ("audit_usereport", "outside"): (UseReport, {"outside": ["media"]}),
    ("audit_usereport", "event"): (UseReport, {"event": "evt_0"}),
    ("audit_tracefound", "file_sha256"): (TraceFound, {"file_sha256": OTHER}),
    ("audit_tracefound", "how"): (TraceFound, {"how": "lineage"}),
    ("audit_tracefound", "band"): (TraceFound, {"band": "possible"}),
    ("audit_tracefound", "lora"): (TraceFound, {"lora": "another"}),
    ("audit_tracefound", "delivery"): (TraceFound, {"delivery": "another"}),
    ("audit_tracefound", "event"): (TraceFound, {"event": "evt_0"}),
}
# What is only said of a run that ended badly, a frozen LoRA, a destroyed key share.
ONLY_AT_AN_END = {
    ("training_trainingjob", "refusal_code"),
    ("training_lora", "frozen_code"),
    ("registry_keyshare", "shredded"),
}


def told_columns(rules: list[replay.Rule]) -> Iterator[tuple[str, str]]:
    for rule in rules:
        for columns in rule.told.values():
            yield from ((rule.table, name) for name in columns)


@pytest.fixture
def everything(studio: Studio) -> Studio:
    """One row at least in every table that the log tells of."""
    whole_case(studio)
    withdrawn_while_asked(studio.world)
    powers(studio.world)
    assert agree()
    return studio


def powers(world: World) -> None:
    """People who speak for others, holders of rights, and a stop that was lifted."""
    eve, frank, grace = (human(name).person for name in ("eve", "frank", "grace"))
    minor = parties.talent_create(person=eve, birth_date=date(2012, 4, 1))
    assert isinstance(minor, Talent), minor
    proof = authority.Proof("court_order", "ab" * 32, "an operator", D0)
    guardian = authority.guardian_begin(talent=minor, person=frank, begun_on=D0, proof=proof)
    assert authority.guardian_end(guardianship=guardian, ended_on=D1) is None
    authority.estate_open(talent=minor, person=frank, begun_on=D0, proof=proof)
    other = organisation("agency", "Another Agency")
    parties.membership_add(person=grace, organisation=other, role="officer")
    claim = authority.claim_file(
        talent=world.talent, agency=other, by=grace, begun_on=D0, proof_sha256="cd" * 32
    )
    assert isinstance(claim, RepresentationClaim), claim
    ended = parties.representation_begin(talent=minor, agency=other, begun_on=D0)
    assert isinstance(ended, Representation), ended
    parties.representation_end(representation=ended, ended_on=date(2022, 3, 31))
    holder = rights.holder_of(organisation=other)
    rights.holder_of(person=frank)
    rights.mandate_give(holder=holder, person=grace, proof_sha256="ef" * 32, begun_on=D0)
    pages.login(frank)
    User.objects.update(is_staff=True)
    work = rights.work_propose(by=grace, kind="costume", title="Hoshi")
    assert isinstance(work, Work), work
    rights.work_confirm(work=work, holders=[holder], by=Person.objects.get(pk=frank.pk))
    careers.talent_retire(talent=minor, from_day=D1)
    careers.talent_died(talent=minor, died_on=D1, proof_sha256="12" * 32)
    assert welfare.emergency_stop(person=eve) == []
    assert welfare.emergency_lift(person=eve) == []


@pytest.mark.django_db
def test_every_column_that_the_log_tells_is_compared_and_named(everything):
    rules = [*registry.replay.rules(), *training.replay.rules(), *audit.replay.rules()]
    replay.check(rules)
    assert set(told_columns(rules)) - ONLY_AT_AN_END == set(CASES) - ONLY_AT_AN_END
    for (table, column), (model, values) in CASES.items():
        with transaction.atomic():
            row = target(model, values)
            spoil(row, values)
            detail = fault()
            assert detail.startswith(f"{table} "), (table, column, detail)
            assert f"{column} is" in detail or "no entry of the log" in detail, (column, detail)
            assert re.search(r"entry \d|in the outbox|no entry", detail), detail
            transaction.set_rollback(True)
        assert agree(), (table, column)


def target(model: type[models.Model], values: dict[str, Any]) -> Any:
    """A row of the whole case that the values change; ids are drawn by lot, so any may be first."""
    rows = model._default_manager.all()
    if model is KeyShare:
        rows = rows.filter(wrapped__isnull=False)
    if model is Grant:
        rows = rows.filter(runs_used=1)
    if model is Talent:
        rows = rows.filter(died_on__isnull=False)
    if model is Representation:  # the one that was ended
        rows = rows.filter(period__endswith__isnull=False)
    if model is Lane or model is TrainingRequest:
        rows = rows.filter(**({"state": "signed"} if model is Lane else {"state": "cleared"}))
    changed = [row for row in rows.order_by("pk") if differs(row, values)]
    assert changed, f"no {model.__name__} of the whole case would be another with {values}"
    return changed[0]


def differs(row: Any, values: dict[str, Any]) -> bool:
    """A list stands for rows elsewhere (talents, holders, parts): it is always another."""
    return any(isinstance(new, list) or getattr(row, name) != new for name, new in values.items())


def spoil(row: Any, values: dict[str, Any]) -> None:
    """Write as a superuser does, past triggers and foreign keys."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        if values in ({"talents": []}, {"holders": []}):
            getattr(row, next(iter(values))).clear()
        elif "parts" in values:
            ModelPart.objects.create(revision=row, part=row.record, role="base")
        else:
            changed = dict(written(row, name, value) for name, value in values.items())
            type(row)._default_manager.filter(pk=row.pk).update(**changed)
        cursor.execute("SET LOCAL session_replication_role = origin")


def written(row: Any, name: str, value: Any) -> tuple[str, Any]:
    """The column and what goes into it; "another" is an id of nothing, "other" a row that is
    there, for where a join would hide one that is not."""
    field = row._meta.get_field(name)
    if value == "another":
        return field.attname, f"{getattr(row, field.attname)[:4]}{'0' * 20}"
    if value == "other":
        there = field.related_model._default_manager.order_by("pk")
        back = {"credential": "approvals", "lane": "approval", "holder": "mandates"}[name]
        unused = there.filter(**{back: None})
        return name, unused.first()
    return name, value


@pytest.mark.django_db
def test_a_row_that_is_gone_or_that_nobody_told_of_is_named(everything):
    for model in (Credential, Grant, Token, Worker, Lora, Delivery, UseReport, TraceFound):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                row = model._default_manager.order_by("pk").first()
                assert row is not None
                cursor.execute(
                    f'DELETE FROM "{model._meta.db_table}" WHERE "{model._meta.pk.column}" = %s',  # noqa: S608
                    [row.pk],
                )
                cursor.execute("SET LOCAL session_replication_role = origin")
            detail = fault()
            assert f"{row.pk}: the row is not there" in detail, detail
            transaction.set_rollback(True)
    Token.objects.create(
        jti="tok_" + "f" * 20,
        grant=Grant.objects.first(),
        job_id="job_" + "f" * 20,
        jkt=JKT,
        text="",
        status_index=1,
        issued_at=timezone.now(),
        expires_at=timezone.now(),
    )
    assert fault() == f"registry_token tok_{'f' * 20}: no entry of the log tells of this row"


@pytest.mark.django_db
def test_an_event_taken_out_of_the_outbox_is_noticed(world):
    """Nobody has signed it yet, but the row that it told of stands without it."""
    grant = world.asked()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "DELETE FROM log_outbox WHERE convert_from(payload, 'UTF8') LIKE '%%grant.asked%%'"
        )
    assert fault() == f"registry_grant {grant.pk}: no entry of the log tells of this row"


@pytest.mark.django_db
def test_how_a_lora_was_frozen_is_what_the_log_says(everything):
    grant = Grant.objects.get(request=everything.request)
    assert approvals.approval_withdraw(person=everything.world.alice.person, grant=grant) is None
    sealing.lora_freeze_sweep()
    assert agree()
    Lora.objects.update(frozen_code="expired")
    assert "frozen_code is 'expired', the log says 'withdrawn'" in fault()


def test_talents_of_a_request_are_compared_as_a_set(world):
    request = world.request()
    person = human("eve").person
    request.talents.set([parties.talent_create(person=person), *Talent.objects.all()])
    assert "talents is" in fault()
