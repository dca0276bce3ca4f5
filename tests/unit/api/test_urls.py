"""The API in the URLs of a project that has some of its own."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.test import Client, override_settings
from django.urls import include, path


def orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"orders": []})


urlpatterns = [path("", include("api.urls")), path("api/orders", orders)]


@override_settings(ROOT_URLCONF=__name__)
def test_other_paths_under_api_are_the_projects() -> None:
    client = Client()
    assert json.loads(client.get("/api/orders").content) == {"orders": []}
    assert client.get("/api/jobs/1/nothing")["Content-Type"] == "application/problem+json"
    assert client.get("/api/nothing").status_code == 404
