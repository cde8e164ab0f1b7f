"""The grant: unique bytes, strict parsing, and what must hold whoever signed it."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import date

import pytest

from registry.core import grants
from registry.core.grants import Grant
from registry.log.core import canonical
from tests.core.token_world import BASE, GRANT, NOW, PARTIES, TERMS


def codes(grant: Grant, at=NOW) -> list[str]:
    return [refusal.code for refusal in grants.check(grant, at=at)]


def test_a_grant_survives_its_payload_and_its_bytes():
    assert Grant.from_payload(GRANT.to_payload()) == GRANT
    assert Grant.from_payload(canonical.loads(GRANT.canonical())) == GRANT


def test_the_digest_is_over_the_context_and_the_canonical_bytes():
    assert GRANT.digest() == canonical.digest("kyodaku/grant/v1", GRANT.to_payload())


def paths(value, path=()):
    """Every leaf of the payload."""
    if isinstance(value, dict):
        for name in value:
            yield from paths(value[name], (*path, name))
    elif isinstance(value, list):
        for place in range(len(value)):
            yield from paths(value[place], (*path, place))
    else:
        yield path


@pytest.mark.parametrize("path", list(paths(GRANT.to_payload())), ids=str)
def test_every_member_is_in_what_is_signed(path):
    payload = copy.deepcopy(GRANT.to_payload())
    place = payload
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    if old is None:  # a date that is not set
        old = ""
    place[path[-1]] = (not old) if isinstance(old, bool) else old + type(old)("1")
    assert canonical.digest("kyodaku/grant/v1", payload) != GRANT.digest()


@pytest.mark.parametrize("path", list(paths(GRANT.to_payload())), ids=str)
def test_a_member_that_is_missing_is_refused_or_changes_the_grant(path):
    payload = copy.deepcopy(GRANT.to_payload())
    place = payload
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    try:
        parsed = Grant.from_payload(payload)
    except ValueError:
        return
    assert parsed.digest() != GRANT.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"format": "kyodaku/grant/v2"},
        {"max_runs": True},
        {"max_runs": 1.5},
        {"parties": [{}]},
        {"terms": []},
        {"dataset": {"root": "x"}},
    ],
)
def test_another_form_is_refused(change):
    with pytest.raises(ValueError, match=r"grant|member"):
        Grant.from_payload(GRANT.to_payload() | change)


def test_an_honest_grant_holds():
    assert codes(GRANT) == []


@pytest.mark.parametrize("locale", ["ja", "en", "ja-easy"])
def test_the_text_that_was_read_is_the_text_of_the_terms(locale):
    changed = dict(GRANT.text_sha256) | {locale: "00" * 32}
    assert codes(replace(GRANT, text_sha256=changed)) == ["approval_text_mismatch"]


def test_other_terms_under_the_old_text_are_refused():
    dearer = replace(TERMS, media=("ad_tv",))
    assert codes(replace(GRANT, terms=dearer)) == ["approval_text_mismatch"] * 3


def test_a_word_of_no_vocabulary_has_no_text():
    unheard = replace(GRANT, terms=replace(TERMS, media=("hologram",)))
    assert codes(unheard) == ["approval_text_mismatch"]


def test_a_form_of_the_text_that_is_missing_or_unknown_is_refused():
    texts = dict(GRANT.text_sha256)
    assert "approval_text_mismatch" in codes(replace(GRANT, text_sha256=texts | {"fr": "00" * 32}))
    del texts["ja-easy"]
    assert "approval_text_mismatch" in codes(replace(GRANT, text_sha256=texts))


def test_a_term_that_is_over_is_expired():
    assert codes(GRANT, at=TERMS.ends_at()) == ["expired"]


def test_a_base_model_without_commercial_permission_is_refused():
    assert codes(replace(GRANT, base_models=(replace(BASE, commercial=False),))) == ["base_licence"]
    assert codes(replace(GRANT, base_models=())) == ["base_licence"]


def test_a_portfolio_needs_no_commercial_permission():
    terms = replace(TERMS, media=("portfolio",), end=date(2027, 3, 31))
    texts = grants.text_digests(
        terms, pictures=GRANT.dataset_count, max_runs=1, clearances=GRANT.clearances
    )
    bases = (replace(BASE, commercial=False),)
    assert codes(replace(GRANT, terms=terms, text_sha256=texts, base_models=bases)) == []


@pytest.mark.parametrize("party", PARTIES)
def test_every_right_needs_its_party(party):
    kept = tuple(p for p in PARTIES if p != party)
    assert codes(replace(GRANT, parties=kept)) == [f"approval_missing:{party.by}"]


def test_an_independent_talent_says_so_herself():
    alice = replace(PARTIES[0], authority="self")
    assert codes(replace(GRANT, parties=(alice, PARTIES[2]))) == []


def lists(value, path=()):
    """Every list of the payload."""
    if isinstance(value, dict):
        return [p for name in value for p in lists(value[name], (*path, name))]
    return [path] if isinstance(value, list) else []


@pytest.mark.parametrize("wrong", [None, [], {}, [[]], 1.5, True, 7, "word", {"a": []}])
def test_a_member_of_another_type_is_refused_and_crashes_nothing(wrong):
    """A receipt's grant comes from whoever sends it; the rules read it before the log is asked."""
    payload = GRANT.to_payload()
    for path in (*paths(payload), *lists(payload)):
        broken = copy.deepcopy(payload)
        place = broken
        for key in path[:-1]:
            place = place[key]
        if type(place[path[-1]]) is type(wrong):
            continue
        place[path[-1]] = wrong
        try:
            found = Grant.from_payload(broken)
        except ValueError:
            continue
        # Dates and amounts that are not set are null in the terms; nothing else may be odd.
        assert path[0] == "terms", path
        assert isinstance(grants.check(found, at=NOW), list)
