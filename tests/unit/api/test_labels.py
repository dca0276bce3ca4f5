"""Labels are moved over HTTP, by those who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings

from tests.unit.api.asking import body, post, refused
from tests.unit.world import World, spec, worker

STABLE = "/api/models/digits/labels/stable"


@pytest.fixture
def two(world: World) -> World:
    """Version 2 of the digits is loaded besides."""
    world.catalogue_store.publish_specs([spec("digits", 2)])
    world.catalogue_store.beat(worker(("digits", 1), ("digits", 2)), 60)
    return world


def put(client: Client, data: Any = None, path: str = STABLE) -> Any:
    return client.put(path, {"version": "2"} if data is None else data, content_type="application/json")


def test_a_label_is_moved_and_cleared(client: Client, two: World) -> None:
    response = put(client)
    assert response.status_code == 200
    moved = {"name": "digits", "labels": {"stable": "2"}, "moved_labels": ["stable"], "canary": {}}
    assert response.json() == moved
    assert client.get("/api/models/digits").json()["moved_labels"] == ["stable"]
    assert client.get("/api/models").json()["models"][0]["labels"] == {"stable": "2"}
    assert post(client, body(label="stable")).json()["version"] == "2"
    for _ in range(2):
        assert client.delete(STABLE).json()["labels"] == {"stable": "1"}
    assert post(client, body(label="stable")).json()["version"] == "1"


def test_a_new_label_may_be_made(client: Client, two: World) -> None:
    assert put(client, path="/api/models/digits/labels/next").json()["labels"] == {"next": "2", "stable": "1"}
    assert client.delete("/api/models/digits/labels/next").json()["labels"] == {"stable": "1"}


def test_a_label_goes_only_where_every_ready_worker_is(client: Client, two: World) -> None:
    two.catalogue_store.beat(worker(("digits", 1), consumer="n2:1"), 60)
    problem = refused(put(client), 409, "version_not_ready")
    assert problem["detail"].endswith("version 2 is not loaded by every ready worker; those that are: 1")
    assert client.get("/api/models/digits").json()["labels"] == {"stable": "1"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ("{", "body"),
        ("[]", "body"),
        ({}, "body"),
        ({"version": "2", "force": True}, "body"),
        ({"version": 2}, "version"),
        ({"version": "-1"}, "version"),
        ({"version": "latest"}, "version"),
    ],
)
def test_a_body_that_is_wrong_is_refused(client: Client, data: Any, field: str) -> None:
    refused(put(client, data), 400, "invalid_request", field)


def test_what_is_unknown_or_no_name_is_refused(client: Client) -> None:
    refused(put(client, path="/api/models/digit/labels/stable"), 404, "model_not_found")
    refused(client.delete("/api/models/digit/labels/stable"), 404, "model_not_found")
    refused(put(client, {"version": "1"}, "/api/models/digits/labels/a%20b"), 400, "invalid_request", "label")


def test_a_label_is_for_staff(client: Client) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False}):
        assert put(client).status_code in (401, 403)
        assert client.delete(STABLE).status_code in (401, 403)
