"""The report of a data set as a file: for whoever may open the case, pictures for her side only.

Stage 5. Trusts the stored report. The words come from it alone; miniatures are decrypted for
readers who see the pictures on their page, too.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from django.utils import timezone

from registry.core.refusals import Locale, Refusal
from registry.models import Person
from registry.selectors import hidden_talents, may_see_pictures
from registry.services import vault
from training import selectors
from training.core import curation as rules
from training.core.curation_sheet import Sheet, sheet, word
from training.models import Dataset, Picture
from training.services import curation, curation_print
from training.services.datasets import opened

FORMS: Final = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


def report_file(
    *, dataset: Dataset, person: Person, form: str, locale: Locale, at: datetime | None = None
) -> bytes | Refusal:
    """The report as one HTML file or as a PDF. `wrong_state` before the pictures were checked."""
    if dataset.curation is None:
        return Refusal("wrong_state", "the pictures have not been checked")
    report = curation.report_of(
        {**dataset.curation, "acceptances": dataset.curation["acceptances"] or dataset.acceptances}
    )
    rows = {row.file_sha256: row for row in dataset.pictures.all()}
    page = _page(report, rows, locale)
    drawn = _miniatures(report, rows, dataset, person)
    if form == "html":
        return curation_print.html(page, drawn).encode()
    # The machine's form names every talent of a blend: not for who may not know the others (R17).
    hidden = hidden_talents(person, dataset.request)
    machine = b"" if hidden else json.dumps(rules.to_json(report), ensure_ascii=False).encode()
    return curation_print.pdf(page, drawn, machine, at or dataset.sealed_at or timezone.now())


def _page(report: rules.Report, rows: dict[str, Picture], locale: Locale) -> Sheet:
    """Pictures by their place in the set, as every page of the case calls them."""
    place = {item.id: f"{word('picture', locale)} {n}" for n, item in enumerate(report.pictures, 1)}
    # A masked version took the place of a picture: that one is in, in another form.
    out = [row.pk for row in rows.values() if not row.accepted and not row.replaced_by.exists()]
    return sheet(report, place, [], locale, out=out)


def _miniatures(
    report: rules.Report, rows: dict[str, Picture], dataset: Dataset, person: Person
) -> dict[str, bytes]:
    request = dataset.request
    if not (may_see_pictures(person, request) and selectors.pictures_readable(request)):
        return {}
    key = vault.dataset_key(request=request, dataset_id=dataset.pk)
    shown = {row.pk for _place, row in selectors.pictures_shown(person, dataset)}
    found = {}
    for record in report.pictures:
        row = rows.get(record.file_sha256)
        if row is None or row.pk not in shown or isinstance(key, Refusal):
            continue
        data = opened(row.object_digest, key, context=dataset.pk)
        if not isinstance(data, Refusal):
            found[record.id] = curation_print.miniature(data, record)
    return found
