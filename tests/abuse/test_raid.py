"""Abuse by people with a foot in the door: a seat that ended, one company's key, odd input."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pypdf
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.utils import timezone

from registry import selectors
from registry.core import term_rules
from registry.core.refusals import Refusal
from registry.core.request_form import answer_by
from registry.core.requests import limits_of
from registry.models import AccessLink, Grant, Lane, RequestDraft, TrainingRequest
from registry.services import (
    answers,
    approvals,
    authority,
    erasure,
    links,
    mailing,
    parties,
    questions,
    seats,
)
from registry.services.drafts import presets
from tests.abuse.test_parties import made, minor
from tests.services.cases import filled, newcomer, sealed, solo
from tests.services.sitters import sitting
from tests.services.studio import Studio
from tests.services.test_erasure import everything
from tests.web.pages import as_, text
from tests.web.test_registry_api import as_ as key_of
from tests.web.test_registry_api import body, post, problem
from tests.web.test_request_form import begin, whole
from tests.world import RECIPE, Human, World, human, organisation, request_state, state

YESTERDAY = timedelta(days=-1)


def over(world: World, grant: Grant) -> None:
    """The guardian's custody ended yesterday."""
    row = world.talent.guardianships.get()
    authority.guardian_end(guardianship=row, ended_on=timezone.localdate() + YESTERDAY)


def leave(who: Human) -> None:
    """Their seat ended yesterday."""
    row = who.person.memberships.get()
    seats.membership_end(membership=row, ended_on=timezone.localdate() + YESTERDAY)


# --- whose authority is over ----------------------------------------------------------------------


def test_a17_a_former_guardian_ends_nothing_and_sees_no_picture(world: World) -> None:
    """A17: authority as of today; what the talent allows is not destroyed by who lost custody."""
    dora = minor(world, timezone.localdate() + timedelta(days=700))
    grant = made(world, (dora, "guardian"))
    page = f"/my/grants/{grant.pk}/withdraw"
    assert selectors.may_see_pictures(dora.person, grant.request)
    assert as_(dora).get(page).status_code == 200
    assert page in as_(dora).get("/my/").content.decode()
    over(world, grant)
    assert not selectors.may_see_pictures(dora.person, grant.request)
    found = approvals.approval_withdraw(person=dora.person, grant=grant)
    assert isinstance(found, Refusal)
    assert found.code == "wrong_state"
    assert state(grant) == "paused"
    assert as_(dora).get(page).status_code == 404
    assert page not in as_(dora).get("/my/").content.decode()


def test_a17_a_former_guardians_no_is_nobodys(world: World) -> None:
    """A17: a lane that waits for who no longer speaks for her takes no answer of theirs."""
    dora = minor(world, timezone.localdate() + timedelta(days=700))
    grant = world.asked()
    over(world, grant)
    found = approvals.approval_refuse(person=dora.person, grant=grant, by="guardian")
    assert isinstance(found, Refusal)
    assert found.code == "representation_ended"
    assert state(grant) == "asking"


def test_r40_erasing_a_former_guardian_ends_nothing_of_hers(world: World) -> None:
    """R40: erasure takes a person's own along, and not what others decide by now."""
    dora = minor(world, timezone.localdate() + timedelta(days=700))
    grant = made(world, (dora, "guardian"))
    over(world, grant)
    assert erasure.person_erase(person=dora.person) is None
    assert state(grant) == "paused"


def test_r21_an_officer_who_left_sees_no_picture_and_refuses_nothing(world: World) -> None:
    """R21: whoever leaves an agency takes neither the sight of its talents nor its voice along."""
    grant = world.asked()
    assert selectors.may_see_pictures(world.bob.person, grant.request)
    leave(world.bob)
    assert not selectors.may_see_pictures(world.bob.person, grant.request)
    found = approvals.approval_refuse(person=world.bob.person, grant=grant, by="agency_officer")
    assert isinstance(found, Refusal)
    assert found.code == "representation_ended"
    assert (state(grant), request_state(grant)) == ("asking", "in_clearance")


def test_r21_an_agency_says_no_though_its_contract_ends_today(world: World) -> None:
    """R21: the same set-up with the seat in place; a no needs no power over replicas."""
    grant = world.asked()
    row = world.talent.representations.get()
    parties.representation_end(representation=row, ended_on=timezone.localdate() + YESTERDAY)
    done = approvals.approval_refuse(person=world.bob.person, grant=grant, by="agency_officer")
    assert done is None
    assert state(grant) == "refused"


@pytest.mark.parametrize(
    ("role", "count"), [("viewer", 0), ("accounting", 0), ("legal", 3), ("manager", 3)]
)
def test_a27_a_seat_that_only_looks_reminds_nobody(world: World, role: str, count: int) -> None:
    """A27: pressing is for people who answer for the agency, and for them twice in all."""
    grant = world.asked()
    who = human("vera")
    parties.membership_add(person=who.person, organisation=world.agency, role=role)
    Lane.objects.filter(grant=grant).update(asked_at=timezone.now() - timedelta(days=3))
    as_(who).post("/remind", {"request": [grant.request_id]})
    assert Lane.objects.filter(grant=grant, reminders=1).count() == count


# --- a key of one company -------------------------------------------------------------------------


def test_r21_a_key_of_one_company_acts_for_no_other(world: World) -> None:
    """R21: a key lies on its company's servers; where else its holder works is not theirs."""
    other = organisation("studio", "Other Works")
    parties.membership_add(person=world.charlie.person, organisation=other, role="photographer")
    theirs = world.request(requester=other)
    own, foreign = key_of(world.charlie, other), key_of(world.charlie, world.studio)
    # What charlie holds himself, the copyright of these pictures, is not the company's.
    TrainingRequest.objects.update(copyright_holder=world.mallory.person)
    address = f"/api/v1/requests/{theirs.id}"
    assert own.get(address).status_code == 200
    assert foreign.get(address).status_code == 404
    assert theirs.id not in foreign.get("/api/v1/requests").content.decode()
    assert foreign.post(f"{address}/curation").status_code == 404
    assert post(foreign, "requests", body(world, requester=other.id)).status_code == 404
    assert post(own, "requests", body(world, requester=other.id)).status_code == 201
    # Without a name the key's own company asks; and every seat still counts in a conflict.
    assert post(foreign, "requests", body(world)).json()["requester"]["id"] == world.studio.id


def test_r02_a_key_of_another_company_lifts_no_conflict(world: World) -> None:
    """R02: who works for the requester answers for nobody, whichever key they come with."""
    grant = world.asked()
    parties.membership_add(person=world.bob.person, organisation=world.studio, role="photographer")
    client = key_of(world.bob, world.agency)
    given = {"grant": grant.id, "by": "agency_officer"}
    problem(post(client, "approvals/challenge", given), 403, "self_approval")


def test_a_dry_run_is_not_the_answer_to_the_real_thing(world: World) -> None:
    client, given = key_of(world.charlie, world.studio), body(world)
    once = {"Idempotency-Key": "one"}
    assert post(client, "requests?dry_run=1", given, **once).status_code == 200
    problem(post(client, "requests", given, **once), 422, "idempotency_reused")
    assert post(client, "requests?dry_run=1", given, **once)["Idempotent-Replayed"] == "true"


# --- links ----------------------------------------------------------------------------------------


def mailed(world: World) -> tuple[Grant, str, str]:
    """A case, and link and digits of the message that alice got about it."""
    user = User.objects.create_user(world.alice.person.pk, email="alice@example.jp")
    world.alice.person.user = user
    world.alice.person.save()
    grant = world.asked()
    mailing.letters_send(at=timezone.now() + timedelta(days=1))
    found = re.search(r"/l/(\S+)(?s:.*)Code: (\d{6})", str(mail.outbox[-1].body))
    assert found is not None
    return grant, found[1], found[2]


@pytest.mark.parametrize("how", ["wide", "dashed", "blanks"])
def test_r13_digits_count_however_a_keyboard_writes_them(world: World, how: str) -> None:
    """R13: no must never be harder than yes; a Japanese keyboard writes full-width digits."""
    grant, token, code = mailed(world)
    typed = {
        "wide": code.translate({ord(str(n)): chr(0xFF10 + n) for n in range(10)}),
        "dashed": f"{code[:3]}-{code[3:]}",
        "blanks": f" {code[:3]}　{code[3:]}\n",
    }[how]
    row = links.link_find(token)
    assert isinstance(row, AccessLink)
    form = links.form_token(row, grant.id, "refuse")
    done = links.act(token=token, grant=grant, action="refuse", form=form, code=typed)
    assert done is None
    assert state(grant) == "refused"


# --- erasure --------------------------------------------------------------------------------------


def test_r40_an_erased_persons_own_words_are_gone(world: World) -> None:
    """R40: questions, remarks and links go with the person; the commitments in the log stay."""
    grant, *_ = mailed(world)
    person = world.alice.person
    questions.question_ask(person=person, grant=grant, text="secret question")
    remarks = [{"field": "term", "text": "secret remark"}]
    answers.answer_return(person=person, grant=grant, by="talent", remarks=remarks)
    assert everything().count("secret") == 2
    assert AccessLink.objects.filter(person=person).exists()
    assert erasure.person_erase(person=person) is None
    assert "secret" not in everything()
    assert not AccessLink.objects.filter(person=person).exists()


# --- blends ---------------------------------------------------------------------------------------


def test_r17_a_pause_names_nobody_of_the_other_side(
    world: World, tmp_path: Path, settings: Any
) -> None:
    """R17: the page of a paused permission says that others must confirm, not who they are."""
    settings.STORAGE_DIR = tmp_path / "storage"
    studio, zoe = Studio(world, tmp_path), newcomer("zoe", 1)
    request = world.request(
        talents=[world.talent, zoe.talent], base_model=studio.base, recipe=studio.request.recipe
    )
    pictures = [*solo(3), sitting(50, 1), sitting(51, 1)]
    grant = sealed(studio, filled(studio, request, pictures, {world.talent: 0, zoe.talent: 1}))
    assert isinstance(grant, Grant)
    for lane in Lane.objects.filter(grant=grant):
        lanes_of = {h.person.pk: h for h in (world.alice, world.bob, world.charlie)}
        lanes_of |= {h.person.pk: h for h in (zoe.who, zoe.officer)}
        lanes_of[lane.person_id].approve(grant, lane.by)
    row = world.talent.representations.get()
    parties.representation_end(representation=row, ended_on=timezone.localdate() + YESTERDAY)
    assert state(grant) == "paused"
    shown = text(as_(world.alice).get(f"/grants/{grant.pk}/go-on"))
    assert "Who must confirm" in shown
    assert "another person of the blend" in shown
    assert "zoe" not in shown
    assert "zoe" in text(as_(world.charlie).get(f"/grants/{grant.pk}/go-on"))
    for who, attached in ((world.alice, False), (world.charlie, True)):
        paper = as_(who).get(f"/requests/{request.id}/curation.pdf").content
        page = as_(who).get(f"/requests/{request.id}/curation.html").content.decode()
        assert ("curation.json" in pypdf.PdfReader(io.BytesIO(paper)).attachments) is attached
        assert zoe.talent.id not in page


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(
    "raw",
    [
        b'{"terms":' + b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"kind":"person","kind":"person"}',
        b'{"kind":"\\ud800"}',
        b'{"max_runs":1e999}',
        b"\xff\xfe",
        b" " * 10_000_000,
        b'{"licensee":"' + b"x" * 10_000_000 + b'"}',
    ],
    ids=["brackets", "objects", "closed", "twice", "surrogate", "inf", "bom", "blank", "10MB"],
)
def test_what_is_no_json_is_a_400_in_the_callers_language(
    world: World, raw: bytes, language: str
) -> None:
    client = key_of(world.charlie, world.studio, **{"accept-language": language})
    for headers in ({}, {"Idempotency-Key": "k"}):
        answer = client.post("/api/v1/requests", raw, "application/json", headers=headers)
        found = problem(answer, 400, "bad_request")
        assert found["title"].isascii() == (language == "en")
    assert TrainingRequest.objects.count() == 0


@pytest.mark.parametrize(
    "knobs",
    [
        {"x": "\0"},
        {"\0": 1},
        {"x": ["\u202e"]},
        {"x": [1]},
        {"x": {"y": 1}},
        {"x": None},
        {"x": "a" * 501},
        {"x": ["a"] * 65},
        {f"x{n}": 1 for n in range(65)},
        {"rank": 2**31},
        {"x": -(2**31)},
    ],
    ids=range(11),
)
def test_a_recipe_that_nothing_can_hold_is_refused_before_anybody_is_asked(
    world: World, knobs: dict[str, Any]
) -> None:
    client = key_of(world.charlie, world.studio)
    answer = post(client, "requests", body(world, recipe=RECIPE | knobs))
    found = problem(answer, 422, "terms_invalid")
    assert [error["field"] for error in found["errors"]] == ["recipe"]
    assert TrainingRequest.objects.count() == 0


def test_every_recipe_that_the_form_offers_is_one() -> None:
    assert presets()
    for recipe in presets().values():
        assert limits_of(recipe).max_rank == recipe["rank"]
    with pytest.raises(ValueError, match="plain words and numbers"):
        limits_of(RECIPE | {"lr": float("nan")})


@pytest.mark.parametrize("day", ["9999-12-31", "９９９９年１２月３１日", "2201-01-01"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_day_past_every_calendar_is_named_and_nothing_is_lost(
    world: World, day: str, language: str
) -> None:
    """Through the form; the draft stays open and keeps what was typed."""
    client, given = as_(world.charlie, language), whole(world)
    draft = begin(client)
    given["terms"]["sign_by"] = day
    for step, values in given.items():
        answer = client.post(f"/requests/new/{draft}/{step}", values)
        live = client.post(f"/requests/new/{draft}/live", {"step": step, **values})
        assert live.status_code == 200
    assert answer.status_code == 422
    assert ("2200年" if language == "ja" else "Not later than 2200") in text(answer)
    assert RequestDraft.objects.get(id=draft).data["sign_by"] == [day]
    assert client.post(f"/requests/new/{draft}/check").status_code == 422
    assert TrainingRequest.objects.count() == 0
    assert answer_by({"sign_by": ["2200-12-31"]})[1] == []


def test_the_api_takes_no_such_day_either(world: World) -> None:
    client = key_of(world.charlie, world.studio)
    late = body(world, sign_by="9999-12-31T12:00:00+00:00")
    found = problem(post(client, "requests", late), 422, "terms_invalid")
    assert [error["field"] for error in found["errors"]] == ["sign_by"]
    address = f"/api/v1/requests/{world.request().id}"
    change = {"sign_by": late["sign_by"]}
    changed = client.patch(address, change, content_type="application/json")
    assert problem(changed, 422, "terms_invalid")["errors"][0]["field"] == "sign_by"


@pytest.mark.parametrize(
    ("written", "good"),
    [
        ("e" + "\u0301" * 5, False),
        ("港" + "\u0489" * 300, False),
        ("e" + "\u0301" * 4, True),
        ("がぎぐ".replace("が", "か\u3099"), True),
        ("שִׁ֖", True),
        ("👩🏽‍🎤❤️‍🔥1️⃣🇯🇵", True),
    ],
)
def test_marks_piled_on_a_letter_cover_no_line_of_the_contract(written: str, good: bool) -> None:
    assert term_rules.readable(written) is good


@pytest.mark.parametrize("edge", [10**400, 10**9, -1])
def test_a22_a_box_beyond_every_picture_breaks_no_survey(
    world: World, tmp_path: Path, settings: Any, edge: int
) -> None:
    """A22: a bystander is somebody at a place; a number no float holds is no place."""
    settings.STORAGE_DIR = tmp_path / "storage"
    studio = Studio(world, tmp_path)
    dataset = studio.filled()
    seen = [{"person": world.mallory.person.pk, "box": [0, 0, 10, edge]}]
    found = studio.declare(dataset, bystanders=seen)
    assert [item.field for item in found] == ["bystanders"]
    assert {tuple(row.rights.bystanders) for row in dataset.pictures.all()} == {()}
