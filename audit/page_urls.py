"""The addresses of the pages that everybody may open."""

from __future__ import annotations

from django.urls import URLPattern, path

from audit import views

urlpatterns: list[URLPattern] = [
    path("verify", views.verify, name="verify"),
    path("ledger", views.ledger, name="ledger"),
    path("ledger/<int:index>", views.entry, name="ledger-entry"),
]
