"""A case about pictures with several people in it, for the tests of the rights around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from registry.core.refusals import Refusal
from registry.core.terms import Problem
from registry.models import Grant, Organisation, Talent, TrainingRequest
from registry.services import parties, rights
from tests.services.sitters import Sitters, sitting
from tests.services.studio import Studio
from tests.web.pages import login
from tests.world import Human, human
from training.models import Dataset, Picture
from training.services import curation, datasets


@dataclass
class Sitter:
    """A further talent with an agency of her own."""

    who: Human
    officer: Human
    talent: Talent
    agency: Organisation


def newcomer(name: str, number: int) -> Sitter:
    """A talent whom the engine knows as person `number`, and her agency's officer."""
    who, officer = human(name), human(f"{name}s officer")
    for person in (who, officer):
        assert not isinstance(person.enrol(), Refusal)
    agency = _made(parties.organisation_create(kind="agency", name=f"{name} agency"))
    parties.membership_add(person=officer.person, organisation=agency, role="officer")
    talent = _made(parties.talent_create(person=who.person, birth_date=date(1997, 5, number)))
    parties.representation_begin(talent=talent, agency=agency, begun_on=date(2021, 4, 1))
    return Sitter(who, officer, talent, agency)


def _made(found: Any) -> Any:
    assert not isinstance(found, Problem), found
    return found


def filled(
    studio: Studio,
    request: TrainingRequest,
    pictures: Sequence[bytes],
    people: dict[Talent, int] | None = None,
) -> Dataset:
    """A data set of these pictures, all declared as charlie's; references of each talent."""
    dataset = datasets.dataset_open(request=request)
    for data in pictures:
        row = datasets.picture_add(dataset=dataset, data=data)
        assert isinstance(row, Picture), row
    for talent, number in (people or {studio.world.talent: 0}).items():
        for seed in range(3):
            shown = sitting(900 + 10 * number + seed, number)
            kept = datasets.reference_add(dataset=dataset, talent=talent, data=shown)
            assert not isinstance(kept, Refusal), kept
    studio.declare(dataset)
    return dataset


def sealed(studio: Studio, dataset: Dataset) -> Grant | list[Refusal]:
    """Survey, take on what the craft finds, seal: the grant, or why not."""
    report = curation.dataset_survey(dataset=dataset, engine=Sitters())
    assert not isinstance(report, Refusal), report
    for finding in report.findings:
        if finding.kind == "soft":
            studio.accept(dataset, finding.code)
    return curation.dataset_seal(dataset=dataset)


def codes(found: Any) -> set[str]:
    """The codes of the refusals."""
    assert isinstance(found, list), found
    return {refusal.code for refusal in found}


def solo(count: int = 5, start: int = 0) -> list[bytes]:
    """Pictures of alice alone."""
    return [sitting(seed, 0) for seed in range(start, start + count)]


def staff(name: str = "operator") -> Human:
    """Somebody who operates the registry."""
    who = human(name)
    login(who.person)
    assert who.person.user is not None
    who.person.user.is_staff = True
    who.person.user.save()
    return who


def committee(delegate: Human | None) -> Any:
    """A production committee of two companies; `delegate` has its mandate."""
    row = rights.committee_form(
        organisation=_made(parties.organisation_create(kind="client", name="『星の港』製作委員会")),
        members=[
            _made(parties.organisation_create(kind="client", name=name))
            for name in ("Hoshi Publishing", "Minato Stage")
        ],
    )
    if delegate is not None:
        given = rights.mandate_give(
            holder=row, person=delegate.person, proof_sha256="ab" * 32, begun_on=date(2026, 1, 1)
        )
        assert not isinstance(given, Refusal), given
    return row
