"""The API in the URLs of a project that has some of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpRequest, JsonResponse
from django.test import Client, override_settings
from django.urls import URLPattern, include, path, resolve


def orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"orders": []})


urlpatterns = [path("", include("api.urls")), path("api/orders", orders)]


@override_settings(ROOT_URLCONF=__name__)
def test_other_paths_under_api_are_the_projects() -> None:
    client = Client()
    assert json.loads(client.get("/api/orders").content) == {"orders": []}
    assert client.get("/api/jobs/1/nothing")["Content-Type"] == "application/problem+json"
    assert client.get("/api/nothing").status_code == 404


@pytest.mark.parametrize(
    "at", ["/api/jobs", "/v1/models/digits:predict", "/v1/predictions", "/v2/models/digits/infer"]
)
def test_a_path_is_not_looked_for_among_other_dialects(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pattern that is tried costs every request a microsecond."""
    tried, try_one = [], URLPattern.resolve

    def counted(self: URLPattern, path: Any) -> Any:
        tried.append(path)
        return try_one(self, path)

    monkeypatch.setattr(URLPattern, "resolve", counted)
    resolve(at)
    assert len(tried) < 15
