"""A declaration as forms and systems send it: ids and words in, the rows that they name out.

Stage 5, beside `training.services.rights`, which checks and keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from registry.core.terms import Problem
from registry.models import Organisation, Person, RightsHolder, Work
from registry.services import rights as records
from training.models import Dataset, Picture, Shoot
from training.services.rights import shoot_record


def declaration(
    given: Mapping[str, Any], *, dataset: Dataset, by: Person
) -> dict[str, Any] | list[Problem]:
    """What `rights_declare` takes, from ids: what does not exist is named by its member.

    `holder` and `retoucher` are ids; `shoot` is an id of the asking company's, or its three
    members; a work is named by id, or by a title, which proposes it.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in given.items():
        made = _READ.get(name, _as_it_is)(value, dataset, by)
        if isinstance(made, Problem):
            problems.append(made)
        else:
            found[name] = made
    return problems or found


def pictures_named(dataset: Dataset, ids: Sequence[str] | None) -> list[Picture] | Problem:
    """The pictures that are meant: those named, or all that are in."""
    rows = dataset.pictures.all()
    if ids is None:
        return list(rows.filter(accepted=True))
    found = list(rows.filter(pk__in=ids))
    if not found or len(found) != len(set(ids)):
        return Problem("pictures", "写真を選び直してください。", "Choose the pictures again.")
    return found


def _as_it_is(value: Any, _dataset: Dataset, _by: Person) -> Any:
    return value


def _holder(value: Any, _dataset: Dataset, _by: Person) -> RightsHolder | Problem:
    person = Person.objects.filter(pk=str(value)).first()
    if person is not None:
        return records.holder_of(person=person)
    organisation = Organisation.objects.filter(pk=str(value)).first()
    if organisation is not None:
        return records.holder_of(organisation=organisation)
    return _nobody("holder")


def _retoucher(value: Any, _dataset: Dataset, _by: Person) -> Person | Problem | None:
    if not value:
        return None
    return Person.objects.filter(pk=str(value)).first() or _nobody("retoucher")


def _shoot(value: Any, dataset: Dataset, _by: Person) -> Shoot | Problem:
    company = dataset.request.requester
    if isinstance(value, str):
        return Shoot.objects.filter(pk=value, organisation=company).first() or _nobody("shoot")
    day = value.get("shot_on")
    if not isinstance(day, date):
        return Problem("shot_on", "撮影日を入れてください。", "Give the day of the shoot.")
    return shoot_record(
        organisation=company,
        shot_on=day,
        client=value.get("client", ""),
        purpose=value.get("purpose", ""),
    )


def _works(value: Any, _dataset: Dataset, by: Person) -> list[dict[str, str]] | Problem:
    found = []
    for use in value:
        work = Work.objects.filter(pk=use.get("work") or "").first()
        if work is None and use.get("title"):
            made = records.work_propose(by=by, kind=use.get("kind", ""), title=use["title"])
            if isinstance(made, Problem):
                return made
            work = made
        if work is None:
            return _nobody("works")
        found.append({"work": work.pk, "kind": use.get("kind", work.kind), "title": work.title})
    return found


def _nobody(member: str) -> Problem:
    return Problem(member, "見つかりません。", "There is no such thing.")


_READ: Final[Mapping[str, Callable[[Any, Dataset, Person], Any]]] = {
    "holder": _holder,
    "retoucher": _retoucher,
    "shoot": _shoot,
    "works": _works,
}
