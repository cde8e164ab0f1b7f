"""Whose file is this? From any bytes to the licence under which they were made. Stage 9.

Five ways, the surest first: the file's hash, its tensors' hash (a changed header), the watermark (a
renamed, converted, re-factored or merged copy), the watermark beside the escrowed master (one
altered further), the lineage sketch (altered beyond the mark: that
opens an inquiry and proves nothing). Trusts the registry's rows and keys. Answers in bands, never
with a score, which would teach how to get under it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.core import lineage
from audit.core.findings import Finding
from audit.models import TraceFound
from audit.services import registered, tracing_pictures
from registry.core.refusals import Refusal
from registry.log import append
from registry.log.core.errors import VerificationError
from registry.models import Person
from training.core import escrow, fingerprint, watermark_code, watermark_reading, weights
from training.core.weights import Weights
from training.models import Delivery, Lora
from training.services import epochs
from training.services.faults import grant_code
from training.services.sealing import lora_master

How = Literal["file", "tensors", "watermark", "lineage", "manifest", "imagemark", "alike"]
# exact: the same bytes. certain: of a file in which no marked copy was used, one false answer in
# 10^9, whatever it holds. possible: near enough to be looked into by a person.
Band = Literal["exact", "certain", "possible"]
FPR: Final = 1e-9
AGAIN: Final = timedelta(days=1)
# Rows and columns of one layer (the largest known has 24,576), of all shapes together, and the
# cubes of all ranks (800 layers of rank 256).
MAX_SIDES: Final = 2**15
MAX_ALL_SIDES: Final = 2**19
MAX_WORK: Final = 2 * 10**10
# Opened for one question, by each of the two sketches: each costs a decryption and a reading.
MAX_MASTERS: Final = 3


@dataclass(frozen=True)
class Trace:
    """A file that was recognised. `delivery` is None where only the LoRA can be told.

    `others` are further deliveries whose marks are in the file: it was merged from several.
    `findings` say what was measured of each; they stay with the operator.
    """

    how: How
    band: Band
    lora: Lora
    delivery: Delivery | None
    others: tuple[Delivery, ...] = ()
    findings: tuple[Finding, ...] = ()

    def standing(self, at: datetime) -> str:
        """`in_force`, or the gravest code by which one of the LoRAs found does not hold at `at`."""
        loras = [self.lora, *(row.lora for row in self.others)]
        return lineage.standing(_code(lora, at) for lora in loras) or "in_force"


def _code(lora: Lora, at: datetime) -> str | None:
    code = grant_code(lora.job.grant, at)
    if code is None and lora.state == Lora.State.FROZEN:
        code = lora.frozen_code or "frozen"
    return code


def trace(
    *, data: bytes, by: Person | None = None, at: datetime | None = None
) -> Trace | Refusal | None:
    """Recognise a file; what was found is recorded as `trace.found`. None: nothing was found.

    A picture is looked up as `tracing_pictures` says. Else (1) the file's own hash; (2) it must be
    a weights file, or `malformed`; (3) the hash of its
    tensors, of a delivery or of a master; (4) the watermark among all registered ids; (5) the
    same beside the masters that the file is most like, by content or by factors; (6) the
    lineage sketch among all LoRAs.
    "Nothing" is no statement that a file is unlicensed.
    """
    at = at or timezone.now()
    digest = hashlib.sha256(data).hexdigest()
    try:
        found = _by_file(digest) or _by_content(data)  # (1)
    except VerificationError as error:
        return Refusal("malformed", f"{error.code}: {error.detail}")
    if found is not None:
        _record(found, digest, by, at)
    return found


def _by_file(digest: str) -> Trace | None:
    delivery = _deliveries().filter(file_sha256=digest).first()
    return None if delivery is None else _exact("file", delivery.lora, delivery)


def _exact(how: How, lora: Lora, delivery: Delivery | None) -> Trace:
    found = Finding(how, lora.pk, None if delivery is None else delivery.pk)
    return Trace(how, "exact", lora, delivery, findings=(found,))


def _by_content(data: bytes) -> Trace | None:
    if tracing_pictures.is_picture(data):
        return _by_picture(data)
    read = weights.read(data)  # (2)
    _require_affordable(read)
    return (
        _by_tensors(weights.tensor_sha256(data))  # (3)
        or _by_watermark(read)  # (4)
        or _by_kin(read)  # (5) (6)
    )


def _by_picture(data: bytes) -> Trace | None:
    found = tracing_pictures.find(data)
    if found is None:
        return None
    way, lora_id = found
    band: Band = "exact" if way == "manifest" else "possible"
    return Trace(way, band, _loras().get(pk=lora_id), None, findings=(Finding(way, lora_id, None),))


def _require_affordable(read: Weights) -> None:
    """Measuring costs memory with a layer's sides and time with its rank's cube, whatever the size
    of the file: a stranger's 4 MB could ask for 40 GB. Raises `VerificationError("too_large")`."""
    modules = weights.adapters(read)
    sides = [sum(shape) for shape in {module.shape for module in modules}]
    work = sum(module.rank**3 for module in modules)
    if max(sides, default=0) > MAX_SIDES or sum(sides) > MAX_ALL_SIDES or work > MAX_WORK:
        raise VerificationError("too_large", "layers or ranks beyond those of any base model")


def _by_tensors(digest: str) -> Trace | None:
    delivery = _deliveries().filter(tensor_sha256=digest).first()
    if delivery is not None:
        return _exact("tensors", delivery.lora, delivery)
    lora = _loras().filter(tensor_sha256=digest).first()
    return None if lora is None else _exact("tensors", lora, None)


def _by_watermark(read: Weights) -> Trace | None:
    """Under the key of every epoch. This and the look beside masters share FPR by halves."""
    keys, hits = epochs.keys(), []
    for key in keys:
        reading, book = watermark_reading.read(read, key), registered.book(key)
        share = FPR / (2 * len(keys))
        found = watermark_reading.search(reading, key, book, fpr=share)
        hits += _measured("watermark", found)
    return _named_by(sorted(hits, key=lambda item: -item.hit.t))


@dataclass(frozen=True)
class _Measured:
    """A hit, how it was come by, and a bound; None for a mark read beneath another: such a file did
    use marked copies, and the bound speaks of those that did not.
    """

    how: str
    hit: watermark_code.Hit
    rate_log10: float | None


def _measured(how: str, hits: Sequence[watermark_code.Hit]) -> list[_Measured]:
    """The bound is that of the whole question, for any registered id: by itself, and beside as many
    masters as one question opens.
    """
    asked = Delivery.objects.count() * (1 + 2 * MAX_MASTERS)
    rates = [watermark_reading.false_rate_log10(hit.t, asked) for hit in hits[:1]]
    return [_Measured(how, hit, rate) for hit, rate in itertools.zip_longest(hits, rates)]


def _named_by(measured: Sequence[_Measured]) -> Trace | None:
    found = [_deliveries().get(artefact_id=_number(item.hit.artefact_id)) for item in measured]
    if not found:
        return None
    findings = tuple(
        Finding(item.how, row.lora_id, row.pk, item.hit.t, item.hit.needed, item.rate_log10)
        for item, row in zip(measured, found, strict=True)
    )
    return Trace("watermark", "certain", found[0].lora, found[0], tuple(found[1:]), findings)


def _by_kin(read: Weights) -> Trace | None:
    if not weights.adapters(read):
        return None
    near = registered.nearest(fingerprint.sketch(read, epochs.lineage_key()), MAX_MASTERS)
    if not near:
        return None
    ids = list(dict.fromkeys([*_alike(read), *(pk for pk, _ in near)]))
    kin = _loras().in_bulk(ids)
    found = _by_escrow(read, [kin[pk] for pk in ids])  # (5)
    pk, cosine = near[0]
    if found is not None or abs(cosine) < fingerprint.ALARM:
        return found
    alike = Finding("lineage", pk, None, abs(cosine), fingerprint.ALARM)
    return Trace("lineage", "possible", kin[pk], None, findings=(alike,))  # (6)


def _alike(read: Weights) -> list[str]:
    """The LoRAs whose factors these may be, most of their entries dropped: that buries the content,
    and with it the lineage sketch."""
    query = fingerprint.factor_sketch(read, epochs.lineage_key())
    if query is None:
        return []
    near = registered.nearest_factors(query, MAX_MASTERS)
    return [pk for pk, cosine in near if abs(cosine) >= fingerprint.FACTORS_LIKE]


def _by_escrow(read: Weights, loras: Sequence[Lora]) -> Trace | None:
    """After a withdrawal the master cannot be opened any more: the mark is then read without it."""
    keys = epochs.keys()
    for lora in loras:
        master = lora_master(lora)
        if isinstance(master, Refusal):
            continue
        for key in keys:
            delivered = lora.deliveries.filter(epoch=int(key.epoch))
            numbers = delivered.values_list("artefact_id", flat=True)
            own = [registered.artefact(number) for number in numbers]
            if not own:
                continue
            reading = escrow.read_beside(read, master, key)
            share = FPR / (4 * MAX_MASTERS * len(keys))
            ids = registered.book(key)
            hits = escrow.search_beside(reading, key, ids, own, fpr=share)
            found = _named_by(_measured("escrow", hits))
            if found is not None:
                return found
    return None


def _deliveries() -> QuerySet[Delivery]:
    return Delivery.objects.select_related("lora__job__grant", "lora__job__request")


def _loras() -> QuerySet[Lora]:
    return Lora.objects.select_related("job__grant", "job__request")


def _number(artefact: bytes) -> int:
    return int.from_bytes(artefact, "big")


def _record(found: Trace, digest: str, by: Person | None, at: datetime) -> None:
    """One row and one entry for each licence that the file falls under, once a day for one file:
    asking again proves nothing new, and anybody may ask."""
    with transaction.atomic():
        for delivery in _named(found):
            lora = found.lora if delivery is None else delivery.lora
            known = TraceFound.objects.filter(file_sha256=digest, lora=lora, delivery=delivery)
            if known.filter(how=found.how, found_at__gt=at - AGAIN).exists():
                continue
            row = TraceFound(
                file_sha256=digest,
                how=found.how,
                band=found.band,
                lora=lora,
                delivery=delivery,
                asked_by=by,
                found_at=at,
            )
            row.event = append.append("trace.found", _logged(row), at=at)
            row.save(force_insert=True)


def _named(found: Trace) -> Sequence[Delivery | None]:
    return (found.delivery, *found.others)


def _logged(row: TraceFound) -> dict[str, object]:
    return {
        "trace_id": row.pk,
        "file_sha256": row.file_sha256,
        "how": row.how,
        "band": row.band,
        "lora_id": row.lora_id,
        "delivery_id": row.delivery_id,
    }
