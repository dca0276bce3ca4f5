"""Webhooks over HTTP: endpoints and their secrets, the log, replays; each owner his own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predict_worker.core.hooks import Attempt, DeliveryState, Verdict
from tests.unit.api.asking import body, post, refused
from tests.unit.world import World

URL = "https://hooks.example.com/a?b"
ENDPOINTS = "/api/hooks/endpoints"


def send(client: Client, path: str, data: Any = None) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(data if data is not None else {}).encode()
    return client.post(path, raw, content_type="application/json")


def told(client: Client, world: World, **fields: Any) -> str:
    """A job with a webhook that has succeeded."""
    job = post(client, body(webhook=URL, **fields)).json()
    world.run()
    return str(job["id"])


def test_a_job_with_a_webhook_makes_a_delivery(client: Client, world: World) -> None:
    job_id = told(client, world)
    (delivery,) = client.get("/api/hooks/deliveries").json()["deliveries"]
    assert client.get(f"/api/hooks/deliveries/{delivery['id']}").json() == delivery
    assert {name: delivery[name] for name in ("job", "type", "endpoint", "url", "state", "attempts")} == {
        "job": job_id,
        "type": "job.succeeded",
        "endpoint": "jobs",
        "url": URL,
        "state": "pending",
        "attempts": [],
    }
    assert delivery["next_attempt_at"] == delivery["created_at"]
    assert "." not in delivery["id"]


def test_events_are_chosen(client: Client, world: World) -> None:
    told(client, world, webhook_events=["failed", "expired"])
    assert client.get("/api/hooks/deliveries").json() == {"deliveries": [], "cursor": None}
    told(client, world, webhook_events=["completed"])
    assert len(client.get("/api/hooks/deliveries").json()["deliveries"]) == 1


def test_endpoints_are_added_shown_rotated_and_removed(client: Client, world: World) -> None:
    made = send(client, ENDPOINTS, {"url": URL, "events": ["failed", "succeeded"]})
    assert made.status_code == 201
    endpoint = made.json()
    assert (endpoint["events"], endpoint["disabled"]) == (["succeeded", "failed"], None)
    at = f"{ENDPOINTS}/{endpoint['id']}"
    assert client.get(at).json() == endpoint
    (listed,) = client.get(ENDPOINTS).json()["endpoints"]
    assert listed == {name: value for name, value in endpoint.items() if name != "secret"}
    rotated = send(client, f"{at}/rotate", {"overlap_s": 60}).json()
    assert rotated["secret"] != endpoint["secret"]
    assert len(rotated["signs_until"]) == 1
    assert send(client, f"{at}/rotate", {"overlap_s": 0}).json()["signs_until"] == []
    assert client.delete(at).status_code == 204
    refused(client.get(at), 404, "endpoint_not_found")
    refused(client.delete(at), 404, "endpoint_not_found")
    refused(send(client, f"{at}/rotate"), 404, "endpoint_not_found")


def test_an_endpoint_is_told_of_every_job(client: Client, world: World) -> None:
    endpoint = send(client, ENDPOINTS, {"url": URL, "events": ["succeeded"]}).json()
    told(client, world)
    deliveries = client.get("/api/hooks/deliveries").json()["deliveries"]
    assert sorted((d["endpoint"], d["url"]) for d in deliveries) == [(endpoint["id"], None), ("jobs", URL)]


def test_a_secret_of_ones_own_may_be_brought_along(client: Client, world: World) -> None:
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert send(client, ENDPOINTS, {"url": URL, "secret": secret}).json()["secret"] == secret
    problem = refused(send(client, ENDPOINTS, {"url": URL, "secret": "whsec_abcd"}), 400, "invalid_request")
    assert "abcd" not in json.dumps(problem)


def test_the_secret_for_urls_of_jobs_is_made_when_asked_for(client: Client, world: World) -> None:
    at = f"{ENDPOINTS}/jobs"
    first = client.get(at).json()
    assert (first, first["url"]) == (client.get(at).json(), None)
    assert send(client, f"{at}/rotate").json()["secret"] != first["secret"]
    assert client.get(ENDPOINTS).json() == {"endpoints": []}
    refused(client.delete(at), 400, "invalid_request", "endpoint")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "url"),
        ({"url": 7}, "url"),
        ({"url": "ftp://a"}, "url"),
        ({"url": "http://192.168.0.1/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["started"]}, "events"),
        ({"url": URL, "events": "failed"}, "events"),
        ({"url": URL, "secret": 7}, "secret"),
        ({"url": URL, "name": "x"}, "name"),
        ([], "body"),
        (b"{", "body"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_named(client: Client, data: Any, field: str) -> None:
    refused(send(client, ENDPOINTS, data), 400, "invalid_request", field)
    assert client.get(ENDPOINTS).json() == {"endpoints": []}


@pytest.mark.parametrize("overlap_s", [-1, 1e9, "60", True, None])
def test_an_overlap_that_is_none_is_named(client: Client, overlap_s: Any) -> None:
    refused(
        send(client, f"{ENDPOINTS}/jobs/rotate", {"overlap_s": overlap_s}),
        400,
        "invalid_request",
        "overlap_s",
    )


def test_endpoints_are_bounded(client: Client, world: World) -> None:
    for _ in range(20):
        assert send(client, ENDPOINTS, {"url": URL}).status_code == 201
    refused(send(client, ENDPOINTS, {"url": URL}), 400, "invalid_request", "url")


def test_a_delivery_is_replayed(client: Client, world: World) -> None:
    told(client, world)
    (due,) = world.store.claim_deliveries("0-1", 1, 1, {}, 60).deliveries
    world.store.attempted(due, Attempt(500, "status 500", 7), Verdict(DeliveryState.FAILED), b"{}")
    world.store.claim_deliveries("0-1", 1, 1, {}, 60)
    shown = client.get(f"/api/hooks/deliveries/{due.id}").json()
    assert (shown["state"], shown["next_attempt_at"]) == ("failed", None)
    (attempt,) = shown["attempts"]
    assert (attempt["status"], attempt["error"], attempt["took_ms"]) == (500, "status 500", 7)
    world.store._deliverers.clear()
    sent = len(world.wakeups.sent_hooks)
    response = client.post(f"/api/hooks/deliveries/{due.id}/replay")
    assert (response.status_code, response.json()["state"]) == (202, "pending")
    assert len(world.wakeups.sent_hooks) == sent + 1


@pytest.mark.parametrize("path", ["x", "x/replay", f"0-{'0' * 32}-1", "0-1-1/replay"])
def test_an_unknown_delivery(client: Client, path: str) -> None:
    at = f"/api/hooks/deliveries/{path}"
    refused(client.post(at) if "replay" in path else client.get(at), 404, "delivery_not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("job=x", "job"), ("who=x", "who")],
)
def test_a_query_that_is_wrong_is_named(client: Client, query: str, field: str) -> None:
    refused(client.get(f"/api/hooks/deliveries?{query}"), 400, "invalid_request", field)


def test_deliveries_come_in_pages(client: Client, world: World) -> None:
    jobs = [told(client, world) for _ in range(3)]
    page = client.get("/api/hooks/deliveries?limit=2").json()
    rest = client.get("/api/hooks/deliveries", {"limit": 2, "cursor": page["cursor"]}).json()
    found = [delivery["job"] for delivery in page["deliveries"] + rest["deliveries"]]
    assert (found, rest["cursor"]) == (jobs[::-1], None)
    (one,) = client.get("/api/hooks/deliveries", {"job": jobs[1]}).json()["deliveries"]
    assert one["job"] == jobs[1]


class TestOwners:
    @pytest.fixture(autouse=True)
    def _known_users(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.hooks.views.owner_of", lambda request: request.META["HTTP_X_WHO"])
        monkeypatch.setattr(
            "api.hooks.views.scope_of",
            lambda request: None if request.META["HTTP_X_WHO"] == "staff" else request.META["HTTP_X_WHO"],
        )

    def test_each_sees_his_own_and_staff_all(self, client: Client, world: World) -> None:
        def ask(who: str, path: str, method: str = "get", **data: Any) -> Any:
            call = getattr(client, method)
            if method == "post":
                return call(path, json.dumps(data), content_type="application/json", headers={"X-Who": who})
            return call(path, headers={"X-Who": who})

        made = ask("ann", ENDPOINTS, "post", url=URL).json()
        at = f"{ENDPOINTS}/{made['id']}"
        for method, path in (("get", at), ("delete", at), ("post", f"{at}/rotate"), ("post", f"{at}/enable")):
            refused(ask("bob", path, method), 404, "endpoint_not_found")
        assert ask("bob", ENDPOINTS).json() == {"endpoints": []}
        assert len(ask("staff", ENDPOINTS).json()["endpoints"]) == 1
        assert ask("staff", at).json()["secret"] == made["secret"]
        assert ask("ann", f"{ENDPOINTS}/jobs").json() != ask("bob", f"{ENDPOINTS}/jobs").json()
        told(client, world)  # of nobody
        (delivery,) = ask("staff", "/api/hooks/deliveries").json()["deliveries"]
        assert ask("ann", "/api/hooks/deliveries").json()["deliveries"] == []
        refused(ask("ann", f"/api/hooks/deliveries/{delivery['id']}"), 404, "delivery_not_found")
        refused(
            ask("ann", f"/api/hooks/deliveries/{delivery['id']}/replay", "post"), 404, "delivery_not_found"
        )
        assert ask("staff", f"/api/hooks/deliveries/{delivery['id']}/replay", "post").status_code == 202


def test_strangers_are_asked_who_they_are(client: Client) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False}):
        for path in ("deliveries", "endpoints", "endpoints/jobs"):
            assert client.get(f"/api/hooks/{path}").status_code == 401


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)
FIELDS = st.dictionaries(st.sampled_from(["url", "events", "secret", "overlap_s", "x"]), JSON | st.just(URL))


@given(data=FIELDS, path=st.sampled_from(["", "/jobs/rotate"]))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_is_taken_or_refused_by_name(client: Client, data: dict[str, Any], path: str) -> None:
    response = send(client, ENDPOINTS + path, json.dumps(data).encode())
    if response.status_code not in (200, 201):
        assert refused(response, 400, "invalid_request")["field"] in {*data, "url", "body"}


@given(url=st.text(max_size=30) | st.text(max_size=30).map(lambda text: f"https://{text}"), events=JSON)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_webhook_of_a_job_is_taken_or_refused_by_name(client: Client, url: str, events: Any) -> None:
    response = post(client, body(webhook=url, webhook_events=events))
    if response.status_code != 202:
        assert refused(response, 400, "invalid_request")["field"].startswith(("webhook", "body"))
