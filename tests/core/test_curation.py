"""The curation rules: whose faces may be in a set, and what the craft says about it.

alice is the talent; bob stands beside her; charlie took the pictures; mallory may do nothing.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core.refusals import Refusal, explain
from registry.log.core import canonical
from training.core.curation import (
    FORMAT,
    Acceptance,
    FaceMeasure,
    Measurement,
    Print,
    Profile,
    References,
    Report,
    Sealable,
    band,
    decide,
    judge,
    report_digest,
    to_json,
)
from training.core.curation_advice import ADVICE
from training.core.curation_alike import LOOK_SIDE, distance, linked, look_likeness, pose_distance

PROFILE = Profile()
ALICE = FaceMeasure(box=(100, 80, 260, 280), score=950, likeness=820, turn=0)
BOB = FaceMeasure(box=(300, 90, 420, 240), score=940, likeness=90, turn=0)
REFERENCES = References(
    count=3,
    engine="insightface/test",
    engine_digest="00" * 32,
    settings={"detector_sizes": [320, 640]},
    skin_light=180,
    skin_chroma=246,
)


def histogram(seed: int) -> tuple[int, ...]:
    """A histogram that shares nothing with any other seed's below 36."""
    bins = [0] * 108
    bins[3 * (seed % 36)] = 10_000
    return tuple(bins)


def picture(number: int, **changes: Any) -> Measurement:
    """A good picture of alice, unlike every other number in every respect."""
    good: dict[str, Any] = {
        "id": f"p{number:03d}",
        "file_sha256": f"{number:064x}",
        "pixel_sha256": f"{number + 1000:064x}",
        "width": 1024,
        "height": 1338,
        "faces": (ALICE,),
        "phash": int.from_bytes(np.random.default_rng(number).bytes(8)),
        "phash_mirrored": int.from_bytes(np.random.default_rng(number + 500).bytes(8)),
        "background": histogram(number),
        "outfit": histogram(number),
        "hair": histogram(number),
        "light": 120,
        "grain": 130,
        "sharpness": 233,
        "face_grain": 130,
        "texture": 390,
        "skin_light": 180,
        "skin_chroma": 246,
    }
    return Measurement(**{**good, **changes})


def good_set(count: int = 15) -> list[Measurement]:
    return [picture(number) for number in range(1, count + 1)]


def with_one(**changes: Any) -> list[Measurement]:
    """Fifteen good pictures, the third of them changed."""
    items = good_set()
    items[2] = replace(items[2], **changes)
    return items


def with_same(count: int, *respects: str, size: int = 15) -> list[Measurement]:
    """A good set in which the first `count` pictures are alike in these respects."""
    same: dict[str, Any] = {respect: histogram(35) for respect in respects}
    items = good_set(size)
    return [replace(item, **same) if i < count else item for i, item in enumerate(items)]


def report(items: list[Measurement], profile: Profile = PROFILE) -> Report:
    return judge(items, REFERENCES, profile)


def found(items: list[Measurement]) -> dict[str, str]:
    """Code -> kind of everything found."""
    return {finding.code: finding.kind for finding in report(items).findings}


def refused(items: list[Measurement], *acceptances: Acceptance) -> list[str]:
    decision = decide(report(items), acceptances)
    return [] if isinstance(decision, Sealable) else [refusal.code for refusal in decision]


def charlie(code: str, picture: str = "") -> Acceptance:
    return Acceptance(code, "costume fitting, one outfit was agreed", "usr_charlie", picture)


def test_fifteen_good_pictures_of_alice_may_be_sealed() -> None:
    decision = decide(report(good_set()))
    assert isinstance(decision, Sealable)
    assert decision.report.findings == ()
    assert decision.digest == report_digest(decision.report)


# --- whose faces --------------------------------------------------------------------------------


def test_a_second_person_blocks_whatever_reason_is_given() -> None:
    items = with_one(faces=(ALICE, BOB))
    assert refused(items) == ["unknown_face"]
    assert refused(items, charlie("unknown_face"), charlie("unknown_face", "p003")) == [
        "unknown_face"
    ]


def test_a_picture_of_bob_alone_blocks() -> None:
    assert refused(with_one(faces=(BOB,))) == ["unknown_face"]


def test_a_second_person_who_half_resembles_alice_blocks() -> None:
    for likeness in (PROFILE.unlike, PROFILE.weak, PROFILE.match - 1):
        assert refused(with_one(faces=(ALICE, replace(BOB, likeness=likeness)))) == ["unknown_face"]


def test_the_second_person_may_stand_first_in_the_list() -> None:
    assert refused(with_one(faces=(BOB, ALICE))) == ["unknown_face"]


def test_a_face_that_does_not_look_like_alice_waits_for_a_named_reviewer() -> None:
    items = with_one(faces=(replace(ALICE, likeness=420),))
    assert found(items) == {"unlike_face": "review"}
    assert refused(items) == ["unknown_face"]
    assert refused(items, charlie("unlike_face", "p003")) == []


@pytest.mark.parametrize("name", ["", "p004"], ids=["no picture", "another picture"])
def test_a_review_counts_for_the_picture_it_names_only(name: str) -> None:
    items = with_one(faces=(replace(ALICE, likeness=420),))
    assert refused(items, charlie("unlike_face", name)) == ["unknown_face"]


def test_what_may_be_a_face_waits_for_a_named_reviewer() -> None:
    items = with_one(faces=(ALICE, replace(BOB, score=PROFILE.sure_face - 1)))
    assert found(items) == {"possible_face": "review"}
    assert refused(items) == ["unknown_face"]
    assert refused(items, charlie("possible_face", "p003")) == []


def test_a_sure_face_is_never_a_matter_of_review() -> None:
    items = with_one(faces=(ALICE, replace(BOB, score=PROFILE.sure_face)))
    assert refused(items, charlie("possible_face", "p003")) == ["unknown_face"]


def test_a_sure_and_an_unsure_stranger_are_both_reported() -> None:
    items = with_one(faces=(ALICE, BOB, replace(BOB, score=700)))
    assert found(items) == {"unknown_face": "hard", "possible_face": "review"}


def test_a_picture_without_a_face_blocks() -> None:
    items = with_one(faces=(), sharpness=None, face_grain=None, texture=None)
    assert refused(items, charlie("no_face")) == ["curation_blocked:no_face"]


def test_alice_twice_in_one_picture_needs_a_reason() -> None:
    items = with_one(faces=(ALICE, replace(ALICE, box=(500, 80, 640, 260), likeness=790)))
    assert refused(items) == ["curation_blocked:face_repeated"]
    assert refused(items, charlie("face_repeated")) == []


def test_a_weak_likeness_is_shown_and_does_not_block() -> None:
    items = with_one(faces=(replace(ALICE, likeness=550),))
    assert found(items) == {"weak_likeness": "warn"}
    assert refused(items) == []


@pytest.mark.parametrize(
    ("likeness", "expected"),
    [
        (1000, "match"),
        (600, "match"),
        (599, "weak"),
        (500, "weak"),
        (499, "unlike"),
        (350, "unlike"),
        (349, "other"),
        (-1000, "other"),
    ],
)
def test_the_bands_end_where_the_study_put_them(likeness: int, expected: str) -> None:
    assert band(likeness, PROFILE) == expected


@given(st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_more_likeness_is_never_a_worse_band(one: int, other: int) -> None:
    order = ["other", "unlike", "weak", "match"]
    low, high = sorted((one, other))
    assert order.index(band(low, PROFILE)) <= order.index(band(high, PROFILE))


def test_the_report_holds_bands_and_no_scores() -> None:
    text = canonical.dumps(to_json(report(with_one(faces=(ALICE, BOB))))).decode()
    assert '"band":"other"' in text
    assert "likeness" not in text
    assert '"score"' not in text


# --- how many -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, {"too_few_pictures": "hard"}),
        (4, {"too_few_pictures": "hard"}),
        (5, {"few_pictures": "warn"}),
        (9, {"few_pictures": "warn"}),
        (10, {}),
        (15, {}),
        (25, {}),
        (26, {"many_pictures": "warn"}),
        (34, {"many_pictures": "warn"}),
    ],
)
def test_about_fifteen_pictures_is_right(count: int, expected: dict[str, str]) -> None:
    assert found(good_set(count)) == expected


@pytest.mark.parametrize(("count", "expected"), [(60, "many_pictures"), (61, "too_many_pictures")])
def test_more_than_sixty_pictures_need_a_reason(count: int, expected: str) -> None:
    assert expected in found(good_set(count))


def test_too_few_pictures_block_whatever_reason_is_given() -> None:
    code = "curation_blocked:too_few_pictures"
    assert refused(good_set(4), charlie("too_few_pictures")) == [code]


# --- the same again -----------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["file_sha256", "pixel_sha256"])
def test_the_same_picture_twice_blocks_whatever_reason_is_given(field: str) -> None:
    items = with_one(**{field: getattr(picture(1), field)})
    assert refused(items, charlie("duplicate")) == ["curation_blocked:duplicate"]


@pytest.mark.parametrize("field", ["phash", "phash_mirrored"])
def test_nearly_the_same_picture_needs_a_reason_even_mirrored(field: str) -> None:
    items = with_one(phash=getattr(picture(1), field) ^ 0b1111100000)
    assert refused(items) == ["curation_blocked:near_duplicate"]
    assert refused(items, charlie("near_duplicate")) == []


@pytest.mark.parametrize(("bits", "found_again"), [(0, True), (14, True), (15, False)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_that_was_left_out_is_known_again(
    bits: int, found_again: bool, mirrored: bool
) -> None:
    third = good_set()[2]
    hashes = third.phash ^ ((1 << bits) - 1), ~third.phash_mirrored & ((1 << 64) - 1)
    out = [Print(*(hashes[::-1] if mirrored else hashes))]
    seen = judge(good_set(), REFERENCES, PROFILE, refused=out).findings
    assert [(f.kind, f.pictures) for f in seen if f.code == "refused_before"] == (
        [("review", (third.id,))] if found_again else []
    )


def look(seed: int) -> tuple[int, ...]:
    """A picture's grey cells: soft blobs, no two seeds alike."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (6, 6))
    return tuple(int(v) for v in np.kron(coarse, np.ones((8, 8))).ravel())


def cut_out(cells: tuple[int, ...], share: float, *, light: float = 1.0) -> tuple[int, ...]:
    """The same picture without a border, mirrored, in another light, on the same grid."""
    whole = np.array(cells, float).reshape(LOOK_SIDE, LOOK_SIDE)
    side = round(LOOK_SIDE * share)
    rest = (LOOK_SIDE - side) // 2
    part = whole[rest : rest + side, rest : rest + side][:, ::-1]
    places = np.linspace(0, side - 1, LOOK_SIDE).round().astype(int)
    return tuple(int(v) for v in (part[np.ix_(places, places)] * light).ravel())


def test_the_same_look_cut_mirrored_and_darker_is_the_same_picture_before_the_same_wall() -> None:
    items = [replace(item, look=look(n)) for n, item in enumerate(good_set())]
    assert found(items) == {}
    again = replace(items[2], look=cut_out(look(0), 0.85, light=0.8))
    other_wall = [*items[:2], again, *items[3:]]
    assert found(other_wall) == {}
    same_wall = [*items[:2], replace(again, background=items[0].background), *items[3:]]
    assert found(same_wall) == {"near_duplicate": "soft"}
    # Nearly equal, wherever it seems to be.
    equal = [*items[:2], replace(again, look=look(0)), *items[3:]]
    assert found(equal) == {"near_duplicate": "soft"}


def test_a_left_out_picture_is_known_again_by_its_look() -> None:
    items = [replace(item, look=look(n)) for n, item in enumerate(good_set())]
    for share, again in ((0.9, True), (0.4, False)):
        out = [Print(1, 2, cut_out(items[3].look, share))]
        codes = {f.code for f in judge(items, REFERENCES, PROFILE, refused=out).findings}
        assert ("refused_before" in codes) is again


@given(st.integers(0, 50), st.floats(0.8, 1.0), st.floats(0.5, 1.0))
def test_a_look_is_like_its_own_crops_and_unlike_others(
    seed: int, share: float, light: float
) -> None:
    own, other = look(seed), look(seed + 100)
    likeness = look_likeness([own, other, ()], [cut_out(own, share, light=light)])
    assert likeness[0, 0] > PROFILE.same_look
    assert likeness[1, 0] < PROFILE.same_look
    assert likeness[2, 0] == 0
    assert look_likeness([own], [own])[0, 0] == 1000
    flat = (128,) * LOOK_SIDE**2
    assert look_likeness([flat], [flat])[0, 0] == 0


def test_maps_tell_places_apart_that_share_their_colours() -> None:
    walls = [histogram(34)] * 4
    maps = [(100, 0, 0), (98, 5, 0), (0, 100, 0), (0, 0, 100)]
    items = [
        replace(item, background=walls[n], background_map=maps[n]) if n < 4 else item
        for n, item in enumerate(good_set())
    ]
    items = [replace(item, background_map=item.background_map or (50, 50, 50)) for item in items]
    groups = [g.pictures for g in report(items).groups if g.respect == "background"]
    assert groups == [("p001", "p002")]
    blind = [replace(items[0], background_map=()), *items[1:]]
    groups = [g.pictures for g in report(blind).groups if g.respect == "background"]
    assert groups == [("p001", "p002", "p003", "p004")]


def test_the_report_names_what_looked_around() -> None:
    one = judge(good_set(), REFERENCES, PROFILE, scenery="ab" * 32)
    assert one.scenery == "ab" * 32
    assert report_digest(one) != report_digest(report(good_set()))


def test_hashes_eleven_bits_apart_are_two_pictures() -> None:
    assert found(with_one(phash=picture(1).phash ^ 0b11111111111)) == {}


@pytest.mark.parametrize("respect", ["background", "outfit", "hair"])
@pytest.mark.parametrize(("count", "kind"), [(2, None), (3, "warn"), (4, "soft"), (7, "soft")])
def test_two_alike_are_fine_the_third_warns_the_fourth_blocks(
    respect: str, count: int, kind: str | None
) -> None:
    expected = {f"same_{respect}": kind} if kind else {}
    assert found(with_same(count, respect)) == expected


def test_one_outfit_all_through_is_taken_on_with_a_reason_that_is_signed() -> None:
    items = with_same(15, "outfit", "hair")
    blocked = ["curation_blocked:same_outfit", "curation_blocked:same_hair"]
    assert refused(items) == blocked
    assert refused(items, charlie("same_outfit")) == blocked[1:]
    decision = decide(report(items), [charlie("same_outfit"), charlie("same_hair")])
    assert isinstance(decision, Sealable)
    assert [item.by for item in decision.report.acceptances] == ["usr_charlie"] * 2
    assert decision.digest != report_digest(report(items))


def test_the_triple_is_counted_too() -> None:
    items = with_same(3, "background", "outfit", "hair")
    assert found(items)["same_everything"] == "warn"
    assert "same_everything" not in found(with_same(15, "outfit", "hair"))


@pytest.mark.parametrize(
    ("count", "size", "blocks"), [(6, 12, False), (7, 12, True), (8, 15, False)]
)
def test_in_a_small_set_one_background_may_not_be_the_majority(
    count: int, size: int, blocks: bool
) -> None:
    assert ("dominant_background" in found(with_same(count, "background", size=size))) is blocks


def test_a_background_that_cannot_be_seen_is_like_no_other() -> None:
    items = [replace(item, background=()) for item in good_set()]
    assert found(items) == {}


def test_groups_do_not_grow_along_a_chain_of_small_steps() -> None:
    steps = [
        [max(0, 10 - abs(place - step)) * 100 for place in range(40)] for step in range(0, 40, 3)
    ]
    groups = linked(distance(np.array(steps)), 400)
    assert max(len(group) for group in groups) < len(steps) / 2


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), max_size=12), st.integers(0, 999)
)
def test_clusters_never_share_a_picture(rows: list[list[int]], cut: int) -> None:
    groups = linked(distance(np.array(rows, dtype=np.int64).reshape(-1, 4) * 1000 + 1), cut)
    members = [index for group in groups for index in group]
    assert len(members) == len(set(members))
    assert all(len(group) > 1 for group in groups)


@given(st.permutations(range(9)))
def test_the_order_of_the_pictures_does_not_change_the_groups(order: list[int]) -> None:
    rows = np.array([histogram(index // 3) for index in range(9)])
    groups = linked(distance(rows[order]), 300)
    assert {frozenset(order[i] for i in group) for group in groups} == {
        frozenset({0, 1, 2}),
        frozenset({3, 4, 5}),
        frozenset({6, 7, 8}),
    }


# --- quality ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "bad", "fine"),
    [
        ("grain", {"grain": 601}, {"grain": 600}),
        ("too_soft", {"sharpness": 31}, {"sharpness": 32}),
        ("unlike_exposure", {"skin_light": 119}, {"skin_light": 120}),
        (
            "over_retouched",
            {"face_grain": 65, "sharpness": 121},
            {"face_grain": 66, "sharpness": 121},
        ),
        ("too_soft", {"face_grain": 35, "sharpness": 33}, {"face_grain": 36, "sharpness": 33}),
        ("skin_tone", {"skin_chroma": 172}, {"skin_chroma": 173}),
        (
            "skin_tone",
            {"skin_light": 165, "skin_chroma": 150},
            {"skin_light": 164, "skin_chroma": 150},
        ),
        ("jpeg_damage", {"blocks": 1401}, {"blocks": 1400}),
        ("mole_added", {"marks": 46}, {"marks": 45}),
        (
            "face_small",
            {"faces": (replace(ALICE, box=(0, 0, 79, 120)),)},
            {"faces": (replace(ALICE, box=(0, 0, 80, 120)),)},
        ),
        ("sideways", {"faces": (replace(ALICE, turn=1),)}, {"faces": (replace(ALICE, turn=0),)}),
    ],
)
def test_each_quality_rule_blocks_beyond_its_limit_and_can_be_taken_on(
    code: str, bad: dict[str, Any], fine: dict[str, Any]
) -> None:
    assert found(with_one(**fine)) == {}
    assert refused(with_one(**bad)) == [f"curation_blocked:{code}"]
    assert refused(with_one(**bad), charlie(code)) == []


def test_smooth_skin_out_of_focus_is_soft_and_not_retouched() -> None:
    items = with_one(face_grain=10, sharpness=31)
    assert found(items) == {"too_soft": "soft"}


def test_a_face_of_full_size_must_be_sharper_than_a_small_one() -> None:
    large = replace(ALICE, box=(100, 80, 400, 420))
    assert found(with_one(face_grain=54, sharpness=60)) == {}
    assert found(with_one(face_grain=54, sharpness=60, faces=(large,))) == {"too_soft": "soft"}
    assert found(with_one(sharpness=49)) == {}
    assert found(with_one(sharpness=49, faces=(large,))) == {"too_soft": "soft"}
    assert found(with_one(sharpness=50, faces=(large,))) == {}


def test_what_compression_took_is_called_compression() -> None:
    items = with_one(face_grain=10, sharpness=100, blocks=2000)
    assert found(items) == {"jpeg_damage": "soft"}


def test_pale_skin_is_judged_by_alices_own_references() -> None:
    pale = References(**{**REFERENCES.__dict__, "skin_light": 205, "skin_chroma": 150})
    items = with_one(skin_light=206, skin_chroma=150)
    assert "skin_tone" not in {finding.code for finding in judge(items, pale).findings}
    assert "skin_tone" in {finding.code for finding in judge(items, REFERENCES).findings}


def test_a_stranger_who_comes_again_blocks_whoever_reviewed_him() -> None:
    doubtful = replace(ALICE, likeness=400, stranger=1)
    items = good_set()
    once = [replace(items[0], faces=(doubtful,)), *items[1:]]
    assert found(once) == {"unlike_face": "review"}
    twice = [once[0], replace(items[1], faces=(doubtful,)), *items[2:]]
    assert found(twice) == {"unlike_face": "review", "person_recurs": "hard"}
    seen = [Acceptance("unlike_face", "it is she", "usr_bob", name) for name in ("p001", "p002")]
    assert refused(twice, *seen) == ["curation_blocked:person_recurs"]


def test_what_is_compared_with_her_says_nothing_of_somebody_else() -> None:
    changes = {"marks": 900, "skin_chroma": 100}
    assert set(found(with_one(**changes))) == {"mole_added", "skin_tone"}
    stranger = replace(ALICE, likeness=100)
    assert set(found(with_one(faces=(stranger,), **changes))) == {"unknown_face"}


def test_somebody_without_a_face_is_shown_and_blocks_nothing() -> None:
    items = with_one(bodies=1)
    assert found(items) == {"person_without_face": "warn"}
    assert refused(items) == []


# --- reasons ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "empty",
    [Acceptance("grain", " ", "usr_charlie"), Acceptance("grain", "needed", "  ")],
    ids=["no reason", "no name"],
)
def test_a_reason_without_words_or_without_a_name_is_none(empty: Acceptance) -> None:
    assert refused(with_one(grain=900), empty) == ["curation_blocked:grain"]


def test_a_reason_for_another_picture_does_not_count() -> None:
    items = with_one(grain=900)
    assert refused(items, charlie("grain", "p004")) == ["curation_blocked:grain"]
    assert refused(items, charlie("grain", "p003")) == []


def test_reasons_nobody_asked_for_stay_out_of_the_report() -> None:
    decision = decide(report(good_set()), [charlie("grain")])
    assert isinstance(decision, Sealable)
    assert decision.report.acceptances == ()


# --- the signed form ----------------------------------------------------------------------------


def test_the_digest_is_over_the_canonical_report() -> None:
    made = report(good_set())
    assert report_digest(made) == canonical.digest(FORMAT, to_json(made))
    assert made.format == FORMAT


@pytest.mark.parametrize(
    "changed",
    [
        good_set(14),
        with_one(grain=131),
        with_one(pixel_sha256="ab" * 32),
        with_one(faces=(ALICE, BOB)),
    ],
    ids=["a picture less", "a measure", "a pixel", "a face"],
)
def test_anything_that_changes_changes_the_digest(changed: list[Measurement]) -> None:
    assert report_digest(report(changed)) != report_digest(report(good_set()))


def test_other_thresholds_change_the_digest() -> None:
    lax = report(good_set(), Profile(name="lax", unlike=0))
    assert report_digest(lax) != report_digest(report(good_set()))


def test_the_report_is_integers_strings_and_nothing_else() -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        if isinstance(value, list | tuple):
            return [leaf for item in value for leaf in leaves(item)]
        return [value]

    kinds = {type(leaf) for leaf in leaves(to_json(report(with_one(faces=(ALICE, BOB)))))}
    assert kinds <= {int, str, bool, type(None)}


def test_a_young_face_is_a_reason_to_ask_and_no_more() -> None:
    """A24: an alarm, in the report only as a count; it blocks nothing by itself."""
    old = judge(good_set(15), REFERENCES, PROFILE)
    young = judge(good_set(15), REFERENCES, PROFILE, young=1)
    more = [item for item in young.findings if item not in old.findings]
    assert [(item.code, item.kind, item.count) for item in more] == [("apparent_minor", "warn", 1)]
    assert not isinstance(decide(young), list)
    assert "young" not in str(to_json(young))


def posed(count: int, same: int) -> list[Measurement]:
    """Pictures of which some show one pose and the rest poses of their own."""
    items = good_set(count)
    outlines = [(0, *[0] * 40)] * same
    outlines += [(5 * n, *[(n * 37 + 61 * cell) % 101 for cell in range(40)]) for n in range(count)]
    return [replace(item, pose=pose) for item, pose in zip(items, outlines, strict=False)]


def test_poses_are_near_by_outline_and_by_where_the_head_points() -> None:
    """Ten a percent of outline, three a hundredth of the eyes' distance."""
    plain = (0, *[50] * 40)
    gaps = pose_distance([plain, (10, *[50] * 40), (0, *[53] * 40), (0, *[-1] * 25, *[50] * 15)])
    assert gaps[0].tolist()[:3] == [0, 30, 30]
    assert gaps[0, 3] > 1000  # they show too little of the same
    assert (gaps == gaps.T).all()
    assert pose_distance([]).shape == (0, 0)


# --- what is said to people ---------------------------------------------------------------------

EVERY_CODE = [
    *("unknown_face", "unlike_face", "possible_face", "no_face", "face_repeated", "weak_likeness"),
    *("too_few_pictures", "few_pictures", "many_pictures", "too_many_pictures"),
    *("duplicate", "near_duplicate", "refused_before"),
    *("same_background", "same_outfit", "same_hair"),
    *("same_everything", "dominant_background", "grain", "too_soft", "over_retouched"),
    *(
        "apparent_minor",
        "pose_variety",
        "jpeg_damage",
        "mole_added",
        "person_recurs",
        "person_without_face",
    ),
    *("skin_tone", "unlike_exposure", "face_small", "sideways", "bystander", "talent_absent"),
]


def test_every_finding_has_its_sentences_in_both_languages() -> None:
    assert set(ADVICE) == set(EVERY_CODE)
    for advice in ADVICE.values():
        japanese, english = (
            (advice.ja, advice.why_ja, advice.next_ja),
            (
                advice.en,
                advice.why_en,
                advice.next_en,
            ),
        )
        assert all(text.endswith("。") for text in japanese)
        assert all(text.endswith(".") and text.isascii() for text in english)


@pytest.mark.parametrize("code", ["unknown_face", "curation_blocked:same_outfit"])
def test_every_refusal_is_in_the_catalogue(code: str) -> None:
    assert explain(code, "ja").what
    assert explain(code, "en").next


def test_the_rules_thresholds_are_in_order() -> None:
    rising = [PROFILE.unlike, PROFILE.weak, PROFILE.match]
    counts = [
        *(PROFILE.min_pictures, PROFILE.few_pictures, PROFILE.many_pictures, PROFILE.max_pictures),
    ]
    assert all(low < high for low, high in [*pairwise(rising), *pairwise(counts)])


def test_a_refusal_names_the_finding_and_the_pictures() -> None:
    decision = decide(report(with_one(faces=(ALICE, BOB))))
    assert decision == [Refusal("unknown_face", "unknown_face p003")]
