"""Training's addresses; the project includes them by string."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from training import parcel_views
from training.api import outputs, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/worker/v1/", include("training.api.worker")),
    *(path(f"api/v1/{address}", view.as_view()) for address, view in views.routes().items()),
    path(
        "api/v1/jobs/<str:job_id>/outputs/challenge",
        outputs.OutputsChallenge.as_view(),
        name="api-outputs-challenge",
    ),
    path("api/v1/jobs/<str:job_id>/outputs", outputs.Outputs.as_view(), name="api-outputs"),
    path("d/<str:link>", parcel_views.parcel, name="delivery-download"),
]
