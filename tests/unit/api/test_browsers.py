"""What a browser sends by itself: sessions need a CSRF token, keys none; no other origin is let in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from tests.unit.api.asking import body, refused
from tests.unit.api.database import bearer, issue
from tests.unit.world import World

ELSEWHERE = "https://elsewhere.example"
CSRF_TOKEN = "t" * 32
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _sessions(database: None) -> Iterator[None]:
    classes = {"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"]}
    with override_settings(REST_FRAMEWORK=classes, MIDDLEWARE=MIDDLEWARE):
        yield


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create(username="ada")


@pytest.fixture
def browser(world: World, user: Any) -> Client:
    """Logged in; it holds a CSRF cookie, too."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.cookies["csrftoken"] = CSRF_TOKEN
    return browser


def submit(client: Client, **headers: str) -> Any:
    return client.post("/api/jobs", json.dumps(body()), "application/json", headers=headers)


def test_a_session_with_its_token_makes_the_users_jobs(browser: Client, world: World, user: Any) -> None:
    response = submit(browser, **{"X-CSRFToken": CSRF_TOKEN})
    assert response.status_code == 202, response.content
    job_id = response.json()["id"]
    assert world.store.get(job_id).owner == f"user:{user.pk}"
    assert browser.get(f"/api/jobs/{job_id}").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-CSRFToken": "u" * 32}])
def test_a_session_without_its_token_is_403(browser: Client, world: World, headers: dict[str, str]) -> None:
    assert "CSRF" in refused(submit(browser, **headers), 403, "permission_denied")["detail"]
    at = "/api/jobs/0-0"
    refused(browser.delete(at), 403, "permission_denied")
    refused(browser.post(f"{at}/cancel"), 403, "permission_denied")
    refused(browser.post("/api/jobs", {"model": "digits"}), 403, "permission_denied")
    assert "submit" not in world.store.calls


def test_a_body_that_the_view_does_not_parse_is_no_hindrance(browser: Client, world: World) -> None:
    token = {"X-CSRFToken": CSRF_TOKEN}
    at = submit(browser, **token)["Location"]
    cancelled = browser.post(f"{at}/cancel", b"not json", "application/json", headers=token)
    assert cancelled.status_code == 200
    tfserving = browser.post(
        "/v1/models/digits:predict",
        {"inputs": "?"},
        "application/json",
        headers={**token, "Prefer": "wait=0"},
    )
    assert (tfserving.status_code, "error" in tfserving.json()) == (400, True)


def test_without_a_session_it_is_401(world: World) -> None:
    refused(submit(Client(enforce_csrf_checks=True)), 401, "not_authenticated")


def test_a_key_needs_no_token(browser: Client, world: World) -> None:
    key = bearer(issue())
    assert submit(Client(enforce_csrf_checks=True), **key).status_code == 202
    response = submit(browser, **key)
    assert response.status_code == 202
    assert world.store.get(response.json()["id"]).owner.startswith("key:")


# ---------------------------------------------------------------- other origins


def preflight(client: Client) -> Any:
    wanted = {
        "Origin": ELSEWHERE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, prefer",
    }
    return client.options("/api/jobs", headers=wanted)


def allowed(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.items() if name.startswith("Access-Control")}


def test_by_default_no_other_origin_may_read_an_answer(client: Client) -> None:
    assert allowed(preflight(client)) == {}
    response = submit(client, Origin=ELSEWHERE, **bearer(issue()))
    assert (response.status_code, allowed(response)) == (202, {})


def test_django_cors_headers_lets_in_whom_a_project_names(client: Client) -> None:
    named = override_settings(
        INSTALLED_APPS=["corsheaders", *settings.INSTALLED_APPS],
        MIDDLEWARE=["corsheaders.middleware.CorsMiddleware", *MIDDLEWARE],
        CORS_ALLOWED_ORIGINS=[ELSEWHERE],
        CORS_ALLOW_HEADERS=["authorization", "content-type", "prefer"],
        CORS_EXPOSE_HEADERS=["Location", "Retry-After"],
    )
    with named:
        asked = preflight(client)
        assert asked.status_code == 200
        assert asked["Access-Control-Allow-Origin"] == ELSEWHERE
        assert asked["Access-Control-Allow-Headers"] == "authorization, content-type, prefer"
        response = submit(client, Origin=ELSEWHERE, **bearer(issue()))
        assert response.status_code == 202
        assert response["Access-Control-Allow-Origin"] == ELSEWHERE
        assert response["Access-Control-Expose-Headers"] == "Location, Retry-After"
        assert allowed(client.get("/api/jobs", headers={"Origin": "https://another.example"})) == {}
