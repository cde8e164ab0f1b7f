"""Licence drift on this floor: what was trained and delivered under a grant that a licence holds.

Stages 4 to 8. The registry pauses the grant and knows nothing of jobs; this floor finds out by
reading. A run under way stops at its next lease (`paused`), a delivery is refused, and what was
made is frozen until a person has set the grant free again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.core.licences import Reason
from registry.core.refusals import Refusal
from registry.log import append
from registry.models import Grant, GrantHold, ModelRevision
from registry.services import drift as registry_drift
from registry.services.drift import REASON
from training.models import Delivery, Lora, TrainingJob


@dataclass(frozen=True)
class Affected:
    """A grant that a revision concerns, with everything that was made under it."""

    grant: Grant
    refusals: tuple[Refusal, ...]
    reasons: tuple[Reason, ...]
    changed: bool
    jobs: tuple[TrainingJob, ...]
    loras: tuple[Lora, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def holds(self) -> bool:
        """Whether the licences still cover the grant's terms."""
        return not self.refusals


def drift_of(revision: ModelRevision, *, at: datetime | None = None) -> list[Affected]:
    """Everything that was made on a model, held against one revision of its facts."""
    return [
        Affected(
            grant=item.grant,
            refusals=item.refusals,
            reasons=item.reasons,
            changed=item.changed,
            jobs=tuple(TrainingJob.objects.filter(grant=item.grant).order_by("created_at")),
            loras=tuple(Lora.objects.filter(job__grant=item.grant).order_by("created_at")),
            deliveries=tuple(
                Delivery.objects.filter(lora__job__grant=item.grant)
                .select_related("recipient")
                .order_by("created_at")
            ),
        )
        for item in registry_drift.drift_of(revision, at=at)
    ]


def lines(found: list[Affected]) -> list[str]:
    """The list for an operator's terminal: ids and codes, nobody's name."""
    rows = []
    for item in found:
        given = [f"{reason.refusal.code} ({reason.part.name})" for reason in item.reasons]
        codes = ", ".join(given or [refusal.code for refusal in item.refusals]) or "covered"
        rows.append(f"{item.grant.pk} {item.grant.state}: {codes}")
        rows += [f"  {job.pk} {job.state}" for job in item.jobs]
        rows += [f"  {lora.pk} {lora.state}" for lora in item.loras]
        rows += [f"  {row.pk} to {row.recipient_id}" for row in item.deliveries]
    held = sum(not item.holds for item in found)
    return [*rows, f"{len(found)} grants on this model, {held} no longer covered"]


def lora_licence_sweep(*, at: datetime | None = None) -> int:
    """Freeze every LoRA whose grant a licence holds, and thaw what a person has set free; returns
    how many were frozen.

    Only what was frozen for this reason thaws; delivering and fetching look at the grant
    themselves, so nothing hangs on when this runs.
    """
    at = at or timezone.now()
    held = GrantHold.objects.filter(reason=REASON, lifted_at=None).values("grant")
    frozen = [
        _turn(lora, Lora.State.SEALED, Lora.State.FROZEN, at)
        for lora in Lora.objects.filter(state=Lora.State.SEALED, job__grant__in=held)
    ]
    free = Lora.objects.filter(state=Lora.State.FROZEN, frozen_code=REASON)
    for lora in free.filter(job__grant__state="active").exclude(job__grant__in=held):
        _turn(lora, Lora.State.FROZEN, Lora.State.SEALED, at)
    return sum(frozen)


def _turn(lora: Lora, old: str, new: str, at: datetime) -> bool:
    """One LoRA from one state to the other by compare-and-set, with its log entry."""
    freezing = new == Lora.State.FROZEN
    with transaction.atomic():
        changed = Lora.objects.filter(pk=lora.pk, state=old).update(
            state=new,
            frozen_code=REASON if freezing else "",
            frozen_at=at if freezing else None,
        )
        if changed:
            if freezing:
                data = {"lora_id": lora.pk, "code": REASON}
                event = append.append("lora.frozen", data, at=at)
            else:
                event = append.append("lora.thawed", {"lora_id": lora.pk, "code": REASON}, at=at)
            Lora.objects.filter(pk=lora.pk).update(frozen_event=event if freezing else "")
    return bool(changed)
