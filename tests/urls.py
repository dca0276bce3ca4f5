"""The API where a project mounts it."""

from django.urls import include, path

urlpatterns = [path("", include("api.urls"))]
