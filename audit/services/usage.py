"""Reported uses of a delivered LoRA. Stage 9.

Trusts the reporter for the facts and the grant for the limits. Every use is recorded and logged,
the ones outside the terms too: the answer says what they go beyond.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from audit.core import uses
from audit.core.uses import Ended, Use
from audit.models import UseReport
from registry.core import vocabulary as words
from registry.core.ids import new_id
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.log import append
from registry.models import Grant, Person
from registry.selectors import core_grant, organisations_of
from training.models import Delivery
from training.services.faults import grant_code


def use_report(
    *, delivery: Delivery, by: Person, use: Use, note: str = "", at: datetime | None = None
) -> UseReport | Refusal:
    """Record one use by the delivery's recipient.

    (1) the reporter acts for the recipient; (2) the words are of the vocabulary; (3) the units of
    all reports of the grant are counted under its lock; (4) row and `use.reported` together.
    Refusals: `wrong_state` for anybody else, `terms_invalid` for a word or number that is none.
    """
    at = at or timezone.now()
    # (1)
    if not organisations_of(by).filter(pk=delivery.recipient_id).exists():
        return Refusal("wrong_state", "only the recipient reports uses")
    # (2)
    refusal = _unreadable(use)
    if refusal is not None:
        return refusal
    with transaction.atomic():
        # (3)
        grant = Grant.objects.select_for_update().get(pk=delivery.lora.job.grant_id)
        found = uses.outside(
            core_grant(grant).terms,
            use,
            used=_used(grant, "quantity"),
            used_impressions=_used(grant, "impressions"),
            ended=_ended(grant, at),
        )
        # (4)
        row = UseReport(
            id=new_id("use"),
            delivery=delivery,
            reported_by=by,
            medium=use.medium,
            country=use.country,
            quantity=use.quantity,
            impressions=use.impressions,
            unit_price_jpy=use.unit_price_jpy,
            context={
                "transformations": list(use.transformations),
                "exposure": use.exposure,
                "categories": list(use.categories),
                "name_shown": use.name_shown,
                "stock": use.stock,
            },
            first_day=use.first_day,
            note=note,
            outside=list(found),
            reported_at=at,
        )
        row.event = append.append("use.reported", _logged(row), at=at)
        row.save(force_insert=True)
    return row


def _unreadable(use: Use) -> Refusal | None:
    """`terms_invalid` for a word of no vocabulary or a number that is none, naming the member."""
    known = {
        "medium": use.medium in words.MEDIA,
        "country": use.country in words.TERRITORY,
        "quantity": use.quantity >= 0,
        "impressions": use.impressions >= 0,
        "unit_price_jpy": use.unit_price_jpy >= 0,
        "transformations": set(use.transformations) <= words.TRANSFORMATIONS.keys(),
        "exposure": use.exposure in words.EXPOSURE,
        "categories": set(use.categories) <= words.CATEGORIES.keys(),
    }
    wrong = [name for name, holds in known.items() if not holds]
    return Refusal("terms_invalid", ", ".join(wrong)) if wrong else None


def _ended(grant: Grant, at: datetime) -> Ended | None:
    """How the grant stands if it holds no longer. A minor's or intimate case ends for safety."""
    code = grant_code(grant, at)
    if code is None:
        return None
    on = jst_day(grant.ended_at or at)
    minor = any(talent.is_minor(on) for talent in grant.request.talents.all())
    return Ended(code, on, safety=minor or core_grant(grant).terms.intimate())


def _used(grant: Grant, member: str) -> int:
    rows = UseReport.objects.filter(delivery__lora__job__grant=grant)
    return rows.aggregate(total=Sum(member))["total"] or 0


def _logged(row: UseReport) -> dict[str, object]:
    return {
        "use_id": row.id,
        "delivery_id": row.delivery_id,
        "medium": row.medium,
        "country": row.country,
        "first_day": row.first_day.isoformat(),
        "quantity": row.quantity,
        "impressions": row.impressions,
        "unit_price_jpy": row.unit_price_jpy,
        "context": dict(row.context),
        "outside": list(row.outside),
    }
