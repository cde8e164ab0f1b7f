"""Decides whether a set of pictures may be sealed: whose faces are in it, and the craft's rules.

Stage 5 (curation), pure: measurements in, a report out; a report and accepted reasons in, a
sealable set or refusals out. Trusts the measurements (`training.engines` takes them) and nothing
else. People sign the report's digest, and the gate compares it again.

Two kinds of rules. Rights: every identifiable face must be the talent's, else the set cannot be
sealed, whatever reason anybody gives. Craft, from a photographer's note of 2023: about fifteen
pictures, no more than two of one background, outfit or hair, what grain, smoothing and unlike
light do to the result. A craft rule can be taken on with a recorded reason, which becomes part of
what is signed.

Likeness leaves here in bands, never as a score: scores near a threshold would teach how to get
under it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from registry.core.refusals import Refusal
from registry.log.core.canonical import digest
from training.core.curation_advice import Kind
from training.core.curation_alike import (
    distance,
    linked,
    look_likeness,
    pose_distance,
    region_distance,
)

FORMAT: Final = "kyodaku/curation/v1"

Band = Literal["match", "weak", "unlike", "other"]
# The bands in which the main face counts as the talent's own.
IS_HER: Final = frozenset({"match", "weak", "unlike"})
Histogram = tuple[int, ...]
Region = tuple[Histogram, tuple[int, ...]]


@dataclass(frozen=True)
class Profile:
    """The rules' numbers. Settings, per face pack; recalibrate on own pictures.

    Similarities and shares in permille, grain and texture in hundredths of a grey level, chroma in
    tenths, light 0..255, lengths in pixels. Likeness thresholds: measured for YuNet + SFace
    against the centroid of three references (highest stranger 0.444 in 32,850 trials).
    """

    name: str = "note-2023"
    # Which calibration the three likeness bands come from: its digest, empty for these defaults.
    calibration: str = ""
    # Whose face is it.
    match: int = 600
    weak: int = 500
    unlike: int = 350
    sure_face: int = 800
    # How many pictures: "about 15".
    min_pictures: int = 5
    few_pictures: int = 10
    many_pictures: int = 25
    max_pictures: int = 60
    # "Three or more of the same are not needed": two are fine, the third warns, the fourth blocks.
    max_alike: int = 2
    block_alike: int = 4
    # How unlike two poses may be (`pose_distance`), and the share of a set that may be in one.
    same_pose: int = 75
    pose_share: int = 500
    # In a small set one background leaks into everything, whatever the captions say.
    small_set: int = 12
    dominant_share: int = 500
    # Two pictures are alike in a region when its colours and its looks differ by no more than this.
    same_background: int = 460
    same_outfit: int = 380
    same_hair: int = 450
    # One photograph: by its hash; by a look much alike before the same colours; by a nearly equal
    # look alone.
    near_duplicate_bits: int = 10
    same_look: int = 880
    same_wall: int = 500
    one_look: int = 975
    # Somebody left a picture out, and one like it came back: unlike ones differ in about 32 bits.
    refused_bits: int = 14
    refused_look: int = 940
    # Quality of the talent's face and of the whole picture. Detail is asked of a face of full size,
    # less of a smaller one; `plastic_share` is fine detail over the root of sharpness, in tenths,
    # from a face of `plastic_side` up; blocks in permille, marks as `engines.marks` has them.
    min_face_side: int = 80
    max_grain: int = 600
    min_sharpness: int = 50
    min_fine: int = 55
    full_face_side: int = 200
    plastic_share: int = 60
    plastic_side: int = 128
    max_darkening: int = 15
    min_chroma_share: int = 700
    max_light_gap: int = 60
    max_blocks: int = 1400
    max_marks: int = 45


@dataclass(frozen=True)
class FaceMeasure:
    """One detected face: box in pixels, detector score and likeness to the talent in permille.

    `talent` is whom it is most like, of the people of the request; `bystander` is the person who
    was declared to be in this place.
    """

    box: tuple[int, int, int, int]
    score: int
    likeness: int
    turn: int
    talent: str = ""
    bystander: str = ""
    # Which of the strangers who come again in the set this is, from 1; 0 for nobody of them.
    stranger: int = 0

    @property
    def side(self) -> int:
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)


@dataclass(frozen=True)
class Print:
    """What makes a whole picture known again: two perceptual hashes, and its look in grey cells."""

    phash: int
    mirrored: int
    look: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One picture, measured. Histograms sum to about 10,000; empty where nothing can be seen.

    Units as in `Profile`. Everything from `sharpness` to `skin_chroma` belongs to the face most
    like the talent's, scaled to 256 pixels, and is None where there is no face.
    """

    id: str
    file_sha256: str
    pixel_sha256: str
    width: int
    height: int
    faces: tuple[FaceMeasure, ...]
    phash: int
    phash_mirrored: int
    background: Histogram
    outfit: Histogram
    hair: Histogram
    light: int
    grain: int
    sharpness: int | None = None
    face_grain: int | None = None
    texture: int | None = None
    skin_light: int | None = None
    skin_chroma: int | None = None
    # What the regions look like: maps, empty where there are none.
    background_map: tuple[int, ...] = ()
    outfit_map: tuple[int, ...] = ()
    look: tuple[int, ...] = ()
    # Where her head points, and her outline around it; empty where no face is seen.
    pose: tuple[int, ...] = ()
    # Steps at the borders of JPEG's blocks against those between, permille; the strongest dark spot
    # on the skin that her references do not have, as `engines.marks` has it.
    blocks: int = 1000
    marks: int = 0
    # People whom the mask shows and no face belongs to.
    bodies: int = 0

    @property
    def print(self) -> Print:
        """What this picture is known again by."""
        return Print(self.phash, self.phash_mirrored, self.look)


@dataclass(frozen=True)
class References:
    """What the talent's own reference pictures say, without the face template itself."""

    count: int
    engine: str
    engine_digest: str
    settings: dict[str, Any]
    skin_light: int
    skin_chroma: int
    # SHA-256 of each reference, sorted: whoever signs has seen which pictures say who she is.
    pictures: tuple[str, ...] = ()
    talent: str = ""


@dataclass(frozen=True)
class FaceRecord:
    """A face as reported: its band, not its score, and whose it was taken to be."""

    box: tuple[int, int, int, int]
    band: Band
    sure: bool
    turn: int
    talent: str = ""
    bystander: str = ""


@dataclass(frozen=True)
class PictureRecord:
    """A picture as reported."""

    id: str
    file_sha256: str
    pixel_sha256: str
    width: int
    height: int
    faces: tuple[FaceRecord, ...]
    light: int
    grain: int
    sharpness: int | None
    texture: int | None


@dataclass(frozen=True)
class Group:
    """Pictures that are alike in one respect: `background`, `outfit`, `hair`, `everything`."""

    respect: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One thing found. `code` has its sentences in `ADVICE`."""

    code: str
    kind: Kind
    pictures: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True)
class Acceptance:
    """A finding taken on: who, and why. For a `review` finding `picture` names the picture."""

    code: str
    reason: str
    by: str
    picture: str = ""


@dataclass(frozen=True)
class Report:
    """The signed form of a curation. Fields are only ever appended. Integers and strings only."""

    profile: Profile
    references: References
    pictures: tuple[PictureRecord, ...]
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...]
    acceptances: tuple[Acceptance, ...] = ()
    format: str = FORMAT
    # A blend: the references of every further talent.
    others: tuple[References, ...] = ()
    # SHA-256 of the pack that masked people and compared places.
    scenery: str = ""

    @property
    def people(self) -> tuple[References, ...]:
        """The references of everybody whom the set is to show."""
        return (self.references, *self.others)


@dataclass(frozen=True)
class Sealable:
    """A set that may be sealed. `report` holds the acceptances that were needed; sign `digest`."""

    report: Report
    digest: bytes


def report_digest(report: Report) -> bytes:
    """SHA-256("kyodaku/curation/v1" || 0x00 || JCS(report)): 32 bytes."""
    return digest(FORMAT, to_json(report))


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values."""
    return asdict(report)


def band(likeness: int, profile: Profile) -> Band:
    """The band of a likeness in permille."""
    if likeness >= profile.match:
        return "match"
    if likeness >= profile.weak:
        return "weak"
    return "unlike" if likeness >= profile.unlike else "other"


def judge(
    measurements: Sequence[Measurement],
    references: References,
    profile: Profile | None = None,
    others: Sequence[References] = (),
    refused: Sequence[Print] = (),
    scenery: str = "",
    young: int = 0,
) -> Report:
    """Measurements into a report. Says what was found; `decide` says what follows.

    `others` are the further people of a blend; each of `references` and `others` names its talent.
    `refused` are the prints of pictures that a party left out; `scenery` is the digest of what
    looked at everything but the faces; `young` is how many of the talents may be minors by looks.
    """
    profile = profile or Profile()
    groups = _groups(measurements, profile)
    people = {item.talent: item for item in (references, *others)}
    findings = [
        *_count_findings(measurements, profile),
        *_face_findings(measurements, profile),
        *_people_findings(measurements, people, profile),
        *([Finding("apparent_minor", "warn", count=young)] if young else []),
        *_recurring_findings(measurements, profile),
        *_duplicate_findings(measurements, profile),
        *_refused_findings(measurements, refused, profile),
        *_group_findings(groups, len(measurements), profile),
        *_quality_findings(measurements, people, profile),
    ]
    return Report(
        profile=profile,
        references=references,
        pictures=tuple(_record(item, profile) for item in measurements),
        groups=tuple(groups),
        findings=tuple(findings),
        others=tuple(others),
        scenery=scenery,
    )


def decide(report: Report, acceptances: Iterable[Acceptance] = ()) -> Sealable | list[Refusal]:
    """May this set be sealed? Every refusal that stands, or the report to sign.

    (1) a hard finding stands, whoever accepts it; (2) a review finding falls only by a reason for
    that very picture; (3) a soft finding falls by a reason; (4) warnings are shown and never
    block. A reason without words or without a name is none. Acceptances that nothing called for
    are left out of the report.

    Codes: `unknown_face`, and `curation_blocked:<finding>` for everything else.
    """
    offered = [item for item in acceptances if item.reason.strip() and item.by.strip()]
    used: list[Acceptance] = []
    refusals: list[Refusal] = []
    for finding in report.findings:
        if finding.kind == "warn":  # (4)
            continue
        answers = _answers(finding, offered)
        if finding.kind == "hard" or not answers:  # (1) (2) (3)
            refusals.append(_refusal(finding))
        used += [item for item in answers if item not in used]
    if refusals:
        return refusals
    settled = replace(report, acceptances=tuple(used))
    return Sealable(settled, report_digest(settled))


def _answers(finding: Finding, offered: list[Acceptance]) -> list[Acceptance]:
    fitting = [item for item in offered if item.code == finding.code]
    if finding.kind == "review":
        return [item for item in fitting if item.picture in finding.pictures]
    return [item for item in fitting if not item.picture or (item.picture,) == finding.pictures]


def _refusal(finding: Finding) -> Refusal:
    face_open = finding.kind == "review" and finding.code != "refused_before"
    faces = finding.code == "unknown_face" or face_open
    code = "unknown_face" if faces else f"curation_blocked:{finding.code}"
    return Refusal(code, f"{finding.code} {' '.join(finding.pictures)}".strip())


def _record(item: Measurement, profile: Profile) -> PictureRecord:
    main = main_face(item.faces)

    def whose(face: FaceMeasure) -> str:
        """The main face is hers down to what a reviewer may let pass; one beside it must match."""
        own = band(face.likeness, profile)
        return face.talent if own == "match" or (face is main and own in IS_HER) else ""

    return PictureRecord(
        id=item.id,
        file_sha256=item.file_sha256,
        pixel_sha256=item.pixel_sha256,
        width=item.width,
        height=item.height,
        faces=tuple(
            FaceRecord(
                box=face.box,
                band=band(face.likeness, profile),
                sure=face.score >= profile.sure_face,
                turn=face.turn,
                talent=whose(face),
                bystander=face.bystander,
            )
            for face in item.faces
        ),
        light=item.light,
        grain=item.grain,
        sharpness=item.sharpness,
        texture=item.texture,
    )


# --- how many -----------------------------------------------------------------------------------


def _count_findings(items: Sequence[Measurement], profile: Profile) -> list[Finding]:
    """About fifteen: enough to learn from, and no more of a person than is needed."""
    count = len(items)
    if count < profile.min_pictures:
        return [Finding("too_few_pictures", "hard", count=count)]
    if count < profile.few_pictures:
        return [Finding("few_pictures", "warn", count=count)]
    if count > profile.max_pictures:
        return [Finding("too_many_pictures", "soft", count=count)]
    if count > profile.many_pictures:
        return [Finding("many_pictures", "warn", count=count)]
    return []


# --- whose faces --------------------------------------------------------------------------------


def main_face(faces: Sequence[FaceMeasure]) -> FaceMeasure | None:
    """The face most like the talent's."""
    return max(faces, key=lambda face: face.likeness, default=None)


def _face_findings(items: Sequence[Measurement], profile: Profile) -> list[Finding]:
    return [finding for item in items for finding in _faces_of(item, profile)]


def _faces_of(item: Measurement, profile: Profile) -> list[Finding]:
    """Each code at most once per picture; the talent first, then everybody else."""
    main = main_face(item.faces)
    if main is None:
        return [Finding("no_face", "hard", (item.id,))]
    kinds = dict([_main(main, profile)])
    seen = {main.talent}
    for face in item.faces:
        if face is not main:
            kinds.update([_beside(face, main, seen, profile)])
    return [Finding(code, kind, (item.id,)) for code, kind in kinds.items() if code]


def _people_findings(
    items: Sequence[Measurement], people: dict[str, References], profile: Profile
) -> list[Finding]:
    """As many people as were cleared: each of them is in the set, and `unknown_face` is the rest.

    In a set of one talent every picture without her blocks by itself.
    """
    shown = {
        face.talent
        for item in items
        for face in item.faces
        if band(face.likeness, profile) in ("match", "weak")
    }
    absent = sorted(set(people) - shown) if len(people) > 1 else []
    return [Finding("talent_absent", "hard", count=len(absent))] if absent else []


def _recurring_findings(items: Sequence[Measurement], profile: Profile) -> list[Finding]:
    """Somebody uncleared in several pictures: as many people are shown as were cleared (A29).

    A reviewer may let one unlike face pass as the talent on a bad day; not the same face twice.
    """
    seen: dict[int, list[str]] = {}
    for item in items:
        for number in sorted({face.stranger for face in item.faces} - {0}):
            seen.setdefault(number, []).append(item.id)
    return [
        Finding("person_recurs", "hard", tuple(pictures), len(pictures))
        for _, pictures in sorted(seen.items())
        if len(pictures) > 1
    ]


def _main(face: FaceMeasure, profile: Profile) -> tuple[str, Kind]:
    verdicts: dict[Band, tuple[str, Kind]] = {
        "match": ("", "warn"),
        "weak": ("weak_likeness", "warn"),
        "unlike": ("unlike_face", "review"),
        "other": ("unknown_face", "hard"),
    }
    return verdicts[band(face.likeness, profile)]


def _beside(
    face: FaceMeasure, main: FaceMeasure, seen: set[str], profile: Profile
) -> tuple[str, Kind]:
    """A face beside the main one: the same talent again (a mirror, a collage), another talent of
    the blend, a bystander who was declared and is asked, or somebody else.

    A bystander is behind the talent: whoever is as large in the picture is a second sitter.
    """
    if band(face.likeness, profile) == "match":
        again = face.talent in seen
        seen.add(face.talent)
        return ("face_repeated", "soft") if again else ("", "warn")
    if face.bystander and face.side < main.side:
        return "bystander", "warn"
    if face.score >= profile.sure_face:
        return "unknown_face", "hard"
    return "possible_face", "review"


# --- the same again -----------------------------------------------------------------------------


def _duplicate_findings(items: Sequence[Measurement], profile: Profile) -> list[Finding]:
    found = []
    alike = look_likeness([item.look for item in items], [item.look for item in items])
    for index, one in enumerate(items):
        for place, other in enumerate(items[index + 1 :], index + 1):
            if one.pixel_sha256 == other.pixel_sha256 or one.file_sha256 == other.file_sha256:
                found.append(Finding("duplicate", "hard", (one.id, other.id)))
            elif _once_more(one, other, int(alike[index, place]), profile):
                found.append(Finding("near_duplicate", "soft", (one.id, other.id)))
    return found


def _once_more(one: Measurement, other: Measurement, look: int, profile: Profile) -> bool:
    """Whether two are one photograph: by hash, by a look that is nearly equal, or by a look that is
    much alike before the same colours. One sitter in one pose looks alike before any wall."""
    if _bits(one.print, other.print) <= profile.near_duplicate_bits or look >= profile.one_look:
        return True
    if look < profile.same_look or not (one.background and other.background):
        return False
    walls = distance(np.array([one.background, other.background], dtype=np.int64))
    return bool(walls[0, 1] <= profile.same_wall)


def _refused_findings(
    items: Sequence[Measurement], refused: Sequence[Print], profile: Profile
) -> list[Finding]:
    """Pictures like one that somebody left out: stored anew, cut or mirrored, they look alike."""
    alike = look_likeness([item.look for item in items], [out.look for out in refused])
    return [
        Finding("refused_before", "review", (item.id,))
        for item, likeness in zip(items, alike, strict=True)
        if any(_bits(item.print, out) <= profile.refused_bits for out in refused)
        or likeness.max(initial=0) >= profile.refused_look
    ]


def _bits(one: Print, other: Print) -> int:
    """Differing bits of two perceptual hashes, as they are or one of them mirrored."""
    pairs = ((one.phash, other.phash), (one.phash, other.mirrored), (one.mirrored, other.phash))
    return min((left ^ right).bit_count() for left, right in pairs)


def _groups(items: Sequence[Measurement], profile: Profile) -> list[Group]:
    """Pictures alike in background, outfit, hair, and in all three. Groups of two and more."""
    named: list[tuple[str, Callable[[Measurement], Region], int]] = [
        (
            "background",
            lambda item: (item.background, item.background_map),
            profile.same_background,
        ),
        ("outfit", lambda item: (item.outfit, item.outfit_map), profile.same_outfit),
        ("hair", lambda item: (item.hair, ()), profile.same_hair),
    ]
    found = {respect: _alike(items, region, cut) for respect, region, cut in named}
    found["everything"] = _common(list(found.values()))
    found["pose"] = _in_one_pose(items, profile)
    return [Group(respect, group) for respect, groups in found.items() for group in groups]


def _alike(
    items: Sequence[Measurement], region: Callable[[Measurement], Region], cut: int
) -> list[tuple[str, ...]]:
    """Groups by colours and, where every picture has one, by the map of the region."""
    seen = [item for item in items if region(item)[0]]
    histograms = np.array([region(item)[0] for item in seen], dtype=np.int64)
    maps = [region(item)[1] for item in seen]
    whole = np.array(maps if all(maps) else [() for _ in maps], dtype=np.int64)
    gaps = region_distance(histograms, whole)
    return [tuple(seen[index].id for index in group) for group in linked(gaps, cut)]


def _in_one_pose(items: Sequence[Measurement], profile: Profile) -> list[tuple[str, ...]]:
    seen = [item for item in items if item.pose]
    gaps = pose_distance([item.pose for item in seen])
    return [tuple(seen[index].id for index in group) for group in linked(gaps, profile.same_pose)]


def _common(groupings: list[list[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Pictures that share a group in every respect."""
    common = [set(group) for group in groupings[0]]
    for groups in groupings[1:]:
        common = [one & set(other) for one in common for other in groups]
    return sorted(tuple(sorted(group)) for group in common if len(group) > 1)


def _group_findings(groups: Sequence[Group], count: int, profile: Profile) -> list[Finding]:
    found = []
    for group in groups:
        size = len(group.pictures)
        if group.respect == "pose":
            # A point about the set: nobody's picture is at fault, and half may well be alike.
            if count >= profile.few_pictures and size * 1000 > count * profile.pose_share:
                found.append(Finding("pose_variety", "warn", count=size))
        elif size > profile.max_alike:
            kind: Kind = "soft" if size >= profile.block_alike else "warn"
            found.append(Finding(f"same_{group.respect}", kind, group.pictures, size))
        if group.respect == "background" and _dominant(size, count, profile):
            found.append(Finding("dominant_background", "soft", group.pictures, size))
    return found


def _dominant(size: int, count: int, profile: Profile) -> bool:
    return count <= profile.small_set and size * 1000 > count * profile.dominant_share


# --- quality ------------------------------------------------------------------------------------


def _quality_findings(
    items: Sequence[Measurement], people: dict[str, References], profile: Profile
) -> list[Finding]:
    usual = int(np.median([item.skin_light for item in items if item.skin_light] or [0]))
    found = []
    for item in items:
        if item.bodies:
            found.append(Finding("person_without_face", "warn", (item.id,), item.bodies))
        checks = {
            "grain": item.grain > profile.max_grain,
            "unlike_exposure": _off_exposure(item, usual, profile),
            "jpeg_damage": item.blocks > profile.max_blocks,
            **_face_checks(item, people, profile),
        }
        found += [Finding(code, "soft", (item.id,)) for code, failed in checks.items() if failed]
    return found


def _off_exposure(item: Measurement, usual: int, profile: Profile) -> bool:
    """By the light on the face: a dark background is no dark exposure."""
    return item.skin_light is not None and abs(item.skin_light - usual) > profile.max_light_gap


def _face_checks(
    item: Measurement, people: dict[str, References], profile: Profile
) -> dict[str, bool]:
    face = main_face(item.faces)
    if face is None:
        return {}
    hers = band(face.likeness, profile) in IS_HER
    return {
        "sideways": face.turn != 0,
        "face_small": face.side < profile.min_face_side,
        "too_soft": _soft(item, face, profile),
        "over_retouched": _plastic(item, face, profile),
        # Compared with her references: of somebody else they say nothing.
        "skin_tone": hers and _paled(item, people[face.talent], profile),
        "mole_added": hers and item.marks > profile.max_marks,
    }


def _soft(item: Measurement, face: FaceMeasure, profile: Profile) -> bool:
    """Edges without sharpness, or sharp edges and nothing between them: blurred, or enlarged."""
    if item.sharpness is None or item.face_grain is None:
        return False
    flat = _below(item.face_grain, profile.min_fine, face, profile)
    compressed = item.blocks > profile.max_blocks
    blurred = _below(item.sharpness, profile.min_sharpness, face, profile)
    return blurred or (flat and not compressed)


def _below(value: int, least: int, face: FaceMeasure, profile: Profile) -> bool:
    """Detail is measured at 256 pixels; a smaller face was enlarged to them, which takes the square
    of the scale off it, and less is asked of it."""
    side = min(face.side, profile.full_face_side)
    return value * profile.full_face_side**2 < least * side**2


def _plastic(item: Measurement, face: FaceMeasure, profile: Profile) -> bool:
    """Skin without the fine detail that its edges promise: smoothed, not out of focus.

    Detail, as noise is measured, against the root of the Laplacian's variance: both are grey
    levels, so contrast and light play no part. Compression takes detail, too, and says so itself.
    """
    if item.sharpness is None or item.face_grain is None or item.blocks > profile.max_blocks:
        return False
    if face.side < profile.plastic_side:  # enlarged to be measured: its detail is gone
        return False
    fine = item.face_grain * 10 < profile.plastic_share * item.sharpness**0.5
    return fine and not _below(item.sharpness, profile.min_sharpness, face, profile)


def _paled(item: Measurement, references: References, profile: Profile) -> bool:
    """Against the talent's own references only: skin differs, an absolute limit would be unfair."""
    if item.skin_light is None or item.skin_chroma is None:
        return False
    darker = references.skin_light - item.skin_light > profile.max_darkening
    greyer = item.skin_chroma * 1000 < references.skin_chroma * profile.min_chroma_share
    return greyer and not darker
