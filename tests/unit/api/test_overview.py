"""Models, workers and health."""

from __future__ import annotations

import pytest
from django.test import Client

from predict_worker.core.ports import Heartbeat, ModelEntry, VersionStatus
from tests.unit.api.asking import refused
from tests.unit.world import World, spec, worker


def test_models_are_listed_with_who_is_ready(client: Client) -> None:
    response = client.get("/api/models")
    assert response["Content-Type"] == "application/json"
    assert response.json()["models"][:2] == [
        {"name": "digits", "versions": ["1"], "labels": {"stable": "1"}, "ready": {"1": 1}, "error": None},
        {"name": "fresh", "versions": ["3"], "labels": {}, "ready": {}, "error": None},
    ]


def test_a_model_shows_what_it_takes_and_gives(client: Client) -> None:
    model = client.get("/api/models/digits").json()
    assert (model["name"], model["labels"], model["ready"]) == ("digits", {"stable": "1"}, {"1": 1})
    (version,) = model["versions"]
    assert version["version"] == "1"
    assert version["in_repository"] is True
    assert version["signatures"] == {
        "serving_default": {
            "inputs": {"x": {"dtype": "float32", "shape": [-1, 8, 8, 1], "encoded": None}},
            "outputs": {"probabilities": {"dtype": "float32", "shape": [-1, 10], "encoded": None}},
        }
    }
    assert (version["artefact"], version["digest"]) == ("saved_model", spec("digits").digest)
    assert version["batch"]["max_rows"] == 2
    assert version["workers"] == [{"consumer": "n1:1", "state": "AVAILABLE", "error": None, "load_ms": 12.5}]


def test_what_no_worker_has_published_is_null(client: Client) -> None:
    (version,) = client.get("/api/models/fresh").json()["versions"]
    assert (version["version"], version["signatures"], version["workers"]) == ("3", None, [])


def test_a_version_that_only_workers_still_hold_is_shown(client: Client, world: World) -> None:
    world.catalogue_store.beat(worker(("digits", 9), consumer="n2:1"), 60)
    versions = client.get("/api/models/digits").json()["versions"]
    assert [(version["version"], version["in_repository"]) for version in versions] == [
        ("1", True),
        ("9", False),
    ]


def test_a_version_that_fails_to_load_says_why(client: Client, world: World) -> None:
    failed = VersionStatus("fresh", 3, "END", "no such file")
    world.catalogue_store.beat(Heartbeat("n2:1", "host", 2, "ready", 0, (failed,)), 60)
    (version,) = client.get("/api/models/fresh").json()["versions"]
    assert version["workers"][0]["error"] == "no such file"
    assert client.get("/api/models/fresh").json()["ready"] == {}


def test_a_model_that_the_repository_cannot_offer_says_why(client: Client, world: World) -> None:
    world.catalogue_store.publish_models([ModelEntry("broken", (), error="no artefact")])
    assert client.get("/api/models/broken").json()["error"] == "no artefact"


@pytest.mark.parametrize("name", ["digit", "nothing", "a%20b", "%00"])
def test_an_unknown_model_is_404(client: Client, name: str) -> None:
    refused(client.get(f"/api/models/{name}"), 404, "model_not_found")


def test_workers_show_their_state(client: Client) -> None:
    (shown,) = client.get("/api/workers").json()["workers"]
    assert shown.pop("age_s") >= 0
    assert shown == {
        "consumer": "n1:1",
        "host": "host",
        "pid": 1,
        "state": "ready",
        "started_at": "2023-11-14T22:13:20.000Z",
        "loads": 1,
        "batches": 0,
        "error": None,
        "models": [
            {"model": name, "version": "1", "state": "AVAILABLE", "error": None, "load_ms": 12.5}
            for name in ("digits", "pair")
        ],
    }


# ---------------------------------------------------------------- health


def test_a_process_is_alive_whatever_else_is_not(client: Client, world: World) -> None:
    world.store.away, world.catalogue_store.away = {"*"}, True
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert world.store.calls == []


def test_ready_is_redis_and_a_ready_worker(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "redis": True,
        "models": {"digits": {"1": 1}, "fresh": {}, "pair": {"1": 1}},
        "reasons": [],
    }


def test_not_ready_while_redis_is_away(client: Client, world: World) -> None:
    client.get("/readyz")
    world.store.away = {"ping"}
    response = client.get("/readyz")
    assert (response.status_code, response.json()["redis"]) == (503, False)
    assert response.json()["reasons"] == ["Redis: the store is away"]


def test_not_ready_while_no_worker_is(client: Client, world: World) -> None:
    world.catalogue_store.leave("n1:1")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["reasons"]) == (503, ["no model has a ready worker"])


def test_not_ready_while_the_catalogue_was_never_read(client: Client, world: World) -> None:
    world.catalogue_store.away = True
    response = client.get("/readyz")
    assert response.status_code == 503
    refused(client.get("/api/models"), 503, "store_unavailable")
