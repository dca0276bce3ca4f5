"""``manage.py hooks`` on a service in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from predict_worker import connect
from predict_worker.codec import Columnar
from predict_worker.core.hooks import Attempt, DeliveryState, Verdict
from predict_worker.core.spec import ModelRef
from predict_worker.service import PredictRequest
from tests.unit.world import DIGIT, World

URL = "https://hooks.example.com/a"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with connect.use(world.service):
        yield world
    world.close()


def hooks(*arguments: str) -> str:
    out = StringIO()
    call_command("hooks", *arguments, stdout=out)
    return out.getvalue()


def told(world: World, **fields: Any) -> str:
    """The id of a delivery."""
    world.service.submit(PredictRequest(ModelRef("digits"), Columnar(DIGIT), webhook=URL, **fields))
    world.run()
    return world.service.webhooks.deliveries(None).deliveries[0].id


def test_deliveries_are_listed_shown_and_replayed(world: World) -> None:
    delivery_id = told(world, owner="user:1")
    (due,) = world.store.claim_deliveries("0-1", 1, 1, {}, 60).deliveries
    world.store.attempted(due, Attempt(500, "status 500", 7), Verdict(DeliveryState.FAILED), b"{}")
    for listing in (hooks("list"), hooks("list", "--owner", "user:1"), hooks("list", "--job", due.id[:-2])):
        line = listing.splitlines()[1].split()
        assert [line[0], line[1], line[2], line[-1]] == [delivery_id, "failed", "job.succeeded", URL]
    assert len(hooks("list", "--owner", "user:2").splitlines()) == 1
    assert "status 500 after 7 ms" in hooks("show", delivery_id)
    assert hooks("replay", delivery_id) == f"{delivery_id} replayed\n"
    assert "next attempt at" in hooks("show", delivery_id)
    assert json.loads(hooks("show", delivery_id, "--json"))["state"] == "pending"
    assert [d["id"] for d in json.loads(hooks("list", "--json"))] == [delivery_id]


def test_endpoints_are_added_shown_rotated_enabled_and_removed(world: World) -> None:
    added = json.loads(hooks("endpoint", "add", URL, "--owner", "user:1", "--event", "failed", "--json"))
    assert added["events"] == ["failed"]
    assert f"{added['id']}  user:1     {URL}  failed" in hooks("endpoint", "list")
    assert hooks("endpoint", "list", "--owner", "user:2") == ""
    assert added["secret"] in hooks("endpoint", "show", added["id"])
    assert "secret" not in json.loads(hooks("endpoint", "list", "--json"))[0]
    assert added["secret"] not in hooks("endpoint", "rotate", added["id"], "--overlap-s", "5")
    assert hooks("endpoint", "enable", added["id"]) == f"{added['id']} enabled\n"
    assert hooks("endpoint", "remove", added["id"]) == f"{added['id']} removed\n"
    assert hooks("endpoint", "list") == ""


def test_the_secret_for_urls_of_jobs(world: World) -> None:
    first = hooks("endpoint", "show", "jobs", "--owner", "user:1")
    assert hooks("endpoint", "show", "jobs", "--owner", "user:1") == first
    assert hooks("endpoint", "show", "jobs") != first
    assert hooks("endpoint", "rotate", "jobs", "--owner", "user:1") != first


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "x"),
        ("replay", "x"),
        ("endpoint", "add", "http://10.0.0.1/"),
        ("endpoint", "rotate", "x"),
        ("endpoint", "remove", "x"),
        ("endpoint", "remove", "jobs"),
        ("list", "--limit", "0"),
    ],
)
def test_what_cannot_be_done_is_said(world: World, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        hooks(*arguments)
