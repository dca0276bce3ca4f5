"""The paths of the API's description, below ``api/``."""

from __future__ import annotations

from django.urls import path

from . import page, views

urlpatterns = [
    path("schema", views.Schema.as_view(), name="schema"),
    path("docs", page.Page.as_view(), name="docs"),
    path("docs/<str:file>", page.File.as_view(), name="docs-file"),
]
