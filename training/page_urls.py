"""The addresses of the pages of cases and jobs."""

from __future__ import annotations

from django.urls import URLPattern, path

from training import case_views, probe_views, rights_views, views

urlpatterns: list[URLPattern] = [
    path("agency/requests/<str:request_id>", views.agency_request, name="agency-request"),
    path("my/requests/<str:request_id>", views.my_request, name="my-request"),
    path("my/requests/<str:request_id>/answer", case_views.answer, name="my-answer"),
    path("requests/<str:request_id>", views.request_detail, name="request-detail"),
    path("requests/<str:request_id>/offer", case_views.offer, name="offer"),
    path("requests/<str:request_id>/counter", case_views.counter, name="counter"),
    path("requests/<str:request_id>/return", case_views.send_back, name="send-back"),
    path("requests/<str:request_id>/recall", case_views.recall, name="recall"),
    path("requests/<str:request_id>/reopen", case_views.reopen, name="reopen"),
    path(
        "requests/<str:request_id>/offers/<int:lane_id>",
        case_views.offer_accept,
        name="offer-accept",
    ),
    path("requests/<str:request_id>/pictures/<str:picture_id>", views.picture, name="picture"),
    path(
        "requests/<str:request_id>/references/<str:reference_id>",
        views.reference,
        name="reference",
    ),
    path("requests/<str:request_id>/rights", rights_views.picture_rights, name="picture-rights"),
    path(
        "requests/<str:request_id>/rights/<str:picture_id>",
        rights_views.own_picture,
        name="own-picture",
    ),
    path(
        "requests/<str:request_id>/rights/<str:picture_id>/face",
        rights_views.settle_face,
        name="settle-face",
    ),
    path("requests/<str:request_id>/upload", views.upload, name="upload"),
    path("requests/<str:request_id>/survey", views.survey, name="survey"),
    path("requests/<str:request_id>/accept", views.accept, name="accept"),
    path("requests/<str:request_id>/curation.<str:form>", views.report, name="curation-report"),
    path("requests/<str:request_id>/seal", views.seal, name="seal"),
    path("requests/<str:request_id>/jobs", views.job_start, name="job-start"),
    path("models/<str:model_id>/drift", views.model_drift, name="model-drift"),
    path("operator/lookalikes", probe_views.lookalikes, name="lookalikes"),
    path(
        "operator/lookalikes/<str:probe_id>", probe_views.lookalike_settle, name="lookalike-settle"
    ),
    path(
        "operator/lookalikes/<str:probe_id>/samples",
        probe_views.lookalike_samples,
        name="lookalike-samples",
    ),
    path("jobs/<str:job_id>", views.job, name="job"),
    path("jobs/<str:job_id>/live", views.job_live, name="job-live"),
    path("jobs/<str:job_id>/samples", views.samples, name="samples"),
    path("jobs/<str:job_id>/outputs", views.return_outputs, name="return-outputs"),
    path("jobs/<str:job_id>/deliveries", views.deliver, name="deliver"),
    path("jobs/<str:job_id>/deliveries/<str:delivery_id>/link", views.renew, name="renew-link"),
]
