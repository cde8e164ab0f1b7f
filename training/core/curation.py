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
import numpy.typing as npt

from registry.core.refusals import Refusal
from registry.log.core.canonical import digest

FORMAT: Final = "kyodaku/curation/v1"

Band = Literal["match", "weak", "unlike", "other"]
# The bands in which the main face counts as the talent's own.
IS_HER: Final = frozenset({"match", "weak", "unlike"})
# hard: blocks, nobody can override. review: blocks until a named reviewer has looked at that very
# picture. soft: blocks until taken on with a reason. warn: shown to everyone who signs.
Kind = Literal["hard", "review", "soft", "warn"]
Histogram = tuple[int, ...]


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
    # In a small set one background leaks into everything, whatever the captions say.
    small_set: int = 12
    dominant_share: int = 500
    # Two pictures are alike in a region when their histograms differ by no more than this.
    same_background: int = 330
    same_outfit: int = 450
    same_hair: int = 450
    near_duplicate_bits: int = 10
    # Somebody left a picture out, and one like it came back: unlike ones differ in about 32 bits.
    refused_bits: int = 14
    # Quality of the talent's face and of the whole picture.
    min_face_side: int = 80
    max_grain: int = 600
    min_sharpness: int = 20
    normal_sharpness: int = 47
    plastic_grain: int = 50
    plastic_texture: int = 220
    max_lightening: int = 12
    min_chroma_share: int = 650
    max_light_gap: int = 40


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

    @property
    def side(self) -> int:
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)


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
    refused: Sequence[tuple[int, int]] = (),
) -> Report:
    """Measurements into a report. Says what was found; `decide` says what follows.

    `others` are the further people of a blend; each of `references` and `others` names its talent.
    `refused` are perceptual hashes, as it is and mirrored, of pictures that a party left out.
    """
    profile = profile or Profile()
    groups = _groups(measurements, profile)
    people = {item.talent: item for item in (references, *others)}
    findings = [
        *_count_findings(measurements, profile),
        *_face_findings(measurements, profile),
        *_people_findings(measurements, people, profile),
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
    for index, one in enumerate(items):
        for other in items[index + 1 :]:
            if one.pixel_sha256 == other.pixel_sha256 or one.file_sha256 == other.file_sha256:
                found.append(Finding("duplicate", "hard", (one.id, other.id)))
            elif _bits(_hashes(one), _hashes(other)) <= profile.near_duplicate_bits:
                found.append(Finding("near_duplicate", "soft", (one.id, other.id)))
    return found


def _refused_findings(
    items: Sequence[Measurement], refused: Sequence[tuple[int, int]], profile: Profile
) -> list[Finding]:
    """Pictures like one that somebody left out: stored anew, cut or mirrored, they look alike."""
    return [
        Finding("refused_before", "review", (item.id,))
        for item in items
        if any(_bits(_hashes(item), hashes) <= profile.refused_bits for hashes in refused)
    ]


def _hashes(item: Measurement) -> tuple[int, int]:
    return item.phash, item.phash_mirrored


def _bits(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Differing bits of two perceptual hashes, as they are or one of them mirrored."""
    pairs = ((one[0], other[0]), (one[0], other[1]), (one[1], other[0]))
    return min((left ^ right).bit_count() for left, right in pairs)


def _groups(items: Sequence[Measurement], profile: Profile) -> list[Group]:
    """Pictures alike in background, outfit, hair, and in all three. Groups of two and more."""
    named: list[tuple[str, Callable[[Measurement], Histogram], int]] = [
        ("background", lambda item: item.background, profile.same_background),
        ("outfit", lambda item: item.outfit, profile.same_outfit),
        ("hair", lambda item: item.hair, profile.same_hair),
    ]
    found = {respect: _alike(items, region, cut) for respect, region, cut in named}
    found["everything"] = _common(list(found.values()))
    return [Group(respect, group) for respect, groups in found.items() for group in groups]


def _alike(
    items: Sequence[Measurement], region: Callable[[Measurement], Histogram], cut: int
) -> list[tuple[str, ...]]:
    seen = [item for item in items if region(item)]
    histograms = np.array([region(item) for item in seen], dtype=np.int64)
    return [tuple(seen[index].id for index in group) for group in cluster(histograms, cut)]


def _common(groupings: list[list[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Pictures that share a group in every respect."""
    common = [set(group) for group in groupings[0]]
    for groups in groupings[1:]:
        common = [one & set(other) for one in common for other in groups]
    return sorted(tuple(sorted(group)) for group in common if len(group) > 1)


def cluster(histograms: npt.NDArray[np.int64], cut: int) -> list[list[int]]:
    """Average-linkage clusters of histograms (n x bins); distances up to `cut` permille join.

    Average, not nearest: chains of small steps would put everything into one group. Returns
    clusters of two and more, by their first member.
    """
    clusters = {index: [index] for index in range(len(histograms))}
    gaps = distance(histograms)
    np.fill_diagonal(gaps, np.inf)
    while len(clusters) > 1 and gaps.min() <= cut:
        one, other = sorted(int(place) for place in np.unravel_index(gaps.argmin(), gaps.shape))
        sizes = len(clusters[one]), len(clusters[other])
        merged = (gaps[one] * sizes[0] + gaps[other] * sizes[1]) / sum(sizes)
        gaps[one], gaps[:, one] = merged, merged
        gaps[other], gaps[:, other], gaps[one, one] = np.inf, np.inf, np.inf
        clusters[one] = sorted(clusters[one] + clusters.pop(other))
    return sorted(group for group in clusters.values() if len(group) > 1)


def distance(histograms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Pairwise share that two histograms (n x bins) do not have in common, 0..1000."""
    if len(histograms) == 0:
        return np.zeros((0, 0))
    shared = np.minimum(histograms[:, None, :], histograms[None, :, :]).sum(axis=2)
    totals = histograms.sum(axis=1).clip(min=1)
    return np.asarray(1000 - 1000 * shared / np.maximum(totals[:, None], totals[None, :]))


def _group_findings(groups: Sequence[Group], count: int, profile: Profile) -> list[Finding]:
    found = []
    for group in groups:
        size = len(group.pictures)
        if size > profile.max_alike:
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
        checks = {
            "grain": item.grain > profile.max_grain,
            "unlike_exposure": _off_exposure(item, usual, profile),
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
    return {
        "sideways": face.turn != 0,
        "face_small": face.side < profile.min_face_side,
        "too_soft": item.sharpness is not None and item.sharpness < profile.min_sharpness,
        "over_retouched": _plastic(item, profile),
        "skin_tone": _paled(item, people[face.talent], profile),
    }


def _plastic(item: Measurement, profile: Profile) -> bool:
    """Skin without texture in a face whose edges are sharp: smoothed, not out of focus."""
    if item.sharpness is None or item.face_grain is None or item.texture is None:
        return False
    smooth = item.face_grain < profile.plastic_grain and item.texture < profile.plastic_texture
    return smooth and item.sharpness >= profile.normal_sharpness


def _paled(item: Measurement, references: References, profile: Profile) -> bool:
    """Against the talent's own references only: skin differs, an absolute limit would be unfair."""
    if item.skin_light is None or item.skin_chroma is None:
        return False
    lighter = item.skin_light - references.skin_light > profile.max_lightening
    greyer = item.skin_chroma * 1000 < references.skin_chroma * profile.min_chroma_share
    return lighter and greyer


# --- what is said to people ---------------------------------------------------------------------


@dataclass(frozen=True)
class Advice:
    """What a finding says, why it matters, and what to do: Japanese and English."""

    kind: Kind
    ja: str
    en: str
    why_ja: str
    why_en: str
    next_ja: str
    next_en: str


ADVICE: Final[dict[str, Advice]] = {
    "unknown_face": Advice(
        "hard",
        "許諾のない人の顔が写っています。",
        "The face of a person without a clearance is in the picture.",
        "写っている全員の承認がなければ、その写真は学習に使えません。",
        "A picture can be trained on only when everyone recognisable in it has agreed.",
        "その写真を外すか、写っている人の承認を受けるか、その顔が入らないように切り抜いてください。",
        "Remove the picture, obtain that person's approval, or crop the face out.",
    ),
    "unlike_face": Advice(
        "review",
        "本人らしく見えない顔です。別人の可能性があります。",
        "The face does not look like the talent, and may be somebody else.",
        "別人の写真も、本人らしさを失った写真も、結果を本人でない人にします。",
        "Somebody else's picture, or one that lost the likeness, makes the result another person.",
        "名前を記録した確認者が写真を見て本人かを判断するか、写真を替えてください。",
        "A named reviewer must look at the picture and decide, or replace it.",
    ),
    "possible_face": Advice(
        "review",
        "背景などに、ほかの人の顔かもしれないものがあります。",
        "Something in the picture may be another person's face.",
        "小さな顔や印刷された顔でも、誰かが分かれば権利のある人です。",
        "Even a small or printed face belongs to somebody when it can be recognised.",
        "名前を記録した確認者が顔でないことを確かめるか、その部分を切り抜いてください。",
        "A named reviewer must confirm that it is no face, or crop that part away.",
    ),
    "bystander": Advice(
        "warn",
        "写り込んだ人がいます。その人自身の承認を求めます。",
        "A bystander is in the picture, who is asked for their own approval.",
        "写り込んだだけの人にも肖像権があります。",
        "Somebody who merely passed by has a portrait right too.",
        "承認が得られないときは、顔を隠すか、その写真を外してください。",
        "If they do not approve, mask the face or leave the picture out.",
    ),
    "talent_absent": Advice(
        "hard",
        "許諾を求める人のうち、写真に写っていない人がいます。",
        "Somebody who is asked for permission is in none of the pictures.",
        "写っている人の数と、許諾を求める人の数は同じでなければなりません。",
        "As many people must be shown as are asked.",
        "その人の写真を加えるか、その人を除いた申請にしてください。",
        "Add pictures of that person, or file the request without them.",
    ),
    "no_face": Advice(
        "hard",
        "顔が見つかりません。",
        "No face was found.",
        "顔のない写真は、誰の写真かを確かめられません。",
        "Without a face nobody can check whose picture it is.",
        "本人の顔が見える写真に替えてください。",
        "Replace it with a picture that shows the talent's face.",
    ),
    "too_few_pictures": Advice(
        "hard",
        "写真が少なすぎます。",
        "There are too few pictures.",
        "少なすぎる写真では、一枚ごとの背景や服まで覚えてしまいます。15枚程度が目安です。",
        "With too few, the model learns each picture's background and clothes. About 15 is right.",
        "本人の写真を加えてください。",
        "Add pictures of the talent.",
    ),
    "few_pictures": Advice(
        "warn",
        "写真が少なめです。",
        "There are rather few pictures.",
        "15枚程度が目安です。少ないと背景や服が結果に出やすくなります。",
        "About 15 is right; with fewer, backgrounds and clothes leak into the result.",
        "背景・服・髪型の違う写真を加えることを検討してください。",
        "Consider adding pictures with other backgrounds, clothes and hair.",
    ),
    "many_pictures": Advice(
        "warn",
        "写真が多めです。",
        "There are rather many pictures.",
        "15枚程度で足ります。必要以上に本人の写真を使わないことも大切です。",
        "About 15 is enough, and using no more of a person than needed matters too.",
        "似た写真や出来の劣る写真を外すことを検討してください。",
        "Consider removing pictures that are alike or weaker.",
    ),
    "too_many_pictures": Advice(
        "soft",
        "写真が多すぎます。",
        "There are too many pictures.",
        "必要以上に本人の写真を使うことになります。15枚程度で足ります。",
        "It uses more of a person than is needed. About 15 is enough.",
        "写真を減らすか、必要な理由を書いて引き受けてください。",
        "Reduce the set, or take it on with the reason why it is needed.",
    ),
    "duplicate": Advice(
        "hard",
        "同じ写真が二回入っています。",
        "The same picture is in the set twice.",
        "同じ写真は二重に学習され、その背景や服が結果に出ます。",
        "It would be learnt twice, and its background and clothes would show.",
        "片方を外してください。",
        "Remove one of the two.",
    ),
    "near_duplicate": Advice(
        "soft",
        "ほとんど同じ写真があります(左右反転を含みます)。",
        "Two pictures are nearly the same, mirrored ones included.",
        "似すぎた写真は、その一場面を強く覚えさせます。",
        "Pictures that alike make the model remember that one scene.",
        "片方を外すか、残す理由を書いて引き受けてください。",
        "Remove one, or take it on with the reason for keeping both.",
    ),
    "refused_before": Advice(
        "review",
        "関係者が外した写真によく似た写真です。",
        "This picture is much like one that somebody left out.",
        "保存し直しや切り抜きで、断られた写真を入れ直すことはできません。",
        "Stored anew or cut, a picture that was refused is still that picture.",
        "この写真を外してください。別の写真であれば、依頼者以外の担当者が見て理由を書きます。",
        "Remove it. If it is another picture, a reviewer who is not the requester says why.",
    ),
    "weak_likeness": Advice(
        "warn",
        "本人らしさが弱い写真です。",
        "The likeness in this picture is weak.",
        "本人の特徴を捉えていない写真は、別人の写真と同じ働きをします。",
        "A picture without the person's features acts like a picture of somebody else.",
        "本人らしさがよく出た写真に替えることを検討してください。",
        "Consider a picture in which the person is easier to recognise.",
    ),
    "face_repeated": Advice(
        "soft",
        "一枚の写真に、本人の顔が二つ以上あります。",
        "The talent's face is in one picture more than once.",
        "鏡や合成でなければ、よく似た別人(きょうだいなど)かもしれません。",
        "Unless it is a mirror or a collage, it may be a relative who looks alike.",
        "顔が一つだけになるように切り抜くか、本人であることの理由を書いて引き受けてください。",
        "Crop to one face, or take it on with the reason why both are the talent.",
    ),
    "same_background": Advice(
        "soft",
        "同じ背景の写真が3枚以上あります。",
        "Three or more pictures have the same background.",
        "同じ背景は3枚以上は不要です。結果の背景に出てきます。説明文を付けても消えません。",
        "Two are enough; the background shows in the result, and captions don't prevent it.",
        "別の背景の写真に替えるか、理由を書いて引き受けてください。",
        "Replace some of them, or take it on with a reason.",
    ),
    "same_outfit": Advice(
        "soft",
        "同じ衣装の写真が3枚以上あります。",
        "Three or more pictures show the same outfit.",
        "同じ衣装は3枚以上は不要です。特徴のある服は、結果の服の形にまで出ます。",
        "Two are enough; a distinctive outfit leaks into the clothes of every result.",
        "別の衣装の写真に替えるか、理由を書いて引き受けてください。",
        "Replace some of them, or take it on with a reason.",
    ),
    "same_hair": Advice(
        "soft",
        "同じ髪型の写真が3枚以上あります。",
        "Three or more pictures show the same hair.",
        "同じ髪型は3枚以上は不要です。髪型を変えられないLoRAになります。",
        "Two are enough; the result will not be able to wear any other hair.",
        "髪型の違う写真に替えるか、理由を書いて引き受けてください。",
        "Replace some of them, or take it on with a reason.",
    ),
    "same_everything": Advice(
        "soft",
        "背景も衣装も髪型も同じ写真が3枚以上あります。",
        "Three or more pictures share background, outfit and hair.",
        "同じ一場面の写真です。その場面がそのまま結果に出ます。",
        "They are one scene, and that scene will show in the result.",
        "2枚まで減らすか、理由を書いて引き受けてください。",
        "Keep two of them, or take it on with a reason.",
    ),
    "dominant_background": Advice(
        "soft",
        "枚数が少ないのに、半分以上が同じ背景です。",
        "In this small set more than half of the pictures have one background.",
        "少ない枚数では、その背景がほとんどの結果に出ます。説明文を付けても消えません。",
        "In a small set it shows in nearly every result; captions don't prevent it.",
        "背景の違う写真を加えるか、理由を書いて引き受けてください。",
        "Add pictures with other backgrounds, or take it on with a reason.",
    ),
    "grain": Advice(
        "soft",
        "粒子(ノイズ)の強い写真です。",
        "The picture is grainy.",
        "粒子は肌の質感として覚えられます。感度の数字ではなく、写りを測っています。",
        "Grain is learnt as skin. This is measured in the pixels, not read from the ISO number.",
        "粒子の少ない写真に替えるか、理由を書いて引き受けてください。",
        "Use a cleaner picture, or take it on with a reason.",
    ),
    "too_soft": Advice(
        "soft",
        "顔の細部がぼやけています。",
        "The face lacks fine detail.",
        "ぼけやノイズ除去で失われた細部は、結果でも失われます。",
        "Detail lost to blur or noise reduction is lost in the result too.",
        "ピントの合った元の写真に替えるか、理由を書いて引き受けてください。",
        "Use a sharp original, or take it on with a reason.",
    ),
    "over_retouched": Advice(
        "soft",
        "肌の質感が消えるほどレタッチされています。",
        "The skin has been smoothed until its texture is gone.",
        "レタッチのしすぎは本人の特徴を消し、本人でない人にします。",
        "Too much retouching removes the person and leaves somebody else.",
        "レタッチ前の写真に替えるか、理由を書いて引き受けてください。本人にも示されます。",
        "Use the picture before retouching, or take it on with a reason; the talent sees it.",
    ),
    "skin_tone": Advice(
        "soft",
        "本人の基準写真より、肌が白くなっています。",
        "The skin is paler than in the talent's own reference pictures.",
        "白くした肌は、結果の肌の色になります。肌の色を変えるには本人の同意が要ります。",
        "Whitened skin becomes the result's skin; changing it needs the talent's consent.",
        "本来の肌の色の写真に替えるか、理由を書いて引き受けてください。本人にも示されます。",
        "Use a picture in the natural tone, or take it on with a reason; the talent sees it.",
    ),
    "unlike_exposure": Advice(
        "soft",
        "ほかの写真と明るさが大きく違います。",
        "Its brightness is far from that of the other pictures.",
        "露出のそろわない写真は、肌の色と立体感の覚え方を乱します。",
        "Unlike exposures confuse what is learnt about skin and shape.",
        "明るさをそろえるか、理由を書いて引き受けてください。",
        "Even out the exposure, or take it on with a reason.",
    ),
    "face_small": Advice(
        "soft",
        "顔が小さく写っています。",
        "The face is small in the picture.",
        "小さな顔からは目鼻立ちが伝わりません。",
        "A small face teaches little about the features.",
        "顔を大きく切り抜くか、寄りの写真に替えるか、理由を書いて引き受けてください。",
        "Crop closer, use a closer picture, or take it on with a reason.",
    ),
    "sideways": Advice(
        "soft",
        "写真が横向き、または上下逆さまです。",
        "The picture lies on its side or upside down.",
        "向きの違う顔は、別の形として覚えられます。",
        "A turned face is learnt as another shape.",
        "写真を正しい向きに回してください。意図したものなら理由を書いて引き受けてください。",
        "Turn it upright, or take it on with a reason if it is meant so.",
    ),
}
