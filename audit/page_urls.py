"""The addresses of the pages that everybody may open."""

from __future__ import annotations

from django.urls import URLPattern, path

from audit import ledger, views

urlpatterns: list[URLPattern] = [
    path("verify", views.verify, name="verify"),
    path("ledger", ledger.ledger, name="ledger"),
    path("ledger.json", ledger.ledger_json, name="ledger-json"),
    path("ledger/<int:index>", ledger.entry, name="ledger-entry"),
    path("ledger/<int:index>.json", ledger.entry_json, name="ledger-entry-json"),
]
