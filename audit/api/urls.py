"""The addresses of auditing's HTTP API."""

from django.urls import URLPattern, path

from audit.api import views

urlpatterns: list[URLPattern] = [
    path("api/v1/trace", views.TraceFile.as_view(), name="api-trace"),
    path(
        "api/v1/deliveries/<str:delivery_id>/evidence",
        views.Evidence.as_view(),
        name="api-evidence",
    ),
    path("api/v1/deliveries/<str:delivery_id>/uses", views.Uses.as_view(), name="api-uses"),
]
