"""The rights of the photographs: declared by the requester, held against what the files say.

Stage 5, beside curation. What is declared is binding; `registry.core.rights` decides whether it
clears a picture, and the people named sign. Trusts nothing in a file's metadata to clear anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from registry.core import rights as rules
from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.core.rights import BASES, OPERATIONS, WORK_KINDS, Sheet, WorkUse
from registry.core.terms import Problem, Terms
from registry.core.vocabulary import EXPOSURE
from registry.log import append
from registry.models import Grant, Organisation, Person, RightsHolder, Work
from registry.services import clearance, vault
from registry.services import grants as grant_states
from training.core import curation, pictures, reservations
from training.core.curation import Report
from training.engines.base import Box
from training.models import Dataset, Picture, PictureRights, Shoot
from training.services import tools
from training.services.datasets import open_for_change, opened, picture_row, reopen
from training.services.objects import object_store

# What a declaration may set; members left out stay as they are.
FIELDS: Final = frozenset(
    {"shoot", "holder", "basis", "moral_rights", "credit_line", "original_sha256", "operations"}
    | {"retoucher", "works", "bystanders", "creator_note", "exposure"}
)
_NEEDED: Final = ("shoot", "holder", "basis")
MAX_EDGE: Final = 100_000  # pixels; no picture that is taken in is wider
_HEX: Final = re.compile(r"[0-9a-f]{64}")


def shoot_record(
    *, organisation: Organisation, shot_on: date, client: str, purpose: str
) -> Shoot | Problem:
    """When, for whom and for what pictures were taken. The same shoot again returns its row."""
    client, purpose = " ".join(client.split()), " ".join(purpose.split())
    if not client or not purpose or len(client) > 200 or len(purpose) > 300:
        return Problem(
            "shoot",
            "撮影の依頼主と、当時許された用途を書いてください。",
            "Give the commissioning client and what was allowed at the time.",
        )
    row, _ = Shoot.objects.get_or_create(
        organisation=organisation, shot_on=shot_on, client=client, purpose=purpose
    )
    return row


@transaction.atomic
def rights_declare(
    *,
    dataset: Dataset,
    pictures: Sequence[Picture],
    by: Person,
    at: datetime | None = None,
    **declared: Any,
) -> Sequence[PictureRights | Refusal | Problem]:
    """Declare the rights of many pictures at once; what is left out stays as it was.

    `declared` may hold the members of `PictureRights` named in `FIELDS`. All or nothing. Refusals:
    `wrong_state` once sealed, `uncleared_copyright` for a basis that is none (30-4 is none), and a
    `Problem` a member. A change of bystanders makes a new survey necessary.
    """
    at = at or timezone.now()
    if unknown := set(declared) - FIELDS:
        raise TypeError(f"no such members: {sorted(unknown)}")
    row = open_for_change(dataset)
    if isinstance(row, Refusal):
        return [row]
    problems = _problems(declared)
    known = {r.picture_id: r for r in PictureRights.objects.filter(picture__in=pictures)}
    new = [picture for picture in pictures if picture.pk not in known]
    lacking = [name for name in _NEEDED if declared.get(name) in (None, "")]
    if new and lacking:
        problems += [
            Problem(name, "写真ごとに必要です。", "Needed for every picture.") for name in lacking
        ]
    if problems:
        return problems
    rows = []
    for picture in pictures:
        record = known.get(picture.pk) or PictureRights(picture=picture)
        for name, value in declared.items():
            setattr(record, name, value)
        record.declared_by, record.declared_at = by, at
        record.save()
        rows.append(record)
    if "bystanders" in declared:
        reopen(row)
    data = {
        "dataset_id": row.pk,
        "request_id": row.request_id,
        "party_id": by.pk,
        "count": len(rows),
        "holders": sorted({record.holder.key for record in rows}),
    }
    append.append("rights.declared", data, at=at)
    return rows


def _problems(declared: Mapping[str, Any]) -> list[Refusal | Problem]:
    found: list[Refusal | Problem] = []
    basis, original = declared.get("basis"), declared.get("original_sha256")
    if basis is not None and basis not in BASES:
        found.append(Refusal("uncleared_copyright", str(basis)[:40]))
    if original and not _HEX.fullmatch(original):
        found.append(Problem("original_sha256", "SHA-256(16進64桁)です。", "A SHA-256 in hex."))
    if declared.get("exposure", "full_clothed") not in EXPOSURE:
        found.append(Problem("exposure", "知らない段階です。", "An unknown level."))
    if set(declared.get("operations") or ()) - set(OPERATIONS):
        found.append(Problem("operations", "知らない修整です。", "An unknown operation."))
    for use in declared.get("works") or ():
        if use.get("kind") not in WORK_KINDS or not (use.get("work") or use.get("title")):
            found.append(
                Problem("works", "種類と題名を入れてください。", "Give a kind and a title.")
            )
    for seen in declared.get("bystanders") or ():
        box = seen.get("box")
        whole = (
            isinstance(box, list)
            and len(box) == 4
            and all(type(e) is int and 0 <= e <= MAX_EDGE for e in box)
        )
        if not whole or not Person.objects.filter(pk=seen.get("person")).exists():
            found.append(
                Problem("bystanders", "人と顔の位置が要ります。", "A person and a box are needed.")
            )
    return found


def bystanders_of(dataset: Dataset) -> dict[str, list[tuple[str, Box]]]:
    """The declared bystanders by the names that the next survey will give the pictures."""
    rows = dataset.pictures.filter(accepted=True).select_related("rights")
    return {
        f"p{number:03d}": [(seen["person"], _box(seen["box"])) for seen in record.bystanders]
        for number, row in enumerate(rows, 1)
        if (record := _record(row)) is not None and record.bystanders
    }


def _box(edges: Sequence[int]) -> Box:
    left, top, right, bottom = map(float, edges)
    return left, top, right, bottom


def sheet_of(dataset: Dataset, report: Report) -> Sheet:
    """The rights sheet of the pictures that are in: as declared, and who was seen in each.

    Pictures without a record are in it too, so that the decision names them.
    """
    rows = dataset.pictures.filter(accepted=True).select_related(
        "rights__holder__person", "rights__holder__organisation", "rights__retoucher"
    )
    return Sheet(tuple(_line(row, seen) for row, seen in zip(rows, report.pictures, strict=True)))


def _record(row: Picture) -> PictureRights | None:
    return getattr(row, "rights", None)


def _line(row: Picture, seen: curation.PictureRecord) -> rules.PictureRights:
    talents = {face.talent for face in seen.faces if face.talent}
    beside = {face.bystander for face in seen.faces if face.bystander and not face.talent}
    line = rules.PictureRights(
        id=seen.id,
        file_sha256=row.file_sha256,
        talents=tuple(sorted(talents)),
        bystanders=tuple(sorted(beside)),
        masks=len(row.masks),
        reservation=row.signals.get("state", "unknown"),
    )
    record = _record(row)
    return line if record is None else _declared(line, record, row)


def _declared(
    line: rules.PictureRights, record: PictureRights, row: Picture
) -> rules.PictureRights:
    operations = sorted({*record.operations, *(["masking"] if row.masks else [])})
    retouch = rules.Retouch(record.original_sha256, tuple(operations), record.retoucher_id or "")
    members = {
        **vars(line),
        "holder": record.holder.key,
        "basis": record.basis,
        "moral_rights": record.moral_rights,
        "exposure": record.exposure,
        "shoot": record.shoot_id,
        "works": tuple(
            sorted(
                (WorkUse(use.get("work") or "", use["kind"]) for use in record.works),
                key=lambda use: (use.work, use.kind),
            )
        ),
        "retouch": retouch if operations or record.original_sha256 else None,
        "creator": creator_state(row.signals, record),
    }
    return rules.PictureRights(**members)


def creator_state(signals: Mapping[str, Any], record: PictureRights) -> str:
    """Whether the maker named in the file is the declared holder (A20)."""
    same = reservations.same_maker(signals, names_of(record.holder))
    if same is None:
        return "unstated"
    if same:
        return "same"
    return "explained" if record.creator_note.strip() else "mismatch"


def names_of(holder: RightsHolder) -> list[str]:
    """Every name under which a holder may stand in a file."""
    if holder.person is not None:
        return [holder.person.display_name, holder.person.display_name_en]
    organisation = holder.organisation
    return [] if organisation is None else [organisation.name, organisation.name_en]


def rights_view(dataset: Dataset) -> list[dict[str, Any]]:
    """Each picture that is in, with its record and what it still lacks.

    Before a survey nobody knows who is shown, and nothing is said about it.
    """
    rows = list(
        dataset.pictures.filter(accepted=True).select_related(
            "rights__holder__person", "rights__holder__organisation", "rights__shoot"
        )
    )
    talents = frozenset(dataset.request.talents.values_list("pk", flat=True))
    confirmed = Work.objects.filter(confirmed_at__isnull=False).prefetch_related("holders")
    works = {work.pk: frozenset(h.key for h in work.holders.all()) for work in confirmed}
    ceiling = Terms.from_payload(dataset.request.terms).exposure
    return [
        _view(row, f"p{number:03d}", talents, works, ceiling) for number, row in enumerate(rows, 1)
    ]


def _view(
    row: Picture,
    name: str,
    talents: frozenset[str],
    works: Mapping[str, frozenset[str]],
    ceiling: str,
) -> dict[str, Any]:
    record = _record(row)
    line = rules.PictureRights(name, row.file_sha256, tuple(sorted(talents)))
    if record is not None:
        line = _declared(line, record, row)
    codes = rules.missing(line, talents, works, ceiling)
    state = row.signals.get("state", "unknown")
    return {
        "name": name,
        "picture": row,
        "rights": record,
        "missing": [Refusal(code, name) for code in codes],
        "reserved": state in rules.RESERVED,
        "reservation": state,
        "statements": row.signals.get("statements", []),
        "creators": row.signals.get("creators", []) or row.signals.get("owners", []),
        "stripped": bool(row.signals.get("stripped")),
        "works": [
            {**use, "cleared": bool(works.get(use.get("work") or ""))}
            for use in (record.works if record else [])
        ],
    }


# --- masking --------------------------------------------------------------------------------------


def picture_mask(
    *, dataset: Dataset, picture: Picture, box: Sequence[int], by: Person
) -> Picture | Refusal:
    """Paint a face over: a new version of the picture takes its place and is what gets sealed.

    Refusals: `wrong_state` once sealed, `terms_invalid` for a box outside, `key_unavailable`.
    """
    key = vault.dataset_key(request=dataset.request, dataset_id=dataset.pk)
    if isinstance(key, Refusal):
        return key
    data = opened(picture.object_digest, key, context=dataset.pk)
    if isinstance(data, Refusal):
        return data
    if len(box) != 4:
        return Refusal("terms_invalid", "a box has four edges")
    left, top, right, bottom = box
    plain = pictures.masked(data, (left, top, right, bottom))
    if isinstance(plain, Refusal):
        return plain
    with transaction.atomic():
        row = open_for_change(dataset)
        if isinstance(row, Refusal):
            return row
        digest = object_store(vault_core.seal(plain.data, key, context=row.pk).data)
        made = picture_row(row, plain, digest, signals=picture.signals)
        made.masks, made.replaces = [*picture.masks, list(box)], picture
        made.save(update_fields=["masks", "replaces"])
        Picture.objects.filter(pk=picture.pk).update(accepted=False)
        _copy_rights(picture, made, by)
        ids = {"dataset_id": row.pk, "request_id": row.request_id, "party_id": by.pk}
        append.append("picture.masked", ids)
    return made


def _copy_rights(picture: Picture, made: Picture, by: Person) -> None:
    record = PictureRights.objects.filter(picture=picture).first()
    if record is None:
        return
    record.pk, record.picture = None, made
    record.declared_by, record.declared_at = by, timezone.now()
    record._state.adding = True
    record.save(force_insert=True)


# --- a false declaration --------------------------------------------------------------------------


@transaction.atomic
def declaration_breach(
    *, grant: Grant, by: Person, code: str, at: datetime | None = None
) -> Refusal | None:
    """An operator finds that a declaration was false: the grant is revoked for cause (A19).

    `code` says which (`uncleared_work`, `uncleared_copyright`, `unknown_face` …). Raises
    `PermissionDenied` for anybody who does not operate the registry. None: it is done.
    """
    at = at or timezone.now()
    if by.user is None or not by.user.is_staff:
        raise PermissionDenied
    if not grant_states.grant_revoke(grant=grant, at=at):
        return Refusal("wrong_state", grant.state)
    data = {"grant_id": grant.pk, "request_id": grant.request_id, "code": Refusal(code).kind}
    append.append("rights.breached", data, at=at)
    return None


def machine_lanes(dataset: Dataset | None) -> list[dict[str, Any]]:
    """What is checked and signed by nobody: the licences of base and tools, and curation."""
    if dataset is None:
        return []
    lanes = clearance.machine_lanes(dataset.request, timezone.now())
    tool = tools.tools_refusal()
    lanes.append(clearance.machine_lane("tool_licence", tool))
    report = dataset.curation
    blocking = [
        Refusal(f"curation_blocked:{finding['code']}")
        for finding in (report or {}).get("findings", [])
        if finding["kind"] == "hard"
    ]
    sealed = dataset.state == Dataset.State.SEALED
    lanes.append(
        clearance.machine_lane("curation", blocking[0] if blocking else None, open_=not sealed)
    )
    return lanes
