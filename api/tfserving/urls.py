"""TensorFlow Serving's paths, to be included last: the rest of ``v1/`` is refused in its words."""

from __future__ import annotations

from django.urls import path, re_path

from . import views

_MODEL = r"^v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"

urlpatterns = [
    re_path(rf"{_MODEL}:(?P<verb>(?i:predict|classify|regress))$", views.Ask.as_view()),
    re_path(rf"{_MODEL}$", views.Status.as_view()),
    re_path(rf"{_MODEL}/metadata$", views.Metadata.as_view()),
    path("v1/models/<str:name>/jobs/<str:job_id>", views.OneJob.as_view(), name="tfserving-job"),
    re_path(r"^v1/models/?$", views.Nameless.as_view()),
    path("monitoring/prometheus/metrics", views.Metrics.as_view(), name="tfserving-metrics"),
    re_path(r"^v1/", views.Malformed.as_view()),
]
