"""The summary: what each stage left in the log, and the refusals that were planted."""

from __future__ import annotations

import json
from typing import Final

from audit.demo.people import Unexpected
from audit.demo.screen import STAGES
from audit.demo.story import Story
from registry.log import selectors
from registry.log.models import Entry
from registry.models import Grant
from training.models import Dataset, Delivery, TrainingJob

# Stage number: what it leaves behind.
LEFT: Final = {
    1: ("request.submitted", "request.refused"),
    2: ("grant.asked", "approval.signed", "approval.withdrawn"),
    3: ("grant.made", "token.minted", "token.redeemed"),
    4: ("run.admitted", "run.refused"),
    5: ("dataset.refused", "dataset.sealed"),
    6: ("run.queued", "run.started", "run.finished", "run.stopped"),
    7: ("lora.sealed", "lora.frozen"),
    8: ("delivery.made", "delivery.fetched"),
    9: ("use.reported", "trace.found", "evidence.exported"),
}


def summarise(story: Story, *, seconds: float) -> None:
    """Print the nine stages with their log entries, the refusals, and the newest checkpoint."""
    screen = story.screen
    found = _entries(story)
    rows = []
    for number, (ja, en) in enumerate(STAGES, start=1):
        shown = [f"{name} #{index}" for name, index in found if name in LEFT[number]]
        rows.append([str(number), f"{ja} {en}", ", ".join(shown) or "-"])
    screen.table("9段階とログ / the nine stages and the log", ["", "", ""], rows)
    screen.table(
        f"拒否 / refused: {len(screen.refused)}",
        ["code", ""],
        [[code, where] for code, where in screen.refused],
    )
    head = selectors.latest_checkpoint()
    if head is None:
        raise Unexpected("the log has no signed checkpoint")
    screen.say(
        f"ログ {head.size} 件、署名済みチェックポイント {head.root.hex()[:16]}…",
        f"log of {head.size} entries under a signed checkpoint",
    )
    screen.say(f"所要 {seconds:.0f} 秒", f"took {seconds:.0f} s")


def _entries(story: Story) -> list[tuple[str, int]]:
    """Type and index of every log entry about this case, in order."""
    ids = _ids(story)
    found = []
    for entry in Entry.objects.filter(index__gte=story.log_before).order_by("index"):
        payload = json.loads(bytes(entry.payload))
        values = json.dumps(payload["data"])
        if any(name in values for name in ids):
            found.append((payload["type"], entry.index))
    return found


def _ids(story: Story) -> set[str]:
    jobs = TrainingJob.objects.filter(request_id=story.request).values_list("pk", flat=True)
    grants = Grant.objects.filter(request_id=story.request).values_list("pk", flat=True)
    datasets = Dataset.objects.filter(request_id=story.request).values_list("pk", flat=True)
    deliveries = Delivery.objects.filter(pk=story.delivery)
    loras = deliveries.values_list("lora_id", flat=True)
    barred = story.world.barred_base.sha256
    return {story.request, story.delivery, barred, *jobs, *grants, *datasets, *loras}
