"""The rights sheet: for every photograph whose it is, what it shows, and what was said about it.

Stage 2, pure. A file in a folder is not a right to train: likeness and copyright are two
clearances, and neither stands in for the other (R07, R08). The sheet is built from what the
requester declared and from what curation saw; its digest is in the grant, so that people sign which
picture belongs to which holder. It holds pseudonymous ids, codes and digests, no name.

`rights_digest = SHA-256("kyodaku/rights/v1" || 0x00 || JCS(sheet))`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from registry.core.refusals import Locale, Refusal
from registry.core.vocabulary import levels_to
from registry.log.core import canonical

FORMAT: Final = "kyodaku/rights/v1"

# On what the use of a photograph rests. Article 30-4 of Japan's Copyright Act is no basis: the
# Agency for Cultural Affairs (March 2024) takes it not to cover further training that is to output
# the creative expression of given works.
BASES: Final[Mapping[str, tuple[str, str]]] = {
    "owner": ("著作権者本人", "the holder's own work"),
    "licence": ("著作権者からの許諾", "a licence from the holder"),
    "assignment": ("著作権の譲渡", "the copyright was assigned"),
    "employer": ("職務著作", "made in the course of employment"),
}
# What a picture shows beside people (R05).
WORK_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "depicts_character": ("役・キャラクター", "a character"),
    "costume": ("衣装", "a costume"),
    "work": ("作品・舞台", "a work or stage visual"),
}
# What was done to a picture after the shutter (R30, R31).
OPERATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "crop": ("切り抜き", "cropped"),
    "exposure": ("明るさ", "exposure"),
    "colour": ("色", "colour"),
    "dust": ("ごみ・傷の除去", "dust and scratches removed"),
    "background": ("背景", "background"),
    "clothes": ("衣服", "clothes"),
    "skin_smoothing": ("肌をなめらかに", "skin smoothed"),
    "skin_tone": ("肌の色", "skin tone"),
    "wrinkles": ("しわ", "wrinkles"),
    "moles": ("ほくろ・あざ", "moles and birthmarks"),
    "added_marks": ("ほくろ等の追加", "marks added"),
    "face_shape": ("顔の形", "face shape"),
    "body_shape": ("体の形", "body shape"),
    "age": ("年齢の印象", "apparent age"),
    "masking": ("写り込みを隠す", "a bystander masked"),
}
# What machine-readable metadata said about training, least restrictive first. The most restrictive
# statement wins (IETF AIPREF); "unknown" is a value: nothing was said. `constrained` without the
# constraint counts as a no (CAWG training-mining 1.1), and so does what nobody could read.
RESERVATIONS: Final = ("unknown", "allowed", "constrained", "unreadable", "notAllowed")
RESERVED: Final = frozenset(RESERVATIONS[2:])
# Whether the creator named in a file is the declared holder.
CREATORS: Final = frozenset({"unstated", "same", "explained", "mismatch"})


@dataclass(frozen=True)
class WorkUse:
    """A character, costume or work in a picture. `work` is empty while nobody has recorded it."""

    work: str
    kind: str


@dataclass(frozen=True)
class Retouch:
    """What was done to a picture, by whom, and the hash of the original (hex; may be empty)."""

    original_sha256: str
    operations: tuple[str, ...]
    retoucher: str


@dataclass(frozen=True)
class PictureRights:
    """One photograph. `id` is its name in the curation report (`p001` …); all else as declared.

    `holder` is a person or an organisation; empty where nothing was declared. `talents` are those
    whose faces were found in it, sorted; `bystanders` other people who may be seen, sorted.
    """

    id: str
    file_sha256: str
    talents: tuple[str, ...]
    holder: str = ""
    basis: str = ""
    moral_rights: bool = False
    shoot: str = ""
    works: tuple[WorkUse, ...] = ()
    bystanders: tuple[str, ...] = ()
    masks: int = 0
    retouch: Retouch | None = None
    reservation: str = "unknown"
    creator: str = "unstated"
    # How much the picture shows, as its maker declared it: a word of `vocabulary.EXPOSURE`.
    exposure: str = "full_clothed"

    def to_payload(self) -> dict[str, Any]:
        """The JSON object in a sheet."""
        retouch = self.retouch
        return {
            **vars(self),
            "talents": list(self.talents),
            "works": [dict(vars(use)) for use in self.works],
            "bystanders": list(self.bystanders),
            "retouch": None
            if retouch is None
            else {**vars(retouch), "operations": list(retouch.operations)},
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> PictureRights:
        """Parse one object of a sheet. Raises `TypeError` or `KeyError`."""
        retouch = payload["retouch"]
        return cls(
            **{
                **payload,
                "talents": tuple(payload["talents"]),
                "works": tuple(WorkUse(**use) for use in payload["works"]),
                "bystanders": tuple(payload["bystanders"]),
                "retouch": None
                if retouch is None
                else Retouch(**{**retouch, "operations": tuple(retouch["operations"])}),
            }
        )


@dataclass(frozen=True)
class Sheet:
    """The rights of every photograph of one data set, in the order of the curation report."""

    pictures: tuple[PictureRights, ...]

    def to_payload(self) -> dict[str, Any]:
        """The JSON object whose digest is signed."""
        return {"format": FORMAT, "pictures": [row.to_payload() for row in self.pictures]}

    @classmethod
    def from_payload(cls, payload: Any) -> Sheet:
        """Parse strictly. Raises `ValueError`."""
        try:
            if payload["format"] != FORMAT:
                raise ValueError("not a rights sheet")
            sheet = cls(tuple(PictureRights.from_payload(row) for row in payload["pictures"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a rights sheet: {error}") from error
        # A member that the parser dropped would be signed but not enforced.
        if sheet.to_payload() != payload:
            raise ValueError("not a rights sheet: unknown or ill-typed member")
        return sheet

    def retouchers(self) -> tuple[str, ...]:
        """Everybody who retouched one of the pictures, sorted."""
        found = {row.retouch.retoucher for row in self.pictures if row.retouch is not None}
        return tuple(sorted(found - {""}))

    def digest(self) -> str:
        """`rights_digest` of the grant, hex."""
        return canonical.digest(FORMAT, self.to_payload()).hex()


def decide(
    sheet: Sheet,
    *,
    talents: Iterable[str],
    works: Mapping[str, frozenset[str]],
    exposure: str,
) -> list[Refusal]:
    """Everything that keeps these photographs from being asked for; empty when they may be.

    `talents` are the people of the request, `works` each recorded work with its holders, `exposure`
    the ceiling of the terms, which for a minor is a low one. Each refusal names the pictures and
    exactly what is missing:

    (1) a record at all (`image_unrecorded`); (2) the likeness: somebody who is shown is a talent of
    the request (`unknown_face`), and each of them is shown (`shares_mismatch`); (3) the copyright:
    an accepted basis (`uncleared_copyright`), the author's moral rights (`moral_rights_missing`);
    (4) every character, costume and work has holders who can be asked (`uncleared_work`); (5) the
    creator named in the file is the holder, or the difference is explained (`creator_mismatch`);
    (6) what was retouched has its original (`unverified_edit`); (7) no picture shows more than the
    terms allow (`exposure_exceeds`).
    """
    asked = frozenset(talents)
    shown = {talent for row in sheet.pictures for talent in row.talents}
    failing: dict[str, list[str]] = {}
    for row in sheet.pictures:
        for code in missing(row, asked, works, exposure):
            failing.setdefault(code, []).append(row.id)
    refusals = [Refusal(code, " ".join(ids)) for code, ids in failing.items()]
    # (2)
    refusals += [Refusal("shares_mismatch", talent) for talent in sorted(asked - shown)]
    return refusals


def missing(
    row: PictureRights,
    asked: frozenset[str],
    works: Mapping[str, frozenset[str]],
    exposure: str,
) -> list[str]:
    """The codes of what one photograph still lacks; the steps are those of `decide`."""
    # (1)
    if not row.holder or not row.shoot:
        return ["image_unrecorded"]
    found = {
        # (2)
        "unknown_face": not row.talents or not set(row.talents) <= asked,
        # (3)
        "uncleared_copyright": row.basis not in BASES,
        "moral_rights_missing": not row.moral_rights,
        # (4)
        "uncleared_work": any(not works.get(use.work) for use in row.works),
        # (5)
        "creator_mismatch": row.creator == "mismatch",
        # (6) Masking is done here, from a picture that we hold.
        "unverified_edit": row.retouch is not None
        and bool(set(row.retouch.operations) - {"masking"})
        and not row.retouch.original_sha256,
        # (7)
        "exposure_exceeds": row.exposure not in levels_to(exposure),
    }
    return [code for code, missing in found.items() if missing]


def label(table: Mapping[str, tuple[str, str]], word: str, locale: Locale) -> str:
    """A word of one of the tables above, as people read it."""
    ja, en = table.get(word, (word, word))
    return en if locale == "en" else ja
