"""Who must sign for which photographs, and a grant that says so and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import clearance, clearance_words, grants, rights, tokens
from registry.core.clearance import (
    BystanderClearance,
    Clearances,
    Copyright,
    Seat,
    Share,
    Signer,
    WorkClearance,
)
from registry.core.grants import Grant
from registry.core.refusals import Refusal
from registry.core.rights import PictureRights, Retouch, Sheet, WorkUse
from registry.core.vocabulary import TEXT_LOCALES
from tests.core.token_world import CLEARANCES, GRANT, NOW, RUN

ALICE = Seat("per_alice", "talent", "tal_alice")
HOLDERS = {"per_charlie": (Signer("per_charlie"),), "org_press": (Signer("per_kei", "mbr_1"),)}
WORKS = {"wor_star": {"org_committee": (Signer("per_delegate", "man_1"),)}}
PICTURE = PictureRights(
    id="p001",
    file_sha256="01" * 32,
    talents=("tal_alice",),
    holder="per_charlie",
    basis="owner",
    moral_rights=True,
    shoot="sht_1",
)


def sheet(*changes: dict[str, Any]) -> Sheet:
    """One picture a set of changes."""
    return Sheet(
        tuple(replace(PICTURE, id=f"p{n:03d}", **change) for n, change in enumerate(changes, 1))
    )


def decided(
    found: Sheet, talents=("tal_alice",), works=("wor_star",), exposure="full_clothed"
) -> list[str]:
    known = {work: frozenset({"org_committee"}) for work in works}
    refused = rights.decide(found, talents=talents, works=known, exposure=exposure)
    return [f"{r.code} {r.detail}" for r in refused]


def must_sign(found: Sheet, likeness=(ALICE,), requester="per_mallory") -> list[Seat | Refusal]:
    return clearance.who_must_sign(
        found, likeness=likeness, holders=HOLDERS, works=WORKS, requester=requester
    )


@pytest.mark.parametrize(
    ("shown", "allowed", "refused"),
    [
        ("full_clothed", "full_clothed", []),
        ("sleeveless_legs", "full_clothed", ["exposure_exceeds p001"]),
        ("swimwear", "sleeveless_legs", ["exposure_exceeds p001"]),
        ("swimwear", "swimwear", []),
        ("swimwear", "underwear", []),
        ("above", "underwear", ["exposure_exceeds p001"]),
        ("a word that is none", "above", ["exposure_exceeds p001"]),
    ],
)
def test_no_picture_shows_more_than_the_terms_allow(shown, allowed, refused):
    assert decided(sheet({"exposure": shown}), exposure=allowed) == refused


# --- the sheet ------------------------------------------------------------------------------------


def test_a_recorded_photograph_is_cleared():
    assert decided(sheet({}, {})) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"holder": ""}, "image_unrecorded"),
        ({"shoot": ""}, "image_unrecorded"),
        ({"basis": "30-4"}, "uncleared_copyright"),
        ({"basis": ""}, "uncleared_copyright"),
        ({"moral_rights": False}, "moral_rights_missing"),
        ({"talents": ()}, "unknown_face"),
        ({"talents": ("tal_alice", "tal_zoe")}, "unknown_face"),
        ({"works": (WorkUse("", "costume"),)}, "uncleared_work"),
        ({"works": (WorkUse("wor_other", "depicts_character"),)}, "uncleared_work"),
        ({"creator": "mismatch"}, "creator_mismatch"),
        ({"retouch": Retouch("", ("wrinkles",), "per_dana")}, "unverified_edit"),
    ],
)
def test_what_is_missing_is_named_with_its_picture(change, code):
    assert decided(sheet({}, change)) == [f"{code} p002"]


@pytest.mark.parametrize(
    "change",
    [
        {"basis": "licence"},
        {"works": (WorkUse("wor_star", "costume"),)},
        {"creator": "explained"},
        {"retouch": Retouch("ab" * 32, ("wrinkles",), "per_dana")},
        {"retouch": Retouch("", ("masking",), "")},
        {"reservation": "notAllowed"},
    ],
)
def test_what_is_declared_whole_is_cleared(change):
    assert decided(sheet(change)) == []


def test_somebody_who_is_asked_and_not_shown_is_noticed():
    assert decided(sheet({}), talents=("tal_alice", "tal_zoe")) == ["shares_mismatch tal_zoe"]


def test_a_sheet_survives_its_payload_and_every_change_changes_its_digest():
    whole = sheet(
        {"works": (WorkUse("wor_star", "costume"),), "bystanders": ("per_x",)},
        {"retouch": Retouch("ab" * 32, ("crop",), "per_dana")},
    )
    assert Sheet.from_payload(whole.to_payload()) == whole
    other = Sheet((replace(whole.pictures[0], holder="org_press"), *whole.pictures[1:]))
    assert other.digest() != whole.digest()


@pytest.mark.parametrize(
    "payload", [{}, {"format": "x"}, {"format": rights.FORMAT, "pictures": [{}]}, {"pictures": []}]
)
def test_another_form_of_sheet_is_refused(payload):
    with pytest.raises(ValueError, match="rights sheet"):
        Sheet.from_payload(payload)


# --- who must sign --------------------------------------------------------------------------------


def test_one_copyright_party_for_each_distinct_holder():
    found = must_sign(sheet({}, {"holder": "org_press"}, {}))
    assert found == [
        ALICE,
        Seat("per_kei", "photo_copyright", "org_press", "mbr_1"),
        Seat("per_charlie", "photo_copyright", "per_charlie"),
    ]


def test_a_holder_for_whom_nobody_can_sign_is_a_refusal():
    assert Refusal("approval_missing:photo_copyright", "per_x") in must_sign(
        sheet({"holder": "per_x"})
    )


def test_every_work_and_every_bystander_has_a_seat():
    shown = {"works": (WorkUse("wor_star", "costume"),), "bystanders": ("per_passer",)}
    assert must_sign(sheet(shown, shown))[2:] == [
        Seat("per_delegate", "work_rights", "wor_star", "man_1"),
        Seat("per_passer", "bystander", "per_passer"),
    ]


def test_nobody_clears_a_work_for_their_own_request():
    found = must_sign(sheet({"works": (WorkUse("wor_star", "costume"),)}), requester="per_delegate")
    assert Refusal("approval_missing:work_rights", "wor_star") in found


# --- shares ---------------------------------------------------------------------------------------


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 200), max_size=12))
def test_shares_sum_to_exactly_one(counts):
    found = clearance.shares(counts)
    assert sum(share.permille for share in found) == (1000 if counts else 0)
    total = sum(counts.values())
    for share in found:
        assert abs(share.permille * total - 1000 * share.count) < total


def test_three_equal_parts_are_the_same_every_time():
    assert [s.permille for s in clearance.shares({"b": 5, "a": 5, "c": 5})] == [334, 333, 333]


def test_each_sees_that_there_are_others_and_not_who():
    found = Clearances(shares=clearance.shares({"tal_alice": 9, "tal_zoe": 6}))
    seen = clearance.seen_by(found, "tal_alice")
    assert seen == {"people": 2, "own_permille": 600, "own_count": 9, "others_permille": [400]}
    assert "tal_zoe" not in str(seen)


# --- what is signed -------------------------------------------------------------------------------


def counted(*changes: dict[str, Any]) -> Clearances:
    return clearance.clearances(
        sheet(*changes), holders=HOLDERS, works=WORKS, requester="per_mallory"
    )


def test_everything_in_the_grant_is_counted_from_the_sheet():
    found = counted(
        {"reservation": "notAllowed"},
        {"holder": "org_press", "basis": "licence", "works": (WorkUse("wor_star", "costume"),)},
        {"bystanders": ("per_passer",), "masks": 2},
        {"retouch": Retouch("ab" * 32, ("crop",), "per_dana")},
    )
    assert found.copyright == (
        Copyright("org_press", "per_kei", "licence", 1),
        Copyright("per_charlie", "per_charlie", "owner", 3, reserved=1),
    )
    assert found.works == (
        WorkClearance("wor_star", "org_committee", "per_delegate", ("costume",), 1),
    )
    assert found.bystanders == (BystanderClearance("per_passer", 1),)
    assert found.shares == (Share("tal_alice", 4, 1000),)
    assert (found.masked, found.retouchers) == (1, ("per_dana",))


@pytest.mark.parametrize(
    "change",
    [
        {"holder": "org_press"},
        {"basis": "licence"},
        {"works": (WorkUse("wor_star", "costume"),)},
        {"works": (WorkUse("wor_other", "costume"),)},
        {"bystanders": ("per_passer",)},
        {"talents": ("tal_zoe",)},
        {"reservation": "notAllowed"},
        {"masks": 1},
        {"retouch": Retouch("ab" * 32, ("crop",), "per_dana")},
    ],
)
def test_a_grant_follows_from_its_sheet_and_from_no_other(change):
    found = counted({}, {})
    assert clearance.follows(found, sheet({}, {}))
    assert not clearance.follows(found, sheet({}, change))


@pytest.mark.parametrize("word", ["constrained", "unreadable", "notAllowed"])
def test_a_constraint_without_its_content_counts_as_a_no(word):
    assert counted({"reservation": word}).copyright[0].reserved == 1


@pytest.mark.parametrize("word", ["unknown", "allowed"])
def test_silence_and_a_yes_reserve_nothing(word):
    assert counted({"reservation": word}).copyright[0].reserved == 0


def codes(found: Clearances, grant: Grant = GRANT) -> list[str]:
    texts = grants.text_digests(grant.terms, pictures=15, max_runs=1, clearances=found)
    changed = replace(grant, clearances=found, text_sha256=texts)
    return [refusal.code for refusal in grants.check(changed, at=NOW)]


HOLDER = CLEARANCES.copyright[0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rights_digest": ""}, "uncleared_copyright"),
        ({"copyright": ()}, "uncleared_copyright"),
        ({"copyright": (replace(HOLDER, count=14),)}, "uncleared_copyright"),
        ({"copyright": (replace(HOLDER, basis="30-4"),)}, "uncleared_copyright"),
        ({"copyright": (replace(HOLDER, reserved=16),)}, "uncleared_copyright"),
        (
            {"copyright": (replace(HOLDER, count=14), Copyright("org_x", "per_x", "owner", 1))},
            "approval_missing:photo_copyright",
        ),
        (
            {"copyright": (replace(HOLDER, holder="org_press"),)},
            "approval_missing:photo_copyright",
        ),
        (
            {"works": (WorkClearance("wor_star", "org_c", "per_d", ("work",), 1),)},
            "approval_missing:work_rights",
        ),
        ({"bystanders": (BystanderClearance("per_p", 1),)}, "approval_missing:bystander"),
        ({"shares": ()}, "shares_mismatch"),
        ({"shares": (Share("tal_alice", 15, 999),)}, "shares_mismatch"),
        ({"shares": (Share("tal_alice", 16, 1000),)}, "shares_mismatch"),
        ({"shares": (Share("tal_zoe", 15, 1000),)}, "shares_mismatch"),
        ({"shares": clearance.shares({"tal_alice": 8, "tal_zoe": 7})}, "shares_mismatch"),
    ],
)
def test_a_grant_whose_clearances_name_nobody_who_signs_is_refused(change, code):
    assert codes(replace(CLEARANCES, **change)) == [code]


def test_the_honest_clearances_hold():
    assert codes(CLEARANCES) == []


@pytest.mark.parametrize("count", [True, 15.0, -1, "15"])
def test_a_count_is_a_whole_number(count):
    payload = GRANT.to_payload()
    payload["clearances"]["copyright"][0]["count"] = count
    with pytest.raises(ValueError, match="grant"):
        Grant.from_payload(payload)


def test_a_machine_readable_no_is_lifted_by_its_holders_signature_alone():
    found = replace(CLEARANCES, copyright=(replace(HOLDER, reserved=3),))
    others = {("per_alice", "talent"), ("per_charlie", "bystander")}
    assert [r.code for r in clearance.reserved(found, others)] == ["reserved_by_holder"]
    assert clearance.reserved(found, {("per_charlie", "photo_copyright")}) == []
    texts = grants.text_digests(GRANT.terms, pictures=15, max_runs=1, clearances=found)
    grant = replace(GRANT, clearances=found, text_sha256=texts)
    codes = [r.code for r in tokens.may_mint(grant, {}, RUN, runs_used=0, at=NOW)]
    assert "reserved_by_holder" in codes


@pytest.mark.parametrize("locale", TEXT_LOCALES)
def test_the_text_tells_of_a_blend_a_refusal_and_a_work_and_names_nobody(locale):
    found = replace(
        CLEARANCES,
        copyright=(replace(HOLDER, reserved=3),),
        shares=clearance.shares({"tal_alice": 9, "tal_zoe": 6}),
        works=(WorkClearance("wor_star", "org_c", "per_d", ("work",), 1),),
        bystanders=(BystanderClearance("per_p", 1),),
    )
    text = clearance_words.text(found, locale)
    assert "60.0% / 40.0%" in text
    assert text.count("\n") == 5
    assert not any(word in text for word in ("tal_", "per_", "org_", "wor_"))
    assert clearance_words.text(CLEARANCES, locale).count("\n") == 1
