"""Replicate's paths, to be included before those of other dialects below ``v1/``."""

from __future__ import annotations

from django.urls import include, path, re_path

from . import views

_OTHERS = "account|collections|deployments|files|hardware|predictions|search|trainings|webhooks"
"""What Replicate has besides, ``v1/models`` excepted: that is TensorFlow Serving's."""

_PREDICTION = [
    path("<str:job_id>", views.OnePrediction.as_view(), name="replicate-prediction"),
    path("<str:job_id>/cancel", views.Cancel.as_view(), name="replicate-cancel"),
    path("<str:job_id>/stream", views.Stream.as_view(), name="replicate-stream"),
]

urlpatterns = [
    path("v1/predictions", views.Predictions.as_view(), name="replicate-predictions"),
    path("v1/predictions/", include(_PREDICTION)),
    path("v1/models/<str:owner>/<str:name>/predictions", views.OfModel.as_view(), name="replicate-of-model"),
    re_path(rf"^v1/({_OTHERS})(/|$)", views.NoSuchReplicatePath.as_view()),
]
