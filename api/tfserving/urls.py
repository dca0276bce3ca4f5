"""TensorFlow Serving's paths, to be included last: the rest of ``v1/`` is refused in its words."""

from __future__ import annotations

from django.urls import include, path, re_path

from . import views

_MODEL = r"^models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"

_V1 = [
    re_path(rf"{_MODEL}:(?P<verb>(?i:predict|classify|regress))$", views.Ask.as_view()),
    re_path(rf"{_MODEL}$", views.Status.as_view()),
    re_path(rf"{_MODEL}/metadata$", views.Metadata.as_view()),
    path("models/<str:name>/jobs/<str:job_id>", views.OneJob.as_view(), name="tfserving-job"),
    re_path(r"^models/?$", views.Nameless.as_view()),
    re_path(r"^", views.Malformed.as_view()),
]

urlpatterns = [
    path("v1/", include(_V1)),
    path("monitoring/prometheus/metrics", views.Metrics.as_view(), name="tfserving-metrics"),
]
