"""Training's addresses; the project includes them by string."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from training.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/worker/v1/", include("training.api.worker")),
    *(path(f"api/v1/{address}", view.as_view()) for address, view in views.routes().items()),
    path("d/<str:link>", views.download, name="delivery-download"),
]
