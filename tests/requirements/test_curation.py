"""Requirements R24 to R39 about the pictures themselves (study, 1.2): the craft as rules.

The measures behind them are tried on real pictures in `tests/engines` and counted by
`make bench-curation`; here it is what follows from a measure.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.apps import apps

from registry.core.refusals import explain
from tests.core.test_curation import (
    ALICE,
    BOB,
    PROFILE,
    REFERENCES,
    charlie,
    found,
    good_set,
    posed,
    refused,
    with_one,
    with_same,
)
from training.core.curation import Acceptance, judge
from training.core.curation_advice import ADVICE


@pytest.mark.parametrize(
    ("count", "code", "kind"),
    [
        (4, "too_few_pictures", "hard"),
        (5, "few_pictures", "warn"),
        (9, "few_pictures", "warn"),
        (10, None, None),
        (15, None, None),
        (25, None, None),
        (26, "many_pictures", "warn"),
        (60, "many_pictures", "warn"),
        (61, "too_many_pictures", "soft"),
    ],
)
def test_r24_about_fifteen_pictures(count: int, code: str | None, kind: str | None) -> None:
    """“target 15, warn <10 and >25, block >60 without written reason”."""
    rules = replace(PROFILE, same_background=0, same_outfit=0, same_hair=0, near_duplicate_bits=-1)
    report = judge(good_set(count), REFERENCES, rules)
    seen = {item.code: item.kind for item in report.findings if item.code.endswith("_pictures")}
    assert seen == ({code: kind} if code else {})


@pytest.mark.parametrize("respect", ["background", "outfit", "hair"])
def test_r25_the_third_alike_warns_and_the_fourth_blocks(respect: str) -> None:
    """“same background, outfit, hair: three and more are not needed”."""
    code = f"same_{respect}"
    assert found(with_same(2, respect)) == {}
    assert found(with_same(3, respect)) == {code: "warn"}
    assert refused(with_same(3, respect)) == []
    assert refused(with_same(4, respect)) == [f"curation_blocked:{code}"]
    assert refused(with_same(4, respect), charlie(code)) == []


@pytest.mark.parametrize(
    ("count", "same", "told"), [(14, 8, True), (14, 7, False), (15, 8, True), (9, 9, False)]
)
def test_r28_more_than_half_in_one_pose_warns(count: int, same: int, told: bool) -> None:
    """“Set with one pose cluster >50% warns”; it names no picture and blocks nothing."""
    report = judge(posed(count, same), REFERENCES, PROFILE)
    found = [item for item in report.findings if item.code == "pose_variety"]
    assert [(item.kind, item.pictures, item.count) for item in found] == (
        [("warn", (), same)] if told else []
    )
    assert "pose_variety" not in " ".join(refused(posed(count, same)))


def test_r29_a_background_that_dominates_a_small_set_needs_more_than_a_caption() -> None:
    """“Same set with perfect captions still fails”: nothing that is written clears it by itself."""
    small = with_same(7, "background", size=12)
    assert "curation_blocked:dominant_background" in refused(small)
    assert "captions" in ADVICE["dominant_background"].why_en
    assert "説明文" in ADVICE["dominant_background"].why_ja
    assert "dominant_background" not in found(with_same(7, "background", size=15))


def test_r32_skin_without_its_texture_is_flagged_and_a_sharp_original_is_not() -> None:
    """“Blurred/smoothed fixture is flagged; sharp original isn't”."""
    assert found(with_one()) == {}
    assert found(with_one(face_grain=40)) == {"over_retouched": "soft"}
    assert found(with_one(sharpness=20)) == {"too_soft": "soft"}


@pytest.mark.parametrize("word", ["surgery", "plastic", "weak", "ugly", "beauty", "attractive"])
def test_r33_no_trait_of_a_person_is_a_field_of_anything(word: str) -> None:
    """“never stored as a trait of the person”: no such field in any table."""
    fields = [
        f"{model.__name__}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
    ]
    assert [name for name in fields if word in name.lower()] == []


def test_r35_a_mark_that_was_added_is_taken_on_by_name_or_blocks() -> None:
    """“additive edit unapproved → block”; what was taken on is what people sign."""
    items = with_one(marks=900)
    assert refused(items) == ["curation_blocked:mole_added"]
    assert refused(items, Acceptance("mole_added", "stage make-up", "")) != []
    assert refused(items, charlie("mole_added")) == []


def test_r36_somebody_else_among_her_pictures_blocks_whatever_is_said() -> None:
    """“Planted other person is the top outlier and blocks”."""
    stranger = replace(ALICE, likeness=120)
    items = with_one(faces=(stranger,))
    assert refused(items, charlie("unknown_face")) == ["unknown_face"]
    assert refused(with_one(faces=(ALICE, BOB)), charlie("unknown_face")) == ["unknown_face"]
    doubtful = with_one(faces=(replace(ALICE, likeness=420),))
    assert refused(doubtful) == ["unknown_face"]
    assert refused(doubtful, Acceptance("unlike_face", "her, laughing", "usr_bob", "p003")) == []


def test_r37_paler_than_her_own_references_is_flagged() -> None:
    """“Whitened fixture flagged”: against herself, never against an ideal."""
    items = with_one(skin_chroma=130, skin_light=215)
    assert found(items) == {"skin_tone": "soft"}
    pale = replace(REFERENCES, skin_chroma=140, skin_light=215)
    everybody = [replace(item, skin_chroma=140, skin_light=215) for item in good_set()]
    assert [item.code for item in judge(everybody, pale, PROFILE).findings] == []


def test_r39_grain_is_measured_and_detail_is_another_thing() -> None:
    """“High-ISO-fine fixture passes, NR-smoothed fixture fails”: EXIF says nothing here."""
    assert found(with_one(grain=500, sharpness=900, face_grain=400)) == {}
    assert found(with_one(grain=700)) == {"grain": "soft"}
    assert found(with_one(grain=40, face_grain=38)) == {"over_retouched": "soft"}


def test_every_rule_says_why_and_what_to_do_in_both_languages() -> None:
    for code, advice in ADVICE.items():
        assert advice.next_ja.endswith("。"), code
        assert advice.next_en.endswith("."), code
    assert explain("curation_blocked", "ja").next
