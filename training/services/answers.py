"""A counter-offer is accepted in one step: the set is narrowed and sealed anew, everybody signs.

Stage 5 after stage 2. The registry has the offer and the terms; the pictures are here. Nothing is
signed on anybody's behalf: what comes of it is a new grant that waits for every signature.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.core.terms import Problem
from registry.models import Grant, Lane, Person
from registry.services import answers
from training.core.curation import Acceptance
from training.engines.base import FaceEngine
from training.models import Dataset
from training.services import curation, datasets


def counter_accept(
    *, lane: Lane, by: Person, engine: FaceEngine | None = None, at: datetime | None = None
) -> Grant | list[Refusal | Problem] | list[Refusal]:
    """Take the offer of a lane: its terms, without the pictures it leaves out, sealed and asked.

    With pictures left out the rest is surveyed again, so an engine is needed then
    (`engine_missing`). A refusal leaves the case returned, with the terms and pictures as far as
    they were taken: the requester goes on by hand. Raises `PermissionDenied`.
    """
    at = at or timezone.now()
    with transaction.atomic():
        taken = answers.counter_take(lane=lane, by=by, at=at)
        names = [item for item in taken if isinstance(item, str)]
        refusals = [item for item in taken if not isinstance(item, str)]
        if refusals:
            return refusals
        dataset = Dataset.objects.get(request=lane.grant.request_id)
        opened = datasets.dataset_reopen(dataset=dataset, at=at)
        if isinstance(opened, Refusal):
            transaction.set_rollback(True)
            return [opened]
        for picture in opened.pictures.filter(pk__in=names, accepted=True):
            datasets.picture_leave_out(dataset=opened, picture=picture)
    if names:
        again = _survey_again(opened, lane.grant, engine)
        if again is not None:
            return [again]
    return curation.dataset_seal(dataset=opened, at=at)


def _survey_again(dataset: Dataset, grant: Grant, engine: FaceEngine | None) -> Refusal | None:
    """The report of the pictures that are left; points taken on before are taken on as before."""
    if engine is None:
        return Refusal("engine_missing", "the pictures that are left are checked again")
    before = [Acceptance(**item) for item in dataset.acceptances]
    report = curation.dataset_survey(dataset=dataset, engine=engine)
    if isinstance(report, Refusal):
        return report
    codes = {finding.code for finding in report.findings if finding.kind == "soft"}
    kept = [item for item in before if item.code in codes and not item.picture]
    Dataset.objects.filter(pk=dataset.pk).update(
        acceptances=[dataclasses.asdict(item) for item in kept]
    )
    dataset.refresh_from_db()
    return None
