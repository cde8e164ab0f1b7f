"""`manage.py party`: a live registry is set up without a shell into the program."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from registry import selectors
from registry.models import Membership, Person, Talent
from registry.services import identity
from tests.world import state

TODAY = timezone.localdate().isoformat()


def run(act: str, **options):
    out = io.StringIO()
    call_command("party", act, stdout=out, **options)
    return json.loads(out.getvalue())


def refused(capsys, act: str, **options):
    with pytest.raises(SystemExit) as stop:
        call_command("party", act, **options)
    assert stop.value.code == 1
    return json.loads(capsys.readouterr().out)


def test_everybody_who_is_needed_can_be_set_up(world, monkeypatch):
    personal = {"family": "朝日", "given": "花子", "password": "a long pass phrase"}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(personal)))
    person = run("person", name="ハナ", username="hana", stdin=True)["id"]
    row = Person.objects.get(id=person)
    assert row.legal_name.family == "朝日"
    assert row.user.check_password("a long pass phrase")
    talent = run("talent", person=person, birth_date="2012-04-01", kana="はな")["id"]
    agency = run("organisation", kind="agency", name="そら", domain=["sora.example"])["id"]
    mother = run("person", name="母")["id"]
    run("verify", organisation=agency, proof="company_register", by="op")
    run("verify", person=person, proof="id_document", by="op", birth_date="2012-04-01")
    run("member", person=world.bob.person.id, organisation=agency, role="officer")
    begun = run("representation", talent=talent, organisation=agency, begin="2025-01-01")["id"]
    run("guardian", talent=talent, person=mother, begin=TODAY, proof="family_register", by="op")
    contact = run("contact", person=person, kind="mail", value="hana@sora.example")["id"]
    assert run("contact-verify", id=contact) == {"done": True}
    shown = run("show", person=person)["talent"]
    assert shown["signs"] == ["talent", "guardian", "agency_officer"]
    assert (shown["minor"], shown["age_proven"]) == (True, True)
    assert shown["contact_risks"] == ["agency_domain"]
    run("representation-end", id=begun, end=TODAY)
    run("rename", talent=talent, name="ハナコ", begin="2099-01-01")
    assert selectors.names_of(Talent.objects.get(id=talent)).count("ハナコ") == 1


def test_what_happens_in_a_life_can_be_recorded(world):
    grant, talent = world.made(), world.talent.id
    assert run("retire", talent=talent, begin=TODAY)["ids"] == [grant.id]
    assert state(grant) == "paused"
    run("return", talent=talent)
    run("age-doubt", talent=talent)
    run("died", talent=talent, end=TODAY, sha256="aa" * 32)
    heir = run("person", name="heir")["id"]
    run("estate", talent=talent, person=heir, begin=TODAY, proof="will", sha256="aa" * 32, by="op")
    assert "age_unproven" in run("show", person=world.alice.person.id)["talent"]["missing"]
    key = world.alice.person.credentials.get()
    assert run("key-retire", id=key.id) == {"done": True}
    seat = Membership.objects.get(person=world.charlie.person)
    assert len(run("member-end", id=seat.id)["ids"]) == 1
    run("erase", person=world.alice.person.id, yes=True)
    assert run("show", person=world.alice.person.id)["erased"]


def test_a_no_is_json_with_its_sentence(world, capsys):
    found = refused(capsys, "person", name="a\nb")
    assert found["problem"] == "display_name"
    found = refused(capsys, "return", talent=world.talent.id)
    assert found["refusal"] == "wrong_state"
    assert found["ja"].endswith("。")


def test_a_user_is_not_left_behind_by_a_name_that_is_refused(world, capsys):
    refused(capsys, "person", name="a\x00b", username="left", password="a long pass phrase")
    assert not Person.objects.filter(user__username="left").exists()
    assert run("person", name="ok", username="left", password="a long pass phrase")


@pytest.mark.parametrize(
    ("act", "options", "said"),
    [
        ("talent", {"person": "per_none"}, "no Person"),
        ("erase", {"person": None}, "--yes"),
        ("retire", {}, "no Talent"),
        ("guardian-end", {"id": "x"}, "no Guardianship"),
    ],
)
def test_input_that_no_service_takes_says_what_is_wrong(world, act, options, said):
    with pytest.raises(CommandError, match=said):
        call_command("party", act, **options)


def test_a_day_that_is_none_and_a_proof_that_is_none_are_told(world):
    with pytest.raises(CommandError, match="--begin"):
        call_command("party", "retire", talent=world.talent.id)
    with pytest.raises(CommandError, match="isoformat"):
        call_command("party", "retire", talent=world.talent.id, begin="soon")
    with pytest.raises(CommandError, match="proof"):
        call_command("party", "verify", person=world.alice.person.id, proof="tarot", by="op")
    assert identity.age_is_proven(world.talent) is False
