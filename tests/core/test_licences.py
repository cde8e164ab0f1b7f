"""A base allows what every part of it allows: never more, in whatever order, and unknown is no."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import licence_words, licences
from registry.core.licences import (
    NOTHING_DECLARED,
    Amount,
    Conditions,
    Declared,
    Facts,
    Limit,
    Part,
    combine,
)
from tests.core.token_world import TERMS

FREE = Facts(
    licence_id="CC0-1.0",
    licence_sha256="ab" * 32,
    read_on="2026-11-01",
    commercial="yes",
    outputs="yes",
    confidence="T",
    source="a test",
)
MILLION = Limit("revenue", 1_000_000, "USD")
SMALL = Declared(amounts=(Amount("revenue", 1_000_000, "USD", "2026-11-01"),))
PORTFOLIO = replace(TERMS, media=("portfolio",))


def part(facts=FREE, name="tiny", revision="rev_1", role="base"):
    return Part(name, revision, facts, role)


def codes(*facts, terms=TERMS, declared=NOTHING_DECLARED):
    whole = combine([part(f, name=str(i), revision=f"rev_{i}") for i, f in enumerate(facts)])
    found = licences.refusals(
        whole.conditions,
        name="base",
        commercial=whole.may_be_commercial,
        terms=terms,
        declared=declared,
    )
    return sorted({refusal.code for refusal in found})


def test_a_free_base_asks_nothing():
    assert codes(FREE) == []
    assert combine([part()]).conditions == Conditions()
    assert licence_words.lines("tiny", Conditions(), "ja") == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"commercial": "no"}, "base_licence"),
        ({"commercial": "unknown"}, "base_licence"),
        ({"commercial": "threshold"}, "base_licence"),
        ({"commercial": "a later word"}, "base_licence"),
        ({"outputs": "no"}, "base_licence"),
        ({"outputs": "unknown"}, "base_licence"),
        ({"derivative_terms": ("no_derivatives",)}, "base_licence"),
        ({"derivative_terms": ("share_alike",)}, "base_licence_share_alike"),
        ({"confidence": "S"}, "base_licence_unreviewed"),
        ({"licence_sha256": ""}, "base_licence_unreviewed"),
        ({"commercial": "threshold", "limits": (MILLION,)}, "base_licence_threshold"),
        ({"registration_required": True}, "base_licence_registration"),
        ({"territory_excluded": ("JP", "KR")}, "base_licence_territory"),
        ({"field_of_use": ("biometric_ban",)}, "base_licence_field"),
    ],
)
@pytest.mark.parametrize("place", [0, 1], ids=["the base itself", "a part of it"])
def test_each_fact_has_its_refusal(changes, code, place):
    facts = [FREE, FREE]
    facts[place] = replace(FREE, **changes)
    assert codes(*facts) == [code]
    assert code in licences.CODES


def test_exclusive_terms_need_a_licence_that_allows_them():
    facts = replace(FREE, no_exclusivity=True)
    assert codes(facts) == []
    exclusive = replace(TERMS, exclusivity="category")
    assert codes(facts, terms=exclusive) == ["base_licence_exclusivity"]
    assert codes(FREE, terms=exclusive) == []


def test_an_excluded_territory_binds_worldwide_terms_and_no_others():
    facts = replace(FREE, territory_excluded=("KR",))
    assert codes(facts) == []
    everywhere = replace(TERMS, territory=("worldwide",))
    assert codes(facts, terms=everywhere) == ["base_licence_territory"]


def test_a_person_who_reviewed_a_record_answers_for_it():
    assert codes(replace(FREE, confidence="S", licence_sha256="", reviewed_by="per_1")) == []


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (Amount("revenue", 1_000_000, "USD"), []),
        (Amount("revenue", 100_000, "USD"), []),
        (Amount("revenue", 1_000_001, "USD"), ["base_licence_threshold"]),
        (Amount("revenue", 0, "USD"), ["base_licence_threshold"]),
        (Amount("revenue", 100_000, "JPY"), ["base_licence_threshold"]),
        (Amount("monthly_users", 10), ["base_licence_threshold"]),
    ],
)
def test_a_threshold_needs_a_declaration_in_its_own_measure(amount, code):
    facts = replace(FREE, commercial="threshold", limits=(MILLION,))
    assert codes(facts, declared=Declared(amounts=(amount,))) == code


def test_the_strictest_of_two_thresholds_counts():
    loose = replace(FREE, commercial="threshold", limits=(replace(MILLION, amount=5_000_000),))
    strict = replace(FREE, commercial="threshold", limits=(MILLION,))
    below = Declared(amounts=(Amount("revenue", 5_000_000, "USD"),))
    assert codes(loose, declared=below) == []
    assert codes(loose, strict, declared=below) == ["base_licence_threshold"]


def test_a_registration_is_for_one_licence():
    facts = replace(FREE, licence_id="LicenseRef-kolors", registration_required=True)
    assert codes(facts, declared=Declared(registrations=("LicenseRef-kolors",))) == []
    other = Declared(registrations=("CC0-1.0",))
    assert codes(facts, declared=other) == ["base_licence_registration"]


def test_a_portfolio_needs_no_commercial_permission_but_keeps_to_the_bans():
    barred = replace(FREE, commercial="no", confidence="S", outputs="unknown")
    assert codes(barred, terms=PORTFOLIO) == []
    assert codes(replace(barred, field_of_use=("biometric_ban",)), terms=PORTFOLIO) == [
        "base_licence_field"
    ]


def test_nothing_known_allows_nothing():
    with pytest.raises(ValueError, match="one part"):
        combine([])


# --- the algebra ----------------------------------------------------------------------------------

FACTS = st.builds(
    Facts,
    licence_id=st.sampled_from(["A", "B", "C"]),
    licence_sha256=st.sampled_from(["", "ab" * 32]),
    read_on=st.just("2026-11-01"),
    commercial=st.sampled_from(licences.COMMERCIAL),
    outputs=st.sampled_from(licences.OUTPUTS),
    confidence=st.sampled_from(licences.CONFIDENCE),
    source=st.just("a test"),
    limits=st.lists(
        st.builds(
            Limit,
            measure=st.just("revenue"),
            amount=st.integers(1, 3).map(lambda n: n * 1_000_000),
            currency=st.sampled_from(["USD", "EUR"]),
        ),
        max_size=2,
    ).map(tuple),
    registration_required=st.booleans(),
    derivative_terms=st.sets(st.sampled_from(licences.DERIVATIVE_TERMS)).map(tuple),
    territory_excluded=st.sets(st.sampled_from(["JP", "KR", "CN"])).map(tuple),
    field_of_use=st.sets(st.sampled_from(licences.FIELD_OF_USE)).map(tuple),
    no_exclusivity=st.booleans(),
    reviewed_by=st.sampled_from(["", "per_1"]),
)
PARTS = st.lists(
    st.builds(Part, name=st.sampled_from("xyz"), revision=st.sampled_from("123"), facts=FACTS),
    min_size=1,
    max_size=4,
)
TERMS_ = st.builds(
    lambda media, territory, exclusivity: replace(
        TERMS, media=media, territory=territory, exclusivity=exclusivity
    ),
    st.sampled_from([("portfolio",), ("ad_tv",), ("portfolio", "calendar")]),
    st.sampled_from([("JP",), ("US",), ("JP", "KR"), ("worldwide",)]),
    st.sampled_from(["none", "category", "full"]),
)
DECLARED = st.builds(
    Declared,
    amounts=st.lists(
        st.builds(
            Amount,
            measure=st.just("revenue"),
            below=st.integers(0, 3).map(lambda n: n * 1_000_000),
            currency=st.sampled_from(["USD", "EUR"]),
        ),
        max_size=2,
    ).map(tuple),
    registrations=st.sets(st.sampled_from(["A", "B"])).map(tuple),
)


def found_in(parts, terms, declared):
    whole = combine(parts)
    found = licences.refusals(
        whole.conditions,
        name="n",
        commercial=whole.may_be_commercial,
        terms=terms,
        declared=declared,
    )
    return {refusal.code for refusal in found}


@given(PARTS, TERMS_, DECLARED)
def test_every_code_is_a_known_one(parts, terms, declared):
    assert found_in(parts, terms, declared) <= licences.CODES


@given(PARTS, PARTS, TERMS_, DECLARED)
def test_adding_a_part_never_widens(parts, more, terms, declared):
    assert found_in(parts, terms, declared) <= found_in(parts + more, terms, declared)


@given(st.data(), PARTS)
def test_the_order_of_the_parts_means_nothing(data, parts):
    assert combine(data.draw(st.permutations(parts))) == combine(parts)


@given(PARTS, TERMS_, DECLARED)
def test_an_unknown_part_is_never_commercial(parts, terms, declared):
    unknown = [*parts, part(replace(FREE, commercial="unknown"))]
    assert not combine(unknown).may_be_commercial
    if terms.commercial:
        assert "base_licence" in found_in(unknown, terms, declared)


@given(PARTS, TERMS_, DECLARED)
def test_every_refusal_of_the_whole_has_a_part_that_gives_it(parts, terms, declared):
    given_ = {reason.refusal.code for reason in licences.reasons(parts, terms, declared)}
    assert given_ == found_in(parts, terms, declared)


@given(PARTS, DECLARED)
def test_conditions_and_declarations_survive_the_grants_json(parts, declared):
    conditions = combine(parts).conditions
    assert Conditions.from_payload(conditions.to_payload()) == conditions
    assert Declared.from_payload(declared.to_payload()) == declared
    narrowed = licences.asked(conditions, declared)
    assert set(narrowed.amounts) <= set(declared.amounts)


@given(PARTS, TERMS_, DECLARED)
def test_leaving_out_what_no_licence_asks_changes_no_answer(parts, terms, declared):
    narrowed = licences.asked(combine(parts).conditions, declared)
    assert found_in(parts, terms, narrowed) == found_in(parts, terms, declared)


# --- facts as such --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"commercial": "maybe"}, "commercial"),
        ({"outputs": ""}, "outputs"),
        ({"confidence": "X"}, "confidence"),
        ({"derivative_terms": ("x",)}, "derivative_terms"),
        ({"field_of_use": ("x",)}, "field_of_use"),
        ({"licence_id": ""}, "licence_id"),
        ({"source": ""}, "licence_id and source"),
        ({"licence_sha256": "AB" * 32}, "licence_sha256"),
        ({"read_on": "yesterday"}, "read_on"),
        ({"territory_excluded": ("EU27",)}, "territory_excluded"),
        ({"commercial": "threshold"}, "limits"),
        ({"limits": (MILLION,)}, "limits"),
        ({"commercial": "threshold", "limits": (replace(MILLION, currency=""),)}, "limits"),
        ({"commercial": "threshold", "limits": (replace(MILLION, amount=0),)}, "limits"),
        ({"commercial": "threshold", "limits": (replace(MILLION, scope="x"),)}, "limits.scope"),
        ({"commercial": "threshold", "limits": (replace(MILLION, period="x"),)}, "limits.period"),
    ],
)
def test_facts_that_do_not_hold_are_named(changes, said):
    (problem,) = replace(FREE, **changes).problems()
    assert problem.startswith(said)
    assert FREE.problems() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p | {"extra": 1},
        lambda p: p | {"commercial": True},
        lambda p: p | {"no_exclusivity": "no"},
        lambda p: p | {"limits": [{"measure": "revenue", "amount": True}]},
        lambda p: p | {"limits": "none"},
        lambda p: {k: v for k, v in p.items() if k != "licence_id"},
        lambda p: [p],
    ],
)
def test_facts_are_parsed_strictly(change):
    assert Facts.from_payload(FREE.to_payload()) == FREE
    with pytest.raises(ValueError, match=r"."):
        Facts.from_payload(change(FREE.to_payload()))


# --- words ----------------------------------------------------------------------------------------


def test_duties_are_told_in_the_text_that_people_sign():
    facts = replace(
        FREE,
        licence_id="LicenseRef-x",
        commercial="threshold",
        limits=(MILLION,),
        outputs="conditional",
        derivative_terms=("pass_on", "state_changes"),
        field_of_use=("use_policy",),
        registration_required=True,
        naming="Krea",
        notice="the notice",
        attribution="Powered by Stability AI",
    )
    conditions = combine([part(facts)]).conditions
    (ja,) = licence_words.lines("base", conditions, "ja")
    (en,) = licence_words.lines("base", conditions, "en")
    (easy,) = licence_words.lines("base", conditions, "ja-easy")
    assert easy.startswith("もとになるAI")
    for text in (ja, en, easy):
        for word in ("LicenseRef-x", "Powered by Stability AI", "the notice", "Krea", "1,000,000"):
            assert word in text
    assert "pass the licence's use restrictions on" in en
    assert "利用制限" in ja


@pytest.mark.parametrize("locale", ["ja", "en"])
def test_every_word_has_a_label(locale):
    for words, labels in (
        (licences.KINDS, licence_words.KINDS),
        (licences.COMMERCIAL, licence_words.COMMERCIAL),
        (licences.OUTPUTS, licence_words.OUTPUTS),
        (licences.CONFIDENCE, licence_words.CONFIDENCE),
        (licences.DERIVATIVE_TERMS, licence_words.DERIVATIVE_TERMS),
        (licences.FIELD_OF_USE, licence_words.FIELD_OF_USE),
    ):
        assert list(words) == list(labels)
    rows = dict(licence_words.describe(replace(FREE, note="unsure"), locale))
    assert "CC0-1.0" in rows.values()
    assert "unsure" in rows.values()
