"""What the log tells of training's rows: the rules of `manage.py fsck` for this floor.

A new event type is named here, in a rule that reads it or in `SILENT`; a test holds that. A run
that lost its lease is queued again without an event, so a job that lives may wait or be held.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from registry.core.approvals import Approval
from registry.core.rights import Sheet
from registry.log.core import canonical, keys
from registry.log.replay import Event, Row, Rule, derived
from training.core import curation, probes
from training.models import (
    Dataset,
    Delivery,
    Download,
    Lora,
    OutputDecision,
    OutputProbe,
    SampleSheet,
    TrainingJob,
    WatermarkEpoch,
    Worker,
)
from training.services.datasets import dataset_manifest
from training.services.imaging import manifest_sha256
from training.services.runs import statement_sha256

# Events that change no row that these rules hold: a "no" that was given, the first step of a run,
# what happens to an open set, a cause whose effect `grant.ended` tells, the end of what no entry
# told of.
SILENT: Final = frozenset(
    {
        "dataset.refused",
        "run.started",
        "rights.declared",
        "picture.masked",
        "rights.breached",
        "template.erased",
    }
)
_State = TrainingJob.State
_OPEN: Final = frozenset({Dataset.State.UPLOADING.value, Dataset.State.CURATED.value})
_WAITING: Final = frozenset({_State.QUEUED.value, _State.CLAIMED.value})


class Workers(Rule):
    """GPU machines: their keys never change, and only an approved one claims jobs."""

    table = "training_worker"
    reads = frozenset({"worker.enrolled", "worker.approved"})

    def tell(self, event: Event) -> None:
        """Enrolled with a key; approved once."""
        key, jkt = event.data["worker_id"], event.data["jkt"]
        approved = event.kind == "worker.approved"
        self.say(event, key, jkt=jkt, public_raw=jkt, approved=approved)

    def rows(self) -> Iterator[Row]:
        """Every worker."""
        for row in Worker.objects.order_by("pk").iterator():
            columns = {
                "jkt": row.jkt,
                "public_raw": keys.thumbprint(bytes(row.public_raw)),
                "approved": row.approved_at is not None,
            }
            yield Row(row.pk, row.pk, columns)


class Datasets(Rule):
    """Sealed data sets: root, report and pictures stay as they were sealed."""

    table = "training_dataset"
    reads = frozenset({"dataset.sealed", "dataset.reopened"})

    def tell(self, event: Event) -> None:
        """Sealed until it is reopened. Pictures may be gone altogether, and must not be others."""
        data = event.data
        if event.kind == "dataset.reopened":
            self.forget(data["dataset_id"])
            self.say(event, data["dataset_id"], state=_OPEN, request=data["request_id"])
            return
        self.say(
            event,
            data["dataset_id"],
            state=Dataset.State.SEALED.value,
            request=data["request_id"],
            root=data["dataset_root"],
            pictures=frozenset({data["dataset_root"], ""}),
            count=data["count"],
            curation_digest=data["curation_digest"],
            curation=data["curation_digest"],
            rights=data["rights_digest"],
            sealed_event=event.id,
        )

    def rows(self) -> Iterator[Row]:
        """The sealed ones, and those of which the log says that they were sealed."""
        for row in Dataset.objects.order_by("pk").iterator():
            if row.state == Dataset.State.SEALED or row.pk in self.told:
                yield Row(row.pk, row.pk, self._columns(row))

    def _columns(self, row: Dataset) -> dict[str, object]:
        pictures = row.pictures.filter(accepted=True).exists()
        return {
            "state": row.state,
            "request": row.request_id,
            "root": row.root,
            "pictures": derived(lambda: dataset_manifest(row).root()) if pictures else "",
            "count": row.count,
            "curation_digest": row.curation_digest,
            "curation": derived(lambda: canonical.digest(curation.FORMAT, row.curation).hex()),
            "rights": derived(lambda: Sheet.from_payload(row.rights).digest()),
            "sealed_event": row.sealed_event,
        }


class Jobs(Rule):
    """Runs: for which grant, how far, under which token, and how they ended."""

    table = "training_trainingjob"
    reads = frozenset(
        {
            "run.queued",
            "run.admitted",
            "run.finished",
            "run.stopped",
            "run.failed",
            "run.refused",
            "lora.sealed",
        }
    )

    def tell(self, event: Event) -> None:
        """A refusal before there was a job names none."""
        data = event.data
        if event.kind == "run.queued":
            self.say(
                event,
                data["job_id"],
                request=data["request_id"],
                grant=data["grant_id"],
                state=_WAITING,
                queued_event=event.id,
                admitted_event="",
                ended_event="",
            )
        elif event.kind == "run.admitted":
            held = _WAITING | {_State.TRAINING.value}
            self.say(event, data["job_id"], state=held, admitted_event=event.id)
        elif "job_id" in data:
            self._after(event)

    def _after(self, event: Event) -> None:
        data, key = event.data, event.data["job_id"]
        if event.kind == "lora.sealed":
            self.say(event, key, state=_State.DONE.value)
        elif event.kind == "run.finished":
            self.say(event, key, state=_State.FINALISING.value, ended_event=event.id)
        elif data.get("again"):
            self.say(event, key, state=_WAITING)
        else:
            ended = event.kind.partition(".")[2]
            self.say(event, key, state=ended, ended_event=event.id, refusal_code=data["code"])

    def rows(self) -> Iterator[Row]:
        """Every job."""
        for row in TrainingJob.objects.order_by("pk").iterator():
            yield Row(
                row.pk,
                row.pk,
                {
                    "request": row.request_id,
                    "grant": row.grant_id,
                    "state": row.state,
                    "queued_event": row.queued_event,
                    "admitted_event": row.admitted_event,
                    "ended_event": row.ended_event,
                    "refusal_code": row.refusal_code,
                },
            )


class Loras(Rule):
    """What runs made: the master's digest, the signed statement, whether it is frozen."""

    table = "training_lora"
    reads = frozenset({"lora.sealed", "lora.frozen", "lora.thawed"})

    def tell(self, event: Event) -> None:
        """Sealed once; frozen for good, or until a licence allows it again."""
        data = event.data
        if event.kind == "lora.thawed":
            sealed = Lora.State.SEALED.value
            self.say(event, data["lora_id"], state=sealed, frozen_code="", frozen_event="")
            return
        if event.kind == "lora.frozen":
            self.say(
                event,
                data["lora_id"],
                state=Lora.State.FROZEN.value,
                frozen_code=data["code"],
                frozen_event=event.id,
            )
            return
        self.say(
            event,
            data["lora_id"],
            job=data["job_id"],
            tensor_sha256=data["tensor_sha256"],
            run_statement=data["run_statement_sha256"],
            watermark_profile=data["watermark_profile"],
            state=Lora.State.SEALED.value,
            sealed_event=event.id,
            frozen_event="",
        )

    def rows(self) -> Iterator[Row]:
        """Every LoRA."""
        for row in Lora.objects.order_by("pk").iterator():
            yield Row(
                row.pk,
                row.pk,
                {
                    "job": row.job_id,
                    "tensor_sha256": row.tensor_sha256,
                    "run_statement": derived(partial(statement_sha256, row.run_statement)),
                    "watermark_profile": row.watermark_profile,
                    "state": row.state,
                    "sealed_event": row.sealed_event,
                    "frozen_code": row.frozen_code,
                    "frozen_event": row.frozen_event,
                },
            )


class Deliveries(Rule):
    """Copies that were handed over: to whom, which bytes, and whether they were fetched."""

    table = "training_delivery"
    reads = frozenset({"delivery.made", "delivery.fetched"})

    def tell(self, event: Event) -> None:
        """Made once; fetched as often as a link was made for it."""
        data = event.data
        if event.kind == "delivery.fetched":
            self.say(event, data["delivery_id"], fetched=True)
            return
        self.say(
            event,
            data["delivery_id"],
            lora=data["lora_id"],
            recipient=data["recipient_id"],
            file_sha256=data["file_sha256"],
            tensor_sha256=data["tensor_sha256"],
            statement=data["statement_sha256"],
            epoch=data["watermark_epoch"],
            event=event.id,
            fetched=False,
        )

    def rows(self) -> Iterator[Row]:
        """Every delivery."""
        for row in Delivery.objects.order_by("pk").iterator():
            yield Row(
                row.pk,
                row.pk,
                {
                    "lora": row.lora_id,
                    "recipient": row.recipient_id,
                    "file_sha256": row.file_sha256,
                    "tensor_sha256": row.tensor_sha256,
                    "statement": derived(partial(statement_sha256, row.statement)),
                    "epoch": str(row.epoch),
                    "event": row.event,
                    "fetched": row.fetched_at is not None,
                },
            )


class Downloads(Rule):
    """Each time that a delivery was handed out, by the event that told of it."""

    table = "training_download"
    reads = frozenset({"delivery.fetched"})

    def tell(self, event: Event) -> None:
        """Once, by one link."""
        data = event.data
        self.say(event, event.id, delivery=data["delivery_id"], link_number=data["link_number"])

    def rows(self) -> Iterator[Row]:
        """Every one."""
        for row in Download.objects.order_by("pk").iterator():
            yield Row(
                row.event,
                row.event,
                {"delivery": row.delivery_id, "link_number": row.link_number},
            )


class Sheets(Rule):
    """The marked sheets of what runs drew."""

    table = "training_samplesheet"
    reads = frozenset({"image.made"})

    def tell(self, event: Event) -> None:
        """Once a LoRA."""
        data = event.data
        self.say(
            event,
            data["lora_id"],
            sheet_sha256=data["sheet_sha256"],
            manifest=data["manifest_sha256"],
            event=event.id,
        )

    def rows(self) -> Iterator[Row]:
        """Every one."""
        for row in SampleSheet.objects.order_by("pk").iterator():
            yield Row(
                row.lora_id,
                row.lora_id,
                {
                    "sheet_sha256": row.sha256,
                    "manifest": derived(partial(manifest_sha256, row)),
                    "event": row.event,
                },
            )


class Epochs(Rule):
    """Key epochs of the watermark after the first."""

    table = "training_watermarkepoch"
    reads = frozenset({"watermark.rotated"})

    def tell(self, event: Event) -> None:
        """Begun once."""
        self.say(event, event.data["epoch"], event=event.id)

    def rows(self) -> Iterator[Row]:
        """Every one."""
        for row in WatermarkEpoch.objects.order_by("pk").iterator():
            yield Row(str(row.pk), str(row.pk), {"event": row.event})


class Outputs(Rule):
    """What those who signed said of the outputs, by the event that told of it."""

    table = "training_outputdecision"
    reads = frozenset({"output.approved", "output.returned"})

    def tell(self, event: Event) -> None:
        """Said once; a change of mind is another row."""
        data = event.data
        self.say(
            event,
            event.id,
            lora=data["lora_id"],
            person=data["party_id"],
            by=data["by"],
            decision=event.kind.partition(".")[2],
            payload=data.get("assertion_sha256", ""),
        )

    def rows(self) -> Iterator[Row]:
        """Every decision."""
        for row in OutputDecision.objects.order_by("pk").iterator():
            columns = {
                "lora": row.lora_id,
                "person": row.person_id,
                "by": row.by,
                "decision": row.decision,
                "payload": derived(partial(_assertion_sha256, row.payload)),
            }
            yield Row(row.event, row.pk, columns)


def _assertion_sha256(payload: object) -> str:
    return "" if payload is None else Approval.from_payload(payload).digest().hex()


class Probes(Rule):
    """What samples showed: one report a LoRA, and an operator's word on what was held."""

    table = "training_outputprobe"
    reads = frozenset({"output.probed", "output.released", "output.upheld"})

    def tell(self, event: Event) -> None:
        """Measured once; settled once."""
        data = event.data
        if event.kind == "output.probed":
            self.say(
                event,
                data["lora_id"],
                report_digest=data["report_digest"],
                report=data["report_digest"],
                held=data["held"],
                decision="",
            )
        else:
            self.say(event, data["lora_id"], decision=event.kind.partition(".")[2])

    def rows(self) -> Iterator[Row]:
        """Every probe."""
        for row in OutputProbe.objects.order_by("pk").iterator():
            columns = {
                "report_digest": row.report_digest,
                "report": derived(partial(_report_digest, row.report)),
                "held": bool(row.held),
                "decision": row.decision,
            }
            yield Row(row.lora_id, row.pk, columns)


def _report_digest(report: object) -> str:
    return canonical.digest(probes.FORMAT, report).hex()


def rules() -> list[Rule]:
    """This floor's rules, new each time: a rule keeps what it was told."""
    kinds: list[type[Rule]] = [Workers, Datasets, Jobs, Loras, Outputs, Probes]
    return [kind() for kind in (*kinds, Sheets, Deliveries, Downloads, Epochs)]
