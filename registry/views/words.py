"""The words for every state that a page shows, and the colour that goes with each.

Not a stage. A colour never stands alone: the word is always beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# state: (word, chip class)
Words = Mapping[str, tuple[Promise, str]]

REQUEST: Final[Words] = {
    "draft": (_("Draft"), ""),
    "submitted": (_("Gathering pictures"), "key"),
    "in_clearance": (_("Waiting for answers"), "warn"),
    "returned": (_("A change is asked for"), "warn"),
    "cleared": (_("Allowed"), "ok"),
    "refused": (_("Declined"), "no"),
    "withdrawn": (_("Withdrawn"), "no"),
    "closed": (_("Closed"), ""),
}
GRANT: Final[Words] = {
    "asking": (_("Waiting for answers"), "warn"),
    "returned": (_("A change is asked for"), "warn"),
    "active": (_("In force"), "ok"),
    "paused": (_("Paused"), "warn"),
    "refused": (_("Declined"), "no"),
    "withdrawn": (_("Withdrawn"), "no"),
    "revoked": (_("Revoked"), "no"),
    "superseded": (_("Replaced by newer content"), ""),
    "expired": (_("Expired"), ""),
    "closed_out": (_("Finished"), ""),
}
LANE: Final[Words] = {
    "open": (_("Not sent"), ""),
    "asked": (_("Sent"), "warn"),
    "opened": (_("Opened"), "warn"),
    "signed": (_("Approved"), "ok"),
    "refused": (_("Declined"), "no"),
    "returned": (_("Asks for a change"), "warn"),
    "countered": (_("Offers less"), "warn"),
    "unreachable": (_("Cannot be reached"), "no"),
    "expired": (_("Not answered in time"), ""),
    "withdrawn": (_("Withdrawn"), "no"),
    "dismissed": (_("No longer counts"), ""),
}
JOB: Final[Words] = {
    "queued": (_("Waiting for a machine"), "warn"),
    "claimed": (_("A machine is checking the permission"), "key"),
    "training": (_("Training"), "key"),
    "finalising": (_("Adding the watermark"), "key"),
    "done": (_("Finished"), "ok"),
    "refused": (_("Refused"), "no"),
    "stopped": (_("Stopped"), "no"),
    "failed": (_("Failed"), "no"),
}
COMMERCIAL: Final[Words] = {
    "yes": (_("Commercial use allowed"), "ok"),
    "threshold": (_("Commercial use below a limit"), "warn"),
    "unknown": (_("Unknown: counts as no"), "no"),
    "no": (_("No commercial use"), "no"),
}
LORA: Final[Words] = {
    "sealed": (_("Deliverable"), "ok"),
    "frozen": (_("Frozen"), "no"),
}
# What a file's or a pack's standing says; every other code has its own sentence.
STANDING: Final[Words] = {
    "in_force": (_("Permission confirmed"), "ok"),
    "withdrawn": (_("Registered, but stopped: consent was withdrawn"), "no"),
    "revoked": (_("Registered, but stopped: the permission was revoked"), "no"),
    "paused": (_("Registered, but paused at present"), "warn"),
    "expired": (_("Registered, but the term has ended"), "warn"),
    "frozen": (_("Registered, but frozen at present"), "no"),
}
KINDS: Final[Mapping[str, Words]] = {
    "request": REQUEST,
    "grant": GRANT,
    "lane": LANE,
    "job": JOB,
    "lora": LORA,
    "commercial": COMMERCIAL,
    "standing": STANDING,
}
# How a finding of the curation counts.
FINDING: Final[Words] = {
    "hard": (_("Must be changed"), "no"),
    "review": (_("Somebody must look"), "warn"),
    "soft": (_("Needs a reason"), "warn"),
    "warn": (_("For your information"), "key"),
}
