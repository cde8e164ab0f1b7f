"""Licence terms: a closed vocabulary, deny by default, and one text for people and machines."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import term_length, term_rules, vocabulary, wording
from registry.core import terms as t
from registry.core.terms import Terms, Withdrawal
from tests.core.token_world import TERMS

TODAY = date(2026, 11, 20)


def some(words):
    return st.lists(st.sampled_from(sorted(words)), unique=True, min_size=1).map(tuple)


# What the form and the API let through: no line breaks, no control characters.
TYPED = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=12)
NUMBER = st.integers(0, 3)
DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 9))
ANY_TERMS = st.builds(
    Terms,
    media=some(vocabulary.MEDIA),
    client=TYPED,
    product=TYPED,
    territory=some(vocabulary.TERRITORY),
    start=DAYS,
    end=DAYS,
    purpose=TYPED,
    fee_jpy=NUMBER,
    replaces_booked_shoot=st.booleans(),
    quantity=NUMBER,
    transformations=some(vocabulary.TRANSFORMATIONS),
    exposure=st.sampled_from(list(vocabulary.EXPOSURE)),
    likeness_parts=some(vocabulary.LIKENESS_PARTS),
    categories=some(vocabulary.CATEGORIES),
    exclusivity=st.sampled_from(list(vocabulary.EXCLUSIVITY)),
    duties=some(vocabulary.DUTIES),
    name_use=st.sampled_from(list(vocabulary.NAME_USE)),
    sublicence=st.booleans(),
    sell_off_days=NUMBER,
    stage=st.sampled_from(list(vocabulary.STAGES)),
    likeness_goal=st.booleans(),
    impressions=NUMBER,
    price_min_jpy=NUMBER,
    price_max_jpy=st.integers(1, 3),
    exclusivity_category=TYPED,
    competitors=st.lists(TYPED, max_size=2).map(tuple),
    share_permille=NUMBER,
    guarantee_jpy=NUMBER,
    paid_by=st.sampled_from(list(vocabulary.PAID_BY)),
    pay_by=st.none() | DAYS,
    destroy_by=st.none() | DAYS,
    report_months=NUMBER,
    advised_by=st.sampled_from(list(vocabulary.ADVISED_BY)),
    on_withdrawal=st.builds(
        lambda published, days: Withdrawal(
            published=published,
            sell_off_days=days if published == "sell_off" else 0,
            new_generation="after_days" if days > 1 else "stop_now",
            new_generation_days=days if days > 1 else 0,
            attest_days=days + 1,
        ),
        st.sampled_from(list(vocabulary.PUBLISHED)),
        st.integers(1, 3),
    ),
)


@given(ANY_TERMS)
def test_terms_survive_their_payload(terms):
    assert Terms.from_payload(terms.to_payload()) == terms


@given(ANY_TERMS, st.sampled_from(vocabulary.TEXT_LOCALES))
def test_the_same_terms_always_read_the_same(terms, locale):
    first, second = (wording.render(terms, locale, pictures=15, max_runs=1) for _ in range(2))
    assert first == second
    assert len(wording.text_digest(first)) == 64


@pytest.mark.parametrize(
    ("locale", "line"), [("ja", "特に許す分野: 酒"), ("en", "Fields opened: alcohol")]
)
def test_what_is_allowed_beyond_the_ordinary_is_named_in_the_signed_text(locale, line):
    opened = replace(TERMS, categories=("alcohol",))
    assert line in wording.render(opened, locale, pictures=15, max_runs=1).splitlines()
    plain = wording.render(replace(TERMS, categories=()), locale, pictures=15, max_runs=1)
    assert any(said in plain for said in ("特に許す分野: なし", "Fields opened: none"))


@given(ANY_TERMS)
def test_what_is_not_allowed_is_named_as_barred(terms):
    text = wording.render(terms, "en", pictures=15, max_runs=1)
    barred = next(line for line in text.splitlines() if line.startswith("Barred fields"))
    closed = [word for word in vocabulary.CATEGORIES if word not in terms.categories]
    assert all(vocabulary.CATEGORIES[word][1] in barred for word in closed)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"media": "photobook_ebook"},
        {"media": [1]},
        {"quantity": True},
        {"quantity": "1"},
        {"name_use": True},
        {"start": "20260101"},
        {"pay_by": ""},
        {"on_withdrawal": []},
        {"on_withdrawal": {"training": 1}},
        {"on_withdrawal": {"surprise": "x"}},
        {"start": "2026-13-01"},
        {"start": 7},
        {"client": None},
    ],
)
def test_an_ill_typed_member_is_refused(change):
    with pytest.raises(ValueError, match=r"\w"):
        Terms.from_payload(TERMS.to_payload() | change)


def test_a_missing_member_is_refused():
    payload = TERMS.to_payload()
    del payload["purpose"]
    with pytest.raises(ValueError, match="purpose"):
        Terms.from_payload(payload)


def test_honest_terms_have_no_problem():
    assert term_rules.problems(TERMS, today=TODAY) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"client": " "}, "client"),
        ({"purpose": "short"}, "purpose"),
        ({"media": ()}, "media"),
        ({"media": ("hologram",)}, "media"),
        ({"exposure": "unheard"}, "exposure"),
        ({"territory": ("ZZ",)}, "territory"),
        ({"territory": ("JP", "worldwide")}, "territory"),
        ({"end": date(2026, 10, 1)}, "end"),
        ({"start": date(2020, 1, 1), "end": date(2020, 1, 2)}, "end"),
        ({"quantity": -1}, "quantity"),
        ({"sublicence": True}, "sublicence"),
        ({"fee_jpy": -1}, "fee_jpy"),
        ({"fee_jpy": 2**53}, "fee_jpy"),
        ({"share_permille": 1001}, "share_permille"),
        ({"report_months": 0}, "report_months"),
        ({"sell_off_days": 366}, "sell_off_days"),
        ({"price_min_jpy": 2, "price_max_jpy": 1}, "price_max_jpy"),
        ({"likeness_parts": ("voice",)}, "likeness_parts"),
        ({"likeness_parts": ("name",)}, "name_use"),
        ({"name_use": "legal_name"}, "name_use"),
        ({"stage": "draft"}, "stage"),
        ({"paid_by": "nobody"}, "paid_by"),
        ({"advised_by": "a friend"}, "advised_by"),
        ({"media": ("calendar", "calendar")}, "media"),
        ({"media": tuple(vocabulary.MEDIA)[:9]}, "media"),
        ({"media": ("research_prototype",)}, "stage"),
        ({"stage": "prototype"}, "media"),
        ({"stage": "prototype", "media": ("internal_comp",), "quantity": 1}, "quantity"),
        ({"transformations": ("none", "pose")}, "transformations"),
        ({"transformations": ()}, "transformations"),
        ({"exclusivity": "category"}, "exclusivity_category"),
        ({"competitors": ("Rival",)}, "exclusivity"),
        ({"exclusivity": "full", "competitors": ("a\nb",)}, "competitors"),
        ({"exclusivity": "full", "competitors": tuple("abcdefghijklmnopqrstu")}, "competitors"),
        ({"exclusivity": "full", "exclusivity_category": "a\u202eb"}, "exclusivity_category"),
        ({"client": "すべて"}, "client"),
        ({"product": "ＡＮＹ"}, "product"),
        ({"purpose": "商用で汎用的に使えるLoRAを作る"}, "purpose"),
        ({"end": date(2037, 3, 31)}, "end"),
        ({"end": date(2201, 1, 1)}, "end"),
        ({"stage": "prototype", "media": ("internal_comp",), "end": date(2027, 5, 1)}, "end"),
        ({"pay_by": date(2026, 1, 1)}, "pay_by"),
        ({"destroy_by": date(2026, 1, 1)}, "destroy_by"),
        ({"on_withdrawal": Withdrawal(training="go_on")}, "on_withdrawal"),
        ({"on_withdrawal": Withdrawal(unpublished_outputs="keep")}, "on_withdrawal"),
        ({"on_withdrawal": Withdrawal(artefact="keep")}, "on_withdrawal"),
        ({"on_withdrawal": Withdrawal(published="keep")}, "on_withdrawal"),
        ({"on_withdrawal": Withdrawal(new_generation="after_days")}, "on_withdrawal"),
        ({"on_withdrawal": Withdrawal(sell_off_days=1)}, "on_withdrawal"),
        ({"on_withdrawal": Withdrawal(attest_days=366)}, "on_withdrawal"),
    ],
)
def test_a_problem_names_its_field_in_both_languages(change, field):
    (problem,) = term_rules.problems(replace(TERMS, **change), today=TODAY)
    assert problem.field == field
    assert problem.ja != problem.en


@pytest.mark.parametrize("exposure", ["swimwear", "underwear", "above"])
def test_a_minor_is_never_shown_in_swimwear_or_less(exposure):
    terms = replace(TERMS, exposure=exposure)
    assert [r.code for r in t.check_person(terms, minor=True)] == ["minor_rule"]
    assert t.check_person(terms, minor=False) == []


@pytest.mark.parametrize("word", ["sexual", "alcohol", "tobacco", "gambling"])
def test_no_minor_is_shown_in_or_for_what_is_for_adults(word):
    terms = replace(TERMS, categories=(word,))
    assert [r.code for r in t.check_person(terms, minor=True)] == ["minor_rule"]
    assert t.check_person(terms, minor=False) == []


def test_a_minor_is_not_licensed_to_a_company_that_sells_adult_content():
    found = t.check_person(TERMS, minor=True, adult_rated=True)
    assert [r.code for r in found] == ["minor_rule"]
    assert t.check_person(TERMS, minor=False, adult_rated=True) == []


def test_a_minors_term_is_shorter_and_the_shortest_of_all_countries_counts():
    two_years = replace(TERMS, end=date(2028, 11, 1))
    assert t.check_person(two_years, minor=True) == []
    longer = replace(TERMS, end=date(2028, 11, 2))
    assert [r.code for r in t.check_person(longer, minor=True)] == ["minor_rule"]
    assert t.check_person(longer, minor=False) == []
    elsewhere = replace(longer, territory=("US",))
    assert t.check_person(elsewhere, minor=True) == []
    assert t.check_person(replace(longer, territory=("US", "JP")), minor=True)
    assert t.check_person(replace(longer, territory=("worldwide",)), minor=True)


def test_a_term_of_whole_years_from_a_leap_day_ends_on_the_28th():
    assert term_length.last_day(date(2028, 2, 29), 1) == date(2029, 2, 28)


def test_the_never_list_reaches_below_a_higher_ceiling():
    terms = replace(TERMS, exposure="underwear")
    refusals = t.check_person(terms, minor=False, never=frozenset({"swimwear"}))
    assert [(r.code, r.detail) for r in refusals] == [("never_list", "swimwear")]


def test_a_term_begins_and_ends_in_japan():
    terms = replace(TERMS, start=date(2026, 4, 1), end=date(2026, 4, 1))
    assert terms.starts_at() == datetime(2026, 3, 31, 15, tzinfo=UTC)
    assert terms.ends_at() - terms.starts_at() == timedelta(days=1)


@pytest.mark.parametrize("word", sorted(vocabulary.MEDIA))
def test_only_named_media_are_not_commercial(word):
    assert replace(TERMS, media=(word,)).commercial == (word not in vocabulary.NON_COMMERCIAL)


VECTORS = Path(__file__).parents[1] / "vectors" / "terms"
FULL = replace(
    TERMS,
    media=("photobook_ebook", "sns_promo", "portfolio"),
    territory=("JP", "US"),
    quantity=2000,
    impressions=1_000_000,
    price_min_jpy=500,
    price_max_jpy=1500,
    transformations=("wardrobe", "age"),
    exposure="sleeveless_legs",
    likeness_parts=("face", "hands", "name"),
    categories=("alcohol",),
    exclusivity="category",
    exclusivity_category="飲料",
    competitors=("Rival Drinks", "ライバル飲料"),
    duties=tuple(vocabulary.DUTIES),
    name_use="credit_line",
    fee_jpy=300_000,
    share_permille=125,
    guarantee_jpy=50_000,
    replaces_booked_shoot=True,
    pay_by=date(2027, 1, 31),
    destroy_by=date(2027, 4, 30),
    sell_off_days=30,
    advised_by="union",
    on_withdrawal=Withdrawal(
        new_generation="after_days", new_generation_days=7, published="sell_off", sell_off_days=14
    ),
)
PROTOTYPE = replace(
    TERMS, media=("research_prototype",), stage="prototype", transformations=("background_only",)
)
SNAPSHOTS = {"plain": TERMS, "full": FULL, "prototype": PROTOTYPE}


@pytest.mark.parametrize("locale", vocabulary.TEXT_LOCALES)
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_text_that_people_read_is_the_reviewed_one(name, locale):
    expected = (VECTORS / f"good_{name}.{locale}.txt").read_text()
    assert wording.render(SNAPSHOTS[name], locale, pictures=15, max_runs=2) == expected


@pytest.mark.parametrize("terms", SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_the_reviewed_terms_can_be_asked_for(terms):
    assert term_rules.problems(terms, today=TODAY) == []


@pytest.mark.parametrize("locale", vocabulary.TEXT_LOCALES)
@given(ANY_TERMS, ANY_TERMS)
def test_different_terms_never_read_the_same(locale, one, other):
    texts = {wording.render(terms, locale, pictures=15, max_runs=1) for terms in (one, other)}
    assert (len(texts) == 1) == (one == other)


@pytest.mark.parametrize("locale", vocabulary.TEXT_LOCALES)
@given(ANY_TERMS, ANY_TERMS, st.sampled_from(sorted(Terms.__dataclass_fields__)))
def test_every_member_shows_in_the_text(locale, one, other, member):
    changed = replace(one, **{member: getattr(other, member)})
    texts = {wording.render(terms, locale, pictures=15, max_runs=1) for terms in (one, changed)}
    assert (len(texts) == 1) == (one == changed)


@pytest.mark.parametrize("locale", vocabulary.TEXT_LOCALES)
@pytest.mark.parametrize("word", ["なし", "none", "ない"])
def test_a_category_with_the_name_of_nothing_does_not_read_like_nothing(word, locale):
    texts = {
        wording.render(replace(TERMS, exclusivity_category=w), locale, pictures=15, max_runs=1)
        for w in ("", word)
    }
    assert len(texts) == 2


@pytest.mark.parametrize("name", vocabulary.VOCABULARY)
def test_no_two_words_of_a_vocabulary_have_one_name_and_none_is_empty(name):
    for place in range(3):
        labels = [names[place].strip() for names in vocabulary.VOCABULARY[name].values()]
        assert all(labels)
        assert len(set(labels)) == len(labels)


def test_easy_japanese_gives_the_reading_of_every_kanji_word_of_the_vocabulary():
    for labels in vocabulary.VOCABULARY.values():
        for _, _, easy in labels.values():
            unread = re.sub(r"[一-龥々]+\([ぁ-ん]+\)", "", easy)
            assert not re.search("[一-龥]", unread), easy


def test_every_medium_has_a_publicity_type():
    assert vocabulary.PUBLICITY.keys() == vocabulary.MEDIA.keys()
    kinds = {kind for found in vocabulary.PUBLICITY.values() for kind in found}
    assert kinds == vocabulary.PUBLICITY_TYPES.keys()


def test_every_country_of_the_standard_can_be_named():
    assert len(vocabulary.TERRITORY) == 249 + 1
    assert {"JP", "KR", "AX", "ZW"} < vocabulary.TERRITORY.keys()
    assert term_rules.problems(replace(TERMS, territory=("IS", "KE")), today=TODAY) == []


# --- what the talent opens, and what she ticks ----------------------------------------------------


def test_plain_terms_need_no_tick():
    assert t.explicit_items(TERMS) == ()
    assert t.missing_ticks(TERMS, ()) == []


@pytest.mark.parametrize(
    ("changes", "item"),
    [
        ({"media": ("photobook_ebook", "portfolio")}, "media:portfolio"),
        ({"territory": ("worldwide",)}, "territory:worldwide"),
        ({"categories": ("finance",)}, "category:finance"),
        ({"exposure": "sleeveless_legs"}, "exposure:sleeveless_legs"),
        ({"transformations": ("age",)}, "transformation:age"),
        ({"transformations": ("gender",)}, "transformation:gender"),
        ({"transformations": ("body",)}, "transformation:body"),
        ({"transformations": ("ethnicity",)}, "transformation:ethnicity"),
        ({"transformations": ("persona_new_name",)}, "transformation:persona_new_name"),
        ({"name_use": "stage_name"}, "name_use"),
        ({"likeness_parts": ("signature",)}, "name_use"),
        ({"sell_off_days": 1}, "sell_off"),
        ({"on_withdrawal": Withdrawal(published="sell_off", sell_off_days=1)}, "sell_off"),
    ],
)
def test_what_goes_further_needs_a_tick_of_its_own(changes, item):
    terms = replace(TERMS, **changes)
    assert t.explicit_items(terms) == (item,)
    assert [r.code for r in t.missing_ticks(terms, ())] == [f"tick_missing:{item}"]
    assert t.missing_ticks(terms, (item,)) == []
    assert len({wording.item_label(item, locale) for locale in vocabulary.TEXT_LOCALES}) == 3


def test_a_tick_for_something_else_is_none():
    assert t.missing_ticks(replace(TERMS, categories=("finance",)), ("category:weapons", "x"))


@pytest.mark.parametrize(
    "changes", [{"categories": ("finance",)}, {"territory": ("worldwide",)}], ids=["field", "world"]
)
def test_the_talent_opens_it_before_anybody_may_ask(changes):
    terms = replace(TERMS, **changes)
    codes = [r.code for r in t.check_person(terms, minor=False, opened=frozenset())]
    assert codes == ["not_opened"]
    opened = frozenset({"finance", "worldwide"})
    assert t.check_person(terms, minor=False, opened=opened) == []


def test_what_is_never_allowed_beats_what_was_opened():
    terms = replace(TERMS, categories=("finance",))
    word = frozenset({"finance"})
    codes = [r.code for r in t.check_person(terms, minor=False, never=word, opened=word)]
    assert codes == ["never_list"]


# --- withdrawal -----------------------------------------------------------------------------------


def test_a_safety_withdrawal_overrides_every_period_that_was_agreed():
    day = date(2026, 12, 1)
    assert FULL.sell_off_until(day, safety=False) == date(2026, 12, 15)
    assert FULL.generation_until(day, safety=False) == date(2026, 12, 8)
    assert FULL.sell_off_until(day, safety=True) is None
    assert FULL.generation_until(day, safety=True) is None
    assert TERMS.sell_off_until(day, safety=False) is None
    assert TERMS.generation_until(day, safety=False) is None


def test_intimate_terms_are_those_above_the_ceiling_of_minors():
    assert not TERMS.intimate()
    assert not replace(TERMS, exposure="sleeveless_legs").intimate()
    assert replace(TERMS, exposure="swimwear").intimate()
    assert replace(TERMS, categories=("sexual",)).intimate()


# --- what people type -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["👩‍🎤の本", "👩🏽‍🎤", "スター⭐️", "山田太郎" * 7 + "🎀🎀", "가나다", "Ｋａｄｏｍａ"]
)
def test_a_name_may_hold_what_people_write_in_names(text):
    assert term_rules.problems(replace(TERMS, client=text), today=TODAY) == []


@pytest.mark.parametrize(
    "text", ["a\nb", "a\u202eb", "a\u200bb", "a\u200db", "\u200d⭐", "⭐\u200d", "a\x00"]
)
def test_a_name_holds_nothing_that_is_not_seen(text):
    assert [p.field for p in term_rules.problems(replace(TERMS, client=text), today=TODAY)] == [
        "client"
    ]


def test_every_member_that_cannot_be_read_is_named():
    payload = TERMS.to_payload() | {"start": "soon", "quantity": "1", "surprise": 1}
    del payload["fee_jpy"], payload["replaces_booked_shoot"]
    found = t.parse(payload)
    assert isinstance(found, list)
    assert {p.field for p in found} == {
        "terms",
        "start",
        "quantity",
        "fee_jpy",
        "replaces_booked_shoot",
    }
    assert t.parse(TERMS.to_payload()) == TERMS
