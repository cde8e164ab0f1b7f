"""The talents' face templates: sealed with their pictures, gone with their consent.

Beside stages 5 and 7. A template is biometric data. It is encrypted under the data set's key, bound
to the engine, the pack and the settings that made it, and its row is emptied when nothing holds
any more; a withdrawal has destroyed the key before that.

The talent confirms her references by signing the grant: their digests are in the curation report,
and its digest in what she signs. Whoever has not signed is compared with nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.core.cases import LIVE_GRANT, REQUEST_STATES
from registry.core.refusals import Refusal
from registry.core.vault import seal, unseal
from registry.log import append
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import Grant, Talent
from registry.services import vault
from training.engines.base import FaceEngine
from training.engines.survey import Template
from training.models import Dataset, FaceTemplate

_OVER = tuple(state for state, onward in REQUEST_STATES.items() if not onward)


def engine_mark(engine: FaceEngine) -> str:
    """What a template is bound to: the engine, its weights and how it uses them (SHA-256, hex)."""
    said = [engine.id, engine.digest, dict(engine.settings)]
    return hashlib.sha256(canonical.dumps(said)).hexdigest()


def template_keep(
    *, dataset: Dataset, talent: Talent, template: Template, key: bytes, engine: FaceEngine
) -> FaceTemplate:
    """Seal a talent's template beside the data set's pictures, in place of an earlier one."""
    mark = engine_mark(engine)
    context = _context(dataset.pk, talent.pk, mark)
    row, _ = FaceTemplate.objects.update_or_create(
        dataset=dataset,
        talent=talent,
        defaults={
            "engine_mark": mark,
            "sealed": seal(template.dump(), key, context=context).data,
            "erased_at": None,
        },
    )
    return row


def template_open(row: FaceTemplate, engine: FaceEngine) -> Template | Refusal:
    """A stored template, for the engine that made it.

    Refusals: `key_unavailable` after a withdrawal or when it was erased, `engine_altered` for
    another engine, pack or settings, `dataset_mismatch` for a row that was changed.
    """
    if row.sealed is None:
        return Refusal("key_unavailable", row.pk)
    mark = engine_mark(engine)
    if row.engine_mark != mark:
        return Refusal("engine_altered", "the template was made by another engine")
    key = vault.dataset_key(request=row.dataset.request, dataset_id=row.dataset_id)
    if isinstance(key, Refusal):
        return key
    try:
        plain = unseal(
            bytes(row.sealed), key, context=_context(row.dataset_id, row.talent_id, mark)
        )
    except VerificationError as error:
        return Refusal(error.code, error.detail)
    return Template.load(plain)


def enrolled(*, without: Collection[str] = ()) -> list[FaceTemplate]:
    """The templates of everybody who signed and whose grant is in force, but for some talents."""
    rows = FaceTemplate.objects.filter(sealed__isnull=False, dataset__state=Dataset.State.SEALED)
    rows = rows.filter(dataset__request__grants__state__in=("active", "paused"))
    rows = rows.exclude(talent__in=without).select_related("dataset__request")
    return list(rows.order_by("pk").distinct())


def template_erase_sweep(*, at: datetime | None = None) -> int:
    """Erase the templates of cases in which nothing holds any more; returns how many."""
    rows = FaceTemplate.objects.filter(sealed__isnull=False)
    ended = rows.filter(dataset__request__state__in=_OVER)
    live = Grant.objects.filter(state__in=LIVE_GRANT).values("request")
    lapsed = rows.filter(dataset__state=Dataset.State.SEALED).exclude(dataset__request__in=live)
    return sum(_erase(row, at or timezone.now()) for row in {*ended, *lapsed})


def _erase(row: FaceTemplate, at: datetime) -> bool:
    with transaction.atomic():
        rows = FaceTemplate.objects.filter(pk=row.pk, sealed__isnull=False)
        done = rows.update(sealed=None, erased_at=at)
        if done:
            data = {"template_id": row.pk, "dataset_id": row.dataset_id}
            append.append("template.erased", data, at=at)
    return bool(done)


def _context(dataset_id: str, talent_id: str, mark: str) -> str:
    return f"template/{dataset_id}/{talent_id}/{mark}"
