"""Rights around a picture and licence facts, as the log tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from registry.log.replay import Event, Row, Rule, derived
from registry.models import Mandate, ModelRevision, Work


class Mandates(Rule):
    """Who signs for a holder of rights, by the hash of the paper."""

    table = "registry_mandate"
    reads = frozenset({"mandate.given", "mandate.ended"})

    def tell(self, event: Event) -> None:
        """Given to one person; ended by naming a last day."""
        data = event.data
        if event.kind == "mandate.ended":
            self.say(event, data["mandate_id"], ended=True)
            return
        self.say(
            event,
            data["mandate_id"],
            holder=data["holder"],
            person=data["party_id"],
            proof_sha256=data["proof_sha256"],
            ended=False,
        )

    def rows(self) -> Iterator[Row]:
        """Every mandate."""
        for row in Mandate.objects.select_related("holder").order_by("pk").iterator():
            columns = {
                "holder": row.holder.key,
                "person": row.person_id,
                "proof_sha256": row.proof_sha256,
                "ended": row.ended_on is not None,
            }
            yield Row(row.pk, row.pk, columns)


class Works(Rule):
    """Characters, costumes and works whose holders an operator confirmed."""

    table = "registry_work"
    reads = frozenset({"work.confirmed"})

    def tell(self, event: Event) -> None:
        """Confirmed, again when the holders change."""
        data = event.data
        self.say(event, data["work_id"], kind=data["kind"], holders=tuple(data["holders"]))

    def rows(self) -> Iterator[Row]:
        """Every confirmed work."""
        confirmed = Work.objects.filter(confirmed_at__isnull=False).prefetch_related("holders")
        for row in confirmed.order_by("pk"):
            holders = tuple(sorted(holder.key for holder in row.holders.all()))
            yield Row(row.pk, row.pk, {"kind": row.kind, "holders": holders})


class Revisions(Rule):
    """Licence facts as somebody read them on a day, and what is inside a model."""

    table = "registry_modelrevision"
    reads = frozenset({"model.recorded", "model.revised"})

    def tell(self, event: Event) -> None:
        """Written once and for ever."""
        data = event.data
        self.say(
            event,
            data["revision_id"],
            model=data["model_id"],
            number=data["number"],
            facts_sha256=data["facts_sha256"],
            facts=data["facts_sha256"],
            parts=tuple(data["parts"]),
            event=event.id,
        )

    def rows(self) -> Iterator[Row]:
        """Every revision."""
        for row in ModelRevision.objects.order_by("pk").prefetch_related("parts"):
            yield Row(
                row.pk,
                row.pk,
                {
                    "model": row.record_id,
                    "number": row.number,
                    "facts_sha256": row.facts_sha256,
                    "facts": derived(partial(_facts_digest, row)),
                    "parts": tuple(sorted({part.part_id for part in row.parts.all()})),
                    "event": row.event,
                },
            )


def _facts_digest(row: ModelRevision) -> str:
    return row.core().digest()
