"""Who may ask, and whose jobs they see."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, override_settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from tests.unit.api.asking import post, refused
from tests.unit.world import World


class ByName(BaseAuthentication):
    """``Authorization: Name 7`` is the user whose primary key is 7."""

    def authenticate(self, request: Any) -> tuple[Any, None] | None:
        kind, _, name = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind != "Name":
            return None
        if not name:
            raise AuthenticationFailed("no name")
        return SimpleNamespace(pk=name, is_authenticated=True), None

    def authenticate_header(self, request: Any) -> str:
        return 'Name realm="test"'


class Silent(ByName):
    def authenticate_header(self, request: Any) -> str:
        return ""


@pytest.fixture(autouse=True)
def _named(_settings: None) -> Iterator[None]:
    with override_settings(
        PREDICT_WORKER={"ALLOW_ANONYMOUS": False},
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["tests.unit.api.test_auth.ByName"]},
    ):
        yield


def as_user(name: str) -> dict[str, str]:
    return {"authorization": f"Name {name}"}


def test_without_credentials_every_resource_is_401_with_a_challenge(client: Client) -> None:
    paths = ("/api/jobs/x", "/api/jobs/x/result", "/api/models", "/api/models/digits", "/api/workers")
    for response in [post(client), *map(client.get, paths)]:
        refused(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"] == 'Name realm="test"'


def test_wrong_credentials_are_401(client: Client) -> None:
    refused(post(client, authorization="Name "), 401, "authentication_failed")


def test_a_challenge_is_never_missing(client: Client) -> None:
    classes = {"DEFAULT_AUTHENTICATION_CLASSES": ["tests.unit.api.test_auth.Silent"]}
    with override_settings(REST_FRAMEWORK=classes):
        response = post(client)
    refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"]


def test_credentials_are_asked_for_before_the_body_is_read(client: Client) -> None:
    refused(post(client, b"not json"), 401, "not_authenticated")


def test_a_job_belongs_to_its_user(client: Client, world: World) -> None:
    at = post(client, authorization="Name 7")["Location"]
    assert world.store.get(at.rsplit("/", 1)[1]).owner == "user:7"
    assert client.get(at, headers=as_user("7")).status_code == 200
    for ask in (client.get, client.delete, lambda path, **h: client.post(f"{path}/cancel", **h)):
        refused(ask(at, headers=as_user("8")), 404, "job_not_found")
    assert client.delete(at, headers=as_user("7")).status_code == 204


def test_one_key_of_two_users_makes_two_jobs(client: Client) -> None:
    ids = {post(client, authorization=f"Name {n}", idempotency_key="k").json()["id"] for n in (1, 2)}
    assert len(ids) == 2


def test_health_is_for_everybody(client: Client) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_an_unknown_path_is_404_for_everybody(client: Client) -> None:
    refused(client.get("/api/nothing"), 404, "not_found")


def test_where_anonymous_use_is_allowed_nobody_is_asked(client: Client, world: World) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True}):
        at = post(client, authorization="Name ")["Location"]
        assert world.store.get(at.rsplit("/", 1)[1]).owner == ""
