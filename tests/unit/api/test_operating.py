"""Models are paused, drained, resumed and purged over HTTP, by those who may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, override_settings
from rest_framework.authentication import BaseAuthentication

from tests.unit.api.asking import post, refused
from tests.unit.world import World

ALL = ("pause", "drain", "resume", "purge")


def test_a_model_shows_its_queue(client: Client) -> None:
    post(client)
    model = client.get("/api/models/digits").json()
    assert (model["state"], model["queue"]) == ("serving", {"waiting": 1, "running": 0})


def test_a_paused_model_accepts_and_shows_its_state(client: Client, world: World) -> None:
    response = client.post("/api/models/digits/pause")
    assert (response.status_code, response.json()["state"]) == (200, "paused")
    assert post(client).status_code == 202
    assert world.wakeups.sent == []
    assert client.get("/api/models/digits").json()["state"] == "paused"
    response = client.post("/api/models/digits/resume")
    assert response.json() == {"name": "digits", "state": "serving", "queue": {"waiting": 1, "running": 0}}
    assert [model for model, _ in world.wakeups.sent] == ["digits"]


def test_a_draining_model_says_so_and_when_to_come_back(client: Client, world: World) -> None:
    post(client)
    assert client.post("/api/models/digits/drain").json()["state"] == "draining"
    response = post(client)
    problem = refused(response, 503, "model_draining")
    assert "'digits'" in problem["detail"]
    assert int(response["Retry-After"]) >= 30
    assert world.run() == 1


def test_a_purge_counts_what_it_cancels(client: Client) -> None:
    jobs = [post(client).json()["id"] for _ in range(3)]
    response = client.post("/api/models/digits/purge")
    assert response.json() == {
        "name": "digits",
        "cancelled": 3,
        "state": "serving",
        "queue": {"waiting": 0, "running": 0},
    }
    assert {client.get(f"/api/jobs/{job_id}").json()["state"] for job_id in jobs} == {"cancelled"}


@pytest.mark.parametrize("what", ALL)
def test_an_unknown_model_is_404(client: Client, what: str) -> None:
    refused(client.post(f"/api/models/digit/{what}"), 404, "model_not_found")


@pytest.mark.parametrize("what", ALL)
def test_only_post_does_it(client: Client, what: str) -> None:
    response = client.get(f"/api/models/digits/{what}")
    refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("what", ALL)
def test_a_store_that_is_away_is_503(client: Client, world: World, what: str) -> None:
    client.get("/api/models")
    world.store.away = {"set_mode", "purge"}
    refused(client.post(f"/api/models/digits/{what}"), 503, "store_unavailable")


def test_a_model_is_shown_while_the_store_is_away(client: Client, world: World) -> None:
    client.get("/api/models")
    world.store.away = {"*"}
    model = client.get("/api/models/digits").json()
    assert (model["name"], model["state"], model["queue"]) == ("digits", None, None)


class ByRole(BaseAuthentication):
    """``Authorization: staff`` or anybody else's."""

    def authenticate(self, request: Any) -> tuple[Any, None] | None:
        role = request.META.get("HTTP_AUTHORIZATION")
        user = SimpleNamespace(pk=1, is_authenticated=True, is_staff=role == "staff")
        return (user, None) if role else None


@pytest.mark.parametrize("what", ALL)
def test_operators_are_staff(client: Client, world: World, what: str) -> None:
    with override_settings(
        PREDICT_WORKER={"ALLOW_ANONYMOUS": False},
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["tests.unit.api.test_operating.ByRole"]},
    ):
        path = f"/api/models/digits/{what}"
        refused(client.post(path), 401, "not_authenticated")
        refused(client.post(path, headers={"authorization": "user"}), 403, "permission_denied")
        assert client.post(path, headers={"authorization": "staff"}).status_code == 200
