"""Everything is mounted at the root: the dialects bring their own prefixes."""

from django.urls import include, path

urlpatterns = [path("", include("api.urls"))]
