"""Replicate's paths, to be included before those of other dialects below ``v1/``."""

from __future__ import annotations

from django.urls import path, re_path

from . import views

urlpatterns = [
    path("v1/predictions", views.Predictions.as_view(), name="replicate-predictions"),
    path("v1/predictions/<str:job_id>", views.OnePrediction.as_view(), name="replicate-prediction"),
    path("v1/predictions/<str:job_id>/cancel", views.Cancel.as_view(), name="replicate-cancel"),
    path("v1/predictions/<str:job_id>/stream", views.Stream.as_view(), name="replicate-stream"),
    path("v1/models/<str:owner>/<str:name>/predictions", views.OfModel.as_view(), name="replicate-of-model"),
    re_path(r"^v1/predictions/", views.NoSuchPrediction.as_view()),
]
