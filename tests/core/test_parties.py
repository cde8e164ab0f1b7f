"""Who may do what, how names are written, who speaks for a talent: the pure rules."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from registry.core import parties
from registry.core.parties import Guards, Heir, LegalName, Represents, Speaker, Standing
from registry.core.refusals import Refusal
from registry.core.terms import Problem

AGENCY = Represents("rep_1", "org_1", frozenset(parties.REPRESENTATION_POWERS))


def standing(**facts) -> Standing:
    values: dict[str, Any] = {"talent_id": "tal_1", "person_id": "per_1", "minor": False}
    return Standing(**(values | facts))


def said(**facts) -> list[str]:
    """The speakers' capacities and the codes of refusals, in order."""
    found = parties.speakers(standing(**facts))
    return [item.code if isinstance(item, Refusal) else item.by for item in found]


@pytest.mark.parametrize(
    ("power", "roles"),
    [
        ("sign", {"officer"}),
        ("ask", {"officer", "manager", "photographer"}),
        ("pictures", {"officer", "manager", "legal", "photographer"}),
        ("money", {"officer", "manager", "legal", "accounting"}),
        ("seats", {"officer", "manager"}),
        ("people", {"officer", "manager", "legal"}),
        ("view", set(parties.ROLES)),
        ("anything_else", set()),
    ],
)
def test_the_one_table_of_powers(power, roles):
    assert set(parties.roles_with(power)) == roles
    assert {role for role in parties.ROLES if parties.may(role, power)} == roles
    assert not parties.may("intruder", power)


@pytest.mark.parametrize(
    "name",
    [
        "朝日ありす",
        "ALICE",
        "ｱﾘｽ",
        "Zoë",
        "🌸ありす🌸",
        "👩‍🎤アリス",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "は" + "\u3099" + "んば",
        "あ" * 24 + "🎤" * 6,
        "★",
    ],
)
def test_a_name_of_any_width_emoji_or_mark_is_kept(name):
    kept = parties.tidy_name(f"  {name} ", "display_name")
    assert isinstance(kept, str)
    assert kept == {"は\u3099んば": "ばんば"}.get(name, name)


def test_a_name_is_stored_in_nfc_and_its_width_is_left_alone():
    assert parties.tidy_name("Zoe\u0308", "n") == "Zo\u00eb"
    assert parties.tidy_name("ＡＬＩＣＥ", "n") == "ＡＬＩＣＥ"


@pytest.mark.parametrize(
    "name", ["a\nb", "a\tb", "a\x00b", "a\u202eb", "a\u200bb", "a\ufeffb", "a\u2028b", "a\u2066b"]
)
def test_an_invisible_character_is_refused_with_a_sentence(name):
    problem = parties.tidy_name(name, "display_name")
    assert isinstance(problem, Problem)
    assert problem.field == "display_name"
    assert "制御文字" in problem.ja
    assert "control" in problem.en


@pytest.mark.parametrize("name", ["", "  ", "\u3099", "・", "あ" * 121])
def test_what_is_no_name_is_refused(name):
    assert isinstance(parties.tidy_name(name, "n"), Problem)


def test_a_name_that_is_not_needed_may_be_empty():
    assert parties.tidy_name(" ", "n", needed=False) == ""


@pytest.mark.parametrize(
    ("born", "day", "minor"),
    [
        (date(2008, 4, 2), date(2026, 4, 1), True),
        (date(2008, 4, 2), date(2026, 4, 2), False),
        (date(2008, 2, 29), date(2026, 2, 28), True),
        (date(2008, 2, 29), date(2026, 3, 1), False),
        (None, date(2026, 3, 1), True),
    ],
)
def test_a_minor_is_under_eighteen_on_the_day(born, day, minor):
    assert parties.is_minor(born, day) is minor


def test_an_independent_adult_speaks_for_herself_and_says_so():
    assert parties.speakers(standing()) == [Speaker("talent", "self", "per_1")]


def test_an_agency_with_the_power_signs_beside_her():
    assert parties.speakers(standing(representations=(AGENCY,))) == [
        Speaker("talent", "", "per_1"),
        Speaker("agency_officer", "rep_1", agency_id="org_1"),
    ]


def test_an_agency_without_the_power_gives_nobody_its_word():
    weak = Represents("rep_2", "org_2", frozenset({"view"}))
    assert said(representations=(weak,)) == ["talent", "representation_powerless"]
    assert said(representations=(weak, AGENCY)) == ["talent", "agency_officer"]


def test_every_custodian_of_a_minor_signs():
    one, two = Guards("gua_1", "per_2", custodians=2), Guards("gua_2", "per_3", custodians=2)
    assert said(minor=True) == ["talent", "approval_missing:guardian"]
    assert said(minor=True, guardians=(one,)) == ["talent", "guardian", "approval_missing:guardian"]
    assert said(minor=True, guardians=(one, two)) == ["talent", "guardian", "guardian"]
    assert said(minor=False, guardians=(one,)) == ["talent"]


def test_the_estate_speaks_in_the_place_of_the_dead():
    heir = Heir("est_1", "per_4")
    assert parties.speakers(standing(died=True, heirs=(heir,), representations=(AGENCY,)))[0] == (
        Speaker("estate", "est_1", "per_4")
    )
    assert parties.speakers(standing(died=True, heirs=(heir,))) == [
        Speaker("estate", "self", "per_4")
    ]
    assert said(died=True, minor=True, heirs=(heir,)) == ["estate"]
    assert said(heirs=(heir,)) == ["talent"]


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        ("erased", "person_erased"),
        ("disputed", "representation_disputed"),
        ("age_alarm", "age_unproven"),
        ("died", "estate_missing"),
        ("retired", "talent_retired"),
    ],
)
def test_what_bars_a_talent_bars_everybody(fact, code):
    assert said(**{fact: True, "representations": (AGENCY,)}) == [code]


def test_a_contact_within_the_agency_is_a_risk():
    risks = parties.contact_risks
    common = {"agency_domains": ["hoshi.example"], "agency_contacts": ["+819012345678"]}
    assert risks(["alice@home.example", "+818011112222"], **common) == []
    assert risks(["alice@hoshi.example"], **common) == ["agency_domain"]
    assert risks(["alice@mail.hoshi.example"], **common) == ["agency_domain"]
    assert risks(["alice@nothoshi.example"], **common) == []
    assert risks(["+819012345678"], **common) == ["agency_contact"]


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        ("mail", " Alice@Home.Example ", "alice@home.example"),
        ("mail", "ａｌｉｃｅ＠home.example", "alice@home.example"),
        ("phone", "090-1234-5678", "+819012345678"),
        ("phone", "０９０ー１２３４ー５６７８", "+819012345678"),
        ("phone", "+81 90 1234 5678", "+819012345678"),
        ("mail", "alice@home", None),
        ("mail", "a b@home.example", None),
        ("mail", "a@b@home.example", None),
        ("phone", "call me", None),
        ("phone", "123", None),
        ("pigeon", "coo", None),
    ],
)
def test_a_contact_has_one_spelling(kind, text, kept):
    found = parties.tidy_contact(kind, text)
    assert found == kept if kept else isinstance(found, Problem)


def test_a_legal_name_is_looked_for_whole_and_in_its_long_parts():
    words = LegalName("朝日", "花", "あさひ", "はな", "Hana Asahi").words()
    assert {"朝日花", "あさひはな", "Hana Asahi", "Asahi Hana", "朝日", "あさひ"} <= set(words)
    assert "花" not in words
