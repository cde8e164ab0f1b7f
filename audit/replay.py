"""What the log tells of auditing's rows: the rules of `manage.py fsck` for this floor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from audit.models import TraceFound, UseReport
from registry.log.core import canonical
from registry.log.replay import Event, Row, Rule

# Events that change no row: a pack that was handed out.
SILENT: Final = frozenset({"evidence.exported"})
_PLAIN: Final = ("medium", "country", "quantity", "impressions", "unit_price_jpy")


class Uses(Rule):
    """Reported uses. A report is never changed, whatever it says."""

    table = "audit_usereport"
    reads = frozenset({"use.reported"})

    def tell(self, event: Event) -> None:
        """Reported once."""
        data = event.data
        plain = {name: data[name] for name in _PLAIN}
        self.say(
            event,
            data["use_id"],
            delivery=data["delivery_id"],
            first_day=data["first_day"],
            context=canonical.dumps(data["context"]),
            outside=tuple(data["outside"]),
            event=event.id,
            **plain,
        )

    def rows(self) -> Iterator[Row]:
        """Every report."""
        for row in UseReport.objects.order_by("pk").iterator():
            columns = {
                "delivery": row.delivery_id,
                "first_day": row.first_day.isoformat(),
                "context": canonical.dumps(row.context),
                "outside": tuple(row.outside),
                "event": row.event,
                **{name: getattr(row, name) for name in _PLAIN},
            }
            yield Row(row.pk, row.pk, columns)


class Traces(Rule):
    """Files that were recognised."""

    table = "audit_tracefound"
    reads = frozenset({"trace.found"})

    def tell(self, event: Event) -> None:
        """Found once."""
        names = ("file_sha256", "how", "band", "lora_id", "delivery_id")
        said = {name.removesuffix("_id"): event.data[name] for name in names}
        self.say(event, event.data["trace_id"], **said, event=event.id)

    def rows(self) -> Iterator[Row]:
        """Every trace."""
        for row in TraceFound.objects.order_by("pk").iterator():
            columns = {
                "file_sha256": row.file_sha256,
                "how": row.how,
                "band": row.band,
                "lora": row.lora_id,
                "delivery": row.delivery_id,
                "event": row.event,
            }
            yield Row(row.pk, row.pk, columns)


def rules() -> list[Rule]:
    """This floor's rules, new each time: a rule keeps what it was told."""
    return [Uses(), Traces()]
