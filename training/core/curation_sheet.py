"""A curation report as a page says it: verdict, meters, points, and every picture with its chips.

Stage 5, pure: a report and names in, words out, Japanese or English. It says nothing that the
report does not, and likeness only in bands. How a page looks is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from registry.core.refusals import Locale, Refusal
from training.core import curation
from training.core.curation import Finding, PictureRecord, Report, Sealable
from training.core.curation_advice import ADVICE, Kind

Level = Literal["ok", "warn", "bad"]
IDEAL: Final = 15

# word: (Japanese, English)
_WORDS: Final = {
    "title": ("写真の選別報告", "Curation report"),
    "ready": ("このまま封印できます。", "The set can be sealed as it is."),
    "blocked": (
        "解決していない指摘が {n} 件あります。",
        "{n} point(s) must be settled first.",
    ),
    "digest": ("報告書のハッシュ", "Digest of the report"),
    "engine": ("顔照合", "Face engine"),
    "references": ("基準写真", "Reference pictures"),
    "calibration": ("しきい値の較正", "Calibration"),
    "defaults": ("同梱の値", "as shipped"),
    "meters": ("セット全体", "The set as a whole"),
    "points": ("指摘", "Points"),
    "none": ("指摘はありません。", "Nothing was found."),
    "used": ("使う写真", "Pictures in the set"),
    "unused": ("使わない写真", "Pictures that are not used"),
    "why": ("理由", "Why"),
    "next": ("どうするか", "What to do"),
    "taken_on": ("引き受けた理由", "Taken on, because"),
    "pictures": ("写真の枚数", "Pictures"),
    "background": ("同じ背景(最多)", "Same background, at most"),
    "outfit": ("同じ衣装(最多)", "Same outfit, at most"),
    "hair": ("同じ髪型(最多)", "Same hair, at most"),
    "pose": ("同じポーズ(最多)", "Same pose, at most"),
    "faces": ("本人と確かめられた写真", "Pictures that are surely the talent's"),
    "people": ("許諾のない顔", "Faces without a clearance"),
    "target": ("目安 {n}", "about {n}"),
    "most": ("{n} まで", "up to {n}"),
    "all": ("全 {n} 枚", "of {n}"),
    "zero": ("0 であること", "must be 0"),
    "hard": ("使えません", "Not usable"),
    "review": ("確認者が見る", "To be looked at"),
    "soft": ("要対応", "To be settled"),
    "warn": ("注意", "Notice"),
    "match": ("本人", "the talent"),
    "weak": ("本人(弱い)", "the talent (weak)"),
    "unlike": ("本人らしくない", "unlike the talent"),
    "other": ("別の人", "somebody else"),
    "possible": ("顔かもしれない", "perhaps a face"),
    "bystander": ("写り込み(申告済み)", "declared bystander"),
    "no_face": ("顔なし", "no face"),
    "picture": ("写真", "Picture"),
    "left_out": (
        "この申請では使わないことになった写真です。",
        "A picture that is not used in this request.",
    ),
    "left_out_next": (
        "学習されず、同じ写真を入れ直すこともできません。",
        "It is not trained on, and cannot be brought back in disguise.",
    ),
    "notice": (
        "この報告は目安です。写真を自動で直すことはなく、使うかどうかは写っている本人が決めます。",
        "This is advice. Nothing is edited, and the person shown decides what is used.",
    ),
}


def word(name: str, locale: Locale) -> str:
    """A word of the page."""
    return _WORDS[name][0 if locale == "ja" else 1]


@dataclass(frozen=True)
class Meter:
    """One figure of the set: what it is, how much, what is aimed at, and how that is."""

    name: str
    label: str
    value: int
    target: str
    level: Level
    full: int


@dataclass(frozen=True)
class Point:
    """One finding in words. `pictures` are names as the page shows them."""

    code: str
    kind: Kind
    label: str
    text: str
    why: str
    next: str
    pictures: tuple[str, ...]
    taken_on: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """A picture of the set: its faces in words, and its own points."""

    id: str
    name: str
    faces: tuple[tuple[str, str], ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Left:
    """A file that is not used, and why."""

    name: str
    code: str
    text: str
    next: str


@dataclass(frozen=True)
class Sheet:
    """The whole page."""

    locale: Locale
    title: str
    ready: bool
    verdict: str
    facts: tuple[tuple[str, str], ...]
    meters: tuple[Meter, ...]
    points: tuple[Point, ...]
    used: tuple[Shown, ...]
    unused: tuple[Left, ...]


def sheet(
    report: Report,
    names: Mapping[str, str],
    left: Sequence[tuple[str, Refusal]],
    locale: Locale,
    out: Sequence[str] = (),
) -> Sheet:
    """The page of a report. `names`: the pictures' by id.

    `left` are files that could not be taken in; `out` pictures that somebody left out.
    """
    decided = curation.decide(report, report.acceptances)
    ready = isinstance(decided, Sealable)
    open_ = 0 if isinstance(decided, Sealable) else len(decided)
    points = tuple(_point(item, report, names, locale) for item in report.findings)
    return Sheet(
        locale=locale,
        title=word("title", locale),
        ready=ready,
        verdict=word("ready" if ready else "blocked", locale).format(n=open_),
        facts=tuple(_facts(report, locale)),
        meters=tuple(_meters(report, locale)),
        points=points,
        used=tuple(
            Shown(
                item.id, name, _faces(item, locale), tuple(p for p in points if name in p.pictures)
            )
            for item in report.pictures
            for name in [names.get(item.id, item.id)]
        ),
        unused=tuple(
            Left(name, refusal.code, refusal.sentence(locale), refusal.next_step(locale))
            for name, refusal in left
        )
        + tuple(
            Left(name, "left_out", word("left_out", locale), word("left_out_next", locale))
            for name in out
        ),
    )


def face_word(face: curation.FaceRecord, main: bool) -> str:
    """The name of a face's band: what its box is drawn as, and how it is called."""
    if face.bystander:
        return "bystander"
    if main or face.band == "match":
        return face.band
    return "other" if face.sure else "possible"


def main_of(record: PictureRecord) -> curation.FaceRecord | None:
    """The face that is most surely the talent's."""
    order: tuple[curation.Band, ...] = ("match", "weak", "unlike", "other")
    return min(record.faces, key=lambda face: order.index(face.band), default=None)


def _faces(item: PictureRecord, locale: Locale) -> tuple[tuple[str, str], ...]:
    main = main_of(item)
    found = [face_word(face, face is main) for face in item.faces] or ["no_face"]
    return tuple((name, word(name, locale)) for name in found)


def _point(finding: Finding, report: Report, names: Mapping[str, str], locale: Locale) -> Point:
    advice, ja = ADVICE[finding.code], locale == "ja"
    reasons = [
        item.reason
        for item in report.acceptances
        if item.code == finding.code and (not item.picture or item.picture in finding.pictures)
    ]
    return Point(
        code=finding.code,
        kind=finding.kind,
        label=word(finding.kind, locale),
        text=advice.ja if ja else advice.en,
        why=advice.why_ja if ja else advice.why_en,
        next=advice.next_ja if ja else advice.next_en,
        pictures=tuple(names.get(item, item) for item in finding.pictures),
        taken_on=tuple(reasons),
    )


def _facts(report: Report, locale: Locale) -> list[tuple[str, str]]:
    people = report.people
    calibration = report.profile.calibration[:16] or word("defaults", locale)
    return [
        (word("digest", locale), curation.report_digest(report).hex()),
        (
            word("engine", locale),
            f"{people[0].engine} {people[0].engine_digest[:16]}",
        ),
        (word("calibration", locale), calibration),
        (word("references", locale), str(sum(item.count for item in people))),
    ]


def _meters(report: Report, locale: Locale) -> list[Meter]:
    profile, count = report.profile, len(report.pictures)
    sure = sum(1 for item in report.pictures if any(face.band == "match" for face in item.faces))
    codes = [finding.code for finding in report.findings]
    strangers = codes.count("unknown_face")
    enough = profile.few_pictures <= count <= profile.many_pictures
    usable = profile.min_pictures <= count <= profile.max_pictures
    found = [
        Meter(
            "pictures",
            word("pictures", locale),
            count,
            word("target", locale).format(n=IDEAL),
            "ok" if enough else "warn" if usable else "bad",
            profile.many_pictures,
        )
    ]
    for respect in ("background", "outfit", "hair"):
        found.append(_alike(report, respect, profile.max_alike, profile.block_alike, locale))
    # A point about the set: half of it may well be in one pose, and nothing blocks.
    found.append(_alike(report, "pose", max(count // 2, 1), count + 1, locale))
    return [
        *found,
        Meter(
            "faces",
            word("faces", locale),
            sure,
            word("all", locale).format(n=count),
            "ok" if sure == count else "warn",
            max(count, 1),
        ),
        Meter(
            "people",
            word("people", locale),
            strangers,
            word("zero", locale),
            "bad" if strangers else "ok",
            max(count, 1),
        ),
    ]


def _alike(report: Report, respect: str, most: int, block: int, locale: Locale) -> Meter:
    """How many pictures at most are alike in one respect, against how many may be."""
    count = len(report.pictures)
    sizes = [len(group.pictures) for group in report.groups if group.respect == respect]
    seen = min(max(sizes, default=1), count)
    return Meter(
        respect,
        word(respect, locale),
        seen,
        word("most", locale).format(n=most),
        "ok" if seen <= most else "bad" if seen >= block else "warn",
        max(count, report.profile.block_alike),
    )
