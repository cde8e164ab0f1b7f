"""The addresses of the registry's HTTP API and of what everybody may read."""

from django.urls import URLPattern, path

from registry.api import people, public, receipts, views

urlpatterns: list[URLPattern] = [
    path("trust.json", public.trust, name="trust"),
    path("model.pub", public.model_key, name="model-key"),
    path("keyset.json", public.key_set, name="keyset"),
    path("status/1", public.status_list, name="status-list"),
    path("log/checkpoint", public.checkpoint, name="log-checkpoint"),
    path("log/tile/<path:path>", public.tile, name="log-tile"),
    path("log/proof/<int:index>", public.proof, name="log-proof"),
    path("log/entries/<int:index>", public.entry, name="log-entry"),
    path("api/v1/requests", views.Requests.as_view(), name="api-requests"),
    path("api/v1/requests/<str:request_id>", views.RequestDetail.as_view(), name="api-request"),
    path("api/v1/talents", views.Talents.as_view(), name="api-talents"),
    path("api/v1/base-models", views.BaseModels.as_view(), name="api-base-models"),
    path(
        "api/v1/approvals/challenge",
        views.ApprovalChallenge.as_view(),
        name="api-approval-challenge",
    ),
    path("api/v1/approvals", views.Approvals.as_view(), name="api-approvals"),
    path("api/v1/grants/<str:grant_id>/withdraw", views.Withdraw.as_view(), name="api-withdraw"),
    path("api/v1/grants/<str:grant_id>/receipt", receipts.Receipt.as_view(), name="api-receipt"),
    path("api/v1/grants/<str:grant_id>/odrl", receipts.Odrl.as_view(), name="api-odrl"),
    path("api/v1/grants/<str:grant_id>/refuse", views.Refuse.as_view(), name="api-refuse"),
    path("api/v1/grants/<str:grant_id>/return", views.Return.as_view(), name="api-return"),
    path("api/v1/grants/<str:grant_id>/counter", views.Counter.as_view(), name="api-counter"),
    path("api/v1/stop/challenge", views.StopChallenge.as_view(), name="api-stop-challenge"),
    path("api/v1/stop/lift", views.StopLift.as_view(), name="api-stop-lift"),
    path(
        "api/v1/grants/<str:grant_id>/go-on/challenge",
        people.GoOnChallenge.as_view(),
        name="api-go-on-challenge",
    ),
    path("api/v1/grants/<str:grant_id>/go-on", people.GoOn.as_view(), name="api-go-on"),
    path(
        "api/v1/credentials/options",
        views.CredentialOptions.as_view(),
        name="api-credential-options",
    ),
    path("api/v1/credentials", views.Credentials.as_view(), name="api-credentials"),
]
