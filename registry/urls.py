"""The project's addresses. Other apps are included by string: no import goes up a floor."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from registry import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("registry.api.urls")),
    path("", include("registry.page_urls")),
    path("", include("training.urls")),
    path("", include("training.page_urls")),
    path("", include("audit.api.urls")),
    path("", include("audit.page_urls")),
    path("api/schema", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(permission_classes=[]), name="api-docs"),
]
