"""What the frame of every page needs: the mode of the site and the reader's own menu."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from registry import selectors
from registry.views.base import viewer


def site(request: HttpRequest) -> dict[str, Any]:
    """`site_mode`, and `site_nav`: the pages that are of use to this reader."""
    return {
        "site_mode": settings.KYODAKU_MODE,
        "site_nav": SimpleLazyObject(lambda: _menu(request)),
    }


def _menu(request: HttpRequest) -> list[dict[str, Any]]:
    person = viewer(request)
    roles = selectors.roles_of(person) if person else frozenset()
    pages = [
        ("talent" in roles, "my-consents", _("My consents")),
        ("agency" in roles, "agency-inbox", _("Inbox")),
        ("agency" in roles, "agency-talents", _("Talents")),
        (bool(roles - {"talent", "agency"}), "requests", _("Requests")),
        (bool(roles - {"talent"}), "models", _("Models")),
        (bool(roles - {"talent"}), "members", _("Members")),
        (person is not None, "my-matters", _("Notices")),
        (person is not None, "my-keys", _("My keys")),
        (request.user.is_authenticated and request.user.is_staff, "flags", _("To look at")),
        (request.user.is_authenticated and request.user.is_staff, "lookalikes", _("Look-alikes")),
        (True, "verify", _("Check a LoRA")),
        (True, "ledger", _("Ledger")),
    ]
    return [_item(request, name, label) for shown, name, label in pages if shown]


def _item(request: HttpRequest, name: str, label: str) -> dict[str, Any]:
    url = reverse(name)
    return {"url": url, "label": label, "current": request.path == url}
