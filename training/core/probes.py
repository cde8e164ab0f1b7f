"""What a LoRA draws, held against who was to be drawn: rules on measurements, and their report.

Between stages 7 and 8. Pure: the engine measures the sample pictures, this decides. Four questions:
does it draw her (by the worse samples, not by the mean: R38), does it do anything that the base
model alone does not (R34), does it repeat the data set's clothes and places when nobody asked for
them (R27, R29), and does it draw somebody else who is registered and not asked (R18).

A report says bands and counts. How like a face is to whom stays in the engine; whom a sample looks
like besides, is for the platform's operators and stands in no report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from registry.log.core import canonical
from training.core.curation import Band, Profile, band

FORMAT: Final = "kyodaku/probes/v1"
Respect = Literal["outfit", "background"]
RESPECTS: Final[tuple[Respect, ...]] = ("outfit", "background")
Verdict = Literal["holds", "uneven", "no_identity_effect", "unmeasured"]
Kind = Literal["hold", "warn"]
LEAST_FACES: Final = 3  # fewer say nothing about a distribution
LOWER: Final = 0.2  # the quantile that is judged
EFFECT: Final = 50  # permille by which the median must rise above the base model's own
LEAK: Final = 0.5  # share of the samples


@dataclass(frozen=True)
class Sample:
    """What one picture shows. Likeness in permille by talent; empty where no face was found.

    `before` is the same seed drawn by the base model alone, None where it was not drawn. `others`
    are registered talents whom the grant does not name and whom it looks like. `repeats` are
    respects in which it is the data set once more; `seen` those that could be measured.
    """

    likeness: Mapping[str, int]
    before: Mapping[str, int] | None = None
    others: tuple[str, ...] = ()
    seen: tuple[Respect, ...] = ()
    repeats: tuple[Respect, ...] = ()
    repeated_before: tuple[Respect, ...] = ()


@dataclass(frozen=True)
class TalentProbe:
    """One talent in the samples: how many are in which band, and the verdict."""

    talent: str
    match: int
    weak: int
    unlike: int
    other: int
    lower: Band | Literal[""]
    verdict: Verdict


@dataclass(frozen=True)
class ProbeFinding:
    """A point about the samples; `hold` keeps everything until a person has looked."""

    code: str
    kind: Kind
    samples: tuple[int, ...] = ()


@dataclass(frozen=True)
class ProbeReport:
    """What was measured of one LoRA. `compared`: registered talents it was held against."""

    engine: str
    engine_digest: str
    samples: int
    faces: int
    compared: int
    before: bool
    talents: tuple[TalentProbe, ...]
    findings: tuple[ProbeFinding, ...]
    format: str = FORMAT

    def to_payload(self) -> dict[str, Any]:
        """The report as JSON, of which `digest` is taken."""
        payload: dict[str, Any] = canonical.loads(canonical.dumps(asdict(self)))
        return payload

    def digest(self) -> str:
        """64 hex digits: how the log names it."""
        return canonical.digest(FORMAT, self.to_payload()).hex()

    @property
    def held(self) -> str:
        """The refusal that keeps it from being delivered, or nothing."""
        codes = [finding.code for finding in self.findings if finding.kind == "hold"]
        return codes[0] if codes else ""


def judge(
    samples: Sequence[Sample],
    talents: Sequence[str],
    profile: Profile,
    *,
    engine: str,
    engine_digest: str,
    compared: int,
) -> ProbeReport:
    """Judge the samples of one LoRA. Without any, nobody has seen what it draws: held."""
    faces = [sample for sample in samples if sample.likeness]
    probes = tuple(_talent(talent, faces, profile) for talent in talents)
    findings = [
        *_held(samples),
        *_identity(probes),
        *(item for respect in RESPECTS for item in _leak(samples, respect)),
    ]
    return ProbeReport(
        engine=engine,
        engine_digest=engine_digest,
        samples=len(samples),
        faces=len(faces),
        compared=compared,
        before=any(sample.before is not None for sample in samples),
        talents=probes,
        findings=tuple(findings),
    )


def _held(samples: Sequence[Sample]) -> list[ProbeFinding]:
    if not samples:
        return [ProbeFinding("samples_missing", "hold")]
    like = tuple(number for number, sample in enumerate(samples) if sample.others)
    return [ProbeFinding("lookalike_hold", "hold", like)] if like else []


def _talent(talent: str, faces: Sequence[Sample], profile: Profile) -> TalentProbe:
    likeness = [sample.likeness[talent] for sample in faces]
    bands = [band(value, profile) for value in likeness]
    if len(likeness) < LEAST_FACES:
        lower: Band | Literal[""] = ""
        verdict: Verdict = "unmeasured"
    else:
        worse = lower_quantile(likeness)
        lower = band(worse, profile)
        verdict = _verdict(talent, faces, worse, profile)
    return TalentProbe(
        talent=talent,
        match=bands.count("match"),
        weak=bands.count("weak"),
        unlike=bands.count("unlike"),
        other=bands.count("other"),
        lower=lower,
        verdict=verdict,
    )


def lower_quantile(values: Sequence[int]) -> int:
    """The value that at most a fifth of the samples lie below: nearest rank, the lower one."""
    return sorted(values)[max(math.ceil(LOWER * len(values)) - 1, 0)]


def _verdict(talent: str, faces: Sequence[Sample], worse: int, profile: Profile) -> Verdict:
    risen = [
        sample.likeness[talent] - sample.before.get(talent, 0)
        for sample in faces
        if sample.before is not None
    ]
    middle = _median([sample.likeness[talent] for sample in faces])
    unmoved = bool(risen) and _median(risen) < EFFECT
    if unmoved or middle < profile.unlike:
        return "no_identity_effect"
    return "holds" if worse >= profile.weak else "uneven"


def _median(values: Sequence[int]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def _identity(probes: Sequence[TalentProbe]) -> list[ProbeFinding]:
    codes = {
        "no_identity_effect": "no_identity_effect",
        "uneven": "identity_uneven",
        "unmeasured": "identity_unmeasured",
    }
    found = sorted({codes[probe.verdict] for probe in probes if probe.verdict in codes})
    return [ProbeFinding(code, "warn") for code in found]


def _leak(samples: Sequence[Sample], respect: Respect) -> list[ProbeFinding]:
    """The data set's own clothes or place in half of the samples, and not without the LoRA."""
    seen = [number for number, sample in enumerate(samples) if respect in sample.seen]
    again = [number for number in seen if respect in samples[number].repeats]
    before = [number for number in seen if respect in samples[number].repeated_before]
    leaks = len(again) >= LEAST_FACES and len(again) >= LEAK * len(seen)
    if leaks and len(before) * 2 < len(again):
        return [ProbeFinding(f"{respect}_leak", "warn", tuple(again))]
    return []


# code: what it says and what to do, (Japanese, English).
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "lookalike_hold": (
        "見本が、この許諾に含まれない登録者に似ています。運営が確認するまで納品できません。",
        "Samples look like somebody who is registered and not part of this licence. Nothing is"
        " delivered until the operators have looked.",
    ),
    "samples_missing": (
        "見本がないため、ほかの登録者に似ていないかを確かめられません。見本を作る設定で学習してください。",
        "There are no samples, so nobody knows whom it draws. Train with a recipe that makes some.",
    ),
    "no_identity_effect": (
        "LoRAの有無で顔がほとんど変わりません。「本人のLoRA」と称さないでください。",
        "The face is nearly the base model's own, with the LoRA or without. Do not call it hers.",
    ),
    "identity_uneven": (
        "本人に似ない見本が混じっています。平均ではなく、似ていない側の2割で判定しています。",
        "Some samples are not like the talent. The worse fifth is judged, not the mean.",
    ),
    "identity_unmeasured": (
        "顔の写った見本が3枚に満たないため、本人に似ているかは測れませんでした。",
        "Fewer than three samples show a face, so the likeness could not be measured.",
    ),
    "outfit_leak": (
        "指定していないのに、教材写真の衣装が半数以上の見本に出ています。衣装の違う写真を足してください。",
        "Clothes of the data set appear in half of the samples unasked. Add pictures in others.",
    ),
    "background_leak": (
        "指定していないのに、教材写真の背景が半数以上の見本に出ています。背景の違う写真を足してください。",
        "A place of the data set appears in half of the samples unasked. Add pictures elsewhere.",
    ),
}

VERDICTS: Final[Mapping[Verdict, tuple[str, str]]] = {
    "holds": ("似ていない側の見本も本人の範囲です", "even the worse samples are like the talent"),
    "uneven": ("似ない見本が混じります", "some samples are not like the talent"),
    "no_identity_effect": ("LoRAの有無で顔が変わりません", "the LoRA does not change the face"),
    "unmeasured": ("測れませんでした", "could not be measured"),
}
