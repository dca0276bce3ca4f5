"""The paths of the API's description."""

from __future__ import annotations

from django.urls import path

from . import page, views

urlpatterns = [
    path("api/schema", views.Schema.as_view(), name="schema"),
    path("api/docs", page.Page.as_view(), name="docs"),
    path("api/docs/<str:file>", page.File.as_view(), name="docs-file"),
]
